"""Makes a Qwen2 model of 0.5 billion random weights with the tokenizer of another model.

Usage: random_qwen2.py TOKENIZER_FOLDER TARGET_FOLDER
TOKENIZER_FOLDER: a Hugging Face folder, such as `coordinator export` writes. Only shapes matter here: the model has the
sizes of Qwen2.5-0.5B and says nothing sensible.
"""
import shutil
import sys
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

source, target = Path(sys.argv[1]), Path(sys.argv[2])
torch.manual_seed(1)
config = Qwen2Config(
    vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
    num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True, rope_theta=1e6)
model = Qwen2ForCausalLM(config).to(torch.bfloat16)
model.save_pretrained(target)
for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"):
    if (source / name).exists():
        shutil.copy(source / name, target / name)
print(f"{sum(p.numel() for p in model.parameters()):,} weights in {target}")
