"""What a person sees of a run: large ones in short, bars on a terminal, plain lines elsewhere."""
import os
import re
import subprocess

import pytest

from cli_pipelines import IRIS, FAILING, WIDE, SLOW
from conftest import BROKER, by_name
from terminal import on_terminal


# ---- large runs ----

def test_a_large_run_is_told_by_step(place):
    place.write("p.yaml", WIDE.replace("COUNT", "10001"))
    result = place.broker("run", "p.yaml", "--json")
    assert result.code == 0 and len(result.err.splitlines()) < 20
    assert result.json["steps"] == [{"step": "many", "tasks": {"total": 10001, "hit": 0, "succeeded": 10001}}]
    full = place.broker("run", "p.yaml", "--json=full", "-q").json
    assert len(full["steps"]) == 10001 and full["tasks"]["hit"] == 10001
    assert by_name(full)["many[i=10000]"]["hit"] is True


def test_a_large_run_still_names_what_failed(place):
    place.write("p.yaml", WIDE.replace("COUNT", "10001") + """
  bad: {kind: exec, outputs: {x: x}, params: {command: "echo the reason; exit 3"}, retry: {limit: 0}}
""")
    result = place.broker("run", "p.yaml", "--json")
    assert result.code == 1 and "failed: bad: exited with status 3" in result.err
    assert [f["step"] for f in result.json["failures"]] == ["bad"]
    assert place.broker("logs", "bad").out == "the reason\n"


# ---- a terminal ----

def test_a_terminal_gets_bars_that_are_repainted(place):
    place.write("p.yaml", SLOW)
    text, code = on_terminal(place, "run", "p.yaml", "-j", "1")
    assert code == 0
    assert "█" in text and "░" in text and "1/4" in text and "4/4" in text
    assert "1 running" in text and re.search(r"\d (s|ms) left", text)
    assert "\033[1A\033[J" in text
    assert "\033[32m" in text
    assert "work[i=1]: succeeded" not in text


def test_no_color_is_obeyed(place):
    place.write("p.yaml", SLOW)
    text, _ = on_terminal(place, "run", "p.yaml", NO_COLOR="1")
    assert "█" in text and not re.search("\033\\[[0-9;]*m", text)


def test_a_dumb_terminal_gets_plain_lines(place):
    place.write("p.yaml", SLOW)
    text, code = on_terminal(place, "run", "p.yaml", TERM="dumb")
    assert code == 0 and "\033" not in text and "work[i=1]: succeeded" in text


def test_failures_are_red_and_told_below_the_bars(place):
    place.write("p.yaml", FAILING)
    text, code = on_terminal(place, "run", "p.yaml")
    assert code == 1 and "\033[31m" in text and "failed: bad: exited with status 3" in text


def test_more_steps_than_the_screen_has_rows(place):
    steps = "".join(f"  step{i:02}: {{kind: sleep, params: {{seconds: 0, index: {i}}}}}\n" for i in range(30))
    place.write("p.yaml", "version: 1\nname: tall\nsteps:\n" + steps)
    text, code = on_terminal(place, "run", "p.yaml", rows=10)
    assert code == 0
    frames = re.split("\033\\[\\d+A\033\\[J", text)
    assert max(frame.count("\n") for frame in frames[:-1]) <= 9
    assert re.search(r"… and \d+ steps before, \d+ behind", text)


def test_ctrl_c_on_a_terminal(place):
    place.write("p.yaml", SLOW)
    text, code = on_terminal(place, "run", "p.yaml", "-j", "1", keys=[(b"1/4", b"\x03")])
    assert code == 130 and "stopping: what runs may finish" in text and "cancelled" in text


def test_colours_never_go_into_a_file(iris):
    if not os.path.exists("/dev/ptmx") or not os.path.ismount("/dev/pts"):
        pytest.skip("no pseudo-terminal to be had here")
    with open(iris.path / "table", "w") as table:
        subprocess.run(["script", "-qec", f"{BROKER} run {IRIS} > result", "/dev/null"], cwd=iris.path, stdout=table,
                       env=iris.environment(TERM="xterm"))
    assert "the winner" in (iris.path / "result").read_text() and "\033" not in (iris.path / "result").read_text()
