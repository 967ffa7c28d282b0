"""What every peer's script does alike: arguments, start-up time, peak memory, the line of readings at the end."""
import argparse
import json
import os
import sys
import time

# When the process was started: by whoever started it, or now. The same clock in all processes.
START = int(os.environ.get("ROOKERY_BENCHMARK_START", time.monotonic_ns()))


def arguments(**numbers):
    """Parses --threads and `numbers` (name: type)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    for name, kind in numbers.items():
        parser.add_argument("--" + name.replace("_", "-"), type=kind, required=True)
    return parser.parse_args()


def integers(text):
    return [int(part) for part in text.split(",")]


def since_start():
    return (time.monotonic_ns() - START) * 1e-9


def peak_bytes():
    """VmHWM of this process."""
    with open("/proc/self/status", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def publish(readings):
    sys.stderr.flush()
    print(json.dumps(readings), flush=True)
    # Some libraries trap while their threads are taken down; the readings are complete.
    os._exit(0)


def tokens(count, number):
    """Token ids without meaning."""
    state = number * 2654435761 % 2**32
    ids = []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        ids.append(state % 40000)
    return ids
