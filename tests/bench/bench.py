"""What Penstock costs: every figure beside its budget and beside a peer or physical limit measured in the same run.

    make bench                                  # everything, medians of five interleaved rounds
    bench.py [--quick] [MEASUREMENT …]          # one round; only those measurements

BIN is the folder of broker and worker, BENCH that of the C benchmark programs, PEERS the Python that has Dask and
Celery (without it they are left out). Nothing is asserted: the table is for
reading. The exit code is 1 only if something did not run.
"""
import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from measurements import measurements
from queues import QUEUES
from redis_beside import REDIS
from rows import ROWS, table
from running import Bench, Failure
from scale import SCALE
from serving import SERVING
from storing import STORING

ROUNDS, ROUNDS_SLOW, SLOW_S = 5, 3, 10
ALL_S = 15 * 60  # after which a third round is enough for all


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), os.uname().machine)
    return f"{len(os.sched_getaffinity(0))} × {cpu}, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}"


def measure_all(bench, chosen, rounds):
    """Rounds of everything, so that a slow minute of the machine spoils one sample of each and not all of one. Returns
    what failed."""
    took, failed, started = {}, {}, time.perf_counter()
    for number in range(rounds):
        for name, measure in chosen.items():
            is_late = time.perf_counter() - started > ALL_S
            if name in failed or (number >= ROUNDS_SLOW and (took[name] > SLOW_S or is_late)):
                continue
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr)
            begun = time.perf_counter()
            try:
                measure(bench)
            except (Failure, OSError, ValueError, KeyError) as error:
                failed[name] = f"{type(error).__name__}: {error}"
            took[name] = time.perf_counter() - begun
            print(f"    {took[name]:.1f} s", file=sys.stderr)
    return failed


def main():
    known = measurements(Path(os.environ["BENCH"]), {**SCALE, **REDIS, **QUEUES, **SERVING, **STORING})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", nargs="*", metavar="MEASUREMENT", help=", ".join(known))
    parser.add_argument("--quick", action="store_true", help="one round of each instead of five")
    parser.add_argument("--json", metavar="FILE", help="every sample, as JSON")
    options = parser.parse_args()
    unknown = set(options.measurements) - set(known)
    if unknown:
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}; expected {', '.join(known)}")
    chosen = {name: run for name, run in known.items() if name in (options.measurements or known)}

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs in the background is stopped
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=os.environ["BENCH"]))  # a real disk, as users have
    try:
        bench = Bench(Path(os.environ["BIN"]), Path(os.environ["BENCH"]), folder)
        failed = measure_all(bench, chosen, 1 if options.quick else ROUNDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

    print(machine())
    print(table(ROWS, bench.samples))
    for name, text in failed.items():
        print(f"did not run: {name}: {text}")
    if options.json:
        Path(options.json).write_text(json.dumps(bench.samples, indent=1))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
