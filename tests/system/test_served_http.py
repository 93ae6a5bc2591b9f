"""The HTTP interface of a served broker, as a program (or somebody with bad intentions) meets it."""
import os
import socket
import threading

import pytest
from served import HELLO, events, exec_pipeline, served, wait_for  # noqa: F401


def test_without_a_token(served):
    for target in ("/healthz", "/readyz", "/openapi.json"):
        assert served.ask("GET", target, token=None).status == 200
    for method, target in (("GET", "/v1/runs"), ("GET", "/v1/workers"), ("POST", "/v1/runs")):
        answer = served.ask(method, target, token=None)
        assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
        assert "PENSTOCK_TOKEN" in answer.error["message"]
    assert served.ask("GET", "/v1/runs", token="wrong-wrong-wrong").status == 401
    assert served.ask("GET", "/v1/runs", token="read").status == 200
    refused = served.ask("POST", "/v1/runs", {"pipeline": HELLO}, token="read")
    assert refused.status == 403 and "write token" in refused.error["message"]


def test_other_names_and_other_pages_are_refused(served):
    assert served.ask("GET", "/v1/runs", Host="evil.example").status == 421
    assert served.ask("GET", "/v1/runs", Host="localhost:1234").status == 200
    assert served.ask("GET", "/v1/runs", Origin="http://evil.example").status == 403
    assert served.ask("GET", "/v1/runs", Origin=f"http://{served.address}").status == 200
    answer = served.ask("OPTIONS", "/v1/runs", Origin=f"http://{served.address}")
    assert answer.status == 405 and not [h for h in answer.headers if h.lower().startswith("access-control")]


