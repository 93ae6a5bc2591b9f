"""Completions in Redis: REDIS_URL, or --state redis://…; a server that is killed, away, full, forgetful."""
import contextlib
import json
import os
import signal
import subprocess
import time

import pytest

from conftest import BROKER, output_ids
from redis_servers import Redis, Sentinel, make_certificates, redis, servers, skip_without  # noqa: F401

IRIS = "configs/iris.yaml"
STEPS = """
version: 1
name: steps
steps:
  make:
    kind: exec
    matrix: {i: {range: [0, 20]}}
    outputs: {out: o}
    params: {command: "sleep 0.1; echo ${matrix.i} > o"}
  join:
    kind: exec
    inputs: {parts: make.out}
    outputs: {all: all}
    params: {command: "cat ${inputs.parts}/[0-9]* > all"}
"""
TASKS = 21


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


class Run:
    """A run of STEPS in the background, whose log can be read."""

    def __init__(self, place, url, pipeline=STEPS):
        place.write("p.yaml", pipeline)
        self.place, self.url, self.log = place, url, place.path / "log"
        self.out = place.path / "out"
        self.process = subprocess.Popen([BROKER, "run", "p.yaml", "--json=full", "-q", "-j", "2"], cwd=place.path,
                                        env=place.environment(REDIS_URL=url), stderr=self.log.open("w"),
                                        stdout=self.out.open("w"))

    def says(self, text):
        wait_for(lambda: text in self.log.read_text())

    def end(self):
        assert self.process.wait(timeout=60) == 0, self.log.read_text()
        return json.loads(self.out.read_text())


def records(server):
    return server.ask("EVAL", "return #redis.call('KEYS','penstock:t:*')", "0")


def some_are_done(server):
    wait_for(lambda: int(records(server).strip(":\r\n")) >= 4)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    from conftest import Place
    place = Place(tmp_path_factory.mktemp("undisturbed"))
    place.write("p.yaml", STEPS)
    return output_ids(place.run("p.yaml", "-j", "2"))


def again_all_hits(run, undisturbed):
    again = run.place.run("p.yaml", REDIS_URL=run.url)
    assert again["tasks"]["executed"] == 0
    assert output_ids(again) == undisturbed


def test_a_second_run_finds_everything_in_redis(iris, redis):
    first = iris.run(IRIS, REDIS_URL=redis.url)
    assert first["tasks"]["executed"] == 26
    assert not (iris.path / ".penstock/state").exists()
    again = iris.run(IRIS, "--state", redis.url)
    assert again["tasks"]["executed"] == 0
    assert output_ids(again) == output_ids(first)
    # What is asked is answered from there, too.
    assert [r["tasks"]["executed"] for r in iris.broker("list", "--json", REDIS_URL=redis.url).json] == [0, 26]
    assert "iris.csv" in iris.broker("lineage", "compare.model", REDIS_URL=redis.url).out
    assert iris.broker("export", "compare.model", "-o", "model", REDIS_URL=redis.url).code == 0
    # Another namespace knows nothing of it.
    assert iris.run(IRIS, REDIS_URL=redis.url + "?ns=other")["tasks"]["executed"] == 26


def test_the_journal_is_in_the_store_and_the_outbox_empty(iris, redis):
    iris.run(IRIS, REDIS_URL=redis.url)
    assert redis.ask("LLEN", "penstock:outbox") == ":0\r\n"
    assert list((iris.path / ".penstock/store/journal/penstock").iterdir())


def test_no_key_expires(iris, redis):
    iris.run(IRIS, REDIS_URL=redis.url)
    expiring = "local n=0 for _,k in ipairs(redis.call('KEYS','*')) do if redis.call('TTL',k)~=-1 then n=n+1 end end return n"
    assert redis.ask("EVAL", expiring, "0") == ":0\r\n"


def test_kill_9_of_redis_costs_time_alone(place, redis, undisturbed):
    run = Run(place, redis.url)
    some_are_done(redis)
    redis.kill()
    run.says("state.waiting")
    redis.start()
    document = run.end()
    assert output_ids(document) == undisturbed
    assert document["tasks"]["executed"] == TASKS
    assert sum(step["attempts"] for step in document["steps"]) == TASKS
    again_all_hits(run, undisturbed)


