"""transformers' generate in bfloat16, temperature 1, nothing truncated, ends ignored."""
import time

from measuring import arguments, integers, peak_bytes, publish, since_start, tokens

options = arguments(
    model=str, prompt_tokens=int, new_tokens=int, batches=str, groups=int, group_size=int)

import torch
from transformers import AutoModelForCausalLM

torch.set_num_threads(options.threads)
model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.bfloat16).eval()
model.generation_config.eos_token_id = None
model.generation_config.pad_token_id = 0


def generate(prompts, count):
    start = time.perf_counter()
    ids = torch.tensor(prompts)
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
        min_new_tokens=count, max_new_tokens=count)
    assert out.shape[1] == len(prompts[0]) + count, out.shape
    return time.perf_counter() - start


readings = {}
with torch.inference_mode():
    generate([tokens(options.prompt_tokens, 0)], 1)
    readings["startup"] = since_start()
    for batch in integers(options.batches):
        prompts = [tokens(options.prompt_tokens, number) for number in range(batch)]
        first = generate(prompts, 1)
        whole = generate(prompts, options.new_tokens)
        readings[f"prefill_{batch}"] = batch * options.prompt_tokens / first
        readings[f"decode_{batch}"] = batch * (options.new_tokens - 1) / max(whole - first, 1e-9)
    # It computes a group's prompt once for each completion.
    count = options.groups * options.group_size
    prompts = [tokens(options.prompt_tokens, number // options.group_size) for number in range(count)]
    readings[f"job_{count}x{options.new_tokens}"] = count * options.new_tokens / generate(prompts, options.new_tokens)
readings["peak_bytes"] = peak_bytes()
publish(readings)
