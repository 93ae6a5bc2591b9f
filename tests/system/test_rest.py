"""A worker whose disk is full rests, and everybody can see it."""
import re

from served import exec_pipeline, serving, wait_for
from test_openapi import answer_schema, validator
from workers import Cluster

FULL = "fault+.penstock/store?on=put&fail=1&times=0&status=disk_full"
PIPELINE = exec_pipeline("echo x > o.txt", "retry: {limit: 50, backoff: 1ms}")


def test_who_rests_is_shown_with_why_and_for_how_long(place):
    with serving(place, "--store", FULL) as served:
        served.submit(PIPELINE)

        def resting(answer):
            return next((worker for worker in answer["workers"] if worker["state"] == "resting"), None)

        def shown():
            answer = served.get("/v1/workers")
            return answer if resting(answer) else None
        answer = wait_for(shown, "the worker rests")
        document = served.get("/openapi.json", token=None)
        validator(document, answer_schema(document, "/v1/workers", "get", 200)).validate(answer)
        assert resting(answer)["rest"]["code"] == "disk_full" and 0 < resting(answer)["rest"]["left_ms"] <= 16000
        table = r"local +resting \(disk_full, \d+ s\)"
        wait_for(lambda: re.search(table, served.broker("workers").out), "the table says so")
        assert "worker.rests worker=local code=disk_full ms=1000" in served.log.read_text()


def test_a_run_that_waits_for_it_says_so(place):
    place.write("p.yaml", PIPELINE)
    cluster = Cluster(place)
    try:
        cluster.start("--store", FULL)
        cluster.join("gpu-7")
        line = cluster.wait_line("say: is ready; ", seconds=60)  # the rests of 1, 2 and 4 s are too short for a word
        assert re.search(r"gpu-7, the only worker that could run it, is resting after disk_full, and is tried again in \d+ ms", line)
    finally:
        cluster.close()
