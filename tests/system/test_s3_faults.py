"""S3 on its bad days, played by a server in between (hostile_s3.py): the programs wait, ask again, or say in one line what is
wrong; never do they take half of something for all of it."""
import json
import signal
import threading
import time

import pytest

import hostile_s3
from conftest import output_ids
from hostile_s3 import Hostile, make_certificate, say
from s3_server import BUCKET, Server
from served import exec_pipeline, serving, wait_for

GET_BLOB = r"^GET .*/blobs/"


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def way(s3):
    proxy = Hostile(s3.url)
    yield proxy
    proxy.end()


@pytest.fixture
def store(s3, way, request):
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    return s3.environment(PENSTOCK_STORE=f"s3://{BUCKET}/{name}", AWS_ENDPOINT_URL_S3=way.url)


def ids_without_faults(iris):
    return output_ids(iris.run("configs/iris.yaml", "--home", "without"))


FAULTS = {
    "busy": (r"^(PUT|GET|HEAD) .*/blobs/", say(503, "SlowDown", "Please reduce your request rate."), 6),
    "troubled": (r"^(PUT|GET) .*/blobs/", say(500, "InternalError", "We encountered an internal error."), 4),
    "cut before the answer": (r"^(PUT|GET) .*/blobs/", hostile_s3.cut, 4),
    "half a body": (GET_BLOB, hostile_s3.truncated, 4),
}


@pytest.mark.parametrize("what", FAULTS)
def test_what_passes_is_waited_for(iris, way, store, what):
    expected = ids_without_faults(iris)
    match, act, times = FAULTS[what]
    with way.fault(match, act, times) as fault:
        document = iris.run("configs/iris.yaml", "--force", **store)
        again = iris.broker("export", "compare.metrics", **store)
    assert document["state"] == "succeeded" and output_ids(document) == expected
    assert all(step["attempts"] == 1 for step in document["steps"])  # no task paid for it
    assert fault.hits and again.code == 0


def test_a_cut_body_is_noticed(iris, way, store):
    """Also where every answer is cut: it is never taken for a shorter blob."""
    iris.run("configs/iris.yaml", **store)
    right = iris.broker("export", "compare.metrics", **store).out
    with way.fault(GET_BLOB, hostile_s3.truncated, 2):
        assert iris.broker("export", "compare.metrics", **store).out == right
        assert iris.broker("export", "compare.metrics", "-o", "here", **store).code == 0
    assert (iris.path / "here").read_text() == right


def test_a_server_that_is_gone_for_a_moment(iris, way, store):
    iris.run("configs/iris.yaml", **store)
    way.end()
    threading.Timer(1.5, way.begin).start()
    result = iris.broker("export", "compare.metrics", **store)
    assert result.code == 0 and "store.waiting" in result.err, result


MANY = """
version: 1
name: many
steps:
  make:
    kind: exec
    matrix: {i: {range: [0, 24, 1]}}
    outputs: {out: out.txt}
    params: {command: "sleep 0.1; echo ${matrix.i} > out.txt"}
  join:
    kind: exec
    inputs: {parts: make.out}
    outputs: {all: all.txt}
    params: {command: "cat ${inputs.parts}/[0-9]* | sort -n > all.txt"}
"""


def test_a_server_that_is_gone_in_the_middle_of_a_run(place, way, store):
    """Tasks wait for it; none is tried again for it, and the run ends as it would have."""
    place.write("p.yaml", MANY)
    run = place.start("run", "p.yaml", "--json=full", "-q", **store)
    while not any("/blobs/" in line and line.startswith("PUT") for line in way.seen[4:]):
        time.sleep(0.05)
    way.end()
    threading.Timer(2, way.begin).start()
    out, err = run.communicate(timeout=100)
    document = json.loads(out)
    assert run.returncode == 0 and document["state"] == "succeeded", err
    assert all(step["attempts"] == 1 for step in document["steps"])
    assert place.broker("export", "join.all", **store).out == "".join(f"{i}\n" for i in range(24))


