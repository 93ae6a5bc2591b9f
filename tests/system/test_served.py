"""A served broker and its command line: what a team does with it, day by day."""
import http.server
import json
import signal
import socket
import threading
import time

import pytest
from conftest import BROKER
from served import HELLO, exec_pipeline, served, serving, wait_for  # noqa: F401


def test_submit_watch_and_look(served):
    served.place.write("p.yaml", HELLO)
    done = served.broker("submit", "p.yaml", "--watch", "-p", "text=moin", "--name", "first", "--label", "team=a")
    assert done.code == 0, done
    assert "say: succeeded in" in done.err and "demo: succeeded in" in done.err
    [run] = served.broker("list", "--json", "--label", "team=a").json
    assert (run["state"], run["name"], run["labels"]) == ("succeeded", "first", {"team": "a"})
    assert served.broker("list", "--json", "--label", "team=b").json == []
    assert served.broker("logs", "say").out == "moin\n"
    assert served.broker("export", "say.o", "-o", "-").out == "moin 1\n"
    assert served.broker("get", "latest", "--json").json["id"] == run["run"]
    assert served.broker("watch", run["run"]).code == 0  # it is over: it says how
    workers = served.broker("workers", "--json").json
    assert [worker["slots"] > 0 for worker in workers] == [True]
    wait_for(lambda: served.broker("load", "--json").json["workers"] == 1, "the worker is counted")
    assert "hit" in served.broker("plan", "p.yaml", "-p", "text=moin").out
    assert served.broker("explain", "p.yaml", "say").code == 0
    assert "say" in served.broker("graph", "p.yaml").out
    assert served.broker("lineage", "say.o", "--json").json["artifact"]["made_by"]["kind"] == "exec"
    # The same again is known.
    again = served.broker("submit", "p.yaml", "--watch", "-p", "text=moin", "--json", "-q")
    assert again.json["tasks"]["hit"] == 1


def test_sources_go_up_and_no_path_of_the_broker_is_opened(served, tmp_path):
    """The client stands somewhere else: its files are its own, and the broker never sees their paths."""
    from conftest import Place
    client = Place(tmp_path / "client")
    client.path.mkdir()
    client.write("data/a.txt", "aaa\n")
    client.write("data/more/1.csv", "1\n")
    client.write("data/more/2.csv", "2\n")
    client.write("p.yaml", """version: 1
name: up
sources: {a: data/a.txt, more: "data/more/*.csv"}
steps:
  join:
    kind: exec
    inputs: {a: sources.a, more: sources.more}
    outputs: {o: o.txt}
    params: {command: "cat ${inputs.a} ${inputs.more}/* > o.txt"}
""")
    done = client.broker("submit", "p.yaml", "--watch", PENSTOCK_SERVER=served.url, PENSTOCK_TOKEN=served.token())
    assert done.code == 0, done
    assert client.broker("export", "join.o", "-o", "-", PENSTOCK_SERVER=served.url,
                         PENSTOCK_TOKEN=served.token("read")).out == "aaa\n1\n2\n"
    # What isn't there is told at the client's, place and all.
    client.write("q.yaml", client.path.joinpath("p.yaml").read_text().replace("a.txt", "nowhere.txt"))
    missing = client.broker("submit", "q.yaml", PENSTOCK_SERVER=served.url, PENSTOCK_TOKEN=served.token())
    assert missing.code == 2 and "q.yaml:3:" in missing.err and "nowhere.txt" in missing.err
    # Whoever names a file of the broker's machine gets nothing: the bytes come by their ids alone.
    secret = served.place.write("secret.txt", "secret\n")
    text = f"""version: 1
sources: {{a: {secret}}}
steps:
  s: {{kind: exec, inputs: {{a: sources.a}}, outputs: {{o: o.txt}}, params: {{command: "cp ${{inputs.a}} o.txt"}}}}
"""
    answer = served.ask("POST", "/v1/runs", {"pipeline": text})
    assert answer.status in (400, 422), answer
    lie = [{"name": "a", "location": str(secret), "id": "00" * 32, "bytes": 7}]
    answer = served.ask("POST", "/v1/runs", {"pipeline": text, "sources": lie})
    assert answer.status in (400, 422) and "is not in the store" in str(answer.error), answer
    assert b"secret" not in answer.bytes.replace(b"secret.txt", b"")


def test_a_tree_comes_back_as_a_folder(served):
    served.place.write("p.yaml", exec_pipeline("mkdir -p o.txt/x && echo 1 > o.txt/x/y && echo 2 > o.txt/z"))
    assert served.broker("submit", "p.yaml", "--watch", "-q").code == 0
    assert served.broker("export", "say.o", "-o", "out").code == 0
    assert (served.place.path / "out/x/y").read_text() == "1\n" and (served.place.path / "out/z").read_text() == "2\n"


