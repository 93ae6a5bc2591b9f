"""What a step of kind exec sees, and what it does not: with pipelines, as a user and without capabilities."""
import ctypes
import errno
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

import pytest

from conftest import BIN, WORKER, Place, Result, by_name, needs_landlock
from workers import Cluster

SECRET = "correct horse battery staple"


def one(command, more=""):
    return f"""
version: 1
name: one
steps:
  a:
    kind: exec
    outputs: {{o: o}}
    retry: 0
    params: {{command: "{command}"{more}}}
"""


def text_of(place, *args, **environment):
    """Why the only step failed."""
    result = place.broker("run", "p.yaml", *args, **environment)
    assert result.code == 1, result
    return result.err


def test_an_undeclared_file_of_the_pipelines_folder_fails_and_is_named(place):
    needs_landlock()
    place.write("data/x.csv", "a,b\n")
    path = place.path / "data/x.csv"
    place.write("p.yaml", one(f"cat {path} > o"))
    assert f"{path} exists but is not declared: add it to inputs or code" in text_of(place)
    place.write("p.yaml", f"""
version: 1
name: one
sources: {{x: data/x.csv}}
steps:
  a: {{kind: exec, inputs: {{x: sources.x}}, outputs: {{o: o}}, params: {{command: "cat $x > o"}}}}
""")
    place.run()
    place.write("p.yaml", one(f"cat {path} > o"))
    place.run(PENSTOCK_READABLE=str(place.path / "data"))


@pytest.fixture(params=["/opt", "/usr/src"])
def shown(request):
    """A place below a folder of the system that all programs see."""
    try:
        folder = tempfile.mkdtemp(prefix="penstock-test-", dir=request.param)
    except OSError as error:
        pytest.skip(f"nothing can be made there: {error}")
    yield Place(pathlib.Path(folder))
    shutil.rmtree(folder)


def test_a_pipelines_folder_is_not_seen_though_it_lies_in_one_of_the_systems(shown):
    needs_landlock()
    path = shown.write("own.csv", "a\n")
    for target in (path, shown.path / ".penstock/store", shown.path / ".penstock/cache"):
        shown.write("p.yaml", one(f"cp -r {target} o"))
        assert "not declared" in text_of(shown)
    shown.write("p.yaml", one(f"ls {path.parent.parent}/* > o; true"))
    shown.run()


def test_nor_is_a_home_of_another_name(shown):
    needs_landlock()
    home = shown.path.parent / f"{shown.path.name}-home"
    try:
        for target in (shown.write("own.csv", "a\n"), home / "store", home / "keys"):
            (home / "keys").mkdir(parents=True, exist_ok=True)
            shown.write("p.yaml", one(f"cp -r {target} o"))
            assert "not declared" in text_of(shown, "--home", home)
    finally:
        shutil.rmtree(home)


def test_nor_is_where_one_works_though_that_is_the_systems_own(shown):
    needs_landlock()
    path = shown.write("own.csv", "a\n")
    pipeline = shown.write("p.yaml", one(f"cp {path} o"))
    result = Place(shown.path.parent).broker("run", pipeline, "--home", shown.path / "home")
    assert result.code == 1 and "not declared" in result.err, result


def test_the_network_is_asked_for_and_part_of_the_identity(place):
    command = "exec 3<>/dev/tcp/127.0.0.1/1"
    tasks = [by_name(place.run("p.yaml", code=1))["a"]["task"] for more in ("", ", network: false", ", network: true")
             if place.write("p.yaml", one("bash -c '" + command + "'", more))]
    assert tasks[0] == tasks[1] != tasks[2]
    words = place.broker("logs", "a").out
    assert "refused" in words  # the last one got as far as that nobody listens there
    place.write("p.yaml", one("bash -c '" + command + "'; exit 2"))
    assert "params: {network: true}" in text_of(place)


