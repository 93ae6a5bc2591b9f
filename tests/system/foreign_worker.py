"""A worker in another language, written from proto/PROTOCOL.md alone: joins a broker over CURVE, does `exec` tasks one at a
time, keeps artifacts in a folder.     python foreign_worker.py ENDPOINT STORE IDENTITY BROKER_KEY"""
import hashlib, json, os, shlex, signal, subprocess, sys, tempfile, threading, time, msgpack, zmq
from pathlib import Path
from nacl.signing import SigningKey, VerifyKey
from zmq.utils import monitor, z85

(HELLO, WELCOME, REFUSED, TASKS, _, _, RESULTS, ACK, REVOKE, KILL, HEARTBEAT, GOODBYE, REVOKED, NOT_LEADER) = range(14)
INVALID, LOST, TIMEOUT, CRASHED, EXIT, CANCELLED, VERSION, DENIED, UNSUPPORTED = 1, 7, 8, 9, 10, 12, 16, 18, 22

class Failed(Exception): ...  # code, text, lost ids
def digest(data, person=b""):
    return hashlib.blake2b(data, digest_size=32, person=person).digest()
def ordered(value):
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value, key=str.encode)}
    return [ordered(item) for item in value] if isinstance(value, list) else value
def text(value):
    return value if isinstance(value, str) else json.dumps(value)
def parse(path):
    try:
        return json.loads(path.read_bytes())
    except (ValueError, OSError):
        return None

def read(space, key, person=b""):
    path = STORE / space / key.hex()[:2] / key.hex()[2:]
    data = path.read_bytes() if path.exists() else b""
    if digest(data, person) != key:
        raise Failed(LOST, f"{space} {key.hex()} is missing or corrupt", [key])
    return data

def write(space, data, person=b""):
    path = STORE / space / digest(data, person).hex()[:2] / digest(data, person).hex()[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=STORE / "tmp", delete=False) as file:
        file.write(data)
    os.rename(file.name, path)
    return digest(data, person)