def test_from_stdin(served):
    import subprocess
    from conftest import BROKER
    done = subprocess.run([BROKER, "submit", "-", "--watch", "-q", "--json"], input=HELLO, cwd=served.place.path, text=True,
                          capture_output=True, env=served.place.environment(PENSTOCK_SERVER=served.url))
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["state"] == "succeeded"


def test_a_failure_is_an_exit_code_and_can_be_retried(served):
    """`retry` runs what failed again, in the same run: here the reason is gone by then."""
    flag = served.place.path / "flag"
    served.place.write("p.yaml", exec_pipeline(f"test -e {flag} && echo ok > o.txt", "retry: {limit: 0}"))
    failed = served.broker("submit", "p.yaml", "--watch", PENSTOCK_SANDBOX="off")
    assert failed.code == 1, failed
    assert "failed: say:" in failed.err
    [run] = served.broker("list", "--json").json
    assert run["state"] == "failed"
    flag.write_text("")
    done = served.broker("retry", run["run"])
    assert done.code == 0, done
    assert served.until_over(run["run"])["state"] in ("succeeded", "failed")
    assert served.broker("retry", "nope").code == 2


def test_resubmit_with_other_parameters(served):
    served.place.write("p.yaml", HELLO)
    first = served.broker("submit", "p.yaml").out.strip()
    served.until_over(first)
    done = served.broker("resubmit", first, "-p", "text=tach", "--watch", "-q", "--json")
    assert done.code == 0, done
    assert done.json["run"] != first
    assert served.broker("export", f"{done.json['run']}/say.o", "-o", "-").out == "tach 1\n"
    assert served.broker("resubmit", "nope").code == 2


SLOW = exec_pipeline("echo begun; while [ ! -e o.txt ]; do sleep 0.05; done")


def test_stop_ends_a_run(served):
    run = served.submit(SLOW)
    served.until_running(run)
    assert served.broker("stop", run, "--kill").code == 0
    assert served.until_over(run)["state"] == "cancelled"
    again = served.broker("stop", run)
    assert again.code == 3 and run in again.err


def test_what_is_said_names_the_run(served):
    """Where many submit, `latest` is anybody's: what was done to which run is said, and so is where a log is."""
    served.place.write("p.yaml", exec_pipeline("echo no; exit 3"))
    failed = served.broker("submit", "p.yaml", "--watch", "--name", "nightly", "-l", "team=x")
    run = served.get("/v1/runs/latest")["run"]
    assert failed.code == 1 and f"run {run}" in failed.err.splitlines()[:4], failed
    hint = f"its log: {BROKER} logs {run}/say"
    assert hint in failed.err and "1 task," in failed.err
    shown = served.broker("get", "latest").out
    assert "nightly" in shown and '{"team": "x"}' in shown and "failed: say: exited with status 3" in shown and hint in shown
    assert "nightly" in served.broker("list").out
    asked = served.broker("logs", "latest")
    assert asked.code == 2 and "latest is a run; say which of its tasks, as in latest/say" in asked.err
    slow = served.submit(SLOW)
    served.until_running(slow)
    assert f"{slow} is stopped" in served.broker("stop", "latest", "--kill").err


def test_questions_that_find_nothing(served):
    assert served.broker("list").err == "broker: nothing has run here yet\n"
    served.submit(HELLO)
    picked = served.broker("list", "--label", "team=x", "--state", "failed", "--name", "n")
    assert picked.code == 0 and picked.err == "broker: no run is like that\n"
    for wrong in (("list", "--label", "team"), ("list", "--state", "done"), ("stop", ""), ("logs", ""), ("submit", "")):
        result = served.broker(*wrong)
        assert result.code == 2 and "expected" in result.err and "/v1/" not in result.err, result
    assert served.broker("stop", "a/b").err == 'broker: there is no run "a/b"\n'


def test_logs_are_followed_while_it_runs(served):
    run = served.submit(exec_pipeline("for i in 1 2 3; do echo line $i; sleep 0.3; done; echo x > o.txt"))
    follow = served.begin("logs", "-f", f"{run}/say")
    first = follow.stdout.readline()
    assert first == "line 1\n" and served.get(f"/v1/runs/{run}")["state"] == "running"
    out, err = follow.communicate(timeout=60)
    assert out == "line 2\nline 3\n" and follow.returncode == 0, err
    assert served.broker("logs", f"{run}/say").out == "line 1\nline 2\nline 3\n"


