"""Ray: an object of the weights' size, put by one process, fetched by actors, each copying it into its own tensors.

local_ready: actors of one node, which map the object from shared memory. tcp_whole_ready: one actor on each of so many
nodes (processes of this machine, each with its own object store), to which the object is sent over TCP.
"""
import time

from measuring import arguments, publish

options = arguments(bytes=int, workers=int)

import numpy
import ray
from ray.cluster_utils import Cluster

ROUNDS = 4
STORE = 4 * options.bytes + (256 << 20)
weights = numpy.random.default_rng(1).integers(0, 1 << 16, options.bytes // 2, dtype=numpy.uint16)


@ray.remote
class Worker:
    def __init__(self, count):
        self.weights = numpy.zeros(count, dtype=numpy.uint16)

    def load(self, fetched):
        numpy.copyto(self.weights, fetched)
        return int(self.weights[-1])


def rounds(workers):
    """Seconds from the end of learning to the last worker's answer; the first time warms up."""
    times = []
    for number in range(ROUNDS):
        weights[:] += 1
        start = time.perf_counter()
        reference = ray.put(weights)
        answers = ray.get([worker.load.remote(reference) for worker in workers])
        times.append(time.perf_counter() - start)
        assert answers == [int(weights[-1])] * len(workers), answers
        del reference
    return times[1:]


quiet = dict(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
ray.init(address="local", num_cpus=options.workers, object_store_memory=STORE, **quiet)
local = rounds([Worker.remote(len(weights)) for _ in range(options.workers)])
ray.shutdown()

cluster = Cluster(
    initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False})
for number in range(options.workers):
    cluster.add_node(num_cpus=1, object_store_memory=STORE, resources={f"place{number}": 1})
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
remote = rounds(
    [Worker.options(resources={f"place{number}": 1}).remote(len(weights)) for number in range(options.workers)])
ray.shutdown()
cluster.shutdown()
publish({"local_ready": local, "tcp_whole_ready": remote, "tcp_difference_ready": remote})
