"""The servers that some faults need beside the run: Redis (alone, or with a replica and a Sentinel), an S3 server behind a
proxy that misbehaves on demand. Started on free ports, stopped by their pids."""
import contextlib
import pathlib
import shutil
import subprocess
import sys

from world import ROOT, Process, free_port, is_listening, wait_for

sys.path.insert(0, str(ROOT / "tests/system"))


def why_not(needs):
    if needs & {"redis", "sentinel"} and not shutil.which("redis-server"):
        return "no redis-server"
    if "faketime" in needs and not list(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1")):
        return "no libfaketime (package faketime)"
    return None


class Servers:
    def __init__(self, folder, network, needs):
        self.folder, self.network, self.needs = folder, network, needs
        self.processes = contextlib.ExitStack()
        self.redis = self.replica = self.sentinel = self.s3 = self.proxy = None

    def _start(self, name, words):
        process = Process(name, words, self.folder).start()
        self.processes.callback(process.stop)
        return process

    def _redis(self, name, port, *more):
        data = self.folder / name
        data.mkdir(parents=True, exist_ok=True)
        process = self._start(name, ["redis-server", "--port", port, "--bind", self.network.address, "127.0.0.1", "--dir", data,
                                     "--protected-mode", "no", "--save", "", "--appendonly", "yes", *more])
        wait_for(name, lambda: is_listening(self.network.address, port))
        return process

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        address = self.network.address
        if self.needs & {"redis", "sentinel"}:
            self.redis_port = free_port(address)
            self.redis = self._redis("redis", self.redis_port)
        if "sentinel" in self.needs:
            self.replica_port, self.sentinel_port = free_port(address), free_port(address)
            self.replica = self._redis("replica", self.replica_port, "--replicaof", address, self.redis_port)
            settings = self.folder / "sentinel.conf"
            settings.write_text(f"port {self.sentinel_port}\nbind {address} 127.0.0.1\nprotected-mode no\n"
                                f"sentinel monitor main {address} {self.redis_port} 1\n"
                                "sentinel down-after-milliseconds main 2000\nsentinel failover-timeout main 10000\n")
            self.sentinel = self._start("sentinel", ["redis-server", settings, "--sentinel"])
            wait_for("sentinel", lambda: is_listening(address, self.sentinel_port))
            # It asks the master for its replicas every ten seconds only, and promotes none that it has not heard of.
            wait_for("replica", lambda: "master_link_status:up" in self._cli(self.replica_port, ["INFO", "replication"]))
            wait_for("sentinel that knows the replica",
                     lambda: str(self.replica_port) in self._cli(self.sentinel_port, ["SENTINEL", "REPLICAS", "main"]))
        if "s3" in self.needs:
            from hostile_s3 import Hostile
            from s3_server import Server
            self.s3 = Server(self.folder / "s3")
            self.processes.callback(self.s3.stop)
            self.proxy = Hostile(self.s3.url, address=address)
            self.processes.callback(self.proxy.end)
        return self

    def __exit__(self, *error):
        self.processes.close()

    def options(self):
        if "sentinel" in self.needs:
            return {"state": f"redis+sentinel://{self.network.address}:{self.sentinel_port}/main"}
        if "redis" in self.needs:
            return {"state": f"redis://{self.network.address}:{self.redis_port}/0"}
        if "s3" in self.needs:
            return {"store": "s3://artifacts/chaos", "environment": self.s3.environment(AWS_ENDPOINT_URL_S3=self.proxy.url)}
        return {}

    def lend(self, world):
        """What the faults reach for."""
        world.redis, world.proxy, world.undo = self.redis, self.proxy, self.processes.callback
        world.redis_port = getattr(self, "redis_port", None)
        world.redis_cli = lambda *words: self._cli(self.redis_port, words)
        world.replica_cli = lambda *words: self._cli(self.replica_port, words)

    def _cli(self, port, words):
        done = subprocess.run(["redis-cli", "-h", self.network.address, "-p", str(port), *map(str, words)], capture_output=True,
                              text=True, check=True)
        return done.stdout.strip()
