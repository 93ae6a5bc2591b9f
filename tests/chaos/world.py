"""A cluster of real processes: Redis, a store, the broker, and workers on hosts of their own.

Every execution of a task leaves a line in `marks/log`, so that what ran how often is counted by the tasks
themselves and not by the programs under test."""
import collections
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("BIN", ROOT / "build/release"))
BROKER, WORKER = str(BIN / "broker"), str(BIN / "worker")
WAIT_S = 180


def wait_for(what, condition, seconds=WAIT_S):
    """Waits until the condition is true, and returns it. How long that takes says nothing."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what}: it did not happen in {seconds} s")


def free_port(address):
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


def is_listening(address, port):
    with contextlib.suppress(OSError), socket.create_connection((address, port), 0.2):
        return True
    return False


class Process:
    """A program with its stderr in a file; stopped by its pid, whole group and all."""

    def __init__(self, name, words, folder, environment=None):
        self.name, self.words, self.folder, self.environment = name, list(map(str, words)), folder, environment
        self.log = folder / f"{name}.log"
        self.process = None

    def start(self):
        with open(self.log, "a") as log, open(self.folder / f"{self.name}.out", "w") as out:
            self.process = subprocess.Popen(self.words, cwd=self.folder, stdout=out, stderr=log, env=self.environment,
                                            start_new_session=True)
        return self

    @property
    def pid(self):
        return self.process.pid

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """SIGKILL to the program alone: what it leaves behind must find out by itself."""
        if self.is_alive():
            self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def out(self):
        return (self.folder / f"{self.name}.out").read_text()


PIPELINE = """
version: 1
name: chaos
defaults: {retry: {limit: 10, backoff: 100ms}}
steps:
  make:
    kind: exec
    matrix: {i: {range: [0, HALF]}}
    outputs: {out: o}
    params: {command: "echo make ${matrix.i} >> MARKS; seq ${matrix.i} $((${matrix.i} + 200)) > o"}
  sum:
    kind: exec
    matrix: make
    inputs: {numbers: make.out}
    outputs: {out: o}
    params: {command: "echo sum ${matrix.i} >> MARKS; awk '{s += $1} END {print s}' ${inputs.numbers} > o"}
  all:
    kind: exec
    inputs: {parts: sum.out}
    outputs: {total: o}
    params: {command: "echo all 0 >> MARKS; cat ${inputs.parts}/[0-9]* > o"}
"""


class World:
    """One run in one folder. `pipeline(tasks)` is always the same text for the same marks file, so that all runs have
    the same ids."""

    def __init__(self, folder, marks, network, tasks, options):
        self.folder, self.marks, self.network, self.tasks = folder, marks, network, tasks
        self.state, self.store = options.get("state"), options.get("store", str(folder / "store"))
        self.lease = options.get("lease", "5s")
        self.more = {**os.environ, "PENSTOCK_SANDBOX": "off", **options.get("environment", {})}
        self.port = free_port(network.address)
        self.broker, self.workers, self.others = None, {}, []
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "p.yaml").write_text(self.pipeline())
        marks.write_text("")

    def pipeline(self):
        return PIPELINE.replace("HALF", str(self.tasks // 2)).replace("MARKS", str(self.marks))

    # ---- processes ----

    def add(self, process):
        self.others.append(process.start())
        return process

    def broker_words(self):
        return [BROKER, "run", "p.yaml", "--json=full", "-q", "-j", 0, "--listen",
                f"tcp://{self.network.address}:{self.port}", "--lease", self.lease, "--store", self.store,
                *(["--state", self.state] if self.state else [])]

    def start_broker(self, *more):
        self.broker = Process("broker", [*self.broker_words(), *more], self.folder, self.more).start()

    @property
    def endpoints(self):
        """Where workers join."""
        return f"tcp://{self.network.address}:{self.port}"

    def start_worker(self, host, *more, environment=None, wrap=()):
        name = host
        key = self.folder / f"{host}.key"
        if not key.exists():
            subprocess.run([BROKER, "keys", "add", host, "-o", key], cwd=self.folder, env=self.more, check=True,
                           capture_output=True)
        words = [*self.network.inside(host), *wrap, WORKER, "--broker", self.endpoints,
                 "--name", name, "--slots", 1, "--store", self.store, "--cache", self.folder / f"cache-{host}", "--key", key,
                 "--broker-key", self.broker_key, *more]
        self.workers[host] = Process(host, words, self.folder, {**self.more, "PENSTOCK_LOG": "info", **(environment or {})}).start()
        return self.workers[host]

    def start(self, hosts=None):
        subprocess.run([BROKER, "keys", "init"], cwd=self.folder, env=self.more, check=True, capture_output=True)
        self.start_broker()
        for host in hosts or self.network.hosts:
            self.start_worker(host)

    @property
    def broker_key(self):
        listed = subprocess.run([BROKER, "keys", "list", "--json"], cwd=self.folder, env=self.more, capture_output=True,
                                text=True, check=True)
        return json.loads(listed.stdout)["public_key"]

    def stop(self):
        for process in [*self.workers.values(), self.broker, *reversed(self.others)]:
            if process:
                process.stop()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()

    # ---- what happened ----

    def executions(self):
        """How often each task began, by "step number"."""
        return collections.Counter(self.marks.read_text().splitlines())

    def wait_executions(self, count):
        wait_for(f"{count} executions", lambda: sum(self.executions().values()) >= count or not self.broker.is_alive())

    def finished(self):
        """Tasks that have a record now, by "step number"."""
        asked = subprocess.run([BROKER, "plan", "p.yaml", "--json", "--store", self.store,
                                *(["--state", self.state] if self.state else [])], cwd=self.folder, env=self.more,
                               capture_output=True, text=True)
        assert asked.returncode == 0, asked
        return {f"{e['step']} {e['axes'].get('i', 0)}" for e in json.loads(asked.stdout)["steps"] if e["action"] == "hit"}

    def records(self):
        """The journal of a run whose state is a folder, as text to search in."""
        return (self.folder / ".penstock/state/journal").read_bytes().decode("latin-1")

    def join(self):
        """Waits for the run; its document."""
        wait_for("the end of the run", lambda: not self.broker.is_alive())
        assert self.broker.process.returncode == 0, self.broker.text()[-3000:] + self.broker.out()[-2000:]
        return json.loads(self.broker.out())


def output_ids(document):
    return {f"{e['step']} {e['axes'].get('i', 0)}": {n: o["id"] for n, o in e["outputs"].items()} for e in document["steps"]}


class Watching:
    """Runs a function beside the run, as long as it goes on."""

    def __init__(self, function):
        self.thread = threading.Thread(target=function, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.thread.join(WAIT_S)
