"""Where workers join: the endpoint, the line that says how, and runs without a local worker."""
import re
import shlex
import signal
import socket
import subprocess

import pytest

from conftest import by_name
from workers import Cluster

ONE = """
version: 1
name: one
steps:
  one: {kind: exec, outputs: {o: o}, params: {command: "echo one > o"}}
"""


@pytest.fixture
def cluster(place):
    place.write("p.yaml", ONE)
    cluster = Cluster(place)
    yield cluster
    cluster.close()


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:5555", "tcp://*:5555", "tcp://localhost:5555", "tcp://[::]:5555"])
def test_an_endpoint_that_others_can_reach_needs_keys(place, endpoint):
    place.write("p.yaml", ONE)
    result = place.broker("run", "p.yaml", "--listen", endpoint)
    assert result.code == 3 and f"--listen {endpoint}: " in result.err and "broker keys init" in result.err
    assert len(result.err.splitlines()) == 1 and not (place.path / ".penstock").exists()


@pytest.mark.parametrize("args, words", [
    (["--curve"], "--curve: say where to listen"),
    (["--curve", "--insecure", "--listen", "tcp://127.0.0.1:*"], "--curve and --insecure: say one of them"),
])
def test_settings_that_contradict_each_other(place, args, words):
    place.write("p.yaml", ONE)
    result = place.broker("run", "p.yaml", *args)
    assert result.code == 2 and words in result.err and len(result.err.splitlines()) == 1


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:0", "tcp://127.0.0.1:65536", "tcp://127.0.0.1:", "inproc://x",
                                      "ipc://", "5555", "ipc://" + 108 * "x"])
def test_what_is_no_endpoint_is_refused(place, endpoint):
    place.write("p.yaml", ONE)
    result = place.broker("run", "p.yaml", "--listen", endpoint)
    assert result.code == 2 and endpoint[:60] in result.err and len(result.err.splitlines()) == 1
    assert place.broker("run", "p.yaml", PENSTOCK_LISTEN=endpoint).err == result.err
    assert not (place.path / ".penstock").exists()


@pytest.mark.parametrize("args, words", [
    (["--slots", 1025], "--slots 1025 is not in 0 … 1024"),
    (["--min-workers", 65537], "--min-workers 65537 is not in 0 … 65536"),
    (["--lease", "900ms"], "--lease 900ms is not in 1 s … 10 min"),
    (["--lease", "11m"], "--lease 11m is not in"),
    (["--lease", "soon"], "expected a duration such as 30s"),
])
def test_settings_out_of_their_limits(place, args, words):
    place.write("p.yaml", ONE)
    result = place.broker("run", "p.yaml", *args)
    assert result.code == 2 and words in result.err and len(result.err.splitlines()) == 1


def test_a_file_where_the_socket_should_be_stays(place):
    place.write("p.yaml", ONE)
    result = place.broker("run", "p.yaml", "--listen", "ipc://p.yaml")
    assert result.code == 2 and "no socket" in result.err
    assert (place.path / "p.yaml").read_text() == ONE


def test_a_socket_that_somebody_listens_at_is_not_taken_over(place):
    place.write("p.yaml", ONE)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place.path / "taken"))
        other.listen()
        result = place.broker("run", "p.yaml", "--listen", f"ipc://{place.path}/taken")
        assert result.code == 3 and "another program listens there" in result.err
        assert (place.path / "taken").is_socket()
    assert place.broker("run", "p.yaml", "--listen", f"ipc://{place.path}/taken").code == 0


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:*", "ipc://here.sock", None])
def test_the_line_that_is_printed_joins(cluster, endpoint):
    cluster.start(*(["--listen", endpoint] if endpoint else []), "-q")
    [line] = [line for line in cluster.lines if "listening at" in line]
    if endpoint and endpoint.startswith("tcp"):
        assert re.match(r"listening at tcp://127\.0\.0\.1:\d+; to join: cd ", line)
    subprocess.run(cluster.join_command() + " --name typed", shell=True, cwd="/", check=True, timeout=60,
                   env=cluster.place.environment())
    entry = by_name(cluster.finish())["one"]
    assert entry["state"] == "succeeded" and entry["worker"] == "typed"


def test_the_line_holds_where_names_need_quotes(tmp_path):
    from conftest import Place
    place = Place(tmp_path / "it's a place")
    place.path.mkdir()
    place.write("p.yaml", ONE)
    cluster = Cluster(place)
    try:
        cluster.start()
        words = shlex.split(cluster.join_command())
        assert words[:3] == ["cd", str(place.path), "&&"]
        subprocess.run(cluster.join_command(), shell=True, cwd="/", check=True, timeout=60, env=place.environment())
        assert cluster.finish()["state"] == "succeeded"
    finally:
        cluster.close()


def test_a_local_worker_and_others(cluster):
    cluster.place.write("p.yaml", f"""
version: 1
name: both
steps:
  work: {{kind: exec, matrix: {{i: [1, 2]}}, outputs: {{o: o}},
         params: {{command: "{cluster.mark('begun')}; {cluster.gate('both')}; echo ${{matrix.i}} > o"}}}}
""")
    cluster.start("--listen", "tcp://127.0.0.1:*", slots=1)
    cluster.join("other", "--slots", 1)
    cluster.wait_marks("begun", 2)
    cluster.open("both")
    assert {e["worker"] for e in cluster.finish()["steps"]} == {"local", "other"}


def test_what_is_known_needs_no_worker(cluster):
    cluster.place.run()
    cluster.start()
    assert cluster.finish()["tasks"]["hit"] == 1


def test_ctrl_c_while_nobody_has_joined(cluster):
    cluster.start()
    cluster.broker.send_signal(signal.SIGINT)
    assert cluster.finish(code=130)["state"] == "cancelled"
