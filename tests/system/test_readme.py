"""The command lines of the README's section on workers, as they are printed there."""
import re
import shlex
import subprocess

from conftest import BIN, ROOT


def lines():
    section = re.search(r"^## More workers\n(.*?)^## ", (ROOT / "README.md").read_text(), re.M | re.S).group(1)
    commands = re.findall(r"^    (build/release/[^#\n]+)", section, re.M)
    return [shlex.split(command.replace("build/release", str(BIN))) for command in commands]


def test_more_workers(iris):
    run, *workers, load = lines()
    assert run[1] == "run" and len(workers) == 2 and load[1] == "load"
    started = [subprocess.Popen(words, cwd=iris.path, env=iris.environment(), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True) for words in [*workers, run]]
    ended = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], ended
    assert "the winner" in ended[-1][0] and "to join: " in ended[-1][1]
    assert subprocess.run(load, cwd=iris.path, env=iris.environment()).returncode == 0
