#!/usr/bin/env python3
"""Runs 2,000 small tasks on three workers, each on a host of its own, once undisturbed and once for every fault, and checks
what the design promises: the same output ids, no finished task repeated, executions ≤ tasks + what the faults may cost.

    chaos.py [--short] [--tasks N] [--only WORDS] [--folder DIR]"""
import argparse
import collections
import pathlib
import re
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import faults  # noqa: E402
import servers  # noqa: E402
from network import Network, why_not  # noqa: E402
from standby import Standby  # noqa: E402
from world import World, output_ids  # noqa: E402

HOSTS = ["w1", "w2", "w3"]


def repeated(world):
    """Tasks that were finished when somebody looked, and ran again afterwards."""
    now = world.executions()
    return {task for known, before in world.watched for task in known if now[task] > before[task]}


def one(name, fault, needs, options, args, network, expected):
    """The report's row: what was injected, executions, seconds. Raises AssertionError with what is wrong."""
    folder = args.folder / re.sub(r"\W+", "-", name)
    marks = args.folder / "marks"
    kind = Standby if options.get("standby") else World
    with servers.Servers(folder, network, needs) as beside, \
            kind(folder, marks, network, args.tasks, {**options, **beside.options()}) as world:
        beside.lend(world)
        world.is_short, world.watched = args.short, []
        begun = time.monotonic()
        world.start()
        injected = fault(world) if fault else 0
        document = world.join()
        seconds = time.monotonic() - begun
        counts = world.executions()
        ids = output_ids(document)
        assert expected is None or ids == expected, "output ids differ"
        assert document["state"] == "succeeded"
        again = repeated(world)
        assert not again, f"finished tasks ran again: {sorted(again)[:5]}"
        total, tasks = sum(counts.values()), len(ids)
        assert set(counts) == set(ids), "a task never ran"
        assert total <= tasks + injected, f"{total} executions of {tasks} tasks, the faults may cost {injected}"
    shutil.rmtree(folder, ignore_errors=True)
    return {"ids": ids, "tasks": tasks, "executions": total, "injected": injected, "seconds": seconds}


def chosen(args):
    for name, (function, needs, is_short, options) in faults.FAULTS.items():
        if args.only and args.only not in name:
            continue
        if args.short and not is_short and not args.only:
            continue
        yield name, function, needs, options


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="the short form: fewer tasks, faults and seconds")
    parser.add_argument("--tasks", type=int)
    parser.add_argument("--only", help="faults whose name contains this")
    parser.add_argument("--folder", type=pathlib.Path)
    args = parser.parse_args()
    args.tasks = args.tasks or (200 if args.short else 2000)
    missing = why_not()
    if missing:
        print(f"chaos: skipped: {missing}")
        return 0
    keep = args.folder is not None
    args.folder = (args.folder or pathlib.Path(tempfile.mkdtemp(prefix="penstock-chaos-"))).resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    results = collections.Counter()
    with Network(HOSTS) as network:
        calm = one("undisturbed", None, frozenset(), {}, args, network, None)
        print(f"{'undisturbed':58} {calm['tasks']} tasks, {calm['executions']} executions, {calm['seconds']:.1f} s", flush=True)
        for name, function, needs, options in chosen(args):
            lacking = servers.why_not(needs)
            if lacking:
                results["skipped"] += 1
                print(f"{name:58} skipped: {lacking}", flush=True)
                continue
            try:
                row = one(name, function, needs, options, args, network, calm["ids"])
                results["passed"] += 1
                print(f"{name:58} executions {row['executions']} ≤ {row['tasks']} + {row['injected']}, {row['seconds']:.1f} s",
                      flush=True)
            except AssertionError as error:
                results["failed"] += 1
                print(f"{name:58} FAILED: {error}", flush=True)
    print("chaos: " + ", ".join(f"{results[word]} {word}" for word in ["passed", "failed", "skipped"]))
    if not keep and not results["failed"]:
        shutil.rmtree(args.folder, ignore_errors=True)
    elif results["failed"]:
        print(f"what is left of the failed ones: {args.folder}")
    return 1 if results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
