"""What is tried again, how often, and what is not."""
import pytest

from conftest import by_name
from workers import Cluster


@pytest.fixture
def marks(place):
    """For its marks alone; nothing listens."""
    return Cluster(place)


def test_a_task_that_kills_its_slot_fails_alone_with_its_history(place):
    place.write("p.yaml", """
version: 1
name: poison
steps:
  bad: {kind: sleep, params: {fault: segfault}, retry: {limit: 9, poison: 2, backoff: 10ms}}
  behind: {kind: exec, inputs: {x: good.o}, outputs: {o: o}, params: {command: "cp ${inputs.x} o"}}
  good: {kind: exec, outputs: {o: o}, params: {command: "sleep 0.3; echo fine > o"}}
""")
    result = place.broker("run", "p.yaml", "--json", "-j", 2)
    assert result.code == 1
    entries = by_name(result.json)
    assert entries["bad"]["state"] == "failed" and entries["bad"]["attempts"] == 2
    error = entries["bad"]["error"]
    assert error["code"] == "poison" and "2 " in error["text"] and "SIGSEGV" in error["text"]
    assert f"failed: bad: {error['text']}" in result.err
    assert entries["good"]["state"] == entries["behind"]["state"] == "succeeded"


def test_a_flaky_program_is_tried_again_until_it_succeeds(place, marks):
    place.write("p.yaml", f"""
version: 1
name: flaky
steps:
  flaky: {{kind: exec, outputs: {{o: o}}, retry: {{limit: 5, backoff: 20ms}},
          params: {{command: "{marks.mark('try')}; [ $(ls {marks.folder} | grep -c try) -ge 3 ] && echo at last > o"}}}}
""")
    [entry] = place.run()["steps"]
    assert entry["state"] == "succeeded" and entry["attempts"] == 3 and marks.marks("try") == 3


def test_retries_end_with_the_last_reason(place, marks):
    place.write("p.yaml", f"""
version: 1
name: broken
steps:
  broken: {{kind: exec, outputs: {{o: o}}, retry: {{limit: 2, backoff: 10ms}},
           params: {{command: "{marks.mark('try')}; echo try $(ls {marks.folder} | grep -c try) >&2; exit 3"}}}}
""")
    [entry] = place.run(code=1)["steps"]
    assert entry["attempts"] == 3 and marks.marks("try") == 3
    assert "status 3" in entry["error"]["text"] and "try 3" in entry["error"]["text"]


def test_what_trying_again_cannot_mend_is_tried_once(place):
    place.write("table.csv", "a,b,species\n1,2,x\n3,4,y\n")
    place.write("p.yaml", """
version: 1
name: column
sources: {table: table.csv}
steps:
  prepare:
    kind: preprocess
    inputs: {table: sources.table}
    params: {target: spezies, split: {method: shuffle, test_size: 0.5, seed: 1}}
    retry: {limit: 5, backoff: 10ms}
""")
    [entry] = place.run(code=1)["steps"]
    assert entry["state"] == "failed" and entry["attempts"] == 1
    assert "spezies" in entry["error"]["text"]


def test_two_steps_that_are_the_same_work_are_executed_once(place, marks):
    work = f"{{kind: exec, outputs: {{o: o}}, params: {{command: \"{marks.mark('run')}; sleep 0.2; echo x > o\"}}}}"
    place.write("p.yaml", f"version: 1\nname: twins\nsteps:\n  one: {work}\n  two: {work}\n")
    document = place.run("p.yaml", "-j", 2)
    entries = by_name(document)
    assert entries["one"]["task"] == entries["two"]["task"]
    assert entries["one"]["outputs"] == entries["two"]["outputs"]
    assert marks.marks("run") == 1
