"""Loads an exported model in transformers and in llama.cpp and compares their log-probs with ours.

Usage: export_check.py HF_FOLDER GGUF_FILE TEXTS.jsonl SCORES.jsonl
Tokenization is compared too: transformers' ids of each text must be ours.
"""
import json
import sys

import numpy as np
import torch
from llama_cpp import Llama
from transformers import AutoModelForCausalLM, AutoTokenizer

# float32 engines add up in different orders: a few 1e-4 nats over a forward pass of 30 layers.
TRANSFORMERS_LIMIT = 1e-3
# llama.cpp keeps keys and values in half precision and computes attention from them.
LLAMA_LIMIT = 5e-2


def log_probs(logits, ids):
    logits = np.asarray(logits, dtype=np.float64)
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return np.array([logits[i, ids[i + 1]] - log_sum[i] for i in range(len(ids) - 1)])


def main():
    folder, gguf, texts, scores = sys.argv[1:]
    texts = [json.loads(line) for line in open(texts, encoding="utf-8")]
    scores = [json.loads(line) for line in open(scores, encoding="utf-8")]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    llama = Llama(gguf, logits_all=True, n_ctx=512, verbose=False)
    worst = {"transformers": 0.0, "llama.cpp": 0.0}
    count = 0
    for text, score in zip(texts, scores):
        ids = score["tokens"]
        if "text" in text:
            theirs = tokenizer.encode(text["text"], add_special_tokens=False)
        else:
            theirs = tokenizer.apply_chat_template(text["messages"], tokenize=True, return_dict=False)
        if list(theirs) != ids:
            sys.exit(f"token ids differ for {text}: transformers {theirs}, ours {ids}")
        ours = np.array(score["log_probs"][1:], dtype=np.float64)
        with torch.no_grad():
            hf = model(torch.tensor([ids])).logits[0].numpy()
        worst["transformers"] = max(worst["transformers"], np.abs(log_probs(hf, ids) - ours).max())
        llama.reset()
        llama.eval(ids)
        rows = np.array(llama.scores[: len(ids)])
        worst["llama.cpp"] = max(worst["llama.cpp"], np.abs(log_probs(rows, ids) - ours).max())
        count += len(ours)
    failed = False
    for name, limit in (("transformers", TRANSFORMERS_LIMIT), ("llama.cpp", LLAMA_LIMIT)):
        verdict = "agrees" if worst[name] <= limit else "DIFFERS"
        failed |= worst[name] > limit
        print(f"{name}: {verdict}; largest log-prob difference {worst[name]:.2e} nats over {count} tokens (limit {limit:g})")
    sys.exit(1 if failed else 0)


main()
