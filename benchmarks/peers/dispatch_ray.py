"""Ray actor calls, 1 KB out and 4 KB back: one by one, each actor with one call at a time, and with 16 in flight."""
import time

from measuring import arguments, publish

options = arguments(workers=int, calls=int)

import ray

ray.init(num_cpus=options.workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")


@ray.remote(num_cpus=1)
class Worker:
    def __init__(self):
        self.answer = b"A" * 4096

    def work(self, prompt):
        return self.answer


workers = [Worker.remote() for _ in range(options.workers)]
prompt = b"B" * 1024


def rate(window):
    ray.get([worker.work.remote(prompt) for worker in workers])
    owners = {}
    sent = answered = 0
    start = time.perf_counter()
    for worker in workers:
        for _ in range(window):
            owners[worker.work.remote(prompt)] = worker
            sent += 1
    while answered < options.calls:
        ready, _ = ray.wait(list(owners), num_returns=1 if window == 1 else min(len(owners), window))
        for reference in ready:
            ray.get(reference)
            answered += 1
            worker = owners.pop(reference)
            owners[worker.work.remote(prompt)] = worker
    elapsed = time.perf_counter() - start
    ray.get(list(owners))
    return answered / elapsed


publish({"per_second": rate(1), "batched_per_second": rate(16)})
