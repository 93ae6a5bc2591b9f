"""A served broker for a test: started on a free port, asked over HTTP, ended by its pid."""
import contextlib
import http.client
import json
import re
import signal
import subprocess
import time
import urllib.parse

import pytest
from conftest import BROKER, TIMEOUT_S

def exec_pipeline(command, more=""):
    """One step `say`, a program that must leave o.txt."""
    return f"""version: 1
name: demo
params: {{text: hello, again: 1}}
steps:
  say:
    kind: exec
    outputs: {{o: o.txt}}
    params: {{command: {json.dumps(command)}}}
    {more}
"""


HELLO = exec_pipeline("echo ${params.text}; echo ${params.text} ${params.again} > o.txt")


def wait_for(found, what, seconds=60):
    """The first answer of `found` that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = found()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not in {seconds} s: {what}")


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.bytes = response.status, response.headers, response.read()

    @property
    def text(self):
        return self.bytes.decode()

    @property
    def json(self):
        return json.loads(self.bytes)

    @property
    def error(self):
        return self.json["error"]

    def __repr__(self):
        return f"{self.status} {self.bytes[:2000]!r}"


class Served:
    def __init__(self, place, *args, address="127.0.0.1:0", **environment):
        self.place, self.args, self.environment = place, args, environment
        self.address, self.begun = address, []
        self.start()

    def start(self):
        self.log = self.place.path / "serve.log"
        self.log.touch()
        before = self.log.stat().st_size
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([BROKER, "serve", "--http", self.address, *self.args], cwd=self.place.path,
                                            stdout=log, stderr=log, env=self.place.environment(**self.environment))
        def said():
            assert self.process.poll() is None, self.log.read_text()[before:]
            return re.search(r"serving at (http://(\S+));", self.log.read_text()[before:])
        found = wait_for(said, "serving at")
        self.url, self.address = found.group(1), found.group(2)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Asks it to go; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_S)

    def token(self, role="write"):
        return (self.place.path / ".penstock" / f"{role}.token").read_text().strip()

    def connect(self):
        host, port = self.address.rsplit(":", 1)
        return http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)

    def ask(self, method, target, body=None, token="write", **headers):
        """One request. A dict as body is sent as JSON; `token` is a role, a token, or None."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if token:
            token = self.token(token) if token in ("read", "write") else token
            headers.setdefault("Authorization", f"Bearer {token}")
        connection = self.connect()
        try:
            connection.request(method, target, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, target, **more):
        answer = self.ask("GET", target, **more)
        assert answer.status == 200, answer
        return answer.json

    def submit(self, text, **more):
        """A pipeline's text begins a run; its id."""
        answer = self.ask("POST", "/v1/runs", {"pipeline": text, **more})
        assert answer.status == 201, answer
        return answer.json["run"]

    def until_over(self, run):
        def over():
            document = self.get(f"/v1/runs/{run}")
            return document if document["state"] not in ("queued", "running") else None
        return wait_for(over, f"{run} is over")

    def broker(self, *args, server=None, **more):
        """A command of the command line, by another who stands in the same folder."""
        return self.place.broker(*args, PENSTOCK_SERVER=server or self.url, **more)

    def begin(self, *args, **environment):
        """The same as a process of its own."""
        self.begun.append(self.place.start(*args, PENSTOCK_SERVER=self.url, **environment))
        return self.begun[-1]

    def until_running(self, run):
        """Its first task has been given to a worker."""
        wait_for(lambda: self.get(f"/v1/runs/{run}")["steps"][0]["state"] == "running", f"{run} runs")

    def until_logged(self, task, text):
        def logged():
            answer = self.ask("GET", "/v1/logs/" + urllib.parse.quote(task))
            return answer if answer.status == 200 and text in answer.text else None
        return wait_for(logged, f"{task} writes {text}")


@contextlib.contextmanager
def serving(place, *args, **more):
    served = Served(place, *args, **more)
    try:
        yield served
    finally:
        served.kill()
        for process in served.begun:  # a watcher would wait for the broker for ever
            process.kill()
            process.wait()


@pytest.fixture
def served(place):
    with serving(place) as broker:
        yield broker


def events(response):
    """Server-sent events of an open answer: (id, event, document)."""
    number, event, data = None, None, None
    for line in response:
        line = line.decode().rstrip("\n")
        if line.startswith("id: "):
            number = int(line[4:])
        elif line.startswith("event: "):
            event = line[7:]
        elif line.startswith("data: "):
            data = json.loads(line[6:])
        elif not line and event:
            yield number, event, data
            number, event, data = None, None, None
