"""Faults: a fault costs time, never a result. Real processes, killed for real."""
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import time

import pytest

from conftest import BROKER, by_name, output_ids

PIPELINE = "configs/iris.yaml"
CHAIN = """
version: 1
name: faults
steps:
  make:
    kind: exec
    matrix: {i: {range: [0, 12]}}
    outputs: {out: o}
    params: {command: "sleep 0.05; echo ${matrix.i} > o"}
  join:
    kind: exec
    inputs: {parts: make.out}
    outputs: {all: all}
    params: {command: "cat ${inputs.parts}/[0-9]* > all"}
"""


def children(pid):
    """Processes below `pid`, as {pid: command line}."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            status = (entry / "stat").read_text()
            parent = int(status.rsplit(")", 1)[1].split()[1])
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue
        found[int(entry.name)] = (parent, command)
    below, grown = {pid}, True
    while grown:
        more = {p for p, (parent, _) in found.items() if parent in below} - below
        below |= more
        grown = bool(more)
    return {p: found[p][1] for p in below - {pid} if p in found}


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError("it did not happen in time")


def finished(place):
    """Tasks that have a record, by what `plan` says."""
    plan = place.broker("plan", "p.yaml", "--json")
    return {e["name"] for e in plan.json["steps"] if e["action"] == "hit"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    from conftest import Place
    place = Place(tmp_path_factory.mktemp("undisturbed"))
    place.write("p.yaml", CHAIN)
    return output_ids(place.run())


@pytest.mark.parametrize("seed", range(20))
def test_kill_9_of_the_broker_loses_no_finished_task(place, undisturbed, seed):
    place.write("p.yaml", CHAIN)
    broker = place.start("run", "p.yaml", "-q")
    time.sleep(random.Random(seed).uniform(0.01, 0.6))
    broker.kill()
    broker.communicate()
    known = finished(place)
    document = place.run()
    assert output_ids(document) == undisturbed
    repeated = {n for n, e in by_name(document).items() if not e["hit"]} & known
    assert not repeated


def test_kill_9_of_the_worker(place, undisturbed):
    place.write("p.yaml", CHAIN)
    broker = place.start("run", "p.yaml", "--json")
    [worker] = wait_for(lambda: [p for p, c in children(broker.pid).items() if "--broker" in c])
    time.sleep(0.15)
    os.kill(worker, signal.SIGKILL)
    out, err = broker.communicate(timeout=60)
    assert broker.returncode == 0, err
    assert output_ids(json.loads(out)) == undisturbed


def test_kill_9_of_a_slot(place, undisturbed):
    place.write("p.yaml", CHAIN)
    broker = place.start("run", "p.yaml", "--json")
    slots = wait_for(lambda: [p for p, c in children(broker.pid).items() if " slot" in c])
    time.sleep(0.1)
    os.kill(slots[0], signal.SIGKILL)
    out, err = broker.communicate(timeout=60)
    assert broker.returncode == 0, err
    assert output_ids(json.loads(out)) == undisturbed


def living_in(folder):
    """Processes that work somewhere below the folder, as {pid: command line}."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and pathlib.Path(os.readlink(entry / "cwd")).is_relative_to(folder):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


@pytest.mark.parametrize("victim, daemon", [("broker", "setsid"), ("worker", "setsid"), ("slot", "setsid")])
def test_after_kill_9_nothing_that_a_program_started_stays(place, victim, daemon):
    place.write("p.yaml", f"""
version: 1
name: left
steps:
  busy:
    kind: exec
    params: {{command: "{daemon} sleep 600 & sleep 600 | sleep 600; true"}}
""")
    broker = place.start("run", "p.yaml", "-q")
    wait_for(lambda: sum(c.startswith("sleep 600") for c in living_in(place.path).values()) == 3)
    below = children(broker.pid)
    victims = {"broker": broker.pid,
               "worker": next(p for p, c in below.items() if "--broker" in c),
               "slot": next(p for p, c in below.items() if " slot" in c)}
    sleeps = {p for p, c in living_in(place.path).items() if c.startswith("sleep 600")}
    os.kill(victims[victim], signal.SIGKILL)
    wait_for(lambda: not sleeps & set(living_in(place.path)))
    broker.kill()
    broker.communicate()
    wait_for(lambda: not living_in(place.path))