def test_a_byte_a_second_is_too_slow(iris, way, store):
    iris.run("configs/iris.yaml", **store)
    right = iris.broker("export", "compare.metrics", **store).out
    with way.fault(GET_BLOB, hostile_s3.slowly, 1) as fault:
        result = iris.broker("export", "compare.metrics", **store)
    assert fault.hits == 1 and result.out == right, result


def large(place):
    with open(place.path / "large.bin", "wb") as file:
        for i in range(65):
            file.write(bytes([i, 1]) * (1 << 19))


def test_parts_that_fail_are_sent_again(place, s3, way, store):
    large(place)
    with way.fault(r"^PUT .*partNumber=[24]", say(503, "SlowDown"), 3) as fault:
        result = place.broker("put", "large.bin", f"s3://{BUCKET}/parts", **store)
    assert result.code == 0 and fault.hits == 3, result
    assert s3.client().head_object(Bucket=BUCKET, Key="parts")["ContentLength"] == 65 << 20


def test_a_server_may_take_its_time_over_a_part(place, way, store):
    """It has all of it and is busy writing it down: sending it again would make that no better."""
    large(place)
    with way.fault(r"^PUT .*partNumber=2", hostile_s3.late(18), 1):
        assert place.broker("put", "large.bin", f"s3://{BUCKET}/late", **store).code == 0
    assert len([line for line in way.seen if "partNumber=2" in line]) == 1


def test_an_upload_that_was_not_put_together_is_asked_for_again(place, s3, way, store):
    """The refusal comes with status 200, since the server began to answer before it knew."""
    large(place)
    with way.fault(r"^POST .*uploadId=", say(200, "InternalError"), 1) as fault:
        result = place.broker("put", "large.bin", f"s3://{BUCKET}/together", **store)
    assert result.code == 0 and fault.hits == 1, result
    assert s3.client().head_object(Bucket=BUCKET, Key="together")["ContentLength"] == 65 << 20


def test_an_interrupted_put_leaves_no_parts(place, s3, way, store):
    large(place)
    with way.fault(r"^PUT .*partNumber=2", hostile_s3.late(5)):
        put = place.start("put", "large.bin", f"s3://{BUCKET}/interrupted", **store)
        while not any("partNumber=2" in line for line in way.seen):
            time.sleep(0.05)
        put.send_signal(signal.SIGINT)
        err = put.communicate(timeout=60)[1]
    assert put.returncode == 130 and "large.bin: interrupted; what was sent of it is removed" in err
    assert not s3.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    assert "interrupted" not in s3.keys("interrupted")


def test_wrong_etags_end_the_upload_and_leave_no_parts(place, s3, way, store):
    large(place)
    with way.fault(r"^PUT .*partNumber=3", hostile_s3.wrong_etag, 1) as fault:  # the whole once more mends it
        assert place.broker("put", "large.bin", f"s3://{BUCKET}/etag", **store).code == 0 and fault.hits == 1
    with way.fault(r"^PUT .*partNumber=3", hostile_s3.wrong_etag):
        result = place.broker("put", "large.bin", f"s3://{BUCKET}/etags", **store)
    assert result.code == 3 and "refused: InvalidPart" in result.err, result
    assert not s3.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    assert "etags" not in s3.keys("etag")


