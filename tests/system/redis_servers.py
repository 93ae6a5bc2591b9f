"""Redis servers of a test's own: real ones, on free ports of this machine, ended with the test."""
import shutil
import signal
import socket
import subprocess
import time

import pytest


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Redis:
    """`kill` and `start` again keep what is on its disk (appendonly)."""

    def __init__(self, folder, *arguments, tls=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port, self.arguments, self.process = folder, free_port(), list(arguments), None
        self.socket = folder / "redis.sock"
        self.tls_port = free_port() if tls else None
        if tls:
            self.arguments += ["--tls-port", self.tls_port, "--tls-cert-file", tls / "server.pem", "--tls-key-file",
                               tls / "server.key", "--tls-ca-cert-file", tls / "ca.pem", "--tls-auth-clients", "no"]
        self.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self, *more, is_ready=lambda answer: "LOADING" not in answer):
        command = ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--unixsocket", self.socket, "--dir",
                   self.folder, "--save", "", "--appendonly", "yes", "--logfile", self.folder / "log",
                   "--enable-debug-command", "yes", *self.arguments, *more]
        self.process = subprocess.Popen([str(word) for word in command])
        self.wait(is_ready)

    def wait(self, is_it):
        for _ in range(1000):
            if is_it(self.raw("PING")):
                return
            time.sleep(0.01)
        raise AssertionError((self.folder / "log").read_text())

    def start_slowly(self):
        """Started again, it reads its data until `go_on`, and says so to whoever asks."""
        self.ask("DEBUG", "POPULATE", 30000)
        self.ask("BGREWRITEAOF")
        self.wait(lambda _: "aof_rewrite_in_progress:0" in self.raw("INFO", "persistence"))
        self.kill()
        self.start("--key-load-delay", 1000, "--loading-process-events-interval-bytes", 1024,
                   is_ready=lambda answer: answer.startswith("-LOADING"))

    def go_on(self):
        self.ask("CONFIG", "SET", "key-load-delay", 0)

    def raw(self, *words):
        """One command over the unix socket; the first line of its answer, "LOADING" while nobody listens."""
        command = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(str(w).encode()), str(w).encode())
                                                    for w in words)
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(10)
                link.connect(str(self.socket))
                link.sendall(command)
                return link.recv(1 << 16).decode(errors="replace")
        except OSError:
            return "LOADING"

    def ask(self, *words):
        answer = self.raw(*words)
        assert not answer.startswith("-"), answer
        return answer

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()


class Sentinel:
    def __init__(self, folder, master, name="mymaster"):
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.name = free_port(), name
        config = folder / "sentinel.conf"
        config.write_text(f"port {self.port}\nbind 127.0.0.1\ndir {folder}\nlogfile {folder}/log\n"
                          f"sentinel monitor {name} 127.0.0.1 {master.port} 1\n"
                          f"sentinel down-after-milliseconds {name} 1000\n"
                          f"sentinel failover-timeout {name} 3000\n")
        self.process = subprocess.Popen(["redis-server", str(config), "--sentinel"])

    @property
    def url(self):
        return f"redis+sentinel://127.0.0.1:1,127.0.0.1:{self.port}/{self.name}"

    def ask(self, *words):
        done = subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True, timeout=10)
        return done.stdout

    def stop(self):
        self.process.kill()
        self.process.wait()


def make_certificates(folder):
    """An authority, a certificate for localhost, and another authority that has nothing to do with it."""
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, cwd=folder)

    for name in ["ca", "other"]:
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", "2")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key", "-out",
            "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
            "server.pem", "-days", "2", "-extfile", "names")
    return folder


@pytest.fixture
def servers(tmp_path):
    """Starts servers, which end with the test."""
    if not shutil.which("redis-server"):
        pytest.skip("needs redis-server (make setup-test)")
    started = []

    def start(kind, *arguments, **named):
        folder = tmp_path / f"server{len(started)}"
        started.append(kind(folder, *arguments, **named))
        return started[-1]

    yield start
    for server in reversed(started):
        server.stop()


@pytest.fixture
def redis(servers):
    return servers(Redis)


def skip_without(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"needs {program} (make setup-test)")


