"""What the system tests share: the two programs, an empty folder for each test, and a way to run pipelines in it."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("BIN", ROOT / "build/release"))
BROKER, WORKER = str(BIN / "broker"), str(BIN / "worker")
TIMEOUT_S = 120


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out[-4000:]}\n--- stderr\n{self.err[-4000:]}"


class Place:
    """A folder to work in: pipelines are written, run and asked about here."""

    def __init__(self, path):
        self.path = path

    def write(self, name, text):
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            target.write_bytes(text)
        else:
            target.write_text(text)
        return target

    def environment(self, **more):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PENSTOCK_", "REDIS_"))}
        return {**clean, "PENSTOCK_HTTP": "127.0.0.1:0", **more}  # any free port: many tests run at once

    def broker(self, *args, timeout=TIMEOUT_S, **environment):
        done = subprocess.run([BROKER, *map(str, args)], cwd=self.path, capture_output=True, text=True,
                              timeout=timeout, env=self.environment(**environment))
        return Result(done)

    def run(self, pipeline="p.yaml", *args, code=0, **kwargs):
        """Runs a pipeline and returns the document of `run --json`; the exit code must be `code`."""
        result = self.broker("run", pipeline, "--json=full", "-q", *args, **kwargs)
        assert result.code == code, result
        return result.json

    def start(self, *args, **environment):
        """The broker as a process of its own, for tests that disturb it."""
        return subprocess.Popen([BROKER, *map(str, args)], cwd=self.path, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=self.environment(**environment))

    def export(self, ref, name):
        target = self.path / name
        result = self.broker("export", ref, "-o", target)
        assert result.code == 0, result
        return target


def needs_landlock():
    """Skips a test of what programs may see where the kernel can't confine them."""
    found = json.loads(subprocess.run([WORKER, "doctor", "--json"], capture_output=True, text=True).stdout)
    if not next(layer["ok"] for layer in found if layer["check"] == "landlock"):
        pytest.skip("this machine has no Landlock: see worker doctor")


def by_name(document):
    """Step entries of a run by "step" or "step[axis=value]"."""
    entries = {}
    for entry in document["steps"]:
        axes = ",".join(f"{k}={v}" for k, v in entry["axes"].items())
        entries[entry["step"] + (f"[{axes}]" if axes else "")] = entry
    return entries


def output_ids(document):
    """Every output of a run: what must be the same whatever happened on the way."""
    return {name: {output: made["id"] for output, made in entry.get("outputs", {}).items()}
            for name, entry in by_name(document).items()}


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def iris(place):
    """The example, copied, so that a test may change it."""
    shutil.copytree(ROOT / "configs", place.path / "configs")
    return place


@pytest.fixture
def demo(place):
    from cli_pipelines import DEMO
    place.write("raw.txt", "one\ntwo\n")
    place.write("p.yaml", DEMO)
    return place


def pytest_report_header(config):
    return f"programs: {BIN}, python {sys.version.split()[0]}"
