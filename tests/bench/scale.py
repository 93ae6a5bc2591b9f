"""How far it scales: graphs of no-op tasks with dependencies, and many workers. One function per measurement, as in
measurements.py."""
import shutil

import graphs
from measurements import MILLION, keep_costs, sleep_pipeline, write_pipeline
from running import Failure, find_figures

CHAIN_LINKS = 10_000
MERGED = 100_000
GROUPBY_TASKS, GROUPBY_EDGES = 182_682, 251_801
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


def workers(count):
    """A million tasks for workers that only answer; none of them is ours (-j0). All must have had some."""
    def measure(bench):
        folder, endpoint, name = bench.fresh(), "ipc://work.sock", f"workers {count}"
        options = ["-j0", "--listen", endpoint, "--min-workers", count]
        with bench.background([bench.programs / "bench_workers", endpoint, count], folder) as crowd:
            ran = bench.run_pipeline(sleep_pipeline(bench, MILLION), folder, log="info", options=options,
                                     limit_s=JOINED_LIMIT_S, total=MILLION, executed=MILLION)
            crowd.wait(JOINED_LIMIT_S)
            figures = find_figures(crowd.said())
        if figures.get("workers with tasks") != count:
            raise Failure(f"{name}: not all took part: {crowd.said()[-500:]}")
        shutil.rmtree(folder)
        for figure, value in figures.items():
            bench.keep(f"{name}: {figure}", value)
        bench.keep(f"{name}, wall", MILLION / ran.wall_s)
        bench.keep(f"{name}, run", MILLION / ran.json["seconds"])
        keep_costs(bench, name, ran, MILLION)
        print(f"{name}: tasks each had: least {figures['tasks a worker, least']:,.0f}, "
              f"median {figures['tasks a worker, median']:,.0f}, most {figures['tasks a worker, most']:,.0f}", flush=True)
    return measure


SCALE = {"merge": merge, "tree": tree, "groupby": groupby, "chain_10000": chain_10000,
         "workers_100": workers(100), "workers_1000": workers(1000)}
