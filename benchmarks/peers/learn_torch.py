"""PyTorch: forward, backward and fused AdamW over a batch, logits only for the completions.

Precision float32, or bfloat16: float32 weights under autocast. One micro-batch and an update warm up.
"""
import time

from measuring import arguments, peak_bytes, publish, tokens

options = arguments(
    model=str, precision=str, sequences=int, prompt_tokens=int, new_tokens=int, micro_batch=int)

import torch
from transformers import AutoModelForCausalLM

torch.set_num_threads(options.threads)
model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
model.train()
model.config.use_cache = False
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.0, fused=True)
PROMPT, NEW = options.prompt_tokens, options.new_tokens
rows = [tokens(PROMPT + NEW, number) for number in range(options.sequences)]
advantages = torch.tensor([1.0 if number % 2 == 0 else -1.0 for number in range(options.sequences)])


def micro_batch(first):
    """Seconds of forward and of backward."""
    ids = torch.tensor(rows[first : first + options.micro_batch])
    start = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bfloat16"):
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=NEW + 1).logits[:, :-1]
    log_probs = torch.log_softmax(logits.float(), dim=-1)
    chosen = log_probs.gather(-1, ids[:, PROMPT:].unsqueeze(-1)).squeeze(-1)
    ratio = torch.exp(chosen - chosen.detach())
    weight = advantages[first : first + len(ids), None]
    loss = -torch.min(ratio * weight, ratio.clamp(0.8, 1.2) * weight).sum() / (options.sequences * NEW)
    middle = time.perf_counter()
    loss.backward()
    return middle - start, time.perf_counter() - middle


def update():
    start = time.perf_counter()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    assert torch.isfinite(norm) and norm > 0, norm
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    return time.perf_counter() - start


micro_batch(0)
update()
forward = backward = 0.0
start = time.perf_counter()
for first in range(0, options.sequences, options.micro_batch):
    one, other = micro_batch(first)
    forward += one
    backward += other
adamw = update()
step = time.perf_counter() - start
publish({
    "step": step, "forward": forward, "backward": backward, "adamw": adamw,
    "sequences": options.sequences / step, "tokens": options.sequences * (PROMPT + NEW) / step,
    "peak_bytes": peak_bytes(),
})
