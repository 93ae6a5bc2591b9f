"""A broker that serves, started again in the midst of work."""
import json
import shutil
import signal
import subprocess
import time

from measurements import sleep_pipeline
from running import Failure

OPEN_TASKS = 100_000
READY_LIMIT_S = 60


def wait(condition, what):
    end = time.monotonic() + READY_LIMIT_S
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {READY_LIMIT_S} s")
        time.sleep(0.001)


def restart(bench):
    """From exec to where workers are heard: the open run is parsed, expanded and looked up again."""
    pipeline, folder = sleep_pipeline(bench, OPEN_TASKS), bench.fresh()
    runs = lambda: json.loads(bench.run([bench.broker, "list", "--json"], folder).out)
    with bench.background([bench.broker, "run", pipeline, "-q", "-j0"], folder) as first:
        wait(lambda: "listening" in first.said(), "the first broker")
        wait(lambda: [run for run in runs() if run["state"] == "running"], "the run")
        first.send_signal(signal.SIGKILL)
        first.wait()
    begun = time.monotonic()
    with bench.background([bench.broker, "serve", "-j0", "--http", "127.0.0.1:0"], folder, PENSTOCK_LOG="info") as second:
        wait(lambda: "run.reopened" in second.said(), "the second broker")
        bench.keep("restart", time.monotonic() - begun)
        if f"tasks={OPEN_TASKS}" not in second.said():
            raise Failure(f"restart: the run was not begun again: {second.said()[-500:]}")
        second.send_signal(signal.SIGTERM)
        try:
            second.wait(READY_LIMIT_S)
        except subprocess.TimeoutExpired as late:
            raise Failure("restart: the broker does not leave") from late
    shutil.rmtree(folder)


SERVING = {"restart": restart}
