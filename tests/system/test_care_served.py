"""gc and fsck of a served broker, while it works."""
import json
import os
import time

import pytest

from served import serving, wait_for

DAY = 24 * 3600
WORK = """version: 1
name: work
params: {again: 1, wait: 0}
steps:
  first:
    kind: exec
    matrix: {i: {range: [0, 20, 1]}}
    outputs: {o: o.txt}
    params: {command: "echo ${params.again} ${matrix.i} > o.txt"}
  wait: {kind: sleep, inputs: {x: first.o}, params: {seconds: "${params.wait}"}}
  last:
    kind: exec
    inputs: {x: first.o}
    outputs: {o: folder}
    params: {command: "mkdir folder; cat ${inputs.x}/[0-9]* > folder/all"}
"""


@pytest.fixture
def served(place):
    place.write("work.yaml", WORK)
    with serving(place, "-j", "2") as broker:
        yield broker


def broker(served, *args, code=0):
    result = served.place.broker(*args, PENSTOCK_SERVER=served.url)
    assert result.code == code, result
    return result


def submit(served, again, *args):
    return broker(served, "submit", "work.yaml", "-p", f"again={again}", "--json", *args).json["run"]


def state_of(served, run):
    return broker(served, "get", run, "--json").json["state"]


def ended(served, run):
    return wait_for(lambda: state_of(served, run) not in ("running", "queued") and state_of(served, run), f"end of {run}")


def make_old(place):
    then = time.time() - 3 * DAY
    for path in (place.path / ".penstock/store").rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def test_gc_beside_a_run_that_goes_on(served):
    old = [submit(served, n) for n in (1, 2)]
    for run in old:
        assert ended(served, run) == "succeeded"
    make_old(served.place)
    going_on = submit(served, 3, "-p", "wait=3")
    told = broker(served, "gc", "--keep", 0, "--json").json
    assert sorted(told["runs"]) == sorted(old) and told["removes"] is False
    assert state_of(served, going_on) == "running"
    done = broker(served, "gc", "--keep", 0, "--yes", "--json").json
    assert sorted(done["runs"]) == sorted(old) and done["runs_removed"] == 2 and done["records"] > 40
    assert done["removed"]["count"] > 0
    # It takes up what was dropped while gc may be on its way: nothing of it is lost.
    again = submit(served, 2)
    assert ended(served, going_on) == ended(served, again) == "succeeded"
    assert broker(served, "fsck", "--bytes", "--json").json["clean"] is True
    made = served.place.path / "made"
    broker(served, "export", f"{again}/last.o", "-o", made)
    assert sorted((made / "all").read_text().split("\n"))[1:] == sorted(f"2 {i}" for i in range(20))


def test_runs_that_come_while_gc_works_lose_nothing(served):
    """Two runs take turns: the one that comes rests on what the other's turn left to be dropped, or makes it again."""
    for again in 1, 2:
        assert ended(served, submit(served, again)) == "succeeded"
    for turn in range(4):
        make_old(served.place)
        process = served.begin("gc", "--keep", "1", "--yes", "--json")
        run = submit(served, 1 + turn % 2)
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert run not in json.loads(out)["runs"]
        assert ended(served, run) == "succeeded"
        assert broker(served, "fsck", "--bytes", "--json").json["clean"] is True


def test_repair_makes_it_again(served):
    run = submit(served, 1)
    assert ended(served, run) == "succeeded"
    lost = broker(served, "get", f"{run}/first[i=7]", "--json").json
    output = lost["outputs"]["o"]["id"] if "outputs" in lost else None
    assert output, lost
    (served.place.path / ".penstock/store/blobs" / output[:2] / output[2:]).unlink()
    found = broker(served, "fsck", "--json", code=4).json
    assert [task["name"] for task in found["tasks"]] == ["first[i=7]"]
    repair = broker(served, "fsck", "--repair", "--json", code=4).json["repair"]
    assert repair["removed"] == 1 and repair["again"] == [] and len(repair["runs"]) == 1
    assert ended(served, repair["runs"][0]) == "succeeded"
    assert broker(served, "fsck", "--bytes", "--json").json["clean"] is True


def test_one_at_a_time_and_a_token_is_asked_for(served):
    assert served.ask("GET", "/v1/care").status == 404
    assert served.ask("POST", "/v1/gc", {"keep": -1}).status == 400
    assert served.ask("POST", "/v1/gc", {}, token=None).status == 401
    assert served.ask("POST", "/v1/gc", {}).status == 202
    wait_for(lambda: served.ask("GET", "/v1/care").json["done"], "gc")
