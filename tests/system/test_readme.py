"""The command lines of the README's sections, as they are printed there."""
import re
import shlex
import subprocess

from conftest import BIN, ROOT


def lines(title):
    section = re.search(rf"^## {title}\n(.*?)^## ", (ROOT / "README.md").read_text(), re.M | re.S).group(1)
    commands = re.findall(r"^    (build/release/[^#\n]+)", section, re.M)
    return [shlex.split(command.replace("build/release", str(BIN))) for command in commands]


def test_more_workers(iris):
    run, *workers, load = lines("More workers")
    assert run[1] == "run" and len(workers) == 2 and load[1] == "load"
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