def test_off_and_what_can_not_be(place):
    place.write("p.yaml", one(f"ls {place.path} > o"))
    place.run(PENSTOCK_SANDBOX="off")
    result = subprocess.run([WORKER, "--broker", "ipc://x", "--sandbox", "sometimes"], capture_output=True, text=True,
                            cwd=place.path, env=place.environment())
    assert result.returncode == 2 and "best-effort, require or off" in result.stderr
    result = subprocess.run([WORKER, "--broker", "ipc://x", "--readable", "/not/there"], capture_output=True, text=True,
                            cwd=place.path, env=place.environment())
    assert result.returncode == 2 and "/not/there" in result.stderr


def everything_in(folder):
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("source", ["environment", "folder"])
def test_a_secret_reaches_its_program_and_nothing_else(place, source):
    place.write("secrets/DB_PASSWORD", SECRET + "\n")
    given = {"PENSTOCK_SECRET_DB_PASSWORD": SECRET} if source == "environment" else {"PENSTOCK_SECRETS": "secrets"}
    place.write("p.yaml", one("echo it is $DB_PASSWORD; echo and $DB_PASSWORD >&2; printenv DB_PASSWORD | wc -c > o",
                              ", secrets: [DB_PASSWORD]"))
    before = by_name(place.run(**given, PENSTOCK_LOG="debug"))["a"]
    assert place.export("a.o", "o").read_text() == f"{len(SECRET) + 1}\n"
    assert place.broker("logs", "a").out == "it is [DB_PASSWORD]\nand [DB_PASSWORD]\n"
    assert SECRET.encode() not in everything_in(place.path / ".penstock")
    changed = {name: "something else altogether" for name in given if source == "environment"}
    place.write("secrets/DB_PASSWORD", "something else altogether")
    again = by_name(place.run(**{**given, **changed}))["a"]
    assert again["hit"] and again["task"] == before["task"]


def test_a_secret_in_an_output_fails_its_task(place):
    place.write("p.yaml", one("echo $TOKEN > o", ", secrets: [TOKEN]"))
    assert "output o holds the secret TOKEN" in text_of(place, PENSTOCK_SECRET_TOKEN=SECRET)
    assert SECRET.encode() not in everything_in(place.path / ".penstock/store")


def test_a_step_goes_to_a_worker_that_has_its_secret(place):
    place.write("p.yaml", one("printenv TOKEN | wc -c > o", ", secrets: [TOKEN]"))
    cluster = Cluster(place)
    try:
        cluster.start()
        cluster.join("without")
        assert "secret:TOKEN=yes" in cluster.wait_line("a: needs ")
        cluster.join("with", PENSTOCK_SECRET_TOKEN=SECRET)
        assert by_name(cluster.finish())["a"]["worker"] == "with"
    finally:
        cluster.close()


@pytest.fixture
def nobody(tmp_path):
    """A place, and a way to run the broker there as a user without any capability."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("this needs root and setpriv, to become a user without capabilities")
    place = Place(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("broker", "worker"):
        shutil.copy(BIN / name, programs)
    for folder in tmp_path.parents:
        if not folder.stat().st_mode & 0o1:
            folder.chmod(folder.stat().st_mode | 0o11)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        os.chown(path, 65534, 65534)
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]

    def broker(*args, before=None, **environment):
        return Result(subprocess.run([*become, str(programs / "broker"), *args], cwd=tmp_path, capture_output=True, text=True,
                                     timeout=120, env=place.environment(**environment), preexec_fn=before))
    place.broker = broker
    return place


def test_it_holds_for_a_user_without_capabilities(nobody):
    needs_landlock()
    nobody.write("own.csv", "a\n").chmod(0o644)
    path = nobody.path / "own.csv"
    nobody.write("p.yaml", one("echo fine > o"))
    result = nobody.broker("run", "p.yaml", "--json=full", PENSTOCK_SANDBOX="require")
    assert result.code == 0 and json.loads(result.out)["state"] == "succeeded", result
    nobody.write("p.yaml", one(f"cat {path} > o"))
    assert "not declared" in text_of(nobody)
    nobody.write("p.yaml", one("bash -c 'exec 3<>/dev/tcp/127.0.0.1/1'"))
    assert "params: {network: true}" in text_of(nobody)


def has_group(place, what):
    """Can this machine's workers make control groups that do this?"""
    found = json.loads(subprocess.run([WORKER, "doctor", "--json"], capture_output=True, text=True).stdout)
    layer = next(layer for layer in found if layer["check"] == "cgroup")
    return f", {what}" in layer["found"]



