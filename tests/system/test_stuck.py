"""Work that nobody can be given: the person is told why, in time to do something about it."""
import pytest

from conftest import by_name
from terminal import on_terminal
from workers import Cluster

ZONES = """
version: 1
name: zones
steps:
  train: {kind: exec, matrix: {model: [mlp, svm]}, outputs: {o: o}, resources: {labels: {zone: a}},
          params: {command: "echo ${matrix.model} > o"}}
  beside: {kind: exec, matrix: {i: [1, 2]}, outputs: {o: o}, params: {command: "echo ${matrix.i} > o"}}
  report: {kind: exec, inputs: {x: train.o}, outputs: {o: o}, params: {command: "echo done > o"}}
"""


@pytest.fixture
def cluster(place):
    place.write("p.yaml", ZONES)
    cluster = Cluster(place)
    yield cluster
    cluster.close()


def test_a_label_that_no_worker_has_is_told_and_a_worker_that_has_it_ends_the_wait(cluster):
    cluster.start()
    cluster.join("plain")
    line = cluster.wait_line("train[model=mlp]: needs ")
    assert "zone=a" in line
    cluster.join("labelled", "--labels", "zone=a")
    entries = by_name(cluster.finish())
    assert entries["train[model=mlp]"]["worker"] == entries["train[model=svm]"]["worker"] == "labelled"
    assert {entry["state"] for entry in entries.values()} == {"succeeded"}
    told = [line for line in cluster.lines if ": needs " in line]
    assert len(told) == 1  # once per step and reason


def test_a_run_without_any_worker_says_how_to_join_also_when_quiet(cluster):
    cluster.start("-q")
    line = cluster.wait_line("no worker is connected; join one with: ")
    assert line.split("join one with: ")[1].strip() == cluster.join_command()
    cluster.join("w1", "--labels", "zone=a")
    assert cluster.finish()["state"] == "succeeded"
    assert sum("no worker" in line for line in cluster.lines) == 1


def test_a_terminal_shows_it_above_the_bars(place):
    place.write("p.yaml", ZONES)
    text, code = on_terminal(place, "run", "p.yaml", "-j", "1", keys=[(b"zone=a", b"\x03")])
    assert code == 130
    told = next(line for line in text.split("\n") if "zone=a" in line)
    assert "train[model=mlp]: needs " in told and "\033[J" in told  # painted over the bars, which follow again
    assert "█" in text.split("zone=a")[1]
