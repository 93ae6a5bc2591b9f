"""The command lines of the README's sections, as they are printed there."""
import re
import shlex
import socket
import subprocess

from conftest import BIN, ROOT


def lines(title):
    section = re.search(rf"^## {title}\n(.*?)^## ", (ROOT / "README.md").read_text(), re.M | re.S).group(1)
    commands = re.findall(r"^    (build/release/[^#\n]+)", section, re.M)
    return [shlex.split(command.replace("build/release", str(BIN))) for command in commands]


def test_more_workers(iris):
    run, *workers, init, add, _, _, load = lines("More workers")
    assert run[1] == "run" and len(workers) == 2 and init[1] == add[1] == "keys" and load[1] == "load"
    started = [subprocess.Popen(words, cwd=iris.path, env=iris.environment(), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True) for words in [*workers, run]]
    ended = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], ended
    assert "the winner" in ended[-1][0] and "to join: " in ended[-1][1]
    assert subprocess.run(load, cwd=iris.path, env=iris.environment()).returncode == 0


def test_where_a_result_comes_from(iris):
    iris.run("configs/iris.yaml")
    for words in lines("Where a result comes from"):
        done = subprocess.run(words, cwd=iris.path, env=iris.environment(), capture_output=True, text=True)
        assert done.returncode == 0, (words, done)
    key = iris.broker("keys", "list", "--json").json["public_key"]
    model = iris.export("compare.model", "model")
    assert iris.broker("verify", model, "--attestation", "model.intoto.jsonl", "--broker-key", key).code == 0


def test_keeping_it_in_order(iris):
    iris.run("configs/iris.yaml")
    commands = lines("Keeping it in order")
    assert [words[1] for words in commands] == 3 * ["fsck"] + 2 * ["gc"]
    for words in commands:
        done = subprocess.run(words, cwd=iris.path, env=iris.environment(), capture_output=True, text=True)
        assert done.returncode == 0, (words, done)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_workers_on_other_machines(iris):
    _, _, _, init, add, run, worker, _ = lines("More workers")
    key = subprocess.run(init, cwd=iris.path, env=iris.environment(), capture_output=True, text=True).stdout.strip()
    assert subprocess.run(add, cwd=iris.path, env=iris.environment()).returncode == 0
    names = {"HOST": "127.0.0.1", "7000": free_port(), "HEX": key, "URL": ".penstock/store"}
    started = []
    for words in [run, worker]:
        for name, value in names.items():
            words = [word.replace(name, value) for word in words]
        started.append(subprocess.Popen(words, cwd=iris.path, env=iris.environment(), stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True))
    ended = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    assert "the winner" in ended[0][0]


def shell_lines(title):
    section = re.search(rf"^## {title}\n(.*?)^## ", (ROOT / "README.md").read_text(), re.M | re.S).group(1)
    return re.findall(r"^    (\S.*?)(?:  +#.*)?$", section, re.M)


def test_a_served_broker(iris):
    """The serving line in the background, the others one after the other in one shell (configs/hello.yaml goes up by curl); another
    port, since this one may be taken."""
    serve, *others = shell_lines("A served broker")
    assert serve == "build/release/broker serve" and len(others) == 15, others
    address = f"127.0.0.1:{free_port()}"
    script = "\n".join([f"{serve} 2>serve.log &", "trap 'kill %1; wait %1' EXIT", "until grep -q 'serving at' serve.log; do sleep 0.05; done"] +
                       [f"echo \"+ $((i=i+1))\" && {line} || exit 1" for line in others])
    script = "i=0; set -o pipefail\n" + script.replace("build/release", str(BIN)).replace("127.0.0.1:7001", address)
    done = subprocess.run(["bash", "-c", script], cwd=iris.path, env=iris.environment(PENSTOCK_HTTP=address), text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr + (iris.path / "serve.log").read_text()
    answers = [answer.partition("\n")[2] for answer in done.stdout.split("+ ")[1:]]
    assert "the winner" in answers[1] and '"run": ' in answers[9] and "event: run" in answers[10]
    assert answers[12] == answers[13] == "hello you\n" and '"links"' in answers[14]
