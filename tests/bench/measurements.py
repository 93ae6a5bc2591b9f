"""One function per measurement; each takes one sample of everything that belongs together, ours and the peers', and
keeps it under a name that rows.py shows. Times are in seconds."""
import csv
import multiprocessing
import os
import shutil
import sys
import time

import numpy as np

import peers
from running import ROOT, Failure

IRIS = ROOT / "configs" / "iris.yaml"
IRIS_TASKS = 26
LINKS = 1_000           # of a chain
PROCESSES = 2_000
PEER_TARGETS = 100_000  # of make and ninja; ours are a million
MILLION = 1_000_000
POOL_CHUNK = 500        # as many as travel in one of our frames
CSV_HEAD_BYTES = 32_000_000
OURS = {"bench_expand", "bench_csv", "bench_hash", "bench_spawn", "bench_workers", "bench_s3"}  # the others run as they are


def keep_peers(bench, count, **commands):
    """One run of each peer; `commands` are functions of peers.py by the name of the sample."""
    for name, make in commands.items():
        program = make.__name__.split("_")[0]
        if not peers.find(program):
            bench.leave_out(peers.NAMES[program])
            continue
        folder = bench.folder / f"{make.__name__}-{count}"
        command = bench.once(folder.name, lambda path, make=make: make(path, count))
        bench.keep(name, bench.run(command, folder).wall_s)


def write_pipeline(bench, name, lines):
    def write(path):
        path.write_text("\n".join(["version: 1", "name: bench", "steps:", *lines]) + "\n")
        return path
    return bench.once(f"{name}.yaml", write)


# ---- the example ----

def iris(bench):
    folder = bench.fresh()
    cold = bench.run_pipeline(IRIS, folder, total=IRIS_TASKS, executed=IRIS_TASKS)
    bench.keep("iris cold", cold.wall_s)
    bench.keep("iris tasks", sum(step["seconds"] for step in cold.json["steps"]) / 2)
    again = bench.run_pipeline(IRIS, folder, total=IRIS_TASKS, hit=IRIS_TASKS)
    bench.keep("iris again", again.wall_s)
    shutil.rmtree(folder)
    bench.keep("process start", bench.run(["true"], bench.folder).wall_s)
    keep_peers(bench, IRIS_TASKS, iris_make=peers.make_up_to_date, iris_ninja=peers.ninja_up_to_date)


def iris_python(bench):
    command = [sys.executable, "-B", ROOT / "tests/bench/iris_peer.py", ROOT / "configs/data/iris.csv"]
    bench.keep("iris_python", bench.run(command, bench.folder).wall_s)


# ---- many no-op tasks ----

def sleep_pipeline(bench, count):
    return write_pipeline(bench, f"sleep-{count}", [
        f"  sleep: {{kind: sleep, matrix: {{i: {{range: [0, {count}, 1]}}}}, "
        "params: {seconds: 0, index: \"${matrix.i}\"}}"])


def keep_costs(bench, name, ran, count):
    """What the broker says of itself at the end of a run with log="info": its processor time, with all that comes
    before and behind the run, and the worst that its loop did."""
    loop, process = ran.events["loop.stats"], ran.events["process.stats"]
    bench.keep(f"{name}, from submit", count / (1e-6 * loop["run_us"]))
    bench.keep(f"{name}, cpu", 1e-6 * (process["main_cpu_us"] + process["other_cpu_us"]) / count)
    bench.keep(f"{name}, cpu of the loop's thread", 1e-6 * process["main_cpu_us"] / count)
    bench.keep(f"{name}, cpu of other threads", 1e-6 * process["other_cpu_us"] / count)
    bench.keep(f"{name}, worst beat", 1e-6 * loop["worst_beat_us"])
    bench.keep(f"{name}, worst step", 1e-6 * loop["worst_step_us"])


def run_sleeps(bench, count, folder):
    ran = bench.run_pipeline(sleep_pipeline(bench, count), folder, watch=count >= MILLION, log="info", total=count,
                             executed=count)
    keep_costs(bench, f"sleep {count}", ran, count)
    bench.keep(f"sleep {count}, wall", count / ran.wall_s)
    bench.keep(f"sleep {count}, run", count / ran.json["seconds"])
    return ran


def sleep_100000(bench):
    folder = bench.fresh()
    run_sleeps(bench, 100_000, folder)
    shutil.rmtree(folder)


def one_task(bench):
    """What the broker holds when there is next to nothing to hold. The second run starts no worker, so the peak is its
    own."""
    folder = bench.fresh()
    pipeline = sleep_pipeline(bench, 1)
    bench.run_pipeline(pipeline, folder, executed=1)
    ran = bench.run_pipeline(pipeline, folder, watch=True, hit=1)
    shutil.rmtree(folder)
    return ran


def million(bench):
    """A million tasks, then the same again; time and memory of both."""
    folder = bench.fresh()
    base = one_task(bench)
    ran = run_sleeps(bench, MILLION, folder)
    bench.keep("memory", (ran.peak_bytes - base.peak_bytes) / MILLION)
    bench.keep("memory, own", (ran.own_bytes - base.own_bytes) / MILLION)
    again = bench.run_pipeline(sleep_pipeline(bench, MILLION), folder, watch=True, total=MILLION, hit=MILLION)
    bench.keep("million again", again.wall_s)
    bench.keep("million again, a task", again.wall_s / MILLION)
    bench.keep("memory again", (again.peak_bytes - base.peak_bytes) / MILLION)
    shutil.rmtree(folder)


def do_nothing(number):
    return number


