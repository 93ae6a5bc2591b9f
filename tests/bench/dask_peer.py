"""No-op tasks with Dask distributed on this machine: two processes of one thread, nothing kept on disk. Times are from
the moment a graph is handed over to the moment its last task is done; the tasks were described before. Prints figures
as the C programs do."""
import time

import dask
from dask.distributed import Client, LocalCluster, wait

TASKS = 10_000
MERGED = 5_000
LINKS = 500
TREE_LEVELS = 12


@dask.delayed(pure=False)
def nothing(*_):
    return None


def chain():
    last = nothing()
    for _ in range(LINKS - 1):
        last = nothing(last)
    return [last], LINKS


def tree():
    level = [nothing() for _ in range(1 << (TREE_LEVELS - 1))]
    while len(level) > 1:
        level = [nothing(left, right) for left, right in zip(level[::2], level[1::2])]
    return level, (1 << TREE_LEVELS) - 1


def merge():
    return [nothing(*[nothing() for _ in range(MERGED)])], MERGED + 1


def independent():
    return [nothing() for _ in range(TASKS)], TASKS


def main():
    shapes = {"no-op": independent, "merge": merge, "tree": tree, "chain": chain}
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        wait(client.compute([nothing() for _ in range(100)], optimize_graph=False))
        for name, make in shapes.items():
            targets, count = make()
            begun = time.perf_counter()
            wait(client.compute(targets, optimize_graph=False))
            print(f"{name:32} {count / (time.perf_counter() - begun):.1f} tasks/s")


if __name__ == "__main__":
    main()
