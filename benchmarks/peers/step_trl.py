"""TRL's GRPOTrainer on the task of benchmarks/recipes/step.yaml, with that recipe's settings."""
import re
import tempfile
import time

from measuring import arguments, peak_bytes, publish

options = arguments(model=str, precision=str, steps=int, new_tokens=int, seed=int)

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

torch.set_num_threads(options.threads)
start = time.perf_counter()
PROMPTS, GROUP = 8, 8
MICRO_BATCH = 16
pairs = [(left, right) for left in range(1, 6) for right in range(1, 6)]
# More rows than the steps need: the trainer shuffles them.
needed = PROMPTS * options.steps
rows = (pairs * (needed // len(pairs) + 1))[: max(needed, len(pairs))]
dataset = Dataset.from_list([
    {
        "prompt": [{"role": "user", "content": f"What is {left} + {right}? Answer with the number only."}],
        "answer": str(left + right),
    }
    for left, right in rows
])


def reward(completions, answer, **_):
    rewards = []
    for completion, expected in zip(completions, answer):
        numbers = re.findall(r"\d+", completion[0]["content"])
        rewards.append(1.0 if numbers and int(numbers[-1]) == int(expected) else 0.0)
    return rewards


class Course(TrainerCallback):
    """Seconds of each step, and what the trainer logs of it."""

    def __init__(self):
        self.seconds, self.rewards, self.lengths = [], [], []
        self.begin = None

    def on_train_begin(self, *_, **__):
        self.begin = time.perf_counter()

    def on_step_end(self, *_, **__):
        end = time.perf_counter()
        self.seconds.append(end - self.begin)
        self.begin = end

    def on_log(self, args, state, control, logs=None, **_):
        if logs and "reward" in logs:
            self.rewards.append(logs["reward"])
            self.lengths.append(logs["completions/mean_length"])


tokenizer = AutoTokenizer.from_pretrained(options.model)
model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
course = Course()
with tempfile.TemporaryDirectory() as folder:
    trainer = GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        reward_funcs=reward,
        train_dataset=dataset,
        callbacks=[course],
        args=GRPOConfig(
            output_dir=folder, use_cpu=True, bf16=options.precision == "bfloat16", fp16=False, seed=options.seed,
            per_device_train_batch_size=MICRO_BATCH, gradient_accumulation_steps=PROMPTS * GROUP // MICRO_BATCH,
            num_generations=GROUP, max_completion_length=options.new_tokens, temperature=1.0, top_k=0, top_p=1.0,
            loss_type="dapo", scale_rewards="group", num_iterations=1, beta=0.0, epsilon=0.2, max_grad_norm=1.0,
            optim="adamw_torch_fused", weight_decay=0.0, learning_rate=1e-5, lr_scheduler_type="constant",
            warmup_steps=0, gradient_checkpointing=False, max_steps=options.steps, logging_steps=1,
            save_strategy="no", report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
        ),
    )
    trainer.train()
wall = time.perf_counter() - start
count = options.steps
assert len(course.seconds) == len(course.rewards) == count, (course.seconds, course.rewards)
last = course.rewards[-3:]
tokens = [length * PROMPTS * GROUP for length in course.lengths]
publish({
    "seconds": course.seconds, "reward": course.rewards, "length": course.lengths, "wall": wall,
    "completion_tokens_per_second": sum(tokens) / sum(course.seconds),
    "reward_first_step": course.rewards[0], "reward_last_three_steps": sum(last) / len(last),
    "length_first_step": course.lengths[0], "length_last_step": course.lengths[-1], "peak_bytes": peak_bytes(),
})