def test_it_listens_on_this_machine_alone(served):
    port = int(served.address.rsplit(":", 1)[1])
    listening = [line.split()[1] for line in open("/proc/net/tcp") if line.split()[3] == "0A"]
    assert [a for a in listening if a.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_bad_bodies(served):
    for body, part in (("{", "body"), ("[]", "expected object"), ('{"pipeline": 1}', "body.pipeline"),
                       ('{"pipeline": "x", "nope": 1}', 'unknown "nope"'), ("\xff", "body")):
        answer = served.ask("POST", "/v1/runs", body.encode("latin-1"), Content_Type="application/json")
        assert answer.status == 400 and part in answer.error["message"], answer
    # What others' terminals show has no escapes in it.
    answer = served.ask("POST", "/v1/runs", {"pipeline": HELLO, "file": "\x1b[31mred"})
    assert answer.status == 400 and "body.file: control characters" in answer.error["message"], answer
    assert served.ask("POST", "/v1/runs", b"x", Content_Type="image/png").status == 415
    assert served.ask("POST", "/v1/runs", b"", Content_Type="application/yaml").status == 400


def test_a_huge_body(served):
    connection = served.connect()
    connection.putrequest("POST", "/v1/runs")
    for name, value in (("Authorization", f"Bearer {served.token()}"), ("Content-Type", "application/json"),
                        ("Content-Length", str(1 << 40))):
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    assert served.ask("GET", "/healthz").status == 200


def test_no_path_leads_out(served):
    served.submit(HELLO)
    secret = served.place.write("secret.txt", "top secret")
    targets = []
    for path in (str(secret), "../../secret.txt", "../write.token", "/etc/passwd", "file:///etc/passwd"):
        for form in (path, path.replace("/", "%2F"), path.replace("/", "%2f").replace(".", "%2e"), path.replace("/", "%252F")):
            for prefix in ("/v1/artifacts/", "/v1/blobs/", "/v1/refs/", "/v1/logs/", "/v1/documents/", "/v1/runs/", "/v1/lineage/", "/"):
                targets.append(prefix + form)
    targets += [f"/v1/artifacts/say.o?path={p}" for p in ("../../write.token", "/etc/passwd", "..%2f..%2fsecret.txt")]
    for target in targets:
        answer = served.ask("GET", target)
        assert 400 <= answer.status < 500, (target, answer)
        assert b"top secret" not in answer.bytes and served.token() not in answer.text and "root:" not in answer.text


def test_idempotency_key(served):
    def submit(key, **more):
        return served.ask("POST", "/v1/runs", {"pipeline": HELLO, **more}, Idempotency_Key=key)
    first, second, third = submit("k1"), submit("k1"), submit("k2")
    assert first.status == second.status == third.status == 201
    assert first.json["run"] == second.json["run"] != third.json["run"]
    assert submit("k1", params={"text": "other"}).status == 409
    assert submit("not good").status == 400
    # It holds over a restart.
    served.until_over(first.json["run"])
    served.kill()
    served.start()
    assert submit("k1").json["run"] == first.json["run"]


def test_latest_made_again_is_made_once_with_one_key(served):
    """The client itself asks again where the answer was lost; by then `latest` is another run."""
    def again(key):
        return served.ask("POST", "/v1/runs/latest/resubmit?p=again=7", Idempotency_Key=key)
    served.submit(HELLO)
    first, second = again("k1"), again("k1")
    assert first.status == second.status == 201 and first.json["run"] == second.json["run"]
    served.submit(exec_pipeline("echo x > o.txt").replace("again: 1", "other: 1"))
    assert again("k1").json["run"] == first.json["run"]
    assert again("k2").status == 400  # `latest` has no such parameter now
    assert served.ask("POST", "/v1/runs/latest/resubmit?p=again=8", Idempotency_Key="k1").status == 409


def test_a_plan_of_very_many_tasks_lists_steps(served):
    """The broker has others waiting: it says how many tasks would do what, not what each would."""
    text = """version: 1
name: many
steps:
  few: {kind: exec, outputs: {o: o.txt}, params: {command: "echo > o.txt"}}
  many:
    kind: exec
    matrix: {i: {range: [0, 10000, 1]}}
    outputs: {o: o.txt}
    params: {command: "echo ${matrix.i} > o.txt"}
"""
    plan = served.ask("POST", "/v1/plan", {"pipeline": text}).json
    none = {"hit": 0, "maybe": 0, "unneeded": 0}
    assert plan["tasks"] == {"total": 10001, "run": 10001, **none}
    assert plan["steps"] == [{"step": "few", "tasks": {"total": 1, "run": 1, **none}},
                             {"step": "many", "tasks": {"total": 10000, "run": 10000, **none}}]
    served.place.write("p.yaml", text)
    asked, here = served.broker("plan", "p.yaml"), served.place.broker("plan", "p.yaml")
    assert asked.code == here.code == 0 and "many (10000 of 10000 tasks)" in asked.out, asked
    assert "10001 tasks: 10001 to run" in asked.out and "10001 tasks: 10001 to run" in here.out
    drawn = served.ask("POST", "/v1/graphs/dot/tasks", {"pipeline": text})
    assert drawn.status == 422 and "draw its steps" in drawn.error["message"]


def test_lists_in_pages(served):
    runs = [served.submit(HELLO, params={"again": i}) for i in range(5)]
    seen, before = [], ""
    while before is not None:
        page = served.get(f"/v1/runs?limit=2{before and '&before=' + before}")
        seen += [run["run"] for run in page["runs"]]
        before = page["next"]
    assert seen == runs[::-1]


def open_stream(served, target, **headers):
    connection = served.connect()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", target, headers={"Authorization": f"Bearer {served.token('read')}", **headers})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    assert response.headers["Content-Type"] == "text/event-stream"
    return response


SLOW = exec_pipeline("echo begun; while [ ! -e o.txt ]; do sleep 0.05; done")


def test_events_and_last_event_id(served):
    run = served.submit(HELLO)
    seen = list(events(open_stream(served, f"/v1/runs/{run}/events")))
    assert [event for _, event, _ in seen if event != "progress"][-1] == "run"
    assert seen[-1][2]["state"] == "succeeded"
    numbers = [number for number, _, _ in seen if number]
    assert numbers == sorted(set(numbers))
    tasks = [(number, data) for number, event, data in seen if event == "task"]
    assert tasks[-1][1]["step"] == "say" and tasks[-1][1]["state"] == "succeeded"
    rest = list(events(open_stream(served, f"/v1/runs/{run}/events", Last_Event_ID=str(tasks[-1][0]))))
    assert [e for _, e, _ in rest if e == "task"] == [] and rest[-1][2]["state"] == "succeeded"


def test_fifty_watch_and_one_is_slow(served):
    """One of them never reads; the others see the end, and the broker forgets the slow one in time."""
    run = served.submit(SLOW)
    watchers = [open_stream(served, f"/v1/runs/{run}/events") for _ in range(50)]
    states = []
    def read(response):
        states.append(list(events(response))[-1][2]["state"])
    readers = [threading.Thread(target=read, args=[response]) for response in watchers[1:]]
    for reader in readers:
        reader.start()
    served.until_running(run)
    assert served.ask("POST", f"/v1/runs/{run}/stop?kill=true").status == 202
    for reader in readers:
        reader.join(60)
    assert states == ["cancelled"] * 49
    fds = lambda: len(os.listdir(f"/proc/{served.process.pid}/fd"))
    before = fds()
    for response in watchers:
        response.close()
    wait_for(lambda: fds() <= before, "descriptors are back")


def test_a_log_as_it_grows(served):
    run = served.submit(exec_pipeline("for i in 1 2 3; do echo line $i; sleep 0.2; done; echo x > o.txt"))
    served.until_logged(f"{run}/say", "line 1")
    plain = served.ask("GET", f"/v1/runs/{run}/tasks/say/log?follow=true")
    assert plain.text == "line 1\nline 2\nline 3\n"
    answer = served.ask("GET", f"/v1/runs/{run}/tasks/say/log")
    assert answer.headers["X-Log-Final"] == "true" and answer.text == plain.text
    offset = answer.headers["X-Log-Offset"]
    assert served.ask("GET", f"/v1/runs/{run}/tasks/say/log?attempt={answer.headers['X-Log-Attempt']}&offset={offset}").text == ""
    seen = list(events(open_stream(served, f"/v1/logs/{run}/say?follow=true", Accept="text/event-stream")))
    assert "".join(data["text"] for _, _, data in seen) == plain.text and seen[-1][2]["is_final"]


def test_slow_and_broken_clients_cost_a_connection_at_most(served):
    host, port = served.address.rsplit(":", 1)
    clients = []
    for text in (b"GET / HT", b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab", b"\x16\x03\x01",
                 b"GET /healthz HTTP/1.1\r\nHost: " + b"x" * 100000):
        client = socket.create_connection((host, int(port)))
        client.sendall(text)
        clients.append(client)
    for _ in range(20):
        assert served.ask("GET", "/healthz").status == 200
    for client in clients:
        client.close()


def test_bytes_in_and_out(served):
    import hashlib
    data = os.urandom(3 << 20)
    name = hashlib.blake2b(data, digest_size=32).hexdigest()
    assert served.ask("GET", f"/v1/blobs/{name}").status == 404
    assert served.ask("PUT", f"/v1/blobs/{name}", data[:-1]).status == 422
    assert served.ask("GET", f"/v1/blobs/{name}").status == 404
    assert served.ask("PUT", f"/v1/blobs/{name}", data[:1000], token="read").status == 403
    assert served.ask("PUT", f"/v1/blobs/{name}", data).status == 201
    answer = served.ask("GET", f"/v1/blobs/{name}", token="read")
    assert answer.bytes == data and answer.headers["Content-Type"] == "application/octet-stream"
    assert os.listdir(served.place.path / ".penstock/spool") == []
