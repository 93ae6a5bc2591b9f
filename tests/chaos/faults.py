"""The faults, one function each: it disturbs a run that goes on, and returns how many executions that may cost.

What a function gets is the World; the run goes on until its end after the function has returned."""
import contextlib
import pathlib
import random
import resource
import signal
import socket
import subprocess
import sys
import time

import peers
from world import BROKER, Process, Watching, wait_for

FAULTS = {}
# What a killed worker may cost: the task in its slot, and results that it had made and nobody had committed.
KILL = 4
# What a worker that is cut off may do that others do, too: 50 ms of the shortest work wait at it, and it goes on with them.
QUEUE = 64


def fault(name, *, needs=(), short=False, **options):
    """`needs`: servers beside the run. `short`: also in the short form of `make test`."""
    def add(function):
        FAULTS[name] = (function, frozenset(needs), short, options)
        return function
    return add


def some_way(w, share=0.3):
    w.wait_executions(int(w.tasks * share))


# ---- workers ----

@fault("worker killed before it fetches")
def killed_before_fetch(w):
    """Stopped first, so that tasks are on their way to it and none has begun; then killed."""
    some_way(w)
    w.workers["w1"].signal(signal.SIGSTOP)
    time.sleep(1)
    w.workers["w1"].kill()
    w.start_worker("w1")
    return KILL


@fault("worker killed amid a task", short=True)
def killed_amid(w):
    for _ in range(3):
        some_way(w)
        w.workers["w1"].kill()
        w.start_worker("w1")
        time.sleep(0.5)
    return 3 * KILL


@fault("worker killed after the upload, before the result")
def killed_before_result(w):
    """Its way to the broker is cut, not that to the store; so what it ends is uploaded and never told."""
    some_way(w)
    w.network.mute("w1")
    before = len(list((w.folder / "store/blobs").rglob("*")))
    wait_for("an upload", lambda: len(list((w.folder / "store/blobs").rglob("*"))) > before)
    time.sleep(0.3)
    w.workers["w1"].kill()
    w.network.unmute("w1")
    w.start_worker("w1")
    return QUEUE


@fault("worker killed after the result")
def killed_after_result(w):
    some_way(w)
    done = len(w.finished())
    w.workers["w1"].kill()
    assert len(w.finished()) >= done
    w.start_worker("w1")
    return KILL


@fault("worker stopped for 60 s", lease="5s")
def stopped(w):
    some_way(w)
    w.workers["w1"].signal(signal.SIGSTOP)
    time.sleep(60 if not w.is_short else 8)
    w.workers["w1"].signal(signal.SIGCONT)
    return 2  # what its slot was at, and what it was about to begin


@fault("worker's clock an hour ahead", needs=["faketime"])
def clock_ahead(w):
    return clock(w, "+1h")


@fault("worker's clock an hour behind", needs=["faketime"])
def clock_behind(w):
    return clock(w, "-1h")