def test_a_redis_that_does_not_answer_is_waited_for(place, redis, undisturbed):
    run = Run(place, redis.url)
    some_are_done(redis)
    redis.signal(signal.SIGSTOP)
    run.says("no answer")
    redis.signal(signal.SIGCONT)
    document = run.end()
    assert output_ids(document) == undisturbed
    assert document["tasks"]["executed"] == TASKS
    again_all_hits(run, undisturbed)


def test_a_full_redis_is_waited_for(place, redis, undisturbed):
    run = Run(place, redis.url)
    some_are_done(redis)
    redis.ask("CONFIG", "SET", "maxmemory", "1mb")
    run.says("maxmemory is reached")
    redis.ask("CONFIG", "SET", "maxmemory", "0")
    assert output_ids(run.end()) == undisturbed
    assert "state.back" in run.log.read_text()
    again_all_hits(run, undisturbed)


def test_an_emptied_redis_is_filled_from_the_journal(place, redis, undisturbed):
    place.write("p.yaml", STEPS)
    place.run("p.yaml", REDIS_URL=redis.url)
    redis.ask("FLUSHALL")
    again = place.run("p.yaml", REDIS_URL=redis.url)
    assert again["tasks"]["executed"] == 0
    assert output_ids(again) == undisturbed
    assert len(place.broker("list", "--json", REDIS_URL=redis.url).json) == 2


def test_recover_gives_back_every_completion_from_the_store_alone(place, redis, servers, undisturbed):
    place.write("p.yaml", STEPS)
    place.run("p.yaml", REDIS_URL=redis.url)
    other = servers(Redis)
    told = place.broker("recover", REDIS_URL=other.url)
    assert told.code == 0 and f"{TASKS} records" in told.out, told
    told = place.broker("recover", "--json", "--state", other.url).json  # again: it changes nothing
    assert told["segments"] > 0 and (told["records"], told["refused"], told["damaged"]) == (TASKS, 0, 0)
    again = place.run("p.yaml", REDIS_URL=other.url)
    assert again["tasks"]["executed"] == 0
    assert output_ids(again) == undisturbed


def test_recover_leaves_out_what_is_damaged(place, redis, servers, undisturbed):
    place.write("p.yaml", STEPS)
    place.run("p.yaml", REDIS_URL=redis.url)
    for segment in (place.path / ".penstock/store/journal/penstock").iterdir():
        data = bytearray(segment.read_bytes())
        data[60] ^= 1  # the first commit in it
        segment.write_bytes(data)
    other = servers(Redis)
    told = place.broker("recover", REDIS_URL=other.url)
    assert told.code == 4 and "damaged" in told.out, told
    left = place.broker("recover", "--json", REDIS_URL=other.url).json["records"]
    assert 0 < left < TASKS
    assert int(records(other).strip(":\r\n")) == left
    assert output_ids(place.run("p.yaml", "--force", REDIS_URL=other.url)) == undisturbed  # and is made again


WHAT_IT_HAS = """
local all = {}
for _, kind in ipairs({'t', 'a', 'run'}) do
  local keys = redis.call('KEYS', 'penstock:' .. kind .. ':*')
  table.sort(keys)
  for _, key in ipairs(keys) do all[#all + 1] = redis.sha1hex(key) .. redis.sha1hex(redis.call('GET', key)) end
end
return #all .. ' ' .. redis.sha1hex(table.concat(all))
"""