@pytest.mark.parametrize("bound", ["kernel", "watched"])
def test_a_program_that_takes_too_much_memory_is_ended(place, request, bound):
    if bound == "kernel" and not has_group(place, "memory"):
        pytest.skip("no memory control group can be made here: see worker doctor")
    if bound == "watched":
        place = request.getfixturevalue("nobody")
    place.write("p.yaml", one("tail /dev/zero").replace("retry: 0", "retry: 0\n    resources: {memory: 100Mi}"))
    words = text_of(place)
    assert "grew past its memory limit of 100 MiB" in words
    assert ("resident" in words) == (bound == "watched")
    place.write("p.yaml", one("head -c 300000000 /dev/zero > big; wc -c < big > o")
                .replace("retry: 0", "retry: 0\n    resources: {memory: 100Mi}"))
    assert place.broker("run", "p.yaml").code == 0  # what is written to files is not held against it


def test_a_fork_bomb_is_bounded(place, request):
    if not has_group(place, "processes"):
        place = request.getfixturevalue("nobody")  # else nothing bounds root
    place.write("p.yaml", one("for i in $(seq 300); do sleep 60 & done; wait"))
    assert "fork" in text_of(place, PENSTOCK_PROCESSES="100")


def test_a_file_that_grows_without_end_is_ended(place):
    place.write("p.yaml", one("exec head -c 1G /dev/zero > o"))
    assert "SIGXFSZ" in text_of(place, PENSTOCK_FILE_SIZE="10MiB")


def lose_landlock():
    """As a kernel without it, for this process and what it starts: landlock_create_ruleset is refused."""
    class Program(ctypes.Structure):
        _fields_ = [("count", ctypes.c_ushort), ("rules", ctypes.c_char_p)]
    load, is_equal, answer, landlock, refuse, allow = 0x20, 0x15, 0x06, 444, 0x50000 | errno.ENOSYS, 0x7fff0000
    rules = b"".join(struct.pack("HBBI", *rule) for rule in
                     ((load, 0, 0, 0), (is_equal, 0, 1, landlock), (answer, 0, 0, refuse), (answer, 0, 0, allow)))
    libc, no_new_privileges, seccomp, filtering = ctypes.CDLL(None), 38, 22, 2
    assert libc.prctl(no_new_privileges, 1, 0, 0, 0) == 0
    assert libc.prctl(seccomp, filtering, ctypes.byref(Program(4, rules))) == 0


def test_without_landlock_nobody_above_a_program_can_be_looked_into(nobody):
    nobody.write("p.yaml", one("pid=$PPID; for name in slot worker broker; do cat /proc/$pid/environ; "
                               "pid=$(awk '/PPid/ {print $2}' /proc/$pid/status); done; touch o"))
    result = nobody.broker("run", "p.yaml", before=lose_landlock, KEY=SECRET)
    assert result.code == 0, result
    words = nobody.broker("logs", "a").out
    assert SECRET not in words and words.count("Permission denied") == 3, words


def test_doctors_say_what_there_is(place):
    rows = json.loads(subprocess.run([WORKER, "doctor", "--json"], capture_output=True, text=True).stdout)
    assert [row["check"] for row in rows] == ["landlock", "seccomp", "cgroup"]
    assert all(row["found"] and (row["mend"] or row["ok"]) for row in rows)
    text = subprocess.run([WORKER, "doctor"], capture_output=True, text=True).stdout
    assert all(row["found"] in text for row in rows)
    assert [row for row in place.broker("doctor", "--json").json if row["check"] in ("landlock", "seccomp", "cgroup")] == rows
