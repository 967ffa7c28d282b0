"""Loads exported adapters in PEFT over the exported base and compares log-probs with ours; and the merged export.

Usage: peft_check.py BASE_FOLDER ADAPTER_FOLDER MERGED_FOLDER SCORES.jsonl
SCORES.jsonl: what `coordinator score RUN` said of some texts.
"""
import json
import sys

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

# float32 engines add up in different orders: a few 1e-4 nats over a forward pass of 30 layers.
LIMIT = 1e-3


def log_probs(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    return torch.log_softmax(logits, dim=-1)[range(len(ids) - 1), ids[1:]].numpy()


def main():
    base, adapters, merged, scores = sys.argv[1:]
    scores = [json.loads(line) for line in open(scores, encoding="utf-8")]

    def load(folder):
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    models = {"base alone": load(base), "PEFT": PeftModel.from_pretrained(load(base), adapters).eval()}
    models["merged by PEFT"] = PeftModel.from_pretrained(load(base), adapters).merge_and_unload().eval()
    models["merged by us"] = load(merged)
    worst = {name: 0.0 for name in models}
    for score in scores:
        ours = np.array(score["log_probs"][1:], dtype=np.float64)
        for name, model in models.items():
            worst[name] = max(worst[name], np.abs(log_probs(model, score["tokens"]) - ours).max())
    failed = worst["base alone"] <= 10 * LIMIT
    print(f"base alone: differs by {worst['base alone']:.2e} nats (the adapters must matter: over {10 * LIMIT:g})")
    for name in list(models)[1:]:
        failed |= worst[name] > LIMIT
        verdict = "agrees" if worst[name] <= LIMIT else "DIFFERS"
        print(f"{name}: {verdict}; largest log-prob difference {worst[name]:.2e} nats (limit {LIMIT:g})")
    sys.exit(1 if failed else 0)


main()