def test_gc_merges_the_journal_and_recover_finds_the_same(place, redis, servers):
    """However often it is killed in between."""
    place.write("p.yaml", STEPS)
    folder = place.path / ".penstock/store/journal/penstock"
    for _ in range(8):
        place.run("p.yaml", REDIS_URL=redis.url)

    def recovered():
        other = servers(Redis)
        told = place.broker("recover", "--json", REDIS_URL=other.url).json
        assert (told["refused"], told["damaged"]) == (0, 0)
        return other.ask("EVAL", WHAT_IT_HAS, "0")

    def an_hour_passes():
        for segment in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                os.utime(segment, (time.time() - 3700,) * 2)

    before, segments = recovered(), len(list(folder.iterdir()))
    told = place.broker("gc", REDIS_URL=redis.url)
    assert "would be merged" not in told.err, told  # what was put lately may be put once more
    an_hour_passes()
    assert segments >= 8 and before == redis.ask("EVAL", WHAT_IT_HAS, "0")
    told = place.broker("gc", REDIS_URL=redis.url)
    assert f"journal: {segments - 1} of {segments} segments would be merged" in told.err, told
    assert len(list(folder.iterdir())) == segments
    for seconds in (0.02, 0.05, 0.1):
        an_hour_passes()
        gc = subprocess.Popen([BROKER, "gc", "--yes"], cwd=place.path, env=place.environment(REDIS_URL=redis.url),
                              stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(seconds)
        os.killpg(gc.pid, signal.SIGKILL)
        gc.wait()
        assert recovered() == before
    an_hour_passes()
    told = place.broker("gc", "--json", "--yes", REDIS_URL=redis.url)
    assert told.code == 0, told
    assert len(list(folder.iterdir())) <= 2  # one, and what a gc before may have left to be put by this one
    assert recovered() == before == redis.ask("EVAL", WHAT_IT_HAS, "0")
    assert place.run("p.yaml", REDIS_URL=redis.url)["tasks"]["executed"] == 0
    assert place.run("p.yaml", "--force", REDIS_URL=redis.url)["tasks"]["executed"] == TASKS


def test_gc_that_removes_nothing_ends(place, redis):
    place.write("p.yaml", STEPS)
    place.run("p.yaml", REDIS_URL=redis.url)
    told = place.broker("gc", "--yes", REDIS_URL=redis.url)  # its commit is empty, and is not done at once
    assert told.code == 0 and "removed: 0 runs, 0 records" in told.err, told


def test_a_folder_has_nothing_to_recover(place):
    told = place.broker("recover")
    assert told.code == 3 and "its own journal" in told.err


def test_the_second_broker_is_told_who_works_there(place, redis):
    run = Run(place, redis.url, STEPS.replace("sleep 0.1", "sleep 1"))
    wait_for(lambda: redis.ask("HEXISTS", "penstock:lead", "holder") == ":1\r\n")
    second = place.broker("run", "p.yaml", "-q", REDIS_URL=redis.url)  # waits for one lease: its holder may be dead
    assert second.code == 3
    assert f"pid {run.process.pid}" in second.err
    for _ in range(2):
        run.process.send_signal(signal.SIGINT)
    run.process.wait(timeout=20)


# ---- other ways to reach it ----


def test_over_a_unix_socket(iris, redis):
    url = f"redis+unix://{redis.socket}?ns=socket"
    assert iris.run(IRIS, REDIS_URL=url)["tasks"]["executed"] == 26
    assert iris.run(IRIS, REDIS_URL=url)["tasks"]["executed"] == 0


def test_over_tls_with_an_authority_of_ones_own(iris, servers):
    skip_without("openssl")
    tls = make_certificates(iris.path / "tls")
    server = servers(Redis, "--requirepass", "secret", tls=tls)
    url = f"rediss://:secret@localhost:{server.tls_port}"
    assert iris.run(IRIS, REDIS_URL=url, REDIS_CA=str(tls / "ca.pem"))["tasks"]["executed"] == 26
    assert iris.run(IRIS, "--state", f"{url}?ca={tls}/ca.pem")["tasks"]["executed"] == 0
    for ca in [f"?ca={tls}/other.pem", ""]:
        refused = iris.broker("run", IRIS, "-q", REDIS_URL=url + ca)
        assert refused.code == 3 and "certificate is not trusted" in refused.err, refused
        assert "secret" not in refused.err
    missing = iris.broker("run", IRIS, "-q", REDIS_URL=url + "?ca=nowhere.pem")
    assert missing.code == 3 and "nowhere.pem" in missing.err
    # The certificate is for localhost, not for the address.
    other = iris.broker("run", IRIS, "-q", REDIS_URL=f"rediss://127.0.0.1:{server.tls_port}?ca={tls}/ca.pem")
    assert other.code == 3 and "certificate" in other.err


def test_a_failover_that_loses_acknowledged_writes(place, servers, undisturbed):
    """The replica stops following; what the master acknowledges from then on is lost when it dies."""
    skip_without("redis-cli")
    master = servers(Redis)
    replica = servers(Redis, "--replicaof", "127.0.0.1", master.port)
    wait_for(lambda: "master_link_status:up" in replica.ask("INFO", "replication"))
    sentinel = servers(Sentinel, master)
    wait_for(lambda: "num-slaves\n1" in sentinel.ask("SENTINEL", "MASTER", "mymaster"))
    run = Run(place, sentinel.url)
    some_are_done(master)
    master.ask("CONFIG", "SET", "repl-diskless-sync-delay", "1000")
    master.ask("DEBUG", "CHANGE-REPL-ID")
    master.ask("CLIENT", "KILL", "TYPE", "replica")
    before = int(records(master).strip(":\r\n"))
    wait_for(lambda: int(records(master).strip(":\r\n")) >= before + 3)
    master.kill()
    document = run.end()
    assert "state.lost" in run.log.read_text()
    assert output_ids(document) == undisturbed
    assert document["tasks"]["executed"] == TASKS
    assert sum(step["attempts"] for step in document["steps"]) == TASKS
    assert "role:master" in replica.ask("INFO", "replication")
    assert int(records(replica).strip(":\r\n")) == TASKS
    again_all_hits(run, undisturbed)


# ---- bad input: one line that names the setting and the mend, exit code 3, and doctor finds it ----


def one_line(place, url, *words, doctor="redis"):
    place.write("p.yaml", STEPS)
    result = place.broker("run", "p.yaml", "-q", REDIS_URL=url)
    assert result.code == 3, result
    said = [line for line in result.err.splitlines() if line.startswith("broker: ")]
    assert len(said) == 1
    for word in words:
        assert word in said[0], said
    rows = {row["check"]: row for row in place.broker("doctor", "--json", REDIS_URL=url).json}
    assert not rows[doctor]["ok"] and rows[doctor]["mend"], rows


def test_a_replica(place, redis, servers):
    replica = servers(Redis, "--replicaof", "127.0.0.1", redis.port)
    one_line(place, replica.url, "replica", "REDIS_URL", "redis+sentinel://")


def test_a_wrong_password(place, servers):
    server = servers(Redis, "--requirepass", "right")
    one_line(place, f"redis://:wrong@127.0.0.1:{server.port}", "password", "REDIS_URL", doctor="state")
    one_line(place, server.url, "asks for a password", "REDIS_URL", doctor="state")


def test_nobody_listens(place, redis):
    redis.kill()
    one_line(place, redis.url, "127.0.0.1", "connect", doctor="state")


def test_a_redis_that_was_started_just_before_is_waited_for(place, redis):
    """It reads its data first; doctor says so, and one line that the run waits for it."""
    place.write("p.yaml", STEPS)
    redis.start_slowly()
    rows = {row["check"]: row for row in place.broker("doctor", "--json", REDIS_URL=redis.url).json}
    assert not rows["state"]["ok"] and "still loading" in rows["state"]["found"] and "wait" in rows["state"]["mend"]
    run = Run(place, redis.url)
    run.says("state.waiting")
    redis.go_on()
    document = run.end()
    assert document["state"] == "succeeded"
    assert run.log.read_text().count("state.waiting") == 1


def test_ctrl_c_ends_a_run_that_waits_for_redis_to_load(place, redis):
    redis.start_slowly()
    run = Run(place, redis.url)
    run.says("state.waiting")
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(timeout=20) == 130
    assert run.log.read_text().splitlines()[-1] == "broker: interrupted"


def test_a_newer_namespace(place, redis):
    redis.ask("HSET", "penstock:lead", "format", "99")
    one_line(place, redis.url, "newer version", "?ns=", doctor="state")


@pytest.mark.parametrize("settings, check, word", [
    (["--appendonly", "no"], "redis persistence", "appendonly yes"),
    (["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"], "redis eviction", "noeviction"),
])
def test_doctor_and_the_log_say_what_may_cost_results(place, servers, settings, check, word):
    server = servers(Redis, *settings)
    rows = {row["check"]: row for row in place.broker("doctor", "--json", REDIS_URL=server.url).json}
    assert not rows[check]["ok"] and word in rows[check]["mend"]
    place.write("p.yaml", STEPS)
    result = place.broker("run", "p.yaml", "-q", REDIS_URL=server.url)
    assert result.code == 0
    said = [line for line in result.err.splitlines() if "redis.examined" in line]
    assert len(said) == 1 and check in said[0] and word in said[0]


def test_ctrl_c_ends_a_run_that_waits_for_redis(place, redis):
    run = Run(place, redis.url)
    some_are_done(redis)
    redis.kill()
    run.says("state.waiting")
    for _ in range(2):
        run.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert run.process.wait(timeout=20) != 0
