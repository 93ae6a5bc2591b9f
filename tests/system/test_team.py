"""Everything a team has: a served broker with its state in Redis and its artifacts in S3, a worker on another machine that
joins by its key, and clients that know a URL and a token and no more."""
import subprocess
import urllib.request

import pytest
from redis_servers import Redis
from s3_server import Server as S3
from served import Served, wait_for

from conftest import ROOT, WORKER, Place, output_ids


@pytest.fixture
def team(tmp_path):
    """(the served broker, what the clients' commands run with)"""
    home = Place(tmp_path / "broker")
    home.path.mkdir()
    s3, redis = S3(tmp_path / "s3"), Redis(tmp_path / "redis")
    environment = {**s3.environment(), "PENSTOCK_STORE": "s3://artifacts/team", "REDIS_URL": redis.url}
    assert home.broker("keys", "init").code == 0
    broker = Served(home, "--listen", "tcp://127.0.0.1:*", "--curve", **environment)
    assert home.broker("keys", "add", "w1", "-o", "w1.key").code == 0
    endpoint = broker.log.read_text().split("listening at ")[1].split(";")[0]
    key = home.broker("keys", "list", "--json").json["public_key"]
    worker = subprocess.Popen([WORKER, "--broker", endpoint, "--key", home.path / "w1.key", "--broker-key", key, "--slots", "2",
                               "--store", "s3://artifacts/team", "--cache", tmp_path / "cache"], stderr=subprocess.DEVNULL,
                              env=home.environment(**s3.environment()))
    try:
        yield broker, {"PENSTOCK_SERVER": broker.url, "PENSTOCK_TOKEN": broker.token(), "AWS_ENDPOINT_URL_S3": "", "REDIS_URL": ""}
    finally:
        worker.kill()
        worker.wait()
        broker.kill()
        redis.stop()
        s3.stop()


def test_a_client_needs_neither_redis_nor_s3_settings(team, tmp_path, iris):
    broker, settings = team
    client = Place(tmp_path / "client")
    client.path.mkdir()
    pipeline = ROOT / "configs/iris.yaml"
    first = client.broker("submit", pipeline, "--watch", "-q", "--json", **settings)
    assert first.code == 0, (first, broker.log.read_text())
    assert output_ids(first.json) == output_ids(iris.run("configs/iris.yaml"))  # the same bytes as anywhere
    again = client.broker("submit", pipeline, "--watch", "-q", "--json", **settings)
    assert again.json["tasks"]["hit"] == again.json["tasks"]["total"]
    # Bytes come from S3, by a URL that is signed for an hour; nobody has our keys.
    url = client.broker("export", "compare.metrics", "--url", **settings).out.strip()
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.read() == client.broker("export", "compare.metrics", "-o", "-", **settings).out.encode()
    assert client.broker("export", "compare.model", "-o", "model", **settings).code == 0
    assert (client.path / "model/config.json").exists()
    assert [w["name"] for w in client.broker("workers", "--json", **settings).json] != []
    # The broker comes back with all of it: nothing is kept in its process or on its disk.
    broker.kill()
    broker.start()
    settings["PENSTOCK_SERVER"] = broker.url
    wait_for(lambda: client.broker("workers", "--json", **settings).json, "the worker is back")
    runs = client.broker("list", "--json", **settings).json
    assert [run["state"] for run in runs] == ["succeeded", "succeeded"] and runs[1]["tasks"]["executed"] > 0