@pytest.mark.parametrize("fault, extra, words", [
    ("segfault", "", ["SIGSEGV"]),
    ("hang", "timeout: 300ms", ["timeout", "300 ms"]),
    ("memory", "resources: {memory: 64Mi}", ["memory limit", "64 MiB"]),
    ("exit", "", ["status 3"]),
])
def test_a_handler_that_fails_says_how_and_the_rest_goes_on(place, fault, extra, words):
    place.write("p.yaml", f"""
version: 1
name: broken
steps:
  bad: {{kind: sleep, params: {{fault: {fault}}}, retry: {{limit: 1, backoff: 10ms}}, {extra}}}
  below: {{kind: exec, inputs: {{}}, outputs: {{o: o}}, params: {{command: "echo x > o"}}}}
  good: {{kind: sleep, params: {{index: 5}}}}
""")
    document = place.run("p.yaml", code=1)
    entries = by_name(document)
    assert entries["bad"]["state"] == "failed"
    assert entries["bad"]["attempts"] == 2
    for word in words:
        assert word in entries["bad"]["error"]["text"], entries["bad"]["error"]
    assert entries["good"]["state"] == entries["below"]["state"] == "succeeded"


def test_what_depends_on_a_failure_fails_upstream(place):
    place.write("p.yaml", """
version: 1
name: broken
steps:
  bad: {kind: exec, outputs: {o: o}, params: {command: "echo the reason >&2; exit 3"}, retry: 0}
  below: {kind: exec, inputs: {x: bad.o}, outputs: {o: o}, params: {command: "cp $x o"}}
  beside: {kind: exec, outputs: {o: o}, params: {command: "echo fine > o"}}
""")
    entries = by_name(place.run("p.yaml", code=1))
    assert entries["bad"]["state"] == "failed"
    assert "status 3" in entries["bad"]["error"]["text"] and "the reason" in entries["bad"]["error"]["text"]
    assert entries["below"]["state"] == "upstream_failed"
    assert entries["beside"]["state"] == "succeeded"


SLOW = """
version: 1
name: slow
steps:
  slow: {kind: exec, matrix: {i: {range: [0, 8]}}, outputs: {o: o}, params: {command: "sleep 0.7; echo ${matrix.i} > o"}}
"""


def test_ctrl_c_once_lets_running_tasks_finish(place):
    place.write("p.yaml", SLOW)
    broker = place.start("run", "p.yaml", "--slots", 2, "--json")
    wait_for(lambda: [c for c in children(broker.pid).values() if "sleep 0.7" in c])
    broker.send_signal(signal.SIGINT)
    out, err = broker.communicate(timeout=30)
    assert broker.returncode == 130, err
    document = json.loads(out)
    assert document["state"] == "cancelled"
    assert document["tasks"]["executed"] >= 1 and document["tasks"]["cancelled"] >= 1
    done = document["tasks"]["executed"]
    again = place.run()
    assert again["tasks"]["hit"] == done and again["state"] == "succeeded"


def test_ctrl_c_twice_ends_at_once(place):
    place.write("p.yaml", SLOW.replace("sleep 0.7", "sleep 30"))
    broker = place.start("run", "p.yaml", "--slots", 2)
    wait_for(lambda: [c for c in children(broker.pid).values() if "sleep 30" in c])
    begun = time.monotonic()
    below = children(broker.pid)
    broker.send_signal(signal.SIGINT)
    time.sleep(0.2)
    broker.send_signal(signal.SIGINT)
    broker.communicate(timeout=20)
    assert broker.returncode == 130
    assert time.monotonic() - begun < 10
    wait_for(lambda: not any(pathlib.Path(f"/proc/{p}").exists() for p in below))


def test_ctrl_c_twice_ends_a_run_that_waits_for_its_disk(place):
    place.write("p.yaml", CHAIN)
    broker = place.start("run", "p.yaml", "--store", "fault+.penstock/store?on=flush&fail=1&times=1000000&status=disk_full")
    assert any("store.waiting" in line for line in iter(broker.stderr.readline, ""))
    for _ in range(2):
        broker.send_signal(signal.SIGINT)
        time.sleep(0.2)
    _, err = broker.communicate(timeout=10)
    assert broker.returncode != 0 and "disk_full" in err
    assert place.run()["state"] == "succeeded"


