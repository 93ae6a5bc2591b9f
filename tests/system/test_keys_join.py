"""Workers that join by keys: who is let in, who is told why not, who has to leave; and several brokers to choose from."""
import json
import os
import shlex
import signal
import subprocess
import sys
import threading

import msgpack
import pytest
import zmq
from nacl.signing import SigningKey, VerifyKey

from conftest import WORKER, by_name, needs_landlock
from workers import SECONDS, Cluster, wait_for

CURVE = ["--listen", "tcp://127.0.0.1:*", "--curve"]


@pytest.fixture
def cluster(place):
    cluster = Cluster(place)
    cluster.key = place.broker("keys", "init").out.strip()
    place.broker("keys", "add", "anna", "-o", "anna.key")
    yield cluster
    cluster.close()


def write(cluster, command, count=1, more=""):
    axes = ", ".join(str(i) for i in range(count))
    cluster.place.write("p.yaml", f"""
version: 1
name: keys
steps:
  work: {{kind: exec, matrix: {{i: [{axes}]}}, outputs: {{o: o}}, {more}
         params: {{command: "{command}; echo ${{matrix.i}} > o"}}}}
""")


def worker(cluster, *args, **environment):
    """A worker that is expected to give up by itself."""
    return subprocess.run([WORKER, *map(str, args)], cwd=cluster.place.path, capture_output=True, text=True,
                          timeout=60, env=cluster.place.environment(PENSTOCK_LOG="warn", **environment))


def endpoint(cluster):
    words = shlex.split(cluster.join_command().split(" && ")[-1])
    return words[words.index("--broker") + 1]


def test_a_worker_with_a_key_does_the_work(cluster):
    write(cluster, "true", 3)
    cluster.start(*CURVE)
    assert f"--key FILE --broker-key {cluster.key}" in cluster.join_command()
    cluster.join("w1", "--key", "anna.key")
    assert {e["worker"] for e in cluster.finish()["steps"]} == {"w1"}


def test_keys_from_the_environment_and_an_identity_made_elsewhere(cluster):
    write(cluster, "true")
    made = worker(cluster, "key", "bert.key").stdout.strip()
    cluster.start(*CURVE)
    cluster.place.broker("keys", "add", "bert", "--public-key", made)  # while it listens
    done = worker(cluster, "--broker", endpoint(cluster), "--store", ".penstock/store", PENSTOCK_KEY="bert.key",
                  PENSTOCK_BROKER_KEY=cluster.key)
    assert done.returncode == 0 and done.stderr == ""
    assert cluster.finish()["state"] == "succeeded"


def test_replicas_share_an_identity(cluster):
    write(cluster, f"{cluster.mark('begun')}; {cluster.gate('all')}", 2)
    cluster.start(*CURVE)
    for name in ["r1", "r2"]:
        cluster.join(name, "--key", "anna.key", "--slots", 1)
    cluster.wait_marks("begun", 2)
    cluster.open("all")
    assert {e["worker"] for e in cluster.finish()["steps"]} == {"r1", "r2"}


@pytest.mark.parametrize("listen", ["tcp://0.0.0.0:*", "tcp://*:*"])
def test_where_others_can_reach_it_keys_are_asked_for(cluster, listen):
    """The local worker has the broker's own, at a socket of its own."""
    write(cluster, f"{cluster.mark('begun')}; {cluster.gate('all')}", 2)
    cluster.start("--listen", listen, slots=1)
    line = cluster.join_command()
    assert line.startswith("worker --broker tcp://") and "cd " not in line and "0.0.0.0" not in line
    port = endpoint(cluster).rsplit(":", 1)[1]
    shut_out = worker(cluster, "--broker", f"tcp://127.0.0.1:{port}")
    assert shut_out.returncode == 3 and "asks for keys" in shut_out.stderr
    words = [WORKER, "--broker", f"tcp://127.0.0.1:{port}", "--key", "anna.key", "--broker-key", cluster.key, "--slots",
             "1", "--name", "other", "--store", ".penstock/store", "--cache", "other"]
    cluster.workers["other"] = subprocess.Popen(words, cwd=cluster.place.path,
                                                env=cluster.place.environment(**cluster.lent({})))
    cluster.wait_marks("begun", 2)
    cluster.open("all")
    assert {e["worker"] for e in cluster.finish()["steps"]} == {"local", "other"}


@pytest.mark.parametrize("args, words", [
    (["--key", "eve.key", "--broker-key", "{key}"], "broker keys add NAME --public-key {eve}"),
    (["--key", "anna.key", "--broker-key", "{eve}"], "does not have the key {eve} of --broker-key (PENSTOCK_BROKER_KEY)"),
    ([], "asks for keys, or is no broker; give its public key with --broker-key (PENSTOCK_BROKER_KEY)"),
    (["--broker-key", "{key}"], "make one with: worker key FILE"),
    (["--key", "none.key", "--broker-key", "{key}"], "--key none.key: no such file; make one with: worker key none.key"),
    (["--key", "open.key", "--broker-key", "{key}"], "chmod 600 open.key"),
])
def test_a_wrong_key_is_one_line_that_names_the_mend(cluster, args, words):
    write(cluster, "true")
    eve = worker(cluster, "key", "eve.key").stdout.strip()
    worker(cluster, "key", "open.key")
    (cluster.place.path / "open.key").chmod(0o644)
    cluster.start(*CURVE)
    names = {"key": cluster.key, "eve": eve}
    result = worker(cluster, "--broker", endpoint(cluster), *[a.format(**names) for a in args])
    assert result.returncode == 3 and words.format(**names) in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1
    cluster.join("w1", "--key", "anna.key")  # nobody else noticed
    assert cluster.finish()["state"] == "succeeded"


