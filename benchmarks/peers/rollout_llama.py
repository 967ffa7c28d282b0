"""llama.cpp: batched decode of several sequences through its C API, without any sampling.

Each prompt is computed by itself; in the job of groups a group's sequences share its prompt's cache, as its own batched
benchmark does with `-pps`.
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
settings = llama.llama_context_default_params()
settings.n_ctx = SEQUENCES * (PROMPT + NEW)
settings.n_batch = settings.n_ubatch = 512
settings.n_seq_max = SEQUENCES
settings.n_threads = settings.n_threads_batch = options.threads
# One cache for all sequences: needed for sharing a prompt.
settings.kv_unified = True
context = llama.llama_init_from_model(model, settings)
if not context:
    raise SystemExit("llama.cpp makes no context")
memory = llama.llama_get_memory(context)
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


readings = {}
prefill(0)
readings["startup"] = since_start()
llama.llama_memory_clear(memory, True)
for count in integers(options.batches):
    start = time.perf_counter()
    for sequence in range(count):
        prefill(sequence)
    middle = time.perf_counter()
    decode(count)
    end = time.perf_counter()
    readings[f"prefill_{count}"] = count * PROMPT / (middle - start)
    readings[f"decode_{count}"] = count * (NEW - 1) / (end - middle)
    llama.llama_memory_clear(memory, True)
start = time.perf_counter()
for group in range(options.groups):
    first = group * options.group_size
    prefill(first)
    for sequence in range(first + 1, first + options.group_size):
        llama.llama_memory_seq_cp(memory, first, sequence, -1, -1)
decode(SEQUENCES)
readings[f"job_{SEQUENCES}x{NEW}"] = SEQUENCES * NEW / (time.perf_counter() - start)
readings["peak_bytes"] = peak_bytes()
publish(readings)
