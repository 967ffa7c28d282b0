"""llama.cpp: batched decode of several sequences through its C API, without any sampling.

Each prompt is computed by itself, and every sequence has a cache of its own. In the job of groups a prompt is computed
once: its cache is copied to the group's sequences, or shared where all sequences have one cache; the faster counts.
"""
import ctypes
import time

from measuring import arguments, integers, peak_bytes, publish, since_start, tokens

options = arguments(
    model=str, prompt_tokens=int, new_tokens=int, batches=str, groups=int, group_size=int)

import llama_cpp
from llama_cpp import llama_cpp as llama

PROMPT, NEW = options.prompt_tokens, options.new_tokens
SEQUENCES = options.groups * options.group_size


def silent(level, text, data):
    pass


silence = llama.llama_log_callback(silent)
llama.llama_log_set(silence, ctypes.c_void_p(0))
llama.llama_backend_init()
model = llama.llama_model_load_from_file(options.model.encode(), llama.llama_model_default_params())
if not model:
    raise SystemExit(f"llama.cpp does not load {options.model}")


def make_context(unified):
    settings = llama.llama_context_default_params()
    settings.n_ctx = SEQUENCES * (PROMPT + NEW)
    settings.n_batch = settings.n_ubatch = 512
    settings.n_seq_max = SEQUENCES
    settings.n_threads = settings.n_threads_batch = options.threads
    settings.kv_unified = unified
    made = llama.llama_init_from_model(model, settings)
    if not made:
        raise SystemExit("llama.cpp makes no context")
    return made


context = make_context(unified=False)
batch = llama.llama_batch_init(512, 0, 1)


def fill(rows):
    """rows: (token, position, sequence, wanted)"""
    batch.n_tokens = len(rows)
    for index, (token, position, sequence, wanted) in enumerate(rows):
        batch.token[index] = token
        batch.pos[index] = position
        batch.n_seq_id[index] = 1
        batch.seq_id[index][0] = sequence
        batch.logits[index] = wanted


def compute(rows):
    fill(rows)
    if llama.llama_decode(context, batch) != 0:
        raise SystemExit("llama_decode failed")
    llama.llama_synchronize(context)


def prefill(sequence):
    ids = tokens(PROMPT, sequence)
    compute([(token, place, sequence, place == PROMPT - 1) for place, token in enumerate(ids)])


def decode(count):
    """NEW − 1 steps: the prompt's last row gives the first token."""
    for step in range(NEW - 1):
        compute([((step * 31 + sequence * 7) % 40000, PROMPT + step, sequence, True) for sequence in range(count)])


def clear():
    llama.llama_memory_clear(llama.llama_get_memory(context), True)


def job():
    """Tokens a second of all groups."""
    start = time.perf_counter()
    for group in range(options.groups):
        first = group * options.group_size
        prefill(first)
        for sequence in range(first + 1, first + options.group_size):
            llama.llama_memory_seq_cp(llama.llama_get_memory(context), first, sequence, -1, -1)
    decode(SEQUENCES)
    return SEQUENCES * NEW / (time.perf_counter() - start)


readings = {}
prefill(0)
readings["startup"] = since_start()
clear()
for count in integers(options.batches):
    start = time.perf_counter()
    for sequence in range(count):
        prefill(sequence)
    middle = time.perf_counter()
    decode(count)
    end = time.perf_counter()
    readings[f"prefill_{count}"] = count * PROMPT / (middle - start)
    readings[f"decode_{count}"] = count * (NEW - 1) / (end - middle)
    clear()
copied = job()
readings["peak_bytes"] = peak_bytes()
llama.llama_free(context)
context = make_context(unified=True)
readings[f"job_{SEQUENCES}x{NEW}"] = max(copied, job())
publish(readings)
