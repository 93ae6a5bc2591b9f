"""The worker's own subcommands: what it can do, one task without a broker, one task under a debugger's eyes."""
import hashlib
import json
import signal
import subprocess

import msgpack
import pytest
import zmq

from conftest import WORKER, by_name, needs_landlock


def worker(place, *args, code=0):
    done = subprocess.run([WORKER, *map(str, args)], cwd=place.path, capture_output=True, text=True, timeout=60,
                          env=place.environment())
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def action_of(iris, task):
    """A task's action as JSON: a specification whose inputs are in the store already."""
    return iris.write("task.json", json.dumps(iris.broker("get", task, "--json").json["action"]))


def test_describe_lists_every_kind_with_its_version(place):
    out = worker(place, "describe").stdout
    for offer in ["preprocess@1", "train.random_forest@1+sleef-", "train.gradient_boosting@1+xgboost-", "predict@1",
                  "metrics@1", "exec@1", "sleep@1"]:
        assert offer in out


def test_describe_tells_parameters_with_defaults_and_ranges(place):
    for name in ["random_forest", "train.random_forest"]:
        out = worker(place, "describe", name).stdout
        assert "n_estimators" in out and "100" in out and "scikit-learn" in out
    described = json.loads(worker(place, "describe", "random_forest", "--json").stdout)
    assert "n_estimators" in json.dumps(described)
    assert 'did you mean "random_forest"' in worker(place, "describe", "random_forst", code=2).stderr


def test_run_task_makes_the_bytes_that_a_broker_run_made(iris):
    entry = by_name(iris.run("configs/iris.yaml"))["train[case=tree_deep]"]
    spec = action_of(iris, "train[case=tree_deep]")
    record = json.loads(worker(iris, "run-task", spec).stdout)
    assert record["outputs"]["model"][0] == entry["outputs"]["model"]["id"]
    assert record["outputs"]["history"][0] == entry["outputs"]["history"]["id"]


def test_a_record_of_run_task_is_where_the_next_task_looks(iris):
    iris.run("configs/iris.yaml")
    spec = action_of(iris, "train[case=tree_deep]")
    worker(iris, "run-task", spec, "--no-record")
    assert not (iris.path / ".penstock/store/records").exists()
    worker(iris, "run-task", spec)
    [record] = (iris.path / ".penstock/store/records").iterdir()
    worker(iris, "run-task", record.name)


def test_run_task_fails_as_the_task_does(place):
    spec = place.write("task.json", json.dumps({"kind": "exec", "outputs": [], "version": "1",
                                                "params": {"command": "echo why >&2; exit 3"}}))
    failed = worker(place, "run-task", spec, code=1)
    assert "status 3" in failed.stderr and "why" in failed.stderr


def test_debug_leaves_the_inputs_in_a_folder_and_publishes_nothing(iris):
    iris.run("configs/iris.yaml")
    blobs = sorted((iris.path / ".penstock/store").rglob("*"))
    worker(iris, "debug", action_of(iris, "evaluate[case=logistic]"))
    [folder] = iris.path.glob("debug-*")
    assert json.loads((folder / "outputs/metrics").read_text())["accuracy"] > 0.8
    assert any(path.is_file() for path in (folder / "inputs/blobs").iterdir())
    assert sorted((iris.path / ".penstock/store").rglob("*")) == blobs


@pytest.mark.parametrize("sandbox", ["off", "best-effort"])
def test_nothing_of_a_job_is_left_for_the_next(place, sandbox):
    """One slot, twenty jobs: each looks at what it finds, then leaves a mess behind, as far as it can reach."""
    if sandbox != "off":
        needs_landlock()
    mess = ("{ pwd; ls -A . .. $TMPDIR; cat ../log; ls ../outputs; ulimit -c; umask; ls /proc/self/fd; "
            "cat /proc/$PPID/task/*/children | wc -w; } > found 2>&1; "
            "cp found ../outputs/stolen; cp found ../junk; mkdir -p deep/er locked; touch deep/er/file $TMPDIR/left .hidden; "
            "chmod 0 locked; sleep 300 & setsid sleep 300 & echo loud; cd /; umask 0; : ")
    place.write("mess.yaml", f"""
version: 1
name: mess
steps:
  job:
    kind: exec
    matrix: {{i: {{range: [0, 20, 1]}}}}
    outputs: {{found: found}}
    params: {{command: "{mess}${{matrix.i}}"}}
""")
    run = place.broker("run", "mess.yaml", "--json=full", "-j1", PENSTOCK_SANDBOX=sandbox).json
    assert run["tasks"]["executed"] == 20
    found = {step["outputs"]["found"]["id"] for step in run["steps"]}
    texts = {(place.path / ".penstock/store/blobs" / id[:2] / id[2:]).read_text() for id in found}
    for text in texts:
        folder, *lines = text.splitlines()
        assert folder.endswith("/work")
        above = ["..:", "log", "outputs", "spare", "work", ""]
        refused = "ls: cannot open directory '..': Permission denied"
        if sandbox == "off":
            assert lines[:12] == [".:", ".tmp", "found", "", *above, f"{folder}/.tmp:", "0"], text
        else:
            assert lines[:3] == [".:", ".tmp", "found"] and refused in lines and not set(above[:-1]) & set(lines), text
    assert len({text.split("\n", 1)[1].replace(text.split("\n", 1)[0], "") for text in texts}) == 1