def pool(bench):
    begun = time.perf_counter()
    with multiprocessing.Pool(2) as workers:
        done = sum(1 for _ in workers.imap_unordered(do_nothing, range(MILLION), POOL_CHUNK))
    bench.keep("pool", done / (time.perf_counter() - begun))


def make_and_ninja(bench):
    keep_peers(bench, PEER_TARGETS, make_nothing=peers.make_nothing)
    bench.keep("make nothing", PEER_TARGETS / bench.samples["make_nothing"][-1])
    keep_peers(bench, PEER_TARGETS, make_up_to_date=peers.make_up_to_date, ninja_up_to_date=peers.ninja_up_to_date)
    for name in ("make_up_to_date", "ninja_up_to_date"):
        if bench.samples[name]:
            bench.keep(f"{name}, a task", bench.samples[name][-1] / PEER_TARGETS)


# ---- parts ----

def expand(bench):
    bench.run_figures("bench_expand")


def numbers_csv(bench):
    """A table of 128 MB; bench_csv writes it when it is first asked."""
    return bench.folder / "numbers.csv"


def csv_parts(bench):
    bench.run_figures("bench_csv", numbers_csv(bench))


def csv_python(bench):
    path = bench.once("python.csv", lambda copy: take_head(bench, copy))
    megabytes = path.stat().st_size / 1e6
    begun = time.perf_counter()
    with open(path, newline="") as file:
        cells = sum(map(len, csv.reader(file)))
    bench.keep("csv, python", megabytes / (time.perf_counter() - begun))
    begun = time.perf_counter()
    loaded = np.loadtxt(path, delimiter=",", skiprows=1)
    bench.keep("csv, numpy", megabytes / (time.perf_counter() - begun))
    if loaded.size + loaded.shape[1] != cells:
        raise Failure("the csv module and numpy read different tables")


def take_head(bench, copy):
    """The first part of the table: enough for the slower readers."""
    if not numbers_csv(bench).exists():
        csv_parts(bench)
    with open(numbers_csv(bench), "rb") as file:
        head = file.read(CSV_HEAD_BYTES)
    copy.write_bytes(head[:head.rindex(b"\n") + 1])
    return copy


def hashing(bench):
    if not numbers_csv(bench).exists():
        csv_parts(bench)
    bench.run_figures("bench_hash", numbers_csv(bench), "hashed")
    if shutil.which("b2sum"):
        ran = bench.run(["b2sum", "-l", "256", numbers_csv(bench)], bench.folder)
        bench.keep("b2sum", numbers_csv(bench).stat().st_size / 1e6 / ran.wall_s)


# ---- processes ----

def processes(bench):
    pipeline = write_pipeline(bench, "processes", [
        f"  run: {{kind: exec, matrix: {{i: {{range: [0, {PROCESSES}, 1]}}}}, "
        f"params: {{command: [{peers.TRUE}, n, \"${{matrix.i}}\"]}}}}"])
    folder = bench.fresh()
    ran = bench.run_pipeline(pipeline, folder, executed=PROCESSES)
    bench.keep("processes", PROCESSES / ran.wall_s)
    shutil.rmtree(folder)
    for at_once in (1, 2):
        figures = bench.run([bench.programs / "bench_spawn", PROCESSES, at_once], bench.folder).figures
        bench.keep(f"spawn {at_once}", figures["processes"])
        bench.keep(f"spawn {at_once}, each", 1 / figures["processes"])
    keep_peers(bench, PROCESSES, make_processes=peers.make_processes, ninja_processes=peers.ninja_processes,
               parallel_processes=peers.parallel_processes)
    for name in ("make_processes", "ninja_processes", "parallel_processes"):
        if bench.samples[name]:
            bench.keep(f"{name}, rate", PROCESSES / bench.samples[name][-1])


def chain(bench):
    """Each link waits for the file that the one before printed."""
    lines = []
    for i in range(LINKS):
        inputs = f"inputs: {{before: s{i - 1}.out}}, " if i else ""
        lines.append(f"  s{i}: {{kind: exec, {inputs}params: {{command: [{peers.TRUE}, n, \"{i}\"], stdout: out}}}}")
    folder = bench.fresh()
    ran = bench.run_pipeline(write_pipeline(bench, "chain", lines), folder, executed=LINKS)
    bench.keep("chain", ran.wall_s / LINKS)
    shutil.rmtree(folder)
    keep_peers(bench, LINKS, make_chain=peers.make_chain, ninja_chain=peers.ninja_chain)
    for name in ("make_chain", "ninja_chain"):
        if bench.samples[name]:
            bench.keep(f"{name}, a link", bench.samples[name][-1] / LINKS)


MEASUREMENTS = {
    "iris": iris, "iris_python": iris_python, "sleep_100000": sleep_100000, "million": million, "pool": pool,
    "make_and_ninja": make_and_ninja, "expand": expand, "csv": csv_parts, "csv_python": csv_python, "hashing": hashing,
    "processes": processes, "chain": chain,
}


def own_program(name):
    """A benchmark that a part brought along for itself; what it prints is shown once, as it is."""
    def measure(bench):
        ran = bench.run_figures(name)
        if name not in bench.made:
            bench.made[name] = ran
            print(f"---- {name}\n{ran.out}", flush=True)
    return measure


def measurements(programs, more):
    """All by name, in the order of a round; `more` are those of other files."""
    names = sorted(path.name for path in programs.glob("bench_*") if path.is_file() and os.access(path, os.X_OK))
    return {**MEASUREMENTS, **more, **{name: own_program(name) for name in names if name not in OURS}}
