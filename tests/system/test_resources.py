"""Resources: what a worker offers, what steps take of it, and what runs side by side."""
import subprocess

import msgpack
import pytest
import zmq

from conftest import WORKER

TIMES = """
version: 1
name: sharing
steps:
  s:
    kind: exec
    matrix: {i: [1, 2, 3, 4]}
    outputs: {times: times}
    resources: {%s}
    params: {command: "date +%%s%%N > times; echo ${matrix.i} >/dev/null; sleep 0.1; date +%%s%%N >> times"}
"""


def spans(place, resources, **environment):
    """When each of four tasks ran, by the clock."""
    place.write("p.yaml", TIMES % resources)
    document = place.run("p.yaml", "--slots", 2, **environment)
    out = []
    for entry in document["steps"]:
        lines = place.broker("export", entry["outputs"]["times"]["id"], "-o", "-").out.split()
        out.append((int(lines[0]), int(lines[1])))
    return sorted(out)


@pytest.mark.parametrize("resources, environment", [
    ("gpu: 1", {"PENSTOCK_RESOURCE": "license=2,gpu=1"}), ("cpu: 2", {}), ("cpu: 0.6", {"PENSTOCK_CPU": "1"}),
    ("memory: 600Mi", {"PENSTOCK_MEMORY": "1GiB"})], ids=["gpu", "cpu", "part of a core", "memory"])
def test_what_there_is_once_is_used_by_one_at_a_time(place, resources, environment):
    ran = spans(place, resources, **environment)
    assert all(before[1] <= after[0] for before, after in zip(ran, ran[1:])), ran


def test_what_there_is_twice_is_used_by_two(place):
    """Each waits for the other to be there."""
    (place.path / "met").mkdir()
    place.write("p.yaml", f"""
version: 1
name: sharing
steps:
  s:
    kind: exec
    matrix: {{i: [1, 2]}}
    resources: {{gpu: 1}}
    retry: 0
    timeout: 20s
    params:
      command: "touch {place.path}/met/${{matrix.i}}; until [ $(ls {place.path}/met | wc -l) = 2 ]; do sleep 0.02; done"
""")
    document = place.run("p.yaml", "--slots", 2, PENSTOCK_RESOURCE="gpu=2", PENSTOCK_WRITABLE=str(place.path / "met"))
    assert document["state"] == "succeeded"


def hello_of(place, *args, **environment):
    """The HELLO of a worker that was started so; the test is its broker."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        endpoint = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
        process = subprocess.Popen([WORKER, "--broker", endpoint, "--store", "store", *map(str, args)], cwd=place.path,
                                   stderr=subprocess.DEVNULL, env=place.environment(**environment))
        try:
            assert router.poll(20_000)
            peer, frame = router.recv_multipart()
            router.send_multipart([peer, msgpack.packb([2, 16, "that is all"])])
            process.wait(20)
        finally:
            process.kill()
    return msgpack.unpackb(frame)


def test_a_worker_says_what_it_offers(place):
    hello = hello_of(place, "--slots", 3, "--cpu", "1500m", "--memory", "3GiB", "--resource", "gpu=2", "--resource", "license=1")
    assert hello[5:8] == [3, 150, 3 << 30] and hello[11] == {"gpu": 2, "license": 1}
    assert hello_of(place, "--cpu", "0.29")[6] == 29  # a step's `cpu: 0.29` is 29 hundredths, too
    hello = hello_of(place, "--slots", 3)
    assert hello[5:7] == [3, 300] and hello[7] > 1 << 20 and hello[11] == {}
    hello = hello_of(place, PENSTOCK_CPU="0.5", PENSTOCK_MEMORY="1G", PENSTOCK_RESOURCE="gpu=1,tpu=2")
    assert hello[6:8] == [50, 1 << 30] and hello[11] == {"gpu": 1, "tpu": 2}


@pytest.mark.parametrize("flags, words", [
    (["--resource", "gpu"], ['"gpu"', "NAME=COUNT"]), (["--resource", "gpu=1000001"], ["gpu=1000001", "1000000"]),
    (["--resource", "gpu=1", "--resource", "gpu=2"], ["twice"]), (["--resource", "cpu=1"], ["--cpu"]),
    (["--cpu", "0"], ["--cpu", '"0"', "0.01", "4096"]), (["--cpu", "many"], ["many"]), (["--cpu", "4097"], ["4096"]),
    (["--memory", "0"], ["--memory", '"0"']), (["--memory", "lots"], ["lots"]), (["--memory", "2000T"], ["1024 TiB"]),
    (["--grace", "31d"], ["--grace", "31d"]), (["--grace", "721h"], ["721h", "720h"])])
def test_a_bad_offer_is_refused_in_a_line(place, flags, words):
    done = subprocess.run([WORKER, "--broker", "tcp://127.0.0.1:1", *flags], cwd=place.path, capture_output=True, text=True,
                          timeout=20, env=place.environment())
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done
    for word in words:
        assert word in done.stderr, done.stderr