def clock(w, offset):
    some_way(w, 0.1)
    w.workers["w2"].kill()
    library = str(next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1")))
    w.start_worker("w2", environment={"LD_PRELOAD": library, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                                      "ASAN_OPTIONS": "verify_asan_link_order=0"})
    return KILL


@fault("disk full at a worker")
def disk_full(w):
    """Its cache and work folders are on a file system of one megabyte, which somebody else fills."""
    some_way(w, 0.1)
    w.workers["w3"].kill()
    small = w.folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    w.undo(lambda: subprocess.run(["umount", "-l", small], check=False))
    w.start_worker("w3", "--cache", small / "cache")
    time.sleep(1)
    before = sum(w.executions().values())
    with contextlib.suppress(OSError), open(small / "filler", "wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    time.sleep(3)
    (small / "filler").unlink(missing_ok=True)
    return sum(w.executions().values()) - before  # whatever it began meanwhile may have found no room


# ---- the network ----

@fault("a worker cut off for 12 s", short=True)
def cut(w):
    some_way(w)
    w.network.cut("w1")
    time.sleep(12 if not w.is_short else 7)
    w.network.mend("w1")
    return QUEUE


@fault("a worker that is not heard for 12 s")
def muted(w):
    some_way(w)
    w.network.mute("w1")
    time.sleep(12)
    w.network.unmute("w1")
    return QUEUE


@fault("a worker that hears nothing for 12 s")
def deafened(w):
    some_way(w)
    w.network.deafen("w1")
    time.sleep(12)
    w.network.undeafen("w1")
    return QUEUE


# ---- the broker ----

@fault("broker killed 20 times", short=True)
def broker_killed(w):
    rng = random.Random(1)
    for _ in range(20 if not w.is_short else 4):
        time.sleep(rng.uniform(0.1, 1.5))
        if not w.broker.is_alive():
            break
        w.broker.kill()
        known = w.finished()
        before = w.executions()
        w.start_broker("--min-workers", len(w.workers))  # what they still hold is theirs
        w.watched.append((known, before))
    return 0


@fault("two brokers at once", short=True)
def two_brokers(w):
    some_way(w, 0.1)
    second = subprocess.run([str(word) for word in w.broker_words()], cwd=w.folder, env=w.more, capture_output=True,
                            text=True, timeout=60)
    assert second.returncode == 3, second
    assert "another broker" in second.stderr or "port" in second.stderr, second.stderr
    return 0


@fault("the leader killed, the standby takes over", needs=["redis"], short=True, standby=True)
def leader_killed(w):
    for _ in range(3 if not w.is_short else 1):
        some_way(w)
        known, before = w.finished(), w.executions()
        leader = w.leader()
        w.served[leader].kill()
        wait_for("a new leader", w.leader)
        w.serve(leader)  # as the standby now
        w.watched.append((known, before))
        time.sleep(1)
    return 0


@fault("the leader stopped past its lease, and woken up", needs=["redis"], standby=True)
def leader_stopped(w):
    some_way(w)
    known, before = w.finished(), w.executions()
    leader = w.leader()
    w.served[leader].signal(signal.SIGSTOP)
    wait_for("a new leader", lambda: w.leader() not in (None, leader))
    w.served[leader].signal(signal.SIGCONT)
    wait_for("it stands by", lambda: w.readiness(leader) == 503)
    w.watched.append((known, before))
    return 0


@fault("descriptors exhausted at the broker")
def descriptors(w):
    """As many connections as it can hold and more; then they go."""
    some_way(w, 0.1)
    resource.prlimit(w.broker.pid, resource.RLIMIT_NOFILE, (64, 4096))
    held = []
    for _ in range(200):
        try:
            held.append(socket.create_connection((w.network.address, w.port), 1))
        except OSError:
            break
    time.sleep(3)
    for one in held:
        one.close()
    resource.prlimit(w.broker.pid, resource.RLIMIT_NOFILE, (4096, 4096))
    return QUEUE


# ---- peers ----

@fault("strangers: no key, a wrong key, malformed and oversized frames", short=True)
def strangers(w):
    with Watching(lambda: peers.disturb(w)):
        some_way(w, 0.9)
        w.join()
    return 0



@fault("a worker whose results come twice, and again later", short=True)
def replays(w):
    some_way(w, 0.1)
    w.workers["w3"].kill()
    words = [*w.network.inside("w3"), sys.executable, pathlib.Path(__file__).with_name("replaying_worker.py"),
             f"tcp://{w.network.address}:{w.port}", w.store, w.folder / "w3.key", w.broker_key]
    w.workers["w3"] = Process("w3", words, w.folder, w.more).start()
    wait_for("a result of it", lambda: "foreign-" in w.records() or not w.broker.is_alive())
    assert "foreign-" in w.records(), "it came too late to do anything"
    return KILL


# ---- Redis ----

@fault("Redis killed, with AOF", needs=["redis"], short=True)
def redis_killed(w):
    for _ in range(3):
        some_way(w)
        w.redis.kill()
        time.sleep(1)
        w.redis.start()
    return 0


@fault("Redis away for 30 s", needs=["redis"])
def redis_away(w):
    some_way(w)
    w.redis.signal(signal.SIGSTOP)
    time.sleep(30)
    w.redis.signal(signal.SIGCONT)
    return 0


@fault("Redis emptied; recovered from the journal", needs=["redis"], short=True)
def redis_emptied(w):
    """The broker is killed when its journal is in the store: what it committed in its last half second was in Redis alone."""
    some_way(w)
    for worker in w.workers.values():
        worker.signal(signal.SIGSTOP)
    time.sleep(2)
    w.broker.kill()
    known, before = w.finished(), w.executions()
    w.redis_cli("FLUSHALL")
    assert not w.finished()
    recovered = subprocess.run([BROKER, "recover", "--store", w.store, "--state", w.state], cwd=w.folder, env=w.more,
                               capture_output=True, text=True)
    assert recovered.returncode == 0, recovered
    assert w.finished() >= known, f"completions are not back: {sorted(known - w.finished())[:5]}"
    for worker in w.workers.values():
        worker.signal(signal.SIGCONT)
    w.start_broker("--min-workers", len(w.workers))
    w.watched.append((known, before))
    return 0


@fault("Redis emptied under a broker that goes on", needs=["redis"])
def redis_emptied_beneath(w):
    some_way(w)
    known, before = w.finished(), w.executions()
    w.redis_cli("FLUSHALL")
    w.watched.append((known, before))
    return 3


@fault("Redis at its memory limit", needs=["redis"], short=True)
def redis_full(w):
    some_way(w)
    w.redis_cli("CONFIG", "SET", "maxmemory", "1mb")
    time.sleep(5 if not w.is_short else 2)
    w.redis_cli("CONFIG", "SET", "maxmemory", "0")
    return 0


@fault("Sentinel failover that loses acknowledged writes", needs=["sentinel"])
def failover(w):
    """The replica is cut off first, so what is acknowledged afterwards is lost with the master."""
    some_way(w)
    w.redis_cli("CONFIG", "SET", "min-replicas-to-write", "0")
    w.replica_cli("REPLICAOF", "127.0.0.1", "1")
    some_way(w, 0.6)
    known, before = w.finished(), w.executions()
    w.replica_cli("REPLICAOF", w.network.address, w.redis_port)
    w.redis.kill()
    w.watched.append((known, before))
    return 3


# ---- S3 ----

@fault("S3 refused for 10 s", needs=["s3"], short=True)
def s3_refused(w):
    some_way(w)
    w.proxy.end()
    time.sleep(10 if not w.is_short else 3)
    w.proxy.begin()
    return 0


def misbehaving(w, act, seconds, match="."):
    with w.proxy.fault(match, act) as fault:
        time.sleep(seconds)
    assert fault.hits, "nobody asked meanwhile"
    return 0


@fault("S3 answers 503 for 30 s", needs=["s3"])
def s3_busy(w):
    from hostile_s3 import say
    some_way(w)
    return misbehaving(w, say(503, "SlowDown", "reduce your request rate"), 30)


@fault("S3 at a byte a second", needs=["s3"])
def s3_slow(w):
    from hostile_s3 import slowly
    some_way(w)
    return misbehaving(w, slowly, 20, match="^GET")


@fault("S3 bodies cut short", needs=["s3"], short=True)
def s3_truncated(w):
    from hostile_s3 import truncated
    some_way(w)
    return misbehaving(w, truncated, 10 if not w.is_short else 3, match="^GET")


# ---- bytes ----

def blobs(w):
    return [path for path in (w.folder / "store/blobs").rglob("*") if path.is_file()]


@fault("a corrupt blob", short=True)
def corrupt(w):
    some_way(w)
    victim = random.Random(3).choice(sorted(blobs(w)))
    victim.chmod(0o644)
    victim.write_bytes(b"not what it was")
    return 4  # its maker runs again, and who had begun to read it


@fault("10 % of the blobs deleted amid the run", short=True)
def deleted(w):
    some_way(w, 0.5)
    rng, gone = random.Random(4), 0
    for blob in sorted(blobs(w)):
        if rng.random() < 0.1:
            blob.unlink(missing_ok=True)
            gone += 1
    return 3 * gone  # each maker, and who failed for want of it