REFUSALS = {
    "ahead": (".", hostile_s3.other_time(-20), "this machine's clock is 20 minutes ahead of the server's; set it"),
    "behind": (".", hostile_s3.other_time(20), "this machine's clock is 20 minutes behind the server's; set it"),
    "read-only": ("^PUT", say(403, "AccessDenied", "Access Denied"), "may not write to the bucket artifacts"),
    "no S3": (".", lambda answer, send: send(404, {"Content-Length": "9"}, b"not found"), "not as S3 does; correct AWS_END"),
    "full": ("^PUT", say(507, "InsufficientStorage", "no room"), "the server is full: InsufficientStorage no room"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_is_told_with_its_mend(iris, way, store, what):
    match, act, text = REFUSALS[what]
    with way.fault(match, act):
        doctor = iris.broker("doctor", "--json", **store)
        run = iris.broker("run", "configs/iris.yaml", "-q", **store)
    row = next(row for row in doctor.json if row["check"] == "store")
    assert not row["ok"] and text in row["found"], doctor
    assert run.code == 3 and text in run.err, run


MENDED = {
    "keys that ended": (400, "ExpiredToken", "The provided token has expired."),
    "a right that was taken away": (403, "AccessDenied", "Access Denied"),
}


@pytest.mark.parametrize("what", MENDED)
def test_a_broker_that_serves_waits_until_its_keys_are_mended(place, way, store, what):
    """Only at the start they must be right: later nothing is lost, and the broker doesn't end."""
    with serving(place, "--slots", "1", **store) as broker:
        assert broker.until_over(broker.submit(exec_pipeline("echo a > o.txt")))["state"] == "succeeded"
        with way.fault("^HEAD ", say(*MENDED[what])), way.fault("^GET .*/blobs/", say(*MENDED[what])) as fault:
            run = broker.submit(exec_pipeline("echo b > o.txt"))
            wait_for(lambda: "store.waiting" in broker.log.read_text(), "the broker waits")
        assert fault.hits
        document = broker.until_over(run)
        assert document["state"] == "succeeded" and document["steps"][0]["attempts"] == 1, document
        assert broker.log.read_text().count("store.waiting doing=check") == 1
        assert broker.process.poll() is None and broker.stop() == 0


def test_a_worker_that_does_not_stay_up_ends_no_broker_that_serves(place, way, store):
    with serving(place, "--slots", "1", **store) as broker:
        with way.fault(".", say(*MENDED["keys that ended"])):
            run = broker.submit(exec_pipeline("echo a > o.txt"))
            wait_for(lambda: "worker.failing" in broker.log.read_text(), "the worker does not stay up")
        assert broker.until_over(run)["state"] == "succeeded"
        said = broker.log.read_text()
        assert said.count("worker.failing") == 1 and "the key test has ended" in said.replace(store["AWS_ACCESS_KEY_ID"], "test")


# ---- TLS ----

def test_tls_with_a_certificate_of_ones_own(iris, s3, tmp_path):
    certificate, authority = make_certificate(tmp_path)
    other = make_certificate(tmp_path, "other")[1]
    proxy = Hostile(s3.url, certificate)
    try:
        def settings(**more):
            return s3.environment(PENSTOCK_STORE=f"s3://{BUCKET}/tls", AWS_ENDPOINT_URL_S3=proxy.url, **more)
        assert iris.run("configs/iris.yaml", **settings(AWS_CA_BUNDLE=authority))["state"] == "succeeded"
        for bundle, text in [("", "set AWS_CA_BUNDLE to a file with the certificate"), (other, "set AWS_CA_BUNDLE to a file"),
                             (str(tmp_path / "absent"), "correct AWS_CA_BUNDLE=")]:
            result = iris.broker("export", "compare.metrics", **settings(AWS_CA_BUNDLE=bundle))
            assert result.code == 3 and text in result.err, result
            row = next(row for row in iris.broker("doctor", "--json", **settings(AWS_CA_BUNDLE=bundle)).json
                       if row["check"] == "store")
            assert not row["ok"] and text in row["found"]
        plain = settings(AWS_CA_BUNDLE=authority) | {"AWS_ENDPOINT_URL_S3": s3.url.replace("http:", "https:")}
        result = iris.broker("export", "compare.metrics", **plain)
        assert result.code == 3 and "speaks no TLS there; begin AWS_ENDPOINT_URL_S3" in result.err, result
    finally:
        proxy.end()
