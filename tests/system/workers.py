"""A broker that listens and workers that join it, each a process of its own, to be stopped and killed."""
import json
import shlex
import signal
import subprocess
import threading
import time

SECONDS = 20


def wait_for(condition, seconds=SECONDS):
    """Waits until the condition is true, and returns it. How long that takes says nothing."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


class Cluster:
    """One run of p.yaml. Its tasks leave marks: a file each in marks/, made by the command of `mark`."""

    def __init__(self, place):
        self.place, self.broker, self.workers, self.lines = place, None, {}, []
        self.folder = place.path / "marks"
        self.folder.mkdir()

    # ---- what tasks run ----

    def mark(self, name):
        """A shell command that leaves one more mark of that name."""
        return f"mktemp -q {self.folder}/{name}.XXXXXXXX > /dev/null"

    def gate(self, name):
        """A shell command that waits until the test opens the gate."""
        return f"until [ -e {self.folder}/open-{name} ]; do sleep 0.02; done"

    def only_first(self, name, command):
        """A shell command that runs `command` the first time alone."""
        return f"if mkdir {self.folder}/first-{name} 2> /dev/null; then {command}; fi"

    def open(self, name):
        (self.folder / f"open-{name}").touch()

    def marks(self, name):
        return len(list(self.folder.glob(f"{name}.????????")))

    def wait_marks(self, name, count=1):
        wait_for(lambda: self.marks(name) >= count)

    # ---- processes ----

    def lent(self, environment):
        """Programs may write the marks, or they could tell the test nothing."""
        return {"PENSTOCK_WRITABLE": str(self.folder), **environment}

    def start(self, *args, slots=0, **environment):
        self.lines = lines = []
        self.broker = self.place.start("run", "p.yaml", "--json=full", "-j", slots, *args, **self.lent(environment))
        stderr = self.broker.stderr
        threading.Thread(target=lambda: lines.extend(iter(stderr.readline, "")), daemon=True).start()
        self.wait_line("to join: ")

    def wait_line(self, words, seconds=SECONDS):
        return wait_for(lambda: next((line for line in self.lines if words in line), None), seconds)

    def join_command(self):
        return self.wait_line("to join: ").split("to join: ")[1].strip()

    def join(self, name, *args, **environment):
        """A worker by the line that the broker printed."""
        log = open(self.place.path / f"{name}.log", "w")
        words = [*shlex.split(self.join_command().split(" && ")[1]), "--name", name, *map(str, args)]
        self.workers[name] = subprocess.Popen(words, cwd=self.place.path, stderr=log,
                                              env=self.place.environment(PENSTOCK_LOG="info", **self.lent(environment)))
        log.close()
        return self.workers[name]

    def log(self, name):
        return (self.place.path / f"{name}.log").read_text()

    def wait_welcome(self, *names):
        for name in names:
            wait_for(lambda: "broker.welcome" in self.log(name))

    def signal(self, name, number):
        self.workers[name].send_signal(number)

    def leave(self, name):
        """SIGTERM; returns the exit code."""
        self.signal(name, signal.SIGTERM)
        return self.workers[name].wait(timeout=SECONDS)

    def finish(self, code=0):
        """The document of the run, and every worker that is left has gone with it."""
        out = self.broker.stdout.read()
        assert self.broker.wait(timeout=SECONDS) == code, "".join(self.lines)
        for name, worker in self.workers.items():
            assert worker.wait(timeout=SECONDS) in (0, -signal.SIGKILL), self.log(name)
        return json.loads(out)

    def close(self):
        for process in [self.broker, *self.workers.values()]:
            if process and process.poll() is None:
                process.kill()
                process.wait()
