#!/usr/bin/env python3
"""A served broker with Redis and two workers, kept busy for half an hour: does it hold on to memory or descriptors?

    soak.py [--minutes 30] [--tasks 500]

Runs are submitted one after the other, each new work; memory (what is resident and not a file's) and descriptors of broker and
workers are sampled. The first third is for warming up. Exit code 1 if any has grown by more than 5 % since."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from world import BROKER, WORKER, Process, free_port, is_listening, wait_for  # noqa: E402

PIPELINE = """
version: 1
name: soak
params: {round: 0}
steps:
  make:
    kind: exec
    matrix: {i: {range: [0, TASKS]}}
    outputs: {out: o}
    params: {command: "echo ${params.round} ${matrix.i} > o"}
  all:
    kind: exec
    inputs: {parts: make.out}
    outputs: {total: o}
    params: {command: "cat ${inputs.parts}/[0-9]* > o"}
"""
SAMPLE_S, LIMIT = 5, 1.05


def memory_kb(pid):
    """What the process holds for itself: pages of files can be taken back at any time."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def start(folder):
    """(what to stop, environment of clients, {name: pid} of what is watched)"""
    port, http, redis_port = (free_port("127.0.0.1") for _ in range(3))
    redis = Process("redis", ["redis-server", "--port", redis_port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
                              "--dir", folder], folder).start()
    wait_for("redis", lambda: is_listening("127.0.0.1", redis_port))
    environment = {**os.environ, "PENSTOCK_STATE": f"redis://127.0.0.1:{redis_port}/0", "PENSTOCK_STORE": str(folder / "store")}
    broker = Process("broker", [BROKER, "serve", "--http", f"127.0.0.1:{http}", "--listen", f"tcp://127.0.0.1:{port}"], folder,
                     environment).start()
    wait_for("broker", lambda: is_listening("127.0.0.1", http) or not broker.is_alive())
    assert broker.is_alive(), broker.text()
    workers = [Process(f"worker{i}", [WORKER, "--broker", f"tcp://127.0.0.1:{port}", "--slots", 1, "--store", folder / "store",
                                      "--cache", folder / f"cache{i}", "--cache-size", "1MiB"], folder, environment).start()
               for i in range(2)]
    clients = {**environment, "PENSTOCK_SERVER": f"http://127.0.0.1:{http}",
               "PENSTOCK_TOKEN": (folder / ".penstock/write.token").read_text().strip()}
    return [*workers, broker, redis], clients, {p.name: p.pid for p in [broker, *workers]}


def submit(folder, clients, number):
    done = subprocess.run([BROKER, "submit", "--watch", "p.yaml", "-p", f"round={number}", "-q", "--json"], cwd=folder, env=clients,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["tasks"]["executed"] > 0, done.stdout


def report(samples, begin):
    """Prints each figure's medians, early and late; whether all are flat."""
    is_flat = True
    for name in samples[0][1]:
        for what, index, unit in [("memory", 0, "KiB"), ("descriptors", 1, "")]:
            values = [(at, figures[name][index]) for at, figures in samples if at >= begin]
            quarter = max(1, len(values) // 4)
            early, late = (statistics.median(v for _, v in part) for part in (values[:quarter], values[-quarter:]))
            growth = late / early if early else 1
            ok = late <= early * LIMIT or (what == "descriptors" and late - early < 2)
            is_flat = is_flat and ok
            print(f"{name:10} {what:12} {early:10.0f} → {late:10.0f} {unit:4} × {growth:.3f}{'' if ok else '  GREW (limit 1.05)'}")
    return is_flat


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--tasks", type=int, default=500)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-soak-") as name:
        folder = pathlib.Path(name)
        (folder / "p.yaml").write_text(PIPELINE.replace("TASKS", str(args.tasks)))
        processes, clients, watched = start(folder)
        samples, begun, rounds = [], time.monotonic(), 0
        try:
            while time.monotonic() - begun < args.minutes * 60:
                submit(folder, clients, rounds)
                rounds += 1
                at = time.monotonic() - begun
                if not samples or at - samples[-1][0] >= SAMPLE_S:
                    samples.append((at, {n: (memory_kb(pid), descriptors(pid)) for n, pid in watched.items()}))
                    if len(samples) % (60 // SAMPLE_S) == 0:
                        told = ", ".join(f"{n} {kb} KiB" for n, (kb, _) in samples[-1][1].items())
                        print(f"minute {at / 60:.0f}: {rounds} runs; {told}", file=sys.stderr, flush=True)
        finally:
            for process in processes:
                process.stop()
        print(f"soak: {rounds} runs, {rounds * (args.tasks + 1)} tasks in {args.minutes:g} minutes")
        return 0 if report(samples, args.minutes * 20) else 1


if __name__ == "__main__":
    sys.exit(main())
