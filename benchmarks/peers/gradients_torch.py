"""PyTorch: one batch's gradient under bfloat16 autocast against its float32, cosines tensor by tensor."""
import json

from measuring import arguments, publish

options = arguments(model=str, batch=str)

import torch
from transformers import AutoModelForCausalLM

torch.set_num_threads(options.threads)
with open(options.batch, encoding="utf-8") as file:
    groups = json.load(file)
model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
model.train()
model.config.use_cache = False
tokens = sum(len(completion) for group in groups for completion in group["completions"])


def gradient(autocast):
    model.zero_grad(set_to_none=True)
    for group in groups:
        prompt = group["prompt"]
        longest = max(map(len, group["completions"]))
        ids = torch.tensor([prompt + c + [0] * (longest - len(c)) for c in group["completions"]])
        mask = torch.tensor([[1.0] * len(c) + [0.0] * (longest - len(c)) for c in group["completions"]])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            logits = model(input_ids=ids, use_cache=False, logits_to_keep=longest + 1).logits[:, :-1]
        log_probs = torch.log_softmax(logits.float(), dim=-1)
        chosen = log_probs.gather(-1, ids[:, len(prompt):].unsqueeze(-1)).squeeze(-1)
        advantages = torch.tensor(group["advantages"])[:, None]
        (-(chosen * advantages * mask).sum() / tokens).backward()
    return [parameter.grad.double().clone() for parameter in model.parameters()]


rounded = gradient(True)
reference = gradient(False)
dot = lambda a, b: float((a * b).sum())
products = [(dot(a, a), dot(b, b), dot(a, b)) for a, b in zip(rounded, reference)]
cosines = sorted(mixed / (first * second) ** 0.5 for first, second, mixed in products)
first, second, mixed = (sum(column) for column in zip(*products))
publish({
    "from_1_whole": 1 - mixed / (first * second) ** 0.5, "from_1_median": 1 - cosines[len(cosines) // 2],
    "from_1_most": 1 - cosines[0], "tensors_from_0.999": sum(c >= 0.999 for c in cosines) / len(cosines),
    "tensors": len(cosines), "tokens": tokens, "norm_ratio": (first / second) ** 0.5,
})
