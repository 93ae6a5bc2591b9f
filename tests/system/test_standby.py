"""Two brokers on one Redis: one leads, the other stands by and takes over when the first dies, stands still or is cut off.
Workers and clients follow; no task is lost, none is counted twice. How long it takes is printed, not asserted."""
import collections
import json
import signal
import time

import pytest

from redis_servers import redis, servers  # noqa: F401
from served import Served, exec_pipeline
from standby_pair import Pair, Wire
from workers import wait_for

TASKS = 200
SLOTS = 4  # two workers with two each


@pytest.fixture
def wire(redis):  # noqa: F811
    wire = Wire(redis.port)
    yield wire
    wire.close()


@pytest.fixture
def pair(place, redis, wire):  # noqa: F811
    pair = Pair(place, redis, wire)
    for name in ("w1", "w2"):
        pair.add_worker(name)
    yield pair
    pair.close()


def submit(pair, tasks=TASKS):
    run = pair.first.submit(pair.pipeline(tasks))
    pair.wait_executions(tasks // 4)
    return run


def check_end(pair, leader, run, tasks=TASKS, extra=SLOTS):
    """Everything is there, and nothing ran twice but what was at a worker when the lead changed: in a slot, or next."""
    document = leader.until_over(run)
    assert document["state"] == "succeeded", document
    assert document["tasks"]["total"] == document["tasks"]["executed"] == tasks, document["tasks"]
    counts = collections.Counter(pair.executions())
    assert len(counts) == tasks
    assert sum(counts.values()) <= tasks + 2 * extra, [c for c in counts.items() if c[1] > 1]


def report(capsys, what, seconds):
    with capsys.disabled():
        print(f"\n  {what}: {seconds:.2f} s until the new leader gave out a task")


def test_the_second_stands_by_and_sends_on(pair):
    first, second = pair.first, pair.second
    assert f"standing by: {first.work} {first.url} leads, as epoch 1\n" in second.text()
    assert second.ask("GET", "/healthz", token=None).status == 200
    ready = second.ask("GET", "/readyz", token=None)
    assert ready.status == 503 and ready.json == {"ok": False, "leader": first.url}
    answer = second.ask("GET", "/v1/runs?limit=3&state=failed")
    assert answer.status == 307 and answer.headers["Location"] == first.url + "/v1/runs?limit=3&state=failed"
    assert second.ask("POST", "/v1/runs", {"pipeline": "x"}).status == 307
    assert second.ask("GET", "/v1/runs", token=None).status == 401
    for name in ("w1", "w2"):  # one of them may have come to the second first, and was told
        wait_for(lambda: "broker.welcome" in pair.worker_log(name))


def test_doctor_says_who_leads(pair):
    asked = pair.place.broker("doctor", "--json", "--home", "third", "--store", pair.store, REDIS_URL=pair.redis.url)
    lead = next(row for row in asked.json if row["check"] == "lead")
    assert lead["ok"] and lead["found"] == f"{pair.first.work} {pair.first.url} leads, as epoch 1"
    pair.second.stop()
    assert pair.first.stop() == 0
    asked = pair.place.broker("doctor", "--json", "--home", "third", "--store", pair.store, REDIS_URL=pair.redis.url)
    lead = next(row for row in asked.json if row["check"] == "lead")
    assert lead["ok"] and lead["found"].startswith("nobody leads; the last one was "), lead


def test_a_leader_that_is_told_to_go_hands_over_at_once(pair):
    run = submit(pair)
    assert pair.first.stop() == 0
    wait_for(pair.second.leads)
    check_end(pair, pair.second, run)


def test_the_leader_is_killed(pair, capsys):
    run = submit(pair)
    killed = time.time()
    pair.first.kill()
    wait_for(pair.second.leads, 30)
    led = time.time()
    begun = wait_for(lambda: pair.first_after(led - 0.3))
    report(capsys, "leader killed", begun - killed)
    check_end(pair, pair.second, run)
    pair.first.start()  # is the standby now
    pair.first.said("standing by: " + pair.second.work)
    assert pair.first.ask("GET", f"/v1/runs/{run}").headers["Location"].startswith(pair.second.url)


def test_the_leader_stands_still_and_wakes_up_fenced(pair, capsys):
    run = submit(pair)
    pair.first.signal(signal.SIGSTOP)
    stopped = time.time()
    wait_for(pair.second.leads, 30)
    led = time.time()
    begun = wait_for(lambda: pair.first_after(led - 0.3), 30)
    report(capsys, "leader stopped", begun - stopped)
    pair.first.signal(signal.SIGCONT)
    pair.first.said("standing by: " + pair.second.work)
    assert "lead.lost epoch=1" in pair.first.text()
    check_end(pair, pair.second, run)
    assert pair.second.leads() and not pair.first.leads()


def test_the_leader_is_cut_off_from_redis_alone(pair, wire, capsys):
    run = submit(pair)
    cut = time.time()
    wire.cut()
    wait_for(pair.second.leads, 30)
    led = time.time()
    begun = wait_for(lambda: pair.first_after(led - 0.3), 30)
    report(capsys, "leader cut off", begun - cut)
    assert pair.first.ask("GET", "/v1/runs").status == 503  # it knows no more than that it does not lead
    assert "not_leader" not in pair.worker_log("w1") and "broker.stands_by" in pair.worker_log("w1")
    check_end(pair, pair.second, run)
    wire.mend()
    pair.first.said("standing by: " + pair.second.work)
    wait_for(lambda: pair.first.ask("GET", "/v1/runs").status == 307)


def test_a_watch_goes_on_and_the_client_finds_the_leader(pair):
    pair.place.write("p.yaml", pair.pipeline(TASKS))
    watch = pair.begin_client("submit", "p.yaml", "--watch", "--json")
    pair.wait_executions(TASKS // 4)
    pair.first.kill()
    out, err = watch.communicate(timeout=60)
    assert watch.returncode == 0, err
    assert '"state": "succeeded"' in out, out
    listed = pair.client("list", "--json")  # the first server that it names is down
    assert listed.code == 0 and '"succeeded"' in listed.out, listed


ENDS = {"dies": signal.SIGKILL, "goes": signal.SIGTERM, "stands still": signal.SIGSTOP}


@pytest.mark.parametrize("how", ENDS)
def test_a_watch_loses_and_repeats_no_line(pair, how):
    pair.place.write("p.yaml", pair.pipeline(TASKS))
    watch = pair.begin_client("submit", "p.yaml", "--watch")
    pair.wait_executions(TASKS // 4)
    pair.first.signal(ENDS[how])
    _, err = watch.communicate(timeout=100)
    assert watch.returncode == 0, err
    told = collections.Counter(line.split(":")[0] for line in err.splitlines() if line.startswith("one"))
    assert told == collections.Counter(f"one[i={i}]" for i in range(TASKS)), err


LINES = 60


@pytest.mark.parametrize("how", ENDS)
def test_a_log_that_is_followed_loses_and_repeats_no_line(pair, how):
    gate = pair.marks / "open"
    command = (f"for i in $(seq {LINES}); do echo line $i; [ $i -lt 20 ] || until [ -e {gate} ]; do sleep 0.02; done; sleep 0.02; "
               "done; touch o")
    run = pair.first.submit("version: 1\nname: talk\nsteps:\n  talk: {kind: exec, outputs: {o: o}, params: {command: "
                            + json.dumps(command) + "}}\n")
    follow = pair.begin_client("logs", "-f", f"{run}/talk")
    seen = [follow.stdout.readline() for _ in range(20)]
    pair.first.signal(ENDS[how])
    wait_for(pair.second.leads, 30)
    gate.touch()
    out, err = follow.communicate(timeout=100)
    assert follow.returncode == 0, err
    assert seen + out.splitlines(True) == [f"line {i}\n" for i in range(1, LINES + 1)], err


def test_a_log_is_followed_while_its_only_broker_is_started_again(pair):
    pair.second.kill()
    gate = pair.marks / "open"
    command = f"echo one; until [ -e {gate} ]; do sleep 0.02; done; echo two; touch o"
    run = pair.first.submit(json.dumps({"version": 1, "name": "talk", "steps": {
        "talk": {"kind": "exec", "outputs": {"o": "o"}, "params": {"command": command}}}}))
    follow = pair.place.start("logs", "-f", f"{run}/talk", PENSTOCK_SERVER=pair.first.url, PENSTOCK_TOKEN=pair.tokens["read"])
    assert follow.stdout.readline() == "one\n"
    pair.first.kill()
    assert "trying again" in follow.stderr.readline()
    pair.first.start()
    wait_for(pair.first.leads, 30)
    gate.touch()
    out, err = follow.communicate(timeout=100)
    assert follow.returncode == 0 and out == "two\n" and err == "the broker is back\n", (out, err)


def test_a_log_of_what_ended_under_another_leader_goes_on_where_it_was_read(pair):
    gate = pair.marks / "open"
    steps = {"talk": "echo one; echo two; touch o", "wait": f"until [ -e {gate} ]; do sleep 0.02; done; touch o"}
    run = pair.first.submit(json.dumps({"version": 1, "name": "two", "steps": {
        name: {"kind": "exec", "outputs": {"o": "o"}, "params": {"command": command}} for name, command in steps.items()}}))
    wait_for(lambda: pair.first.get(f"/v1/runs/{run}")["steps"][0]["state"] == "succeeded")
    pair.first.kill()
    wait_for(pair.second.leads, 30)
    rest = pair.second.ask("GET", f"/v1/logs/{run}/talk?attempt=1&offset=4")
    assert rest.text == "two\n" and rest.headers["X-Log-Attempt"] == "1" and rest.headers["X-Log-Final"] == "true", rest
    gate.touch()
    assert pair.second.until_over(run)["state"] == "succeeded"


def test_the_token_goes_to_no_server_that_was_not_named(pair):
    second = pair.second
    refused = pair.place.broker("list", PENSTOCK_SERVER=second.url, PENSTOCK_TOKEN=pair.tokens["write"])
    assert refused.code == 3 and pair.first.url in refused.err and "was not named" in refused.err, refused
    followed = pair.place.broker("list", PENSTOCK_SERVER=f"{second.url},{pair.first.url}", PENSTOCK_TOKEN=pair.tokens["write"])
    assert followed.code == 0, followed


def test_a_lone_broker_whose_redis_was_away_goes_on(place, redis, wire):  # noqa: F811
    pair = Pair(place, redis, wire)
    try:
        pair.second.kill()
        pair.add_worker("w1")
        run = submit(pair, 60)
        wire.cut()
        wait_for(lambda: "lead.lost" in pair.first.text())
        wire.mend()
        wait_for(pair.first.leads)
        assert "leading, as epoch 3\n" in pair.first.text() or "leading, as epoch 2\n" in pair.first.text()
        check_end(pair, pair.first, run, 60)
    finally:
        pair.close()


def test_a_broker_that_is_started_with_its_redis_waits_until_that_has_read_its_data(place, redis):  # noqa: F811
    redis.start_slowly()
    broker = Served(place, "--slots", "1", REDIS_URL=redis.url)
    try:
        assert broker.ask("GET", "/readyz", token=None).status == 503
        redis.go_on()
        wait_for(lambda: broker.ask("GET", "/readyz", token=None).status == 200)
        said = broker.log.read_text()
        assert said.count("lead.waiting") == said.count("still loading its data") == 1 and "leading, as epoch 1" in said
    finally:
        broker.stop()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_state_that_goes_away_while_runs_are_opened_again_is_waited_for_once(place, redis, wire, end):  # noqa: F811
    """At the start as when it takes over; not once for each run."""
    broker = Served(place, "--slots", "0", REDIS_URL=f"redis://127.0.0.1:{wire.port}")
    try:
        runs = [broker.submit(exec_pipeline(f"echo {i} > o.txt")) for i in range(3)]
        wait_for(lambda: all(broker.get(f"/v1/runs/{run}")["state"] == "running" for run in runs))
        getattr(broker, end)()
        broker.log.write_text("")
        wire.cut_at = b"\nMGET\r"  # records, and not HMGET, who leads
        broker.start()
        wait_for(lambda: "lead.waiting" in broker.log.read_text())
        wire.cut_at = None
        wire.mend()
        wait_for(lambda: broker.ask("GET", "/readyz", token=None).status == 200)
        assert broker.log.read_text().count("lead.waiting") == 1
        assert {run["run"] for run in broker.get("/v1/runs?state=running")["runs"]} == set(runs)
    finally:
        broker.stop()


def test_what_is_advertised_is_what_others_are_told(place, redis):  # noqa: F811
    pair = Pair(place, redis, args=["--advertise", "tcp://10.0.0.1:7000,https://one.example"])
    try:
        assert "standing by: tcp://10.0.0.1:7000 https://one.example leads" in pair.second.text()
        assert pair.second.ask("GET", "/v1/runs").headers["Location"] == "https://one.example/v1/runs"
    finally:
        pair.close()
    wrong = place.broker("serve", "--advertise", "one.example:7000")
    assert wrong.code == 2 or wrong.code == 3
    assert "--advertise one.example:7000: expected tcp://HOST:PORT" in wrong.err, wrong


def test_a_second_broker_in_the_same_folder_is_refused(place):
    from served import Served
    first = Served(place)
    try:
        second = place.broker("serve", "--http", "127.0.0.1:0")
        assert second.code == 3 and "another broker" in second.err, second
    finally:
        first.kill()


def test_a_local_worker_goes_on_while_redis_is_away(place, redis, wire):  # noqa: F811
    """A task of hours is not lost for a Redis that was away for seconds: it runs on, and its result is taken."""
    from served import serving
    place.write("p.yaml", f"version: 1\nname: long\nsteps:\n  one: {{kind: exec, outputs: {{o: o}}, params: {{command: "
                          f"'mktemp -q {place.path}/mark.XXXXXXXX > /dev/null; until [ -e {place.path}/open ]; do sleep 0.05; done; echo 1 > o'}}}}\n")
    with serving(place, "-j", "1", REDIS_URL=f"redis://127.0.0.1:{wire.port}", PENSTOCK_WRITABLE=str(place.path),
                 PENSTOCK_LOG="info") as broker:
        run = broker.submit((place.path / "p.yaml").read_text())
        wait_for(lambda: list(place.path.glob("mark.*")))
        wire.cut()
        wait_for(lambda: "lead.lost" in broker.log.read_text())
        wire.mend()
        wait_for(lambda: broker.ask("GET", "/readyz", token=None).status == 200)
        (place.path / "open").touch()
        assert broker.until_over(run)["state"] == "succeeded"
        assert len(list(place.path.glob("mark.*"))) == 1