@pytest.mark.parametrize("step, name", [("say", "latest/say"), ("add", "add")])  # that are digits, too, but no id's
def test_who_follows_the_latest_stays_with_that_run(served, step, name):
    """Another run begins meanwhile, perhaps somebody else's, and has a step of the same name."""
    text = exec_pipeline("for i in 1 2 3; do echo line $i; sleep 0.5; done; echo x > o.txt").replace("  say:", f"  {step}:")
    run = served.submit(text)
    served.until_running(run)
    follow = served.begin("logs", "-f", name)
    asks = served.connect()
    asks.request("GET", f"/v1/logs/{name}?follow=true", headers={"Authorization": "Bearer " + served.token()})
    answer = asks.getresponse()
    assert follow.stdout.readline() == answer.readline().decode() == "line 1\n"
    other = served.submit(HELLO.replace("  say:", f"  {step}:"))
    assert served.until_over(other)["state"] == "succeeded"
    assert answer.read() == b"line 2\nline 3\n"
    out, err = follow.communicate(timeout=60)
    assert out == "line 2\nline 3\n" and follow.returncode == 0, err


def test_who_follows_a_log_harms_no_worker_with_an_idle_slot(place):
    """A slot that is idle had a task that is forgotten by now."""
    with serving(place, "-j", "2") as served:
        first = served.submit(exec_pipeline("sleep 0.3; echo x > o.txt"))
        served.until_running(first)
        slow = served.submit(SLOW)
        served.until_running(slow)
        assert served.until_over(first)["state"] == "succeeded"
        follow = served.begin("logs", "-f", f"{slow}/say")
        assert follow.stdout.readline() == "begun\n"
        assert served.get("/v1/workers")["workers"][0]["running"] == 1
        assert served.get(f"/v1/runs/{slow}")["steps"][0]["attempts"] == 1 and "worker.died" not in served.log.read_text()


def test_ctrl_c_ends_the_watching_and_not_the_run(served):
    served.place.write("p.yaml", SLOW)
    watch = served.begin("submit", "p.yaml", "--watch", "--name", "slow")
    run = wait_for(lambda: served.get("/v1/runs?name=slow")["runs"], "the run")[0]["run"]
    served.until_running(run)
    watch.send_signal(signal.SIGINT)
    out, err = watch.communicate(timeout=60)
    assert watch.returncode == 130, err
    assert f"stop {run}" in err and served.get(f"/v1/runs/{run}")["state"] == "running"


class Retried(http.server.BaseHTTPRequestHandler):
    """A run that failed, was tried again, and succeeds now; its events come piece by piece."""
    told = 0

    def do_GET(self):
        states = ["failed", "running", "succeeded"]
        is_stream = self.path.endswith("/events")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if is_stream else "application/json")
        self.end_headers()
        for state in states if is_stream else []:
            self.wfile.write(f'event: run\ndata: {{"state": "{state}"}}\n\n'.encode())
            time.sleep(0.5)
            Retried.told += 1
        state = "succeeded" if Retried.told == 3 else "running"
        if not is_stream:
            self.wfile.write(json.dumps({"run": "r", "pipeline": "p", "state": state}).encode())

    def log_message(self, *args):
        pass


def test_a_watch_is_over_when_the_stream_is(place):
    """What a run told before it was tried again is told again to who comes later."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Retried)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    watch = place.broker("watch", "r", PENSTOCK_SERVER=f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    assert watch.code == 0 and "p: succeeded" in watch.err, watch


def test_many_runs_at_once(served):
    runs = [served.submit(HELLO, params={"again": i}) for i in range(10)]
    assert {served.until_over(run)["state"] for run in runs} == {"succeeded"}
    assert [run["run"] for run in served.get("/v1/runs?limit=4")["runs"]] == runs[:5:-1]


def test_a_broker_that_is_killed_goes_on_where_it_was(served):
    """The watcher sees it through; what a worker of its own was doing is done again."""
    served.place.write("p.yaml", """version: 1
name: steps
steps:
  one: {kind: exec, outputs: {o: o.txt}, params: {command: "echo one > o.txt"}}
  two: {kind: exec, inputs: {o: one.o}, outputs: {o: t.txt}, params: {command: "sleep 2; cat $o > t.txt"}}