def test_a_full_disk_is_a_clear_error_and_leaves_nothing_half_written(place):
    small = place.path / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small]).returncode:
        pytest.skip("needs root to mount a small disk")
    try:
        place.write("p.yaml", """
version: 1
name: full
steps:
  big: {kind: exec, outputs: {o: o}, params: {command: "head -c 5000000 /dev/zero > o"}, retry: 0}
""")
        result = place.broker("run", "p.yaml", "-q", "--store", small / "store")
        assert result.code != 0
        assert "space" in result.err.lower() or "full" in result.err.lower(), result
        assert list((small / "store").rglob("*tmp*")) == [] or all(p.is_dir() for p in (small / "store").rglob("*tmp*"))
    finally:
        subprocess.run(["umount", small], check=True)
    document = place.run("p.yaml")
    assert document["tasks"]["executed"] == 1


def corrupt(place, blob):
    [path] = [p for p in (place.path / ".penstock/store/blobs").rglob("*") if p.is_file()
              and blob[4:] in p.name or p.name == blob]
    path.chmod(0o644)
    path.write_bytes(b"not what it was")


def test_a_corrupt_blob_is_noticed_quarantined_and_made_again(place):
    place.write("p.yaml", CHAIN)
    first = place.run()
    corrupt(place, by_name(first)["make[i=3]"]["outputs"]["out"]["id"])
    place.write("p.yaml", CHAIN.replace("> all", "> all; true"))
    subprocess.run(["rm", "-rf", place.path / ".penstock/cache"], check=True)
    document = place.run()
    assert document["state"] == "succeeded"
    executed = {n for n, e in by_name(document).items() if not e["hit"]}
    assert executed == {"make[i=3]", "join"}
    assert output_ids(document) == output_ids(first)
    assert any((place.path / ".penstock/store/quarantine").iterdir())


def test_a_leaf_that_is_gone_from_the_store_is_made_again(place):
    place.write("p.yaml", CHAIN)
    first = place.run()
    blob = by_name(first)["join"]["outputs"]["all"]["id"]
    for path in (place.path / ".penstock/store/blobs").rglob("*"):
        if path.is_file() and (path.name == blob or blob.endswith(path.name)):
            path.unlink()
    document = place.run()
    assert document["state"] == "succeeded"
    assert {n for n, e in by_name(document).items() if not e["hit"]} == {"join"}
    assert output_ids(document) == output_ids(first)


def test_after_a_run_nothing_stays_but_what_is_kept(place):
    place.write("p.yaml", CHAIN)
    place.run()
    kept = place.path / ".penstock"
    assert {p.name for p in kept.iterdir()} <= {"cache", "sources", "state", "store"}
    assert sorted(p.name for p in (kept / "cache").iterdir()) == ["blobs", "lock"]
    assert not list((kept / "store/tmp").iterdir())
    assert not living_in(place.path)


def test_two_brokers_in_one_folder_do_not_mix(place):
    place.write("p.yaml", SLOW)
    first = place.start("run", "p.yaml", "-q")
    wait_for(lambda: children(first.pid))
    second = place.broker("run", "p.yaml", "-q")
    assert second.code == 3 and str(first.pid) in second.err, second
    first.communicate(timeout=60)
    assert first.returncode == 0


@pytest.fixture
def small_disk(place):
    disk = place.path / "small"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk]).returncode:
        pytest.skip("needs root to mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def start_where_it_is_full(iris, disk):
    """A run whose state's disk is full: it waits and says so."""
    iris.write("p.yaml", "version: 1\nname: before\nsteps: {a: {kind: sleep}}\n")
    iris.run("p.yaml", "--state", disk / "state")
    with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(4096)) == 4096:
            pass
    log = (iris.path / "log").open("w+")
    broker = subprocess.Popen([BROKER, "run", PIPELINE, "-q", "--state", disk / "state"], cwd=iris.path, stderr=log,
                              stdout=subprocess.DEVNULL, env=iris.environment())
    wait_for(lambda: "state.waiting" in (iris.path / "log").read_text())
    return broker


def test_a_run_whose_state_has_no_room_waits_for_it(iris, small_disk):
    broker = start_where_it_is_full(iris, small_disk)
    assert "No space left" in (iris.path / "log").read_text()
    (small_disk / "filler").unlink()
    assert broker.wait(timeout=30) == 0, (iris.path / "log").read_text()
    again = iris.run(PIPELINE, "--state", small_disk / "state")
    assert again["tasks"]["executed"] == 0


def test_a_run_that_waits_for_room_can_be_ended(iris, small_disk):
    broker = start_where_it_is_full(iris, small_disk)
    for _ in range(2):
        broker.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert broker.wait(timeout=20) != 0
    assert "No space left" in (iris.path / "log").read_text().splitlines()[-1]