def fetch(is_tree, key, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    if not is_tree:
        return target.write_bytes(read("blobs", key))
    for path, executable, _, blob in msgpack.unpackb(read("trees", key, b"penstock tree")):
        fetch(False, blob, target / path)
        (target / path).chmod(0o755 if executable else 0o644)

def publish(path):
    if path.is_file():
        return [write("blobs", path.read_bytes()), path.stat().st_size, False]
    manifest = sorted([p.relative_to(path).as_posix(), os.access(p, os.X_OK), p.stat().st_size, publish(p)[0]]
                      for p in path.rglob("*") if p.is_file())
    return [write("trees", msgpack.packb(manifest), b"penstock tree"), sum(entry[2] for entry in manifest), True]

class Job(threading.Thread):
    def __init__(self, name, task):
        super().__init__(daemon=True)
        self.worker, self.task, self.attempt, self.child, self.killed = name, task, task[:2], None, None
        self.work, self.log, self.stdout = (Path(tempfile.mkdtemp()) / name for name in ("", "log", "stdout"))
    def run(self):
        try:
            self.result = [*self.attempt, 0, msgpack.packb(ordered(self.perform()))]
        except Failed as failed:
            self.result = [*self.attempt, *failed.args[:2], self.published_log(), failed.args[2]]
    def published_log(self):
        return publish(self.log) if self.log.exists() and self.log.stat().st_size else None
    def place_inputs(self, spec):
        artifacts, paths = iter(self.task[3]), {}
        for name, entry in sorted(spec.get("inputs", {}).items(), key=lambda item: item[0].encode()):
            source, path = (entry["from"], entry["path"]) if isinstance(entry, dict) else (entry, f"inputs/{name}")
            is_gather, paths[name], index = isinstance(source[0], list), path, []
            for i, ref in enumerate(source[0] if is_gather else [source]):
                if isinstance(ref[0], bytes):  # so that the specification becomes the action
                    key, _, is_tree = next(artifacts)
                    ref[:] = ["tree" if is_tree else "blob", key]
                index.append("\n" + json.dumps({"path": str(i), "id": ref[1].hex(), "is_tree": ref[0] == "tree"}))
                fetch(ref[0] == "tree", ref[1], self.work / path / str(i) if is_gather else self.work / path)
            if is_gather:
                (self.work / path / "index.json").write_text(f"[{','.join(index)}\n]\n")
        return paths
    def perform(self):
        spec, began, values = msgpack.unpackb(self.task[2]), time.time(), {}
        if digest(self.task[2], b"penstock task") != self.attempt[0] or (params := spec["params"]).get("secrets"):
            raise Failed(UNSUPPORTED, "another task than its id says, or one with secrets, which are not here", [])
        inputs = self.place_inputs(spec)
        outputs = {n: params.get("outputs", {}).get(n, n) for n in spec["outputs"] if n != params.get("stdout")}
        self.execute(params, inputs, outputs)
        paths = {n: self.work / outputs[n] if n in outputs else self.stdout for n in spec["outputs"]}
        for name, path in paths.items():
            if path.is_symlink() or not path.exists():
                raise Failed(INVALID, f"output {name}: nothing was left for it", [])
            paths[name] = publish(path)
            values[name] = parse(path) if paths[name][1] <= 4096 else None
        record = {"action": spec, "attempt": self.attempt[1], "worker": self.worker, "outputs": paths,
                  "values": {n: v for n, v in values.items() if isinstance(v, (dict, list))}, "log": self.published_log(),
                  "timings": [int(began * 1e6), int((time.time() - began) * 1e6)]}
        return {key: value for key, value in record.items() if value not in ({}, None)}
    def execute(self, params, inputs, outputs):
        is_shell = isinstance(params["command"], str)
        words = ["/bin/sh", "-c", params["command"]] if is_shell else [text(word) for word in params["command"]]
        for group, paths in (("inputs", inputs), ("outputs", outputs)):
            for name, path in paths.items():
                (self.work / path).parent.mkdir(parents=True, exist_ok=True)
                path = shlex.quote(path) if is_shell else path
                words = [word.replace("${%s.%s}" % (group, name), path) for word in words]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.work), "TMPDIR": tempfile.mkdtemp(), "LANG": "C.UTF-8"}
        environment |= inputs | params.get("env", {})
        out = open(self.stdout if "stdout" in params else self.log, "ab")
        self.child = subprocess.Popen(words, cwd=self.work, env=environment, stderr=open(self.log, "ab"), stdout=out,
                                      stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            self.child.wait(self.task[5] / 1000 or None)
        except subprocess.TimeoutExpired:
            self.kill(TIMEOUT, "it ran past its timeout")
        if (status := self.child.wait()) or self.killed:
            raise Failed(*(self.killed or (EXIT if status > 0 else CRASHED, f"it ended with {status}")), [])
    def kill(self, *why):
        self.killed = why
        if self.child:
            os.killpg(self.child.pid, signal.SIGKILL)

class Worker:
    def __init__(self, endpoint, identity, broker_key):
        self.endpoint, self.name, self.context = endpoint, f"foreign-{os.getpid()}", zmq.Context()
        self.key = SigningKey(bytes.fromhex(Path(identity).read_text().split()[-1]))
        wire, broker = self.key.to_curve25519_private_key(), VerifyKey(bytes.fromhex(broker_key)).to_curve25519_public_key()
        self.wire = [z85.encode(bytes(key)) for key in (wire, wire.public_key, broker)]
        self.send = lambda *frame: self.socket.send(msgpack.packb(frame))
        self.instance, self.epoch, self.lease_ms, self.sequence = os.urandom(16), 0, 15000, 0
        self.waiting, self.kept, self.job, self.socket, self.leaving = [], {}, None, None, False
    def connect(self):
        if self.socket:
            self.socket.close(0)
            time.sleep(0.2)
        self.is_welcome, self.socket = False, self.context.socket(zmq.DEALER)
        self.socket.routing_id, self.socket.maxmsgsize = b"f" + os.urandom(8), 32 << 20
        self.socket.curve_secretkey, self.socket.curve_publickey, self.socket.curve_serverkey = self.wire
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        self.socket.connect(self.endpoint)
        self.send(HELLO, 1, self.name, self.instance, bytes(self.key.verify_key), 1, 100, 1 << 30, self.epoch, ["exec@1"], {},
                  {}, self.held() + [attempt for attempt, _ in self.kept.values()])
    def held(self):
        return [task[:2] for task in self.waiting] + ([self.job.attempt] if self.job else [])
    def answer(self, result):
        body = msgpack.packb([result])
        signature = self.key.sign(digest(body, b"penstock results")).signature
        self.kept[self.sequence] = (result[:2], (RESULTS, self.sequence, signature, body))
        self.send(*self.kept[self.sequence][1])
        self.sequence += 1
    def receive(self, kind, *rest):
        if kind == WELCOME and rest[0] >= self.epoch:
            self.epoch, self.lease_ms, self.is_welcome, self.heartbeat_at = rest[0], rest[1], True, 0
            for _, frame in self.kept.values():
                self.send(*frame)
        elif kind in (WELCOME, REFUSED, NOT_LEADER):
            if kind == REFUSED and rest[0] in (VERSION, DENIED):
                sys.exit(f"refused: {rest[1]}")
            self.endpoint = rest[1] if kind == NOT_LEADER and rest[1] else self.endpoint
            self.connect()
        elif kind == TASKS:
            self.waiting += rest[0]
        elif kind == ACK:
            self.kept = {sequence: kept for sequence, kept in self.kept.items() if sequence not in rest[0]}
        elif kind in (REVOKE, KILL):
            found = [task[:2] for task in self.waiting if task[:2] in rest[0]]
            self.waiting = [task for task in self.waiting if task[:2] not in found]
            for attempt in found:
                self.send(REVOKED, [attempt]) if kind == REVOKE else self.answer([*attempt, CANCELLED, "", None, []])
            if kind == KILL and self.job and self.job.attempt in rest[0]:
                self.job.kill(CANCELLED, "it was cancelled")
        self.leaving |= kind == GOODBYE
    def turn(self):
        if self.job and not self.job.is_alive():
            self.answer(self.job.result)
            self.job = None
        if not self.job and self.waiting and not self.leaving:
            self.job = Job(self.name, self.waiting.pop(0))
            self.job.start()
        if time.monotonic() >= self.heartbeat_at:
            self.send(HEARTBEAT, self.held())
            self.heartbeat_at = time.monotonic() + self.lease_ms / 3000
    def run(self):
        self.connect()
        while not (self.leaving and not self.job and not self.kept):
            if self.socket.poll(20):
                self.receive(*msgpack.unpackb(self.socket.recv()))
            if event := self.monitor.poll(0) and monitor.recv_monitor_message(self.monitor)["event"]:
                if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                    sys.exit("the broker does not know this worker's key")
                self.connect()
            if self.is_welcome:
                self.turn()
        self.send(GOODBYE, self.held())
        self.socket.close(1000)

STORE, worker = Path(sys.argv[2]), Worker(sys.argv[1], *sys.argv[3:5])
signal.signal(signal.SIGTERM, lambda *_: setattr(worker, "leaving", True))
worker.run()
