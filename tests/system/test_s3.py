"""A store in S3, against a real server: the same contract as a folder keeps, and the programs with nothing else for a store."""
import hashlib
import json
import os
import subprocess
import urllib.error
import urllib.request

import pytest

from conftest import BIN, BROKER, ROOT, WORKER, output_ids
from s3_server import BUCKET, Server

IRIS = ROOT / "configs/iris.yaml"


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.mark.parametrize("program", ["test_store_contract", "test_store_care", "test_store_s3"])
def test_the_contract_is_kept(s3, program):
    path = BIN / "tests/unit/common/store" / program
    if not path.exists():
        pytest.skip(f"{path} is not built; `make system` builds it")
    done = subprocess.run([path], cwd=ROOT, capture_output=True, text=True, timeout=300,
                          env={**os.environ, **s3.environment(PENSTOCK_TEST_S3=f"s3://{BUCKET}")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SKIPPED: PENSTOCK_TEST_S3" not in done.stdout