def test_keys_where_none_are_asked_for(cluster):
    write(cluster, "true")
    cluster.start("--listen", "tcp://127.0.0.1:*")
    result = worker(cluster, "--broker", endpoint(cluster), "--key", "anna.key", "--broker-key", cluster.key)
    assert result.returncode == 3 and "asks for no keys: leave --broker-key" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    cluster.join("w1", "--key", "anna.key")  # an identity may be had all the same: results are signed with it
    assert cluster.finish()["state"] == "succeeded"


@pytest.mark.parametrize("broker, words", [
    ("tcp://10.9.8.7:7000", "must prove who it is"),
    ("tcp://localhost:7000", "must prove who it is"),
    ("tcp://127.0.0.1:7000,tcp://broker:7000", "--broker tcp://broker:7000: not at 127.0.0.1"),
])
def test_a_worker_believes_no_other_machine_without_keys(cluster, broker, words):
    result = worker(cluster, "--broker", broker)
    assert result.returncode == 3 and words in result.stderr and len(result.stderr.splitlines()) == 1


def test_insecure_is_asked_for_by_name_and_said(cluster):
    write(cluster, "true")
    cluster.start("--listen", "tcp://0.0.0.0:*", "--insecure")
    assert "--insecure" in cluster.join_command()
    assert "listen.insecure endpoint=tcp://0.0.0.0:" in "".join(cluster.lines)
    result = worker(cluster, "--broker", endpoint(cluster).replace("0.0.0.0", "localhost"), "--store", ".penstock/store",
                    "--insecure")
    assert result.returncode == 0 and "link.insecure broker=tcp://" in result.stderr
    assert cluster.finish()["state"] == "succeeded"


def test_who_is_revoked_is_cut_off_and_its_tasks_go_to_others(cluster):
    """Without blame: not even a task that may not be tried again is held against it."""
    first = cluster.only_first("hang", f"{cluster.mark('hangs')}; sleep 600")
    write(cluster, first, 2, "retry: {limit: 0, poison: 1}, ")
    cluster.place.broker("keys", "add", "bert", "-o", "bert.key")
    cluster.start(*CURVE)
    cluster.join("w1", "--key", "anna.key", "--slots", 1)
    cluster.wait_marks("hangs")
    assert cluster.place.broker("keys", "revoke", "anna").code == 0
    assert cluster.workers.pop("w1").wait(timeout=SECONDS) == 3
    assert "is not on the broker's list" in cluster.log("w1").splitlines()[-1]
    assert any("worker.revoked worker=w1" in line for line in cluster.lines)
    again = worker(cluster, "--broker", endpoint(cluster), "--key", "anna.key", "--broker-key", cluster.key)
    assert again.returncode == 3 and "broker keys add NAME --public-key" in again.stderr
    cluster.join("w2", "--key", "bert.key")
    assert {e["worker"] for e in cluster.finish()["steps"]} == {"w2"}


INTRUDER = """
import json, sys, zmq
from zmq.utils import monitor, z85

def ask(endpoint, broker_key, secret):
    events = {zmq.EVENT_HANDSHAKE_SUCCEEDED: "let in", zmq.EVENT_DISCONNECTED: "shut out",
              zmq.EVENT_HANDSHAKE_FAILED_AUTH: "refused", zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "shut out"}
    with zmq.Context() as context, context.socket(zmq.DEALER) as peer:
        peer.linger = 0
        if secret:
            secret = z85.encode(bytes.fromhex(secret))
            peer.curve_serverkey, peer.curve_secretkey = z85.encode(bytes.fromhex(broker_key)), secret
            peer.curve_publickey = zmq.curve_public(secret)
        seen = peer.get_monitor_socket()
        peer.connect(endpoint)
        while (event := monitor.recv_monitor_message(seen)["event"]) not in events:
            pass
        peer.disable_monitor()
        return events[event]

def read(path):
    try:
        return bool(open(path).read())
    except OSError as error:
        return type(error).__name__

endpoint, key_path, broker_key, *secrets = sys.argv[1:]
print(json.dumps([read(key_path)] + [ask(endpoint, broker_key, secret) for secret in secrets]))
"""


def wire_secret(path):
    """Of an identity's file."""
    seed = bytes.fromhex(path.read_text().split()[-1])
    return SigningKey(seed).to_curve25519_private_key().encode().hex()


