"""Two brokers on one Redis, each with a home of its own, workers that know both, and a proxy that can cut one broker off."""
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import threading
import time

from conftest import BROKER, WORKER
from redis_servers import free_port
from served import Served
from workers import wait_for


class Wire:
    """A TCP proxy. `cut` closes what goes through it and lets nothing more through, `mend` ends that. It cuts by itself where
    `cut_at` comes through."""

    def __init__(self, port):
        self.target, self.is_cut, self.pairs, self.lock = port, False, [], threading.Lock()
        self.cut_at = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if self.is_cut:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self.target))
                self.pairs.append((client, server))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one, other):
        try:
            while data := one.recv(1 << 16):
                if self.cut_at and self.cut_at in data:
                    self.cut()
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.lock:
            self.is_cut = True
            for pair in self.pairs:
                for end in pair:
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
            self.pairs = []

    def mend(self):
        self.is_cut = False

    def close(self):
        self.cut()
        self.listener.close()


class Broker(Served):
    """One of the two. Both have the same tokens, or a client would need two."""

    def __init__(self, pair, name, redis_port, *args):
        self.pair, self.name, self.home = pair, name, pair.place.path / name
        self.work = f"tcp://127.0.0.1:{free_port()}"
        self.home.mkdir()
        for role in ("read", "write"):
            token = self.home / f"{role}.token"
            token.touch(0o600)
            token.write_text(pair.tokens[role])
        super().__init__(pair.place, "--home", str(self.home), "--listen", self.work, "--store", str(pair.store), *args,
                         REDIS_URL=f"redis://127.0.0.1:{redis_port}", PENSTOCK_LOG="info")

    def start(self):
        self.log = self.home / "serve.log"
        self.log.touch()
        before = self.log.stat().st_size
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([BROKER, "serve", "--http", self.address, *self.args], cwd=self.place.path,
                                            stdout=log, stderr=log, env=self.place.environment(**self.environment))
        found = wait_for(lambda: re.search(r"serving at (http://(\S+));", self.text()[before:]))
        self.url, self.address = found.group(1), found.group(2)

    def text(self):
        return self.log.read_text(errors="replace")

    def said(self, words, seconds=20):
        return wait_for(lambda: words in self.text(), seconds)

    def token(self, role="write"):
        return self.pair.tokens[role]

    def leads(self):
        return self.process.poll() is None and self.ask("GET", "/readyz", token=None).status == 200

    def signal(self, number):
        self.process.send_signal(number)


class Pair:
    def __init__(self, place, redis, wire=None, args=()):
        self.place, self.redis, self.store = place, redis, place.path / "store"
        self.tokens = {role: secrets.token_hex(16) for role in ("read", "write")}
        self.marks = place.path / "marks"
        self.marks.mkdir()
        self.workers = []
        self.first = Broker(self, "first", wire.port if wire else redis.port, *args)
        wait_for(self.first.leads)
        self.second = Broker(self, "second", redis.port, *args)
        self.second.said("standing by: ")

    @property
    def urls(self):
        return f"{self.first.url},{self.second.url}"

    def add_worker(self, name):
        log = open(self.place.path / f"{name}.log", "w")
        self.workers.append(subprocess.Popen(
            [WORKER, "--broker", f"{self.first.work},{self.second.work}", "--store", str(self.store), "--cache",
             str(self.place.path / f"cache-{name}"), "--name", name, "--slots", "2"], cwd=self.place.path, stderr=log,
            env=self.place.environment(PENSTOCK_LOG="info", PENSTOCK_WRITABLE=str(self.marks))))
        log.close()

    def worker_log(self, name):
        return (self.place.path / f"{name}.log").read_text(errors="replace")

    # ---- a run ----

    def pipeline(self, tasks, seconds=0.03):
        """Each execution of a task leaves a mark with its number and the moment."""
        command = f"mktemp -q {self.marks}/${{matrix.i}}.XXXXXXXX > /dev/null; sleep {seconds}; echo ${{matrix.i}} > o"
        return (f"version: 1\nname: many\nsteps:\n  one: {{kind: exec, matrix: {{i: {{range: [0, {tasks}]}}}}, "
                f"outputs: {{o: o}}, params: {{command: {command!r}}}}}\n")

    def executions(self):
        return [path.name.split(".")[0] for path in self.marks.glob("*.????????")]

    def wait_executions(self, count):
        wait_for(lambda: len(self.executions()) >= count, 60)

    def first_after(self, moment):
        """When, after `moment`, a task began; in the clock of files."""
        times = [path.stat().st_mtime for path in self.marks.glob("*.????????")]
        return min((t for t in times if t > moment), default=None)

    def client(self, *args, **environment):
        return self.place.broker(*args, PENSTOCK_SERVER=self.urls, PENSTOCK_TOKEN=self.tokens["write"], **environment)

    def begin_client(self, *args):
        return self.place.start(*args, PENSTOCK_SERVER=self.urls, PENSTOCK_TOKEN=self.tokens["write"])

    def close(self):
        for process in [*self.workers, self.first.process, self.second.process]:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
