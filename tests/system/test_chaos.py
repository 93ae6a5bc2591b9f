"""The short form of `make chaos`: a cluster on hosts of its own, disturbed in one way after the other."""
import os
import subprocess
import sys

import pytest

from conftest import BIN, ROOT

CHAOS = ROOT / "tests/chaos"
sys.path.insert(0, str(CHAOS))
import network  # noqa: E402


@pytest.mark.skipif(network.why_not() is not None, reason=str(network.why_not()))
def test_faults_cost_time_and_never_a_result():
    done = subprocess.run([sys.executable, CHAOS / "chaos.py", "--short"], capture_output=True, text=True, timeout=900,
                          env={**os.environ, "BIN": str(BIN)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 failed, 0 skipped" in done.stdout, done.stdout
