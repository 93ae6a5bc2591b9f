"""A store in S3, against a real server: the contract that a folder keeps, too, and the programs with nothing else for a store."""
import http.server
import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from conftest import BIN, BROKER, ROOT, WORKER, output_ids
from s3_server import BUCKET, Server

ENV_STEP = """
version: 1
name: environment
steps:
  show:
    kind: exec
    outputs: {seen: seen.txt}
    params: {command: "env > seen.txt; echo done"}
"""


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def store(s3, request):
    """A place of its own in the bucket, and what the programs have to know."""
    return s3.environment(PENSTOCK_STORE=f"s3://{BUCKET}/{request.node.name}")


@pytest.mark.parametrize("program", ["test_store_contract", "test_store_care", "test_store_s3"])
def test_the_contract_is_kept(s3, program):
    path = BIN / "tests/unit/common/store" / program
    if not path.exists():
        pytest.skip(f"{path} is not built; `make system` builds it")
    settings = s3.environment(PENSTOCK_TEST_S3=f"s3://{BUCKET}", **({"PENSTOCK_TEST_S3_MOTO": "1"} if s3.name == "moto" else {}))
    done = subprocess.run([path], cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ, **settings})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SKIPPED: PENSTOCK_TEST_S3" not in done.stdout


def test_the_example_runs_and_is_all_known_the_second_time(iris, s3, store):
    first = iris.run("configs/iris.yaml", **store)
    assert first["tasks"]["executed"] == first["tasks"]["total"] == 26
    second = iris.run("configs/iris.yaml", **store)
    assert second["tasks"]["hit"] == 26 and second["tasks"]["executed"] == 0
    assert output_ids(second) == json.loads((ROOT / "tests/golden/iris_outputs.json").read_text())  # as in a folder
    assert not (iris.path / ".penstock/store").exists()
    assert any("/blobs/" in key for key in s3.keys("test_the_example_runs"))
    assert json.loads(iris.broker("export", "compare.metrics", **store).out)["count"] == 8


def test_a_worker_elsewhere_shares_the_store_alone(iris, store, tmp_path_factory):
    folder, endpoint = tmp_path_factory.mktemp("elsewhere"), f"ipc://{iris.path}/work.sock"
    worker = subprocess.Popen([WORKER, "--broker", endpoint, "--slots", "2"], cwd=folder,
                              env=iris.environment(**store))
    try:
        document = iris.run("configs/iris.yaml", "--listen", endpoint, "-j", "0", "--min-workers", "1", **store)
        assert document["tasks"]["executed"] == 26
        assert {step["worker"] for step in document["steps"]} != {"local"}
    finally:
        worker.terminate()
        assert worker.wait(timeout=30) == 0


@pytest.mark.parametrize("damage", ["corrupt", "absent"])
def test_a_bad_blob_is_made_again(iris, s3, store, damage):
    first = iris.run("configs/iris.yaml", **store)
    prepared = next(step for step in first["steps"] if step["step"] == "prepare")["outputs"]["train"]["id"]
    key = f"{store['PENSTOCK_STORE'].split('/', 3)[3]}/blobs/{prepared[:2]}/{prepared[2:]}"
    if damage == "corrupt":
        s3.client().put_object(Bucket=BUCKET, Key=key, Body=b"not what it was")
    else:
        s3.client().delete_object(Bucket=BUCKET, Key=key)
    for cached in iris.path.glob(".penstock/cache*"):  # the local worker has it still
        subprocess.run(["rm", "-rf", cached], check=True)
    again = iris.run("configs/iris.yaml", "--force=train", **store)
    assert output_ids(again) == output_ids(first)
    body = s3.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert body != b"not what it was"
    aside = [k for k in s3.keys(store["PENSTOCK_STORE"].split("/", 3)[3]) if "/quarantine/" in k]
    assert len(aside) == (damage == "corrupt")


def test_programs_of_a_step_see_no_keys(place, s3, store):
    place.write("p.yaml", ENV_STEP)
    place.run("p.yaml", **store)
    seen = place.broker("export", "show.seen", **store).out
    assert "PATH=" in seen and "AWS_" not in seen and s3.secret not in seen


