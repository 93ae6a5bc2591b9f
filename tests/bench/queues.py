"""Other task queues and schedulers, doing nothing as we do; each on two processes. Whoever is not installed is left out
with a line that says so. Servers are started here on ports of their own, and stopped again."""
import os
import shutil
import socket
import time

from measurements import MILLION, keep_peers
import peers
from running import ROOT, Failure

CELERY_TASKS = 10_000
HYPERQUEUES = (("hq", 2_000, "hyperqueue"), ("hq-zero", 10_000, "hyperqueue: no-op"))
START_S = 30


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, is_there):
    until = time.monotonic() + START_S
    while not is_there():
        if time.monotonic() > until:
            raise Failure(f"{what} did not start within {START_S} s")
        time.sleep(0.05)


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def can_import(bench, module):
    """In the peers' own venv."""
    def look(_):
        try:
            bench.run([os.environ.get("PEERS", "python3"), "-c", f"import {module}"], bench.folder)
            return True
        except (Failure, OSError):
            return False
    return bench.once(f"import-{module}", look)


def dask(bench):
    if not can_import(bench, "distributed"):
        bench.leave_out("Dask distributed")
        return
    folder = bench.fresh()
    ran = bench.run([os.environ["PEERS"], "-B", ROOT / "tests/bench/dask_peer.py"], folder)
    shutil.rmtree(folder)
    for name, rate in ran.figures.items():
        bench.keep(f"dask: {name}", rate)
    bench.keep("dask: chain, a link", 1 / ran.figures["chain"])


def celery(bench):
    if not can_import(bench, "celery") or not shutil.which("redis-server"):
        bench.leave_out("Celery with Redis")
        return
    folder, port = bench.fresh(), free_port()
    environment = {"CELERY_URL": f"redis://127.0.0.1:{port}/0", "PYTHONPATH": str(ROOT / "tests/bench"),
                   "PYTHONDONTWRITEBYTECODE": "1"}
    redis = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    worker = [os.environ["PEERS"], "-m", "celery", "-A", "celery_peer", "worker", "--concurrency", "2", "--loglevel",
              "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    with bench.background(redis, folder):
        wait_for("redis-server", lambda: is_listening(port))
        with bench.background(worker, folder, **environment):
            ran = bench.run([os.environ["PEERS"], ROOT / "tests/bench/celery_peer.py", CELERY_TASKS], folder,
                            **environment)
    shutil.rmtree(folder)
    bench.keep("celery: no-op", ran.figures["no-op"])


def hyperqueue(bench):
    """`hq` starts programs; `hq-zero`, if somebody built it (RUSTFLAGS="--cfg zero_worker"), has workers that only say done,
    and like the other measures no durable state: no journal."""
    for program, tasks, sample in HYPERQUEUES:
        if shutil.which(program):
            bench.keep(sample, tasks / run_hyperqueue(bench, program, tasks))
        else:
            bench.leave_out(f"HyperQueue ({program})")


def run_hyperqueue(bench, program, tasks):
    """Seconds from the submission of an array to its end."""
    folder = bench.fresh()
    hq = [program, "--server-dir", folder / "server"]

    def is_up():
        try:
            bench.run([*hq, "server", "info"], folder)
            return True
        except Failure:
            return False

    with bench.background([*hq, "server", "start"], folder):
        wait_for("hq server", is_up)
        with bench.background([*hq, "worker", "start", "--cpus=2"], folder):
            ran = bench.run([*hq, "submit", f"--array=1-{tasks}", "--stdout=none", "--stderr=none", "--wait",
                             "--", peers.TRUE, "x"], folder)
    shutil.rmtree(folder)
    return ran.wall_s


def ninja_million(bench):
    keep_peers(bench, MILLION, **{"ninja million": peers.ninja_up_to_date})
    if bench.samples["ninja million"]:
        bench.keep("ninja million, a task", bench.samples["ninja million"][-1] / MILLION)


QUEUES = {"dask": dask, "celery": celery, "hyperqueue": hyperqueue, "ninja_million": ninja_million}
