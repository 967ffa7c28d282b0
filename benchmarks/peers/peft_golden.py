"""Makes the golden adapters of the engine's tests: what PEFT computes with low-rank adapters over a golden model.

Usage: peft_golden.py Tests/EngineTests/Fixtures/llama   (writes adapters.safetensors there)
Needs the environment of benchmarks/peers/setup. Everything is computed in float64 from weights that float32 holds.
"""
import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

RANK, ALPHA = 4, 6.0

folder = Path(sys.argv[1])
inputs = [torch.tensor([row["ids"]]) for row in json.load(open(folder / "reference.json"))["inputs"]]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=modules, task_type="CAUSAL_LM"))
torch.manual_seed(7)
out = {}
adapters = {name: p for name, p in model.named_parameters() if "lora_" in name}
for name, parameter in adapters.items():
    parameter.data = (0.2 * torch.randn(parameter.shape)).to(torch.float64)
    out[name.replace(".default", "")] = parameter.data.float()
total, count = 0, 0
for index, ids in enumerate(inputs):
    logits = model(ids).logits[0]
    out[f"logits_{index}"] = logits.detach().float()
    total = total + torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="sum")
    count += ids.shape[1] - 1
loss = total / count
loss.backward()
for name, parameter in adapters.items():
    out["grad." + name.replace(".default", "")] = parameter.grad.float()
out["loss"] = loss.detach().float().reshape(1)
save_file({name: tensor.contiguous() for name, tensor in out.items()}, folder / "adapters.safetensors")
print(f"loss {loss.item():.6f}, {len(adapters)} adapter matrices")