def test_a_url_needs_no_key(iris, s3, store):
    iris.run("configs/iris.yaml", **store)
    url = iris.broker("export", "compare.metrics", "--url", "--expires", "10m", **store).out.strip()
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read().decode() == iris.broker("export", "compare.metrics", **store).out
    files = dict(line.split("\t") for line in
                 iris.broker("export", "compare.model", "--url", **store).out.splitlines())
    assert set(files) == {"config.json", "weights.safetensors"}
    with urllib.request.urlopen(files["config.json"], timeout=10) as answer:
        assert json.load(answer)["model"]
    if s3.name == "garage":  # moto checks no signatures
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(url.replace("Expires=600", "Expires=6000"), timeout=10)
    document = iris.broker("export", "compare.metrics", "--url", "--json", **store).json
    assert document["expires_seconds"] == 3600 and document["urls"][0]["path"] is None
    assert iris.broker("export", "compare.metrics", "--url", "--expires", "8000m", **store).code == 0
    late = iris.broker("export", "compare.metrics", "--url", "--expires", "200h", **store)
    assert late.code == 2 and "a URL can work for 1 to 604800 seconds" in late.err


def test_a_folder_has_no_urls(place):
    place.write("p.yaml", ENV_STEP)
    place.run("p.yaml")
    result = place.broker("export", "show.seen", "--url")
    assert result.code == 3 and "has no URLs; a store in S3 has" in result.err


def test_put_brings_data_into_s3(place, s3):
    place.write("small.csv", "a,b\n1,2\n")
    large = place.path / "large.bin"
    with open(large, "wb") as file:
        for i in range(70):
            file.write(bytes([i]) * (1 << 20))
    settings = s3.environment()
    sums = subprocess.run(["b2sum", "-l", "256", "small.csv", "large.bin"], cwd=place.path, capture_output=True, text=True,
                          check=True).stdout.split()
    result = place.broker("put", "small.csv", f"s3://{BUCKET}/raw data/é/", **settings)
    assert result.out == f"{sums[0]}  s3://{BUCKET}/raw data/é/small.csv\n", result
    document = place.broker("put", "large.bin", f"s3://{BUCKET}/large", "--json", **settings).json
    assert document == {"url": f"s3://{BUCKET}/large", "bytes": 70 << 20, "blake2b": sums[2]}
    client = s3.client()
    assert client.get_object(Bucket=BUCKET, Key="raw data/é/small.csv")["Body"].read() == b"a,b\n1,2\n"
    head = client.head_object(Bucket=BUCKET, Key="large")
    assert head["ContentLength"] == 70 << 20 and head["ETag"].strip('"').endswith("-5")
    for words, code, text in [(["small.csv"], 2, "broker put FILE s3://bucket/key"),
                              (["small.csv", "elsewhere"], 2, "not a place in S3"),
                              (["absent", f"s3://{BUCKET}/x"], 2, "absent: cannot open"),
                              (["small.csv", "s3:///x"], 2, "names no bucket")]:
        result = place.broker("put", *words, **settings)
        assert result.code == code and text in result.err, result


def test_buckets_may_be_host_names(iris, s3):
    """The bucket in front of the server's name, as Amazon has it; whatever.localhost is this machine to curl."""
    settings = s3.environment(PENSTOCK_STORE=f"s3://{BUCKET}/virtual", PENSTOCK_S3_STYLE="virtual",
                              AWS_ENDPOINT_URL_S3=s3.url.replace("127.0.0.1", "localhost"))
    if s3.name == "moto":
        pytest.skip("moto takes such names for Amazon's alone")
    assert iris.run("configs/iris.yaml", **settings)["state"] == "succeeded"
    url = iris.broker("export", "compare.metrics", "--url", **settings).out
    assert url.startswith(f"http://{BUCKET}.localhost:{s3.port}/virtual/blobs/")
    assert any(key.startswith("virtual/blobs/") for key in s3.keys("virtual/"))


def test_keys_of_a_profile(iris, s3, store):
    iris.write("aws/credentials", f"[work]\naws_access_key_id = {s3.key}\naws_secret_access_key = {s3.secret}\n")
    iris.write("aws/config", f"[profile work]\nregion = {store['AWS_REGION']}\nendpoint_url = {s3.url}\n")
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        store[name] = ""
    store |= {"AWS_PROFILE": "work", "AWS_SHARED_CREDENTIALS_FILE": str(iris.path / "aws/credentials"),
              "AWS_CONFIG_FILE": str(iris.path / "aws/config")}
    assert iris.run("configs/iris.yaml", **store)["tasks"]["executed"] == 26