""")
    watch = served.begin("submit", "p.yaml", "--watch", "--json")
    wait_for(lambda: any(run["state"] == "running" for run in served.get("/v1/runs")["runs"]), "the run")
    [run] = served.get("/v1/runs")["runs"]
    wait_for(lambda: served.get(f"/v1/runs/{run['run']}")["steps"][0]["state"] == "succeeded", "one is done")
    served.kill()
    time.sleep(0.3)
    served.start()
    out, err = watch.communicate(timeout=60)
    assert watch.returncode == 0, err
    assert json.loads(out)["run"] == run["run"] and json.loads(out)["state"] == "succeeded"
    assert served.broker("export", "two.o", "-o", "-").out == "one\n"


def test_the_same_key_is_the_same_run(served):
    served.place.write("p.yaml", HELLO)
    first = served.broker("submit", "p.yaml", "--idempotency-key", "monday")
    second = served.broker("submit", "p.yaml", "--idempotency-key", "monday")
    assert first.code == 0 and first.out == second.out
    other = served.broker("submit", "p.yaml", "-p", "text=other", "--idempotency-key", "monday")
    assert other.code == 3 and "monday" in other.err


def test_it_leaves_when_told(served):
    run = served.submit(SLOW)
    served.until_running(run)
    assert served.stop() == 0
    assert "leaving: open runs go on" in served.log.read_text()
    served.start()
    assert served.get(f"/v1/runs/{run}")["state"] == "running"
    assert served.broker("stop", "--kill", run).code == 0
    assert served.until_over(run)["state"] == "cancelled"


# ---- what goes wrong ----

def test_a_port_that_is_in_use(served, tmp_path):
    second = served.place.broker("serve", "--http", served.address, "--home", tmp_path / "other")
    assert second.code == 3, second
    line = second.err.strip().splitlines()[-1]
    assert f"--http {served.address}" in line and "another port" in line
    assert "is served by a broker" in served.place.broker("doctor", "--http", served.address).out
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = "127.0.0.1:%d" % other.getsockname()[1]
        doctor = served.place.broker("doctor", "--http", taken)
        assert doctor.code == 3 and "BAD  http" in doctor.out and "choose another" in doctor.out


def test_addresses_that_cannot_be(place):
    for address in ("7001", "nowhere.example:7001", "127.0.0.1:99999"):
        refused = place.broker("serve", "--http", address)
        assert refused.code == 2 and "--http" in refused.err and address in refused.err, refused


def test_two_brokers_in_one_folder(served):
    second = served.place.broker("serve", "--http", "127.0.0.1:0")
    assert second.code == 3, second
    run = served.place.broker("run", "p.yaml")
    assert run.code != 0


def test_tokens(served):
    served.place.write("p.yaml", HELLO)
    def submit(**environment):
        return served.broker("submit", "p.yaml", "--home", "elsewhere", **environment)
    none, wrong, read = submit(), submit(PENSTOCK_TOKEN="wrong-wrong-wrong"), submit(PENSTOCK_TOKEN=served.token("read"))
    assert none.code == wrong.code == read.code == 3
    assert "PENSTOCK_TOKEN" in none.err and "PENSTOCK_TOKEN" in wrong.err and "write token" in read.err
    assert submit(PENSTOCK_TOKEN=served.token("write")).code == 0
    assert served.broker("list", "--home", "elsewhere", PENSTOCK_TOKEN=served.token("read")).code == 0
    served.place.write("t", served.token("write"))
    assert served.broker("list", "--home", "elsewhere", "--token-file", "t").code == 0
    doctor = served.broker("doctor", "--home", "elsewhere", PENSTOCK_TOKEN="wrong-wrong-wrong")
    assert doctor.code == 3 and "BAD  token" in doctor.out and "ok   server" in doctor.out
    assert (served.place.path / ".penstock/write.token").stat().st_mode & 0o777 == 0o600


def test_nobody_there(place):
    for command in (["submit", "p.yaml"], ["workers"], ["watch", "latest"], ["stop", "latest"]):
        place.write("p.yaml", HELLO)
        away = place.broker(*command, PENSTOCK_SERVER="http://127.0.0.1:1")
        assert away.code == 3 and "http://127.0.0.1:1: no broker answers there" in away.err, away
    doctor = place.broker("doctor", PENSTOCK_SERVER="http://127.0.0.1:1")
    assert doctor.code == 3 and "BAD  server" in doctor.out
    assert place.broker("list", PENSTOCK_SERVER="localhost").code == 2


def test_a_bad_file_is_refused_here_or_there(served):
    served.place.write("bad.yaml", "version: 1\nsteps: {s: {kind: nonsense}}\n")
    here = served.broker("submit", "bad.yaml")
    assert here.code == 2 and "bad.yaml:2:" in here.err
    there = served.ask("POST", "/v1/runs", {"pipeline": "version: 1\nsteps: {s: {kind: nonsense}}\n", "file": "bad.yaml"})
    assert there.status == 400 and "bad.yaml:2:" in there.error["problems"][0]
