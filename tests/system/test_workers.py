"""Workers join, leave, die and hang in the middle of a run: it costs time, never a result."""
import random
import signal

import pytest

from conftest import by_name, output_ids
from workers import Cluster, wait_for


@pytest.fixture
def cluster(place):
    cluster = Cluster(place)
    yield cluster
    cluster.close()


def pipeline(cluster, *steps):
    cluster.place.write("p.yaml", "version: 1\nname: workers\nsteps:\n" + "".join(f"  {step}\n" for step in steps))


def step(name, command, count=1, more=""):
    """A step of `count` tasks; each writes its number."""
    axes = ", ".join(str(i) for i in range(count))
    return (f"{name}: {{kind: exec, matrix: {{i: [{axes}]}}, outputs: {{o: o}}, {more}"
            f"params: {{command: \"{command}; echo ${{matrix.i}} > o\"}}}}")


# Nobody is to blame, and one try must do: a hand-over that counted as a crash or a retry would fail the task.
STRICT = "retry: {limit: 0, poison: 1}, "


def test_all_workers_of_a_run_work(cluster):
    pipeline(cluster, step("work", f"{cluster.mark('begun')}; {cluster.gate('all')}", 6))
    cluster.start()
    for name in ["w1", "w2", "w3"]:
        cluster.join(name, "--slots", 1)
    cluster.wait_marks("begun", 3)
    cluster.open("all")
    document = cluster.finish()
    assert {e["worker"] for e in document["steps"]} == {"w1", "w2", "w3"}


def test_nothing_is_given_out_before_enough_workers_have_joined(cluster):
    pipeline(cluster, step("work", f"{cluster.mark('begun')}; {cluster.gate('all')}", 6))
    cluster.start("--min-workers", 3)
    cluster.join("w1", "--slots", 2)
    cluster.join("w2", "--slots", 2)
    cluster.wait_welcome("w1", "w2")
    cluster.wait_line("nothing is given out before 3 workers are connected (--min-workers); 2 are")
    assert cluster.marks("begun") == 0
    cluster.join("w3", "--slots", 2)
    cluster.wait_marks("begun", 6)
    cluster.open("all")
    names = [e["worker"] for e in cluster.finish()["steps"]]
    assert sorted(names) == ["w1", "w1", "w2", "w2", "w3", "w3"]


def test_the_local_worker_is_one_of_them(cluster):
    pipeline(cluster, step("work", "true", 2))
    cluster.start("--min-workers", 2, slots=1)
    cluster.join("other")
    assert cluster.finish()["state"] == "succeeded"


@pytest.mark.parametrize("slots", [1, 2])
def test_a_worker_that_joins_in_the_middle_takes_what_others_hold(cluster, slots):
    pipeline(cluster, step("work", f"{cluster.mark('begun')}; {cluster.gate('all')}", 3 * slots))
    cluster.start()
    for joined in [1, 2, 3]:  # the first is sent more than it has slots; it runs those, the rest waits behind them
        cluster.join(f"w{joined}", "--slots", slots)
        cluster.wait_marks("begun", joined * slots)
    cluster.open("all")
    names = [e["worker"] for e in cluster.finish()["steps"]]
    assert sorted(names) == sorted(["w1", "w2", "w3"] * slots)
    assert cluster.marks("begun") == 3 * slots


def test_a_worker_that_is_told_to_leave_finishes_what_runs_and_hands_back_the_rest(cluster):
    pipeline(cluster, step("work", f"{cluster.mark('begun')}; {cluster.gate('all')}", 3, STRICT))
    cluster.start()
    cluster.join("w1", "--slots", 1)
    cluster.wait_marks("begun")
    cluster.signal("w1", signal.SIGTERM)
    wait_for(lambda: "worker.drain" in cluster.log("w1"))
    cluster.open("all")
    assert cluster.workers["w1"].wait(timeout=60) == 0
    cluster.join("w2", "--slots", 1)
    document = cluster.finish()
    assert sorted(e["worker"] for e in document["steps"]) == ["w1", "w2", "w2"]
    assert cluster.marks("begun") == 3


def test_a_worker_hands_back_what_takes_longer_than_its_grace(cluster):
    hang = cluster.only_first("long", f"{cluster.mark('hangs')}; sleep 600")
    pipeline(cluster, step("long", hang, 1, STRICT))
    cluster.start()
    cluster.join("w1", "--grace", "200ms")
    cluster.wait_marks("hangs")
    assert cluster.leave("w1") == 0
    cluster.join("w2")
    [entry] = cluster.finish()["steps"]
    assert entry["state"] == "succeeded" and entry["worker"] == "w2"


def test_kill_9_of_a_worker_costs_no_result(cluster):
    hang = cluster.only_first("one", f"{cluster.mark('hangs')}; sleep 600")
    pipeline(cluster, step("work", hang, 4, "retry: 0, "))
    cluster.start()
    cluster.join("w1", "--slots", 1)
    cluster.wait_marks("hangs")
    cluster.join("w2", "--slots", 1)
    cluster.signal("w1", signal.SIGKILL)
    document = cluster.finish()
    assert {e["worker"] for e in document["steps"]} == {"w2"}
    outputs = output_ids(document)
    assert output_ids(cluster.place.run("p.yaml", "--force")) == outputs