def test_keys_for_a_token_of_kubernetes(iris, s3, store):
    """Broker and worker each exchange the token at STS, here a server that gives Garage's key to who shows it."""
    asked = []

    class Sts(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
            body = ("<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
                    f"<AccessKeyId>{s3.key}</AccessKeyId><SecretAccessKey>{s3.secret}</SecretAccessKey>"
                    f"<Expiration>{ends}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
                    "</AssumeRoleWithWebIdentityResponse>").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sts) as sts:
        threading.Thread(target=sts.serve_forever, daemon=True).start()
        store |= {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_ROLE_ARN": "arn:aws:iam::1:role/penstock",
                  "AWS_WEB_IDENTITY_TOKEN_FILE": str(iris.write("token", "a.b.c\n")),
                  "AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{sts.server_address[1]}/"}
        assert iris.run("configs/iris.yaml", **store)["tasks"]["executed"] == 26
        sts.shutdown()
    assert len(asked) >= 2 and asked[0]["WebIdentityToken"] == ["a.b.c"]
    assert asked[0]["RoleArn"] == ["arn:aws:iam::1:role/penstock"]


WRONG = {
    "key": ({"AWS_ACCESS_KEY_ID": "GK000000000000000000000000"}, "the server knows no key GK0000"),
    "secret": ({"AWS_SECRET_ACCESS_KEY": "x" * 64}, "correct AWS_SECRET_ACCESS_KEY"),
    "bucket": ({"PENSTOCK_STORE": "s3://nobody-made-it/x"}, "there is no bucket nobody-made-it at"),
    "endpoint": ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}, "its address: AWS_ENDPOINT_URL_S3=http://127.0.0.1:1?"),
    "half a key": ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY is not: set both"),
    "port": ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1/x?y"}, "write http://host:port or https://host:port"),
    "scheme": ({"AWS_ENDPOINT_URL_S3": "127.0.0.1:1"}, "begin it with http:// or https://"),
    "profile": ({"AWS_PROFILE": "nobody"}, "AWS_PROFILE=nobody: no such profile"),
    "no keys": ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no keys: set AWS_ACCESS_KEY_ID"),
    "style": ({"PENSTOCK_S3_STYLE": "dns"}, "PENSTOCK_S3_STYLE is dns: set it to path or virtual"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_setting_is_one_line_with_its_mend(iris, s3, what):
    if s3.name == "moto" and what in ("key", "secret"):
        pytest.skip("moto checks no keys")
    wrong, text = WRONG[what]
    settings = s3.environment(**{"PENSTOCK_STORE": f"s3://{BUCKET}/wrong", **wrong})
    doctor = iris.broker("doctor", "--json", **settings)
    row = next(row for row in doctor.json if row["check"] == "store")
    assert doctor.code == 3 and not row["ok"] and text in row["found"], doctor
    result = iris.broker("run", "configs/iris.yaml", "-q", **settings)
    told = [line for line in result.err.splitlines() if text in line and "store.waiting" not in line]
    assert result.code == 3 and len(told) == 1, result
    assert s3.secret not in result.err + doctor.out + doctor.err


def test_a_worker_says_what_is_wrong_with_its_store(place, s3):
    done = subprocess.run([WORKER, "--broker", f"ipc://{place.path}/none.sock"], cwd=place.path, capture_output=True, text=True,
                          timeout=60, env=place.environment(**s3.environment(PENSTOCK_STORE="s3://nobody-made-it/x")))
    assert done.returncode == 3 and "there is no bucket nobody-made-it at" in done.stderr, done


def test_a_wrong_region_is_corrected_and_said(iris, s3):
    if s3.name == "moto":
        pytest.skip("moto takes any region")
    settings = s3.environment(PENSTOCK_STORE=f"s3://{BUCKET}/region", AWS_REGION="eu-west-1")
    result = iris.broker("run", "configs/iris.yaml", "-q", **settings)
    assert result.code == 0 and "store.region" in result.err and "AWS_REGION=eu-west-1" in result.err, result
    row = next(row for row in iris.broker("doctor", "--json", **settings).json if row["check"] == "store")
    assert not row["ok"] and "is in the region garage; correct AWS_REGION=eu-west-1" in row["found"]
    right = s3.environment(PENSTOCK_STORE=f"s3://{BUCKET}/region")
    assert next(row for row in iris.broker("doctor", "--json", **right).json if row["check"] == "store")["ok"]
