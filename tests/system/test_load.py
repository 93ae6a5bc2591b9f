"""What a scaler reads: plain numbers in a file and in `broker load`, while a run works."""
import re

import pytest

from workers import Cluster, wait_for

NOTHING = {"is_running": False, "tasks": {"ready": 0, "running": 0, "waiting": 0}, "workers": 0, "slots": 0,
           "slots_wanted": 0}


@pytest.fixture
def cluster(place):
    cluster = Cluster(place)
    yield cluster
    cluster.close()


@pytest.fixture
def waiting(cluster):
    """Four tasks that wait for a gate, one behind them; nobody there to run them."""
    cluster.place.write("p.yaml", f"""
version: 1
name: load
steps:
  work: {{kind: exec, matrix: {{i: [1, 2, 3, 4]}}, outputs: {{o: o}}, retry: {{limit: 0}},
         params: {{command: "{cluster.gate('all')}; echo ${{matrix.i}} > o"}}}}
  after: {{kind: exec, inputs: {{parts: work.o}}, outputs: {{o: o}}, params: {{command: "echo done > o"}}}}
""")
    cluster.start()
    wait_for(lambda: load(cluster)["is_running"])
    return cluster


def load(cluster):
    return cluster.place.broker("load", "--json").json


def metrics(cluster):
    """The file as a Prometheus server reads it: {name: number}, each declared as a gauge."""
    text = (cluster.place.path / ".penstock/metrics.prom").read_text()
    numbers = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, number = re.fullmatch(r"([a-z_]+) (\d+)", line).groups()
            assert f"# TYPE {name} gauge\n" in text and f"# HELP {name} " in text
            numbers[name] = int(number)
    return numbers


def test_numbers_move_with_the_run(waiting):
    assert load(waiting) == {"is_running": True, "tasks": {"ready": 4, "running": 0, "waiting": 1}, "workers": 0,
                             "slots": 0, "slots_wanted": 4}
    waiting.join("w1", "--slots", 3)
    wait_for(lambda: load(waiting)["tasks"] == {"ready": 0, "running": 4, "waiting": 1})
    answer = load(waiting)
    assert (answer["workers"], answer["slots"], answer["slots_wanted"]) == (1, 3, 4)
    assert metrics(waiting) == {"penstock_tasks_ready": 0, "penstock_tasks_running": 4, "penstock_tasks_waiting": 1,
                                "penstock_workers": 1, "penstock_slots": 3, "penstock_slots_wanted": 4}
    waiting.open("all")
    waiting.finish()
    assert load(waiting) == NOTHING
    assert not (waiting.place.path / ".penstock/metrics.prom").exists()


def test_people_get_sentences(waiting):
    told = waiting.place.broker("load")
    assert told.out == "tasks    4 ready, 0 running, 1 waiting\nworkers  0\nslots    0; there is work for 4\n"
    waiting.open("all")
    waiting.join("w1")
    waiting.finish()
    told = waiting.place.broker("load")
    assert told.code == 0 and told.out == "" and "nothing runs here" in told.err


def test_what_a_killed_broker_left_is_no_news(waiting):
    waiting.broker.kill()
    waiting.broker.wait()
    assert metrics(waiting)["penstock_tasks_ready"] == 4
    assert load(waiting) == NOTHING
    waiting.open("all")
    waiting.place.run()
    assert not (waiting.place.path / ".penstock/metrics.prom").exists()


def test_where_nothing_ever_ran(place):
    assert place.broker("load", "--json").json == NOTHING
    assert list(place.path.iterdir()) == []
