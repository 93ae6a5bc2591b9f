"""No-op tasks with Celery and Redis; the module is what its worker loads, too. CELERY_URL names the server. As a
program: a group of as many tasks as the argument says, from the moment it is sent to its last result."""
import os
import sys
import time

from celery import Celery, group

app = Celery("bench", broker=os.environ["CELERY_URL"], backend=os.environ["CELERY_URL"])
WARM_UP = 20
LIMIT_S = 120


@app.task(name="nothing")  # the same in the worker, where this is no program
def nothing(number):
    return number


def run(count):
    group(nothing.s(i) for i in range(count)).apply_async().join(timeout=LIMIT_S)


if __name__ == "__main__":
    tasks = int(sys.argv[1])
    run(WARM_UP)
    begun = time.perf_counter()
    run(tasks)
    print(f"{'no-op':32} {tasks / (time.perf_counter() - begun):.1f} tasks/s")
