"""A worker that was written from PROTOCOL.md alone does real work, and is held to the rules like any other."""
import pathlib
import shlex
import signal
import subprocess
import sys

import pytest

from conftest import by_name, output_ids
from workers import SECONDS, Cluster, wait_for

FOREIGN = pathlib.Path(__file__).with_name("foreign_worker.py")


def test_it_is_short():
    """That is what a protocol is worth."""
    assert len(FOREIGN.read_text().splitlines()) < 200


class ForeignCluster(Cluster):
    def join_foreign(self, name, key="foreign.key", broker_key=None):
        words = shlex.split(self.join_command().split(" && ")[1])
        endpoint = words[words.index("--broker") + 1]
        command = [sys.executable, FOREIGN, endpoint, ".penstock/store", key, broker_key or self.key]
        (self.place.path / "tmp").mkdir(exist_ok=True)
        with open(self.place.path / f"{name}.log", "w") as log:
            self.workers[name] = subprocess.Popen(command, cwd=self.place.path, stderr=log,
                                                  env=self.place.environment(TMPDIR=str(self.place.path / "tmp")))
        return self.workers[name]


@pytest.fixture
def cluster(place):
    cluster = ForeignCluster(place)
    cluster.key = place.broker("keys", "init").out.strip()
    place.broker("keys", "add", "foreign", "-o", "foreign.key")
    place.broker("keys", "add", "own", "-o", "own.key")
    yield cluster
    cluster.close()


def start(cluster, *args):
    cluster.start("--listen", "tcp://127.0.0.1:*", "--curve", *args)


EVERYTHING = """
version: 1
name: foreign
sources: {text: in.txt, tree: folder}
steps:
  shell: {kind: exec, inputs: {text: sources.text, tree: sources.tree}, outputs: {upper: out/upper.txt, list: list.json},
          params: {command: "tr a-z A-Z < ${inputs.text} > ${outputs.upper}; ls $tree/sub; cat ${inputs.tree}/sub/x >> out/upper.txt;
                             echo '{\\"n\\": 3}' > list.json; echo said >&2"}}
  words: {kind: exec, matrix: {i: [1, 2, 3]}, inputs: {u: {from: shell.upper, path: data/up.txt}},
          params: {command: [sh, -c, "cat data/up.txt; echo $MODE ${matrix.i}"], stdout: o, env: {MODE: fast}}}
  many: {kind: exec, inputs: {all: words.o}, outputs: {tree: made},
         params: {command: "mkdir -p made/a; cat ${inputs.all}/0 ${inputs.all}/2 > made/a/b; cp ${inputs.all}/index.json made;
                            printf '#!/bin/sh\\n' > made/run; chmod 755 made/run"}}
  last: {kind: exec, inputs: {tree: many.tree}, outputs: {o: o}, params: {command: "test -x $tree/run && cat $tree/a/b > o"}}
"""


def write_everything(cluster):
    cluster.place.write("in.txt", "hello\n")
    cluster.place.write("folder/sub/x", "it's x\n")
    cluster.place.write("p.yaml", EVERYTHING)


def test_what_it_makes_is_what_our_worker_makes(cluster):
    """Its records are hits for the next run, and its outputs have the ids that ours have."""
    write_everything(cluster)
    start(cluster)
    cluster.join_foreign("f")
    document = cluster.finish()
    entries = by_name(document)
    assert all(e["state"] == "succeeded" and e["worker"].startswith("foreign-") for e in document["steps"])
    assert cluster.place.broker("logs", "shell").out == "x\nsaid\n"
    assert cluster.place.run()["tasks"]["hit"] == len(document["steps"])
    again = cluster.place.run("p.yaml", "--force")
    assert by_name(again)["last"]["worker"] == "local" and output_ids(again) == output_ids(document)
    assert entries["many"]["outputs"]["tree"] == by_name(again)["many"]["outputs"]["tree"]
    exported = cluster.place.export("last.o", "o.txt").read_text()
    assert exported == "HELLO\nit's x\nfast 1\nHELLO\nit's x\nfast 3\n"


def test_both_work_side_by_side(cluster):
    cluster.place.write("p.yaml", f"""
version: 1
name: both
steps:
  work: {{kind: exec, matrix: {{i: [1, 2]}}, outputs: {{o: o}},
         params: {{command: "{cluster.mark('begun')}; {cluster.gate('all')}; echo ${{matrix.i}} > o"}}}}
""")
    start(cluster)
    cluster.join_foreign("f")
    cluster.join("own", "--key", "own.key", "--slots", 1)
    cluster.wait_marks("begun", 2)
    cluster.open("all")
    names = sorted(e["worker"] for e in cluster.finish()["steps"])
    assert names[0].startswith("foreign-") and names[1] == "own"