def test_a_worker_says_hello_again_to_a_broker_that_forgot_it(place):
    """The test is the broker: it refuses twice, the second time for good."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        endpoint = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
        process = subprocess.Popen([WORKER, "--broker", endpoint, "--store", place.path / "store"], cwd=place.path,
                                   stderr=subprocess.PIPE, text=True, env=place.environment())
        peers, instances = set(), set()
        for code, reason in [(15, "say HELLO first"), (16, "only protocol 99 here")]:
            assert router.poll(20_000)
            peer, frame = router.recv_multipart()
            hello = msgpack.unpackb(frame)
            assert hello[0] == 0
            peers.add(peer)
            instances.add(hello[3])
            router.send_multipart([peer, msgpack.packb([2, code, reason])])
        _, err = process.communicate(timeout=20)
    assert len(peers) == 2 and len(instances) == 1
    assert process.returncode != 0 and "only protocol 99 here" in err


def test_a_worker_says_goodbye_once_however_much_it_holds(place):
    """The test is the broker. What comes in while the worker drains is left lying; told a second time to go, it names all."""
    def task(i, number):
        spec = msgpack.packb({"kind": "sleep", "outputs": [], "params": {"seconds": 600.0 + i}, "version": "1"})
        return [hashlib.blake2b(spec, digest_size=32, person=b"penstock task").digest(), number, spec, [], 0, 0, 0, 100, {}]

    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        def receive(*types):
            while router.poll(20_000):
                frame = msgpack.unpackb(router.recv_multipart()[1])
                if frame[0] in types:
                    return frame
            raise AssertionError("the worker is silent")

        endpoint = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
        with subprocess.Popen([WORKER, "--broker", endpoint, "--store", place.path / "store"], cwd=place.path,
                              stderr=subprocess.PIPE, text=True, env=place.environment()) as process:
            peer, _ = router.recv_multipart()
            router.send_multipart([peer, msgpack.packb([1, 1, 1000, 8192])])
            tasks = [task(i, 2 if i == 0 else 1) for i in range(1201)]
            router.send_multipart([peer, msgpack.packb([3, tasks[:1]])])
            assert receive(4) == [4, [tasks[0][:2]]]  # the second attempt at something is announced at once
            process.send_signal(signal.SIGTERM)
            while "worker.drain" not in process.stderr.readline():
                pass
            for at in [1, 601]:
                router.send_multipart([peer, msgpack.packb([3, tasks[at:at + 600]])])
            held = set()
            while len(held) < 1201:
                held |= {id for id, _ in receive(10)[1]}
            process.send_signal(signal.SIGTERM)
            goodbye = receive(11)
            assert process.wait(timeout=20) == 0
            assert not router.poll(0)
    assert sorted(goodbye[1]) == sorted(each[:2] for each in tasks)


def test_a_worker_says_that_it_waits_and_that_it_joined(place):
    endpoint = f"ipc://{place.path}/sock"
    process = subprocess.Popen([WORKER, "--broker", endpoint, "--store", place.path / "store"], cwd=place.path,
                               stderr=subprocess.PIPE, text=True, env=place.environment())
    assert f"broker.awaited broker={endpoint}" in process.stderr.readline()
    place.write("p.yaml", "version: 1\nname: late\nsteps: {a: {kind: sleep}}\n")
    place.run("p.yaml", "-j", 0, "--listen", endpoint)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert [event for event in ["broker.welcome", "broker.goodbye"] if event in err] == ["broker.welcome",
                                                                                        "broker.goodbye"]
    assert "broker.awaited" not in err  # said once


def test_bad_usage_is_said(place):
    assert "run-task" in worker(place, "--help").stdout
    assert "--slots" in worker(place, "--slots", "many", code=2).stderr
    assert "nowhere.json" in worker(place, "run-task", "nowhere.json", code=2).stderr
