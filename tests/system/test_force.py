"""run --force, --force=STEP, --only STEP: what is known is done again, or what is not asked for is left."""
from conftest import by_name

PIPELINE = "configs/iris.yaml"
# What `time` makes is different each time, as a forced run must show.
CHAIN = """
version: 1
name: chain
steps:
  time: {kind: exec, outputs: {o: o.txt}, params: {command: "date +%s.%N > o.txt"}}
  copy: {kind: exec, inputs: {i: time.o}, outputs: {o: o.txt}, params: {command: "cat ${inputs.i} > o.txt"}}
  last: {kind: exec, inputs: {i: copy.o}, outputs: {o: o.txt}, params: {command: "cat ${inputs.i} > o.txt; true"}}
"""


def executed(document):
    return {entry["step"] for entry in document["steps"] if entry["state"] == "succeeded" and not entry["hit"]}


def text_of(place, ref):
    return place.broker("export", ref, "-o", "-").out


def test_force_runs_everything_again(iris):
    iris.run(PIPELINE)
    document = iris.run(PIPELINE, "--force")
    assert document["tasks"]["executed"] == document["tasks"]["total"]
    assert iris.run(PIPELINE)["tasks"]["executed"] == 0


def test_force_replaces_what_is_known(place):
    place.write("p.yaml", CHAIN)
    place.run()
    before = text_of(place, "last.o")
    place.run("p.yaml", "--force")
    after = text_of(place, "last.o")
    assert after and before != after == text_of(place, "time.o")
    assert place.run()["tasks"]["hit"] == 3
    assert text_of(place, "last.o") == after


def test_force_of_a_step_runs_that_step_and_what_its_bytes_change(iris):
    iris.run(PIPELINE)
    assert executed(iris.run(PIPELINE, "--force=train")) == {"train"}  # the same bytes again


def test_what_is_below_a_forced_step_follows_its_bytes(place):
    place.write("p.yaml", CHAIN)
    place.run()
    before = text_of(place, "last.o")
    assert executed(place.run("p.yaml", "--force=time")) == {"time", "copy", "last"}
    after = text_of(place, "last.o")
    assert before != after == text_of(place, "time.o")
    assert place.run()["tasks"]["hit"] == 3


def test_only_runs_a_step_and_what_it_needs(iris):
    document = iris.run(PIPELINE, "--only", "train")
    assert executed(document) == {"prepare", "train"}
    assert {e["state"] for n, e in by_name(document).items() if n.startswith("predict")} == {"unneeded"}
    assert executed(iris.run(PIPELINE)) == {"predict", "evaluate", "compare"}


def test_only_bounds_what_is_forced(iris):
    iris.run(PIPELINE)
    assert executed(iris.run(PIPELINE, "--only", "train", "--force")) == {"prepare", "train"}
    assert executed(iris.run(PIPELINE, "--only", "train", "--force=prepare")) == {"prepare"}
    assert executed(iris.run(PIPELINE, "--only", "prepare", "--force=train")) == set()
