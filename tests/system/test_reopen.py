"""A broker that serves takes up what another one left open, and leaves when it is told to."""
import json
import signal

import pytest

from workers import Cluster, wait_for

CHAINS = """
version: 1
name: chains
steps:
  first: {{kind: exec, matrix: {{i: {{range: [0, 4, 1]}}}}, outputs: {{o: o}}, params: {{command: "{first} ; echo ${{matrix.i}} > o"}}}}
  second: {{kind: exec, matrix: first, inputs: {{x: first.o}}, outputs: {{o: o}}, params: {{command: "{gate} ; {second} ; cat $x > o"}}}}
"""


@pytest.fixture
def cluster(place):
    cluster = Cluster(place)
    place.write("p.yaml", CHAINS.format(first=cluster.mark("first"), second=cluster.mark("second"), gate=cluster.gate("g")))
    yield cluster
    cluster.close()


def serve(place, cluster, *args):
    broker = place.start("serve", *args, PENSTOCK_WRITABLE=str(cluster.folder))
    lines = iter(broker.stderr.readline, "")
    assert any(line.startswith("serving at ") for line in lines)
    return broker


def runs(place):
    return json.loads(place.broker("list", "--json").out)


def test_a_run_that_was_killed_goes_on_in_the_broker_that_serves(place, cluster):
    killed = place.start("run", "p.yaml", "-q", "-j", "2", PENSTOCK_WRITABLE=str(cluster.folder))
    cluster.wait_marks("first", 4)
    wait_for(lambda: runs(place) and runs(place)[0]["state"] == "running")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    broker = serve(place, cluster, "-j", "2")
    cluster.open("g")
    run = wait_for(lambda: [run for run in runs(place) if run["state"] == "succeeded"])[0]
    assert run["tasks"]["total"] == run["tasks"]["executed"] == 8  # also those before the kill
    assert cluster.marks("first") <= 4 + 2 and cluster.marks("second") == 4  # what was not recorded yet ran twice
    broker.send_signal(signal.SIGTERM)
    broker.communicate(timeout=20)
    assert broker.returncode == 0
    assert len(runs(place)) == 1


def test_two_signals_end_it_at_once(place, cluster):
    broker = serve(place, cluster)
    for _ in range(2):
        broker.send_signal(signal.SIGINT)
    broker.communicate(timeout=20)
    assert broker.returncode == 0
    second = place.broker("serve", "--help")
    assert second.code == 0 and "open when the broker" in second.out