def test_a_worker_that_was_stopped_past_its_lease_does_no_harm(cluster):
    """It is given up for lost, comes back with a result that nobody waits for, and is of use again."""
    slow = cluster.only_first("slow", cluster.gate("slow"))
    pipeline(cluster, step("slow", f"{cluster.mark('slow')}; {slow}", 1, "retry: 0, "),
             step("last", f"{cluster.mark('last')}; cat ${{inputs.x}}", 1,
                  "inputs: {x: slow.o}, resources: {labels: {zone: a}}, retry: 0, "))
    cluster.start("--lease", "3s")
    cluster.join("w1", "--slots", 1, "--labels", "zone=a")
    cluster.wait_marks("slow", 1)
    cluster.signal("w1", signal.SIGSTOP)
    cluster.join("w2", "--slots", 1)
    cluster.wait_marks("slow", 2)
    cluster.open("slow")
    wait_for(lambda: any(line.startswith("slow[i=0]: succeeded") for line in cluster.lines))
    assert cluster.marks("last") == 0
    cluster.signal("w1", signal.SIGCONT)
    entries = by_name(cluster.finish())
    assert entries["slow[i=0]"]["worker"] == "w2" and entries["last[i=0]"]["worker"] == "w1"
    assert cluster.marks("slow") == 2 and cluster.marks("last") == 1
    outputs = {name: entry["outputs"] for name, entry in entries.items()}
    again = by_name(cluster.place.run("p.yaml"))
    assert {name: entry["outputs"] for name, entry in again.items()} == outputs
    assert all(entry["hit"] for entry in again.values())


def test_after_kill_9_of_the_broker_nothing_finished_is_repeated(cluster):
    pipeline(cluster, step("work", f"{cluster.mark('begun-${matrix.i}')}; "
                                   f"if [ ${{matrix.i}} -ge 4 ]; then {cluster.gate('rest')}; fi", 12, "retry: 0, "))
    where = ["--listen", f"ipc://{cluster.place.path}/sock", "--min-workers", 2]
    cluster.start(*where)
    cluster.join("w1", "--slots", 1)
    cluster.join("w2", "--slots", 1)
    wait_for(lambda: sum(": succeeded" in line for line in cluster.lines) >= 4)
    cluster.wait_marks("begun-*", 6)
    cluster.broker.kill()
    cluster.broker.wait()
    cluster.open("rest")
    cluster.start(*where)
    document = cluster.finish()
    assert document["state"] == "succeeded" and document["tasks"]["hit"] >= 4
    # What the two still run is known before anything is given out: not even that is repeated.
    assert [cluster.marks(f"begun-{i}") for i in range(12)] == 12 * [1]


def test_a_worker_drops_what_the_next_broker_does_not_want(cluster):
    where = ["--listen", f"ipc://{cluster.place.path}/sock"]
    pipeline(cluster, step("old", f"{cluster.mark('old')}; sleep 600", 3))
    cluster.start(*where)
    cluster.join("w1", "--slots", 1)
    cluster.wait_marks("old")
    cluster.broker.kill()
    cluster.broker.wait()
    pipeline(cluster, step("new", cluster.mark("new")))
    cluster.start(*where)
    [entry] = cluster.finish()["steps"]
    assert entry["state"] == "succeeded" and entry["worker"] == "w1"
    assert cluster.marks("old") == 1 and cluster.marks("new") == 1


@pytest.mark.parametrize("seed", range(3))
def test_workers_that_come_and_go_at_random(cluster, seed):
    """Killed, stopped and told to leave: nothing is lost, and no fault costs a task more than one execution."""
    draw, tasks, faults, stopped = random.Random(seed), 40, 0, []
    policy = "retry: {limit: 0, poison: 1000}, "
    pipeline(cluster, step("work", f"{cluster.mark('run-${matrix.i}')}; sleep 0.05", tasks, policy),
             step("last", f"{cluster.mark('last')}; {cluster.gate('end')}", 1, policy))
    cluster.start("--lease", "1s")
    living = []
    for i in range(8):
        cluster.join(f"w{i}", "--slots", 2, "--grace", "10s")
        living.append(f"w{i}")
        cluster.wait_welcome(f"w{i}")
        cluster.wait_marks("run-*", min(tasks, 3 * i + 1))
        victim = living.pop(draw.randrange(len(living))) if i >= 1 else None
        how = draw.choice([signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
        if victim:
            cluster.signal(victim, how)
            faults += how != signal.SIGTERM
        if victim and how == signal.SIGSTOP:
            stopped.append(victim)
    cluster.wait_marks("run-*", tasks)
    for name in stopped:
        cluster.signal(name, signal.SIGCONT)
    cluster.open("end")
    document = cluster.finish()
    assert document["state"] == "succeeded"
    outputs = output_ids(document)
    assert len({made["o"] for name, made in outputs.items() if name.startswith("work")}) == tasks
    assert all(1 <= cluster.marks(f"run-{i}") <= 1 + faults for i in range(tasks))
    assert 1 <= cluster.marks("last") <= 1 + faults