def test_killed_in_the_middle_it_costs_no_result(cluster):
    first = cluster.only_first("one", f"{cluster.mark('hangs')}; sleep 600")
    cluster.place.write("p.yaml", f"""
version: 1
name: killed
steps:
  work: {{kind: exec, matrix: {{i: [1, 2, 3]}}, outputs: {{o: o}}, retry: 0,
         params: {{command: "{first}; echo ${{matrix.i}} > o"}}}}
""")
    start(cluster)
    worker = cluster.join_foreign("f")
    cluster.wait_marks("hangs")
    worker.send_signal(signal.SIGKILL)
    cluster.join("own", "--key", "own.key")
    assert {e["worker"] for e in cluster.finish()["steps"]} == {"own"}


@pytest.mark.parametrize("command, words", [
    ("echo no >&2; exit 3", "it ended with 3"), ("true", "nothing was left for it"), ("kill -9 $$", "it ended with -9"),
])
def test_what_fails_is_told_with_its_log(cluster, command, words):
    cluster.place.write("p.yaml", f"""
version: 1
name: fails
steps:
  bad: {{kind: exec, outputs: {{o: o}}, retry: 0, params: {{command: "{command}"}}}}
""")
    start(cluster)
    cluster.join_foreign("f")
    [entry] = cluster.finish(code=1)["steps"]
    assert entry["state"] == "failed" and words in entry["error"]["text"]
    if "echo" in command:
        assert cluster.place.broker("logs", "bad").out == "no\n"


def test_a_timeout_and_a_cancellation(cluster):
    cluster.place.write("p.yaml", f"""
version: 1
name: ends
steps:
  late: {{kind: exec, outputs: {{o: o}}, retry: 0, timeout: 200ms, priority: 1, params: {{command: "sleep 600"}}}}
  long: {{kind: exec, outputs: {{o: o}}, params: {{command: "{cluster.mark('long')}; sleep 600"}}}}
""")
    start(cluster)
    cluster.join_foreign("f")
    cluster.wait_marks("long")
    for _ in range(2):
        cluster.broker.send_signal(signal.SIGINT)
        wait_for(lambda: any("ending what runs" in line or "stopping" in line for line in cluster.lines))
    entries = by_name(cluster.finish(code=130))
    assert entries["late"]["state"] == "failed" and entries["late"]["error"]["code"] == "timeout"
    assert entries["long"]["state"] == "cancelled"


def test_it_leaves_when_it_is_told_to(cluster):
    cluster.place.write("p.yaml", f"""
version: 1
name: leaves
steps:
  work: {{kind: exec, matrix: {{i: [1, 2, 3]}}, outputs: {{o: o}}, retry: {{limit: 0, poison: 1}},
         params: {{command: "{cluster.mark('begun')}; {cluster.gate('all')}; echo ${{matrix.i}} > o"}}}}
""")
    start(cluster)
    cluster.join_foreign("f")
    cluster.wait_marks("begun")
    cluster.signal("f", signal.SIGTERM)
    cluster.open("all")
    assert cluster.workers["f"].wait(timeout=SECONDS) == 0
    cluster.join("own", "--key", "own.key")
    names = sorted(e["worker"] for e in cluster.finish()["steps"])
    assert names[0].startswith("foreign-") and names[1:] == ["own", "own"] and cluster.marks("begun") == 3


def test_without_a_key_of_the_list_it_gets_nowhere(cluster):
    cluster.place.write("p.yaml", """
version: 1
name: shut
steps:
  one: {kind: exec, outputs: {o: o}, params: {command: "echo 1 > o"}}
""")
    cluster.place.broker("keys", "add", "gone", "-o", "gone.key")
    cluster.place.broker("keys", "revoke", "gone")
    start(cluster)
    assert cluster.join_foreign("f", key="gone.key").wait(timeout=SECONDS) == 1
    assert "does not know this worker's key" in cluster.log("f")
    del cluster.workers["f"]
    other = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    cluster.join_foreign("s", broker_key=other)  # it takes somebody else for the broker, and waits for that one
    cluster.join("own", "--key", "own.key")
    wait_for(lambda: cluster.broker.poll() is not None)
    cluster.signal("s", signal.SIGKILL)
    assert by_name(cluster.finish())["one"]["worker"] == "own"
