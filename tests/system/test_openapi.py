"""/openapi.json against the real answers: requests made up by schemathesis, and real ones."""
import json
import pathlib
import subprocess
import sys

import pytest
from served import HELLO, served  # noqa: F401

jsonschema_rs = pytest.importorskip("jsonschema_rs", reason="schemathesis is not installed")


def validator(document, schema):
    return jsonschema_rs.validator_for({**schema, "components": document["components"]})


def answer_schema(document, path, method, status, kind="application/json"):
    return document["paths"][path][method]["responses"][str(status)]["content"][kind]["schema"]


def test_made_up_requests(served):
    served.until_over(served.submit(HELLO))
    program = pathlib.Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [program, "run", f"{served.url}/openapi.json", "-H", f"Authorization: Bearer {served.token()}", "--seed", "1",
         "--max-examples", "10", "--checks", "all", "--exclude-checks", "positive_data_acceptance",
         "--exclude-path", "/v1/events", "--request-timeout", "20", "--no-color"],
        capture_output=True, text=True, timeout=300, cwd=served.place.path)
    assert done.returncode == 0, done.stdout[-8000:]
    assert served.process.poll() is None


def test_real_answers(served):
    document = served.get("/openapi.json", token=None)
    run = served.submit(HELLO)
    result = served.until_over(run)
    blob = result["steps"][0]["outputs"]["o"]["id"]
    asked = [("get", path, target) for path, target in {
        "/healthz": "/healthz", "/readyz": "/readyz", "/openapi.json": "/openapi.json", "/v1/runs": "/v1/runs?limit=1",
        "/v1/runs/{run}": f"/v1/runs/{run}?full=true", "/v1/runs/{run}/tasks/{task}": f"/v1/runs/{run}/tasks/say",
        "/v1/documents/{ref}": f"/v1/documents/{run}", "/v1/refs/{ref}": f"/v1/refs/{run}/say.o",
        "/v1/lineage/{ref}": f"/v1/lineage/{run}/say.o", "/v1/load": "/v1/load", "/v1/workers": "/v1/workers",
        "/v1/doctor": "/v1/doctor"}.items()]
    asked += [("post", path, path.replace("{task}", "say").replace("{run}", run)) for path in (
        "/v1/plan", "/v1/lint", "/v1/explain/{task}", "/v1/uploads", "/v1/runs", "/v1/runs/{run}/resubmit", "/v1/gc")]
    asked += [("get", "/v1/care", "/v1/care")]
    bodies = {"/v1/uploads": {"artifacts": [{"id": blob, "bytes": 8}, {"id": "12" * 32, "bytes": 1}]},
              "/v1/runs/{run}/resubmit": {"params": {"text": "x"}}, "/v1/gc": {"removes": False, "keep": 100}}
    for method, path, target in asked:
        body = bodies.get(path, {"pipeline": HELLO}) if method == "post" else None
        answer = served.ask(method.upper(), target, body)
        assert answer.status < 300, (target, answer)
        validator(document, answer_schema(document, path, method, answer.status)).validate(answer.json)
    # Each route is asked here, or answers something that is not JSON.
    left = {(method, path) for path, item in document["paths"].items() for method in item} - {(m, p) for m, p, _ in asked}
    assert left == {("get", "/v1/runs/{run}/events"), ("get", "/v1/events"), ("post", "/v1/runs/{run}/stop"),
                    ("post", "/v1/runs/{run}/retry"), ("get", "/v1/runs/{run}/tasks/{task}/log"), ("get", "/v1/logs/{task}"),
                    ("post", "/v1/graphs/{format}"), ("post", "/v1/graphs/{format}/tasks"), ("get", "/v1/artifacts/{ref}"),
                    ("get", "/v1/blobs/{id}"), ("put", "/v1/blobs/{id}"), ("post", "/v1/fsck"),
                    ("get", "/v1/urls/{ref}"), ("get", "/v1/attestations/{ref}"), ("get", "/v1/proofs/{task}")}
    error = served.ask("GET", "/v1/runs/nope")
    schema = document["paths"]["/v1/runs/{run}"]["get"]["responses"]["default"]["content"]["application/json"]["schema"]
    validator(document, schema).validate(error.json)
    assert served.ask("GET", f"/v1/artifacts/{run}/say.o").text == "hello 1\n"
