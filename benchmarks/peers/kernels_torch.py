"""PyTorch's bfloat16 product y = x·Wᵀ (oneDNN) on given shapes, weights cold: each call takes the next copy."""
import time

from measuring import arguments, integers, publish

options = arguments(shapes=str, rows=str, cold_bytes=int, least=float)

import torch

torch.set_num_threads(options.threads)
readings = {}
with torch.inference_mode():
    for shape in options.shapes.split(","):
        inputs, outputs = (int(part) for part in shape.split("x"))
        count = max(1, options.cold_bytes // (2 * inputs * outputs))
        weights = [torch.randn(outputs, inputs).to(torch.bfloat16) for _ in range(count)]
        place = 0
        for rows in integers(options.rows):
            x = torch.randn(rows, inputs).to(torch.bfloat16)

            def run(calls):
                global place
                start = time.perf_counter()
                for _ in range(calls):
                    place = (place + 1) % count
                    torch.nn.functional.linear(x, weights[place])
                return (time.perf_counter() - start) / calls

            run(1)
            calls = max(1, int(options.least / run(3)) + 1)
            readings[f"product_{shape}_rows{rows}"] = 2 * rows * inputs * outputs / run(calls) / 1e9
publish(readings)