def test_a_program_cannot_pose_as_a_worker_at_the_brokers_own_socket(cluster):
    """Not though it has a network and may connect to it: it has no key, cannot read the broker's, and a key that was
    revoked or that nobody knows is none. The broker's own worker, which runs it, needs no list."""
    needs_landlock()
    place = cluster.place
    home = place.path / ".penstock"
    place.broker("keys", "add", "bert", "-o", "bert.key")
    place.broker("keys", "revoke", "anna")
    worker(cluster, "key", "eve.key")
    secrets = [wire_secret(place.path / f"{name}.key") for name in ("anna", "eve", "bert")]
    broker_key = VerifyKey(bytes.fromhex(cluster.key)).to_curve25519_public_key().encode().hex()
    words = [sys.executable, "intruder.py", f"ipc://{home}/work.sock", home / "keys/broker", broker_key, "",
             *secrets]
    place.write("intruder.py", INTRUDER)
    place.write("p.yaml", json.dumps({"version": 1, "name": "intruder", "steps": {"a": {
        "kind": "exec", "outputs": {"o": "o"}, "retry": 0,
        "params": {"network": True, "code": ["intruder.py"], "command": shlex.join(map(str, words)) + " > o"}}}}))
    readable = f"{os.path.realpath(sys.prefix)}:{sys.prefix}"
    cluster.start(*CURVE, slots=1, PENSTOCK_READABLE=readable, PENSTOCK_WRITABLE=f"{home}/work.sock")
    assert by_name(cluster.finish())["a"]["worker"] == "local"
    assert json.loads(place.broker("export", "a.o", "-o", "-").out) == ["PermissionError", "shut out", "refused", "refused",
                                                                       "let in"]


# ---- several brokers ----

def test_the_next_broker_is_tried_when_one_is_silent(cluster):
    write(cluster, "true")
    cluster.start("--listen", f"ipc://{cluster.place.path}/b")
    brokers = f"ipc://{cluster.place.path}/nobody,ipc://{cluster.place.path}/b"
    cluster.join("w1", "--broker", brokers)
    assert cluster.finish()["state"] == "succeeded"


def test_a_worker_goes_to_the_other_broker_with_what_it_holds(cluster):
    write(cluster, f"{cluster.mark('begun')}; {cluster.gate('all')}")
    a, b = (f"ipc://{cluster.place.path}/{name}" for name in "ab")
    cluster.start("--listen", a, "--min-workers", 1)
    cluster.join("w1", "--broker", f"{a},{b}")
    cluster.wait_marks("begun")
    cluster.broker.kill()
    cluster.broker.wait()
    cluster.start("--listen", b, "--min-workers", 1)
    wait_for(lambda: cluster.log("w1").count("broker.welcome") == 2)
    cluster.open("all")
    assert by_name(cluster.finish())["work[i=0]"]["worker"] == "w1" and cluster.marks("begun") == 1


def test_a_worker_follows_a_standby_to_the_leader(cluster):
    write(cluster, "true")
    cluster.start("--listen", "tcp://127.0.0.1:*")
    with zmq.Context() as context, context.socket(zmq.ROUTER) as standby:
        port = standby.bind_to_random_port("tcp://127.0.0.1")

        def answer():
            peer, frame = standby.recv_multipart()
            assert msgpack.unpackb(frame)[0] == 0
            standby.send_multipart([peer, msgpack.packb([13, 1, endpoint(cluster)])])

        thread = threading.Thread(target=answer)
        thread.start()
        cluster.join("w1", "--broker", f"tcp://127.0.0.1:{port}")
        thread.join(timeout=SECONDS)
        assert cluster.finish()["state"] == "succeeded"
    assert f"broker.stands_by broker=tcp://127.0.0.1:{port}" in cluster.log("w1")


def test_a_worker_goes_nowhere_that_it_would_not_go_by_itself(cluster):
    """A broker without keys that says: the leader is over there, on another machine."""
    write(cluster, "true")
    with zmq.Context() as context, context.socket(zmq.ROUTER) as standby:
        port = standby.bind_to_random_port("tcp://127.0.0.1")
        cluster.start("--listen", "tcp://127.0.0.1:*")

        def answer():
            peer, _ = standby.recv_multipart()
            standby.send_multipart([peer, msgpack.packb([13, 1, "tcp://10.9.8.7:7000"])])

        thread = threading.Thread(target=answer)
        thread.start()
        cluster.join("w1", "--broker", f"tcp://127.0.0.1:{port},{endpoint(cluster)}")
        thread.join(timeout=SECONDS)
        assert cluster.finish()["state"] == "succeeded"
    assert "10.9.8.7" not in "".join(line for line in cluster.log("w1").splitlines() if "stands_by" not in line)


def test_ctrl_c_while_no_broker_answers(cluster):
    log = open(cluster.place.path / "w1.log", "w")
    process = subprocess.Popen([WORKER, "--broker", "ipc://none,ipc://neither"], cwd=cluster.place.path, stderr=log,
                               env=cluster.place.environment())
    wait_for(lambda: "broker.awaited" in cluster.log("w1"))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=SECONDS) == 0
    log.close()
