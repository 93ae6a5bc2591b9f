"""The same cluster with two brokers that serve one Redis; the run is submitted to them by a client that watches it."""
import json
import subprocess
import urllib.error
import urllib.request

from world import BROKER, Process, World, free_port, wait_for


class Standby(World):
    """`broker` is the client: it ends with the run. Of `served` one leads."""

    def __init__(self, *args):
        super().__init__(*args)
        self.served, self.ports, self.web = {}, {}, {}
        for name in ("first", "second"):
            self.ports[name], self.web[name] = free_port(self.network.address), free_port(self.network.address)

    @property
    def endpoints(self):
        return ",".join(f"tcp://{self.network.address}:{port}" for port in self.ports.values())

    def url(self, name):
        return f"http://{self.network.address}:{self.web[name]}"

    def serve(self, name):
        """Keys, list and tokens are the same for both: those of the first's home."""
        home, keys = self.folder / name, self.folder / ".penstock/keys"
        if not home.exists():
            home.mkdir()
            for role in ("read", "write"):
                (home / f"{role}.token").touch(0o600)
                (home / f"{role}.token").write_text(f"{role}-{'0' * 32}")
        words = [BROKER, "serve", "--home", home, "--http", f"{self.network.address}:{self.web[name]}", "--listen",
                 f"tcp://{self.network.address}:{self.ports[name]}", "--key", keys / "broker", "--workers-file", keys / "workers",
                 "--lease", self.lease, "--store", self.store, "--state", self.state, "--min-workers", 3]
        self.served[name] = Process(name, words, self.folder, {**self.more, "PENSTOCK_LOG": "info"}).start()

    def readiness(self, name):
        try:
            return urllib.request.urlopen(self.url(name) + "/readyz", timeout=2).status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def leader(self):
        return next((name for name in self.served if self.served[name].is_alive() and self.readiness(name) == 200), None)

    def start_broker(self, *more):
        self.serve("first")
        wait_for("a leader", self.leader)
        self.serve("second")
        wait_for("a standby", lambda: self.readiness("second") == 503)
        servers = ",".join(map(self.url, self.served))
        self.broker = Process("client", [BROKER, "submit", "p.yaml", "--watch", "--json", "--server", servers], self.folder,
                              {**self.more, "PENSTOCK_TOKEN": f"write-{'0' * 32}"}).start()

    def stop(self):
        super().stop()
        for process in self.served.values():
            process.stop()

    def join(self):
        """The client has seen the end of the run; all of it is in the state, which another broker reads."""
        wait_for("the end of the run", lambda: not self.broker.is_alive())
        assert self.broker.process.returncode == 0, self.broker.text()[-3000:] + self.broker.out()[-2000:]
        watched = json.loads(self.broker.out())
        for process in self.served.values():
            process.stop()
        asked = subprocess.run([*map(str, self.broker_words())], cwd=self.folder, env=self.more, capture_output=True, text=True)
        assert asked.returncode == 0, asked
        document = json.loads(asked.stdout)
        assert watched["tasks"]["total"] == document["tasks"]["hit"] == watched["tasks"]["executed"], (watched, document["tasks"])
        return document
