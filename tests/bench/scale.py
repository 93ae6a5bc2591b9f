"""How far it scales: graphs of no-op tasks with dependencies, and many workers. One function per measurement, as in
measurements.py."""
import contextlib
import shutil
import socket

import graphs
from measurements import MILLION, keep_costs, sleep_pipeline, write_pipeline
from running import Failure, find_figures

CHAIN_LINKS = 10_000
MERGED = 100_000
GROUPBY_TASKS, GROUPBY_EDGES = 182_682, 251_801
JOIN_TASKS = 100_000
JOINED_LIMIT_S = 180  # a broker whose workers are gone waits for ever


def run_graph(bench, name, graph):
    pipeline = write_pipeline(bench, f"graph-{name}", graph.lines)
    folder = bench.fresh()
    ran = bench.run_pipeline(pipeline, folder, log="info", total=graph.tasks, executed=graph.tasks)
    shutil.rmtree(folder)
    bench.keep(f"{name}, wall", graph.tasks / ran.wall_s)
    bench.keep(f"{name}, run", graph.tasks / ran.json["seconds"])
    keep_costs(bench, name, ran, graph.tasks)
    return ran


def merge(bench):
    run_graph(bench, "merge", graphs.merge(MERGED))


def tree(bench):
    run_graph(bench, "tree", graphs.tree())


def groupby(bench):
    graph = graphs.groupby()
    if (graph.tasks, graph.edges) != (GROUPBY_TASKS, GROUPBY_EDGES):
        raise Failure(f"groupby: {graph.tasks} tasks and {graph.edges} dependencies")
    run_graph(bench, "groupby", graph)


def chain_10000(bench):
    ran = run_graph(bench, "chain 10000", graphs.chain(CHAIN_LINKS))
    bench.keep("chain 10000, a link", ran.wall_s / CHAIN_LINKS)
    bench.keep("chain 10000, a link from submit", 1e-6 * ran.events["loop.stats"]["run_us"] / CHAIN_LINKS)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_keys(bench, folder):
    """The broker's identity, and one that all workers share: what bench_workers takes behind its count."""
    key = bench.run([bench.broker, "keys", "init"], folder).out.strip()
    bench.run([bench.broker, "keys", "add", "crowd", "-o", "crowd.key"], folder)
    return ["crowd.key", key]


def workers(count, tasks=MILLION, keys=False, processes=1):
    """No-op tasks for workers that only answer; none of them is ours (-j0). All must have had some. With keys over TCP:
    every connection is encrypted. Several processes where one has not enough descriptors."""
    def measure(bench):
        folder, name = bench.fresh(), f"workers {count}{' with keys' if keys else ''}"
        endpoint = f"tcp://127.0.0.1:{free_port()}" if keys else "ipc://work.sock"
        more = make_keys(bench, folder) if keys else []
        options = ["-j0", "--listen", endpoint, "--min-workers", count, *(["--curve"] if keys else [])]
        with contextlib.ExitStack() as stack:
            command = [bench.programs / "bench_workers", endpoint, count // processes, *more]
            crowds = [stack.enter_context(bench.background(command, folder)) for _ in range(processes)]
            ran = bench.run_pipeline(sleep_pipeline(bench, tasks), folder, log="info", options=options,
                                     limit_s=JOINED_LIMIT_S, total=tasks, executed=tasks)
            for crowd in crowds:
                crowd.wait(JOINED_LIMIT_S)
            figures = [find_figures(crowd.said()) for crowd in crowds]
        if sum(f.get("workers with tasks", 0) for f in figures) != count:
            raise Failure(f"{name}: not all took part: {crowds[0].said()[-500:]}")
        shutil.rmtree(folder)
        bench.keep(f"{name}: all welcome", max(f["all welcome"] for f in figures))
        if processes == 1:
            for figure, value in figures[0].items():
                bench.keep(f"{name}: {figure}", value)
            print(f"{name}: tasks each had: least {figures[0]['tasks a worker, least']:,.0f}, "
                  f"median {figures[0]['tasks a worker, median']:,.0f}, most {figures[0]['tasks a worker, most']:,.0f}",
                  flush=True)
        bench.keep(f"{name}, wall", tasks / ran.wall_s)
        bench.keep(f"{name}, run", tasks / ran.json["seconds"])
        keep_costs(bench, name, ran, tasks)
    return measure


SCALE = {"merge": merge, "tree": tree, "groupby": groupby, "chain_10000": chain_10000,
         "workers_100": workers(100), "workers_1000": workers(1000), "workers_1000_with_keys": workers(1000, keys=True),
         "workers_10000_join": workers(10_000, tasks=JOIN_TASKS, keys=True, processes=4)}
