"""Every subcommand and option, as a person uses them: what is printed where, and with which exit code."""
import json
import os
import re
import select
import signal
import subprocess
import time

import pytest

from cli_pipelines import COMMANDS, FAILING, IRIS, SLOW, damage, executed, states
from conftest import BROKER, by_name, output_ids


# ---- the program ----

def test_help_lists_every_command(place):
    result = place.broker("--help")
    assert result.code == 0 and result.err == ""
    for command in COMMANDS:
        assert re.search(rf"^  broker {command}\b", result.out, re.M), command
    assert "130 interrupted" in result.out and "--completion" in result.out
    assert place.broker("help").out == result.out == place.broker("-h").out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(place, command):
    result = place.broker(command, "--help")
    assert result.code == 0 and result.err == ""
    assert result.out.startswith(f"broker {command}")
    assert "--json" in result.out and "--home" in result.out
    assert all(len(line) <= 100 for line in result.out.splitlines())
    assert list(place.path.iterdir()) == []


def test_no_command_shows_the_help_and_is_bad_usage(place):
    result = place.broker()
    assert result.code == 2 and result.out == "" and "broker run" in result.err


def test_an_unknown_command_is_told_with_the_nearest(place):
    result = place.broker("lineag")
    assert result.code == 2 and 'did you mean "lineage"?' in result.err


def test_a_file_alone_is_no_command_but_told_how(demo):
    result = demo.broker("p.yaml")
    assert result.code == 2 and result.err.endswith("run p.yaml\n")


def test_hints_can_be_typed_as_they_stand(iris):
    out = iris.broker("run", IRIS, "-q").out
    hint = re.search(r"its model: (.* -o model)", out).group(1)
    assert subprocess.run(hint, shell=True, cwd=iris.path, env=iris.environment()).returncode == 0
    assert (iris.path / "model/config.json").exists()


def test_an_unknown_flag_is_told_with_the_nearest(demo):
    result = demo.broker("run", "p.yaml", "--forse")
    assert result.code == 2 and "did you mean --force?" in result.err
    assert not (demo.path / ".penstock").exists()


@pytest.mark.parametrize("args, words", [
    (["run"], "which pipeline?"),
    (["explain", "p.yaml"], "which task?"),
    (["get"], "expected RUN|TASK"),
    (["plan", "p.yaml", "another.yaml"], 'too many arguments at "another.yaml"'),
    (["run", "p.yaml", "-p", "word"], "expected NAME=VALUE"),
    (["run", "p.yaml", "-p", "wort=x"], 'no parameter "wort"'),
    (["run", "p.yaml", "--set", "nothing"], "expected NAME=VALUE"),
    (["run", "p.yaml", "--slots", "many"], "not a whole number"),
    (["run", "p.yaml", "--slots", "5000"], "0 … 1024"),
    (["run", "p.yaml", "--json=half"], "--json=full"),
    (["run", "p.yaml", "--only", "coppy"], 'did you mean "copy"?'),
    (["run", "p.yaml", "--force=zzz"], "its steps: copy, say, count"),
    (["run", "missing.yaml"], "missing.yaml"),
    (["graph", "p.yaml", "--format", "png"], "expected dot or mermaid"),
])
def test_bad_usage_is_exit_code_2_and_says_what_was_expected(demo, args, words):
    result = demo.broker(*args)
    assert result.code == 2, result
    assert result.out == "" and words in result.err


def test_version(place):
    assert re.fullmatch(r"broker \S+\n", place.broker("--version").out)


def test_completion_knows_commands_and_their_options(place):
    script = place.broker("--completion", "bash")
    assert script.code == 0
    assert "bashcompinit" in place.broker("--completion", "zsh").out
    assert place.broker("--completion", "tcsh").code == 2
    ask = script.out + """
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _broker; echo "${COMPREPLY[*]}"; }
ask "$BROKER" li; ask "$BROKER" graph --fo; ask "$BROKER" graph x --format m; ask "$BROKER" explain --p
ask "$BROKER" run --li; ask "$BROKER" run --min; ask "$BROKER" loa
"""
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, env={**os.environ, "BROKER": BROKER})
    assert done.stdout.splitlines() == ["lint list lineage", "--format", "mermaid", "--pipeline --param", "--listen",
                                        "--min-workers", "load"]


# ---- run ----

def test_pipeline_flag_is_run(demo):
    assert demo.broker("--pipeline", "p.yaml", "--json").json["tasks"]["executed"] == 3
    assert demo.broker("run", "--pipeline", "p.yaml", "--json").json["tasks"]["hit"] == 3


def test_json_has_the_shape_of_the_design(iris):
    document = iris.broker("run", IRIS, "--json").json
    assert list(document)[:6] == ["run", "pipeline", "state", "seconds", "tasks", "steps"]
    assert document["pipeline"] == "iris" and document["state"] == "succeeded"
    assert type(document["run"]) is str and type(document["seconds"]) is float
    assert list(document["tasks"]) == ["total", "executed", "hit", "failed", "upstream_failed", "skipped", "unneeded",
                                       "cancelled"]
    assert all(type(n) is int for n in document["tasks"].values())
    for entry in document["steps"]:
        types = {"step": str, "axes": dict, "task": str, "state": str, "hit": bool, "attempts": int, "seconds": float,
                 "worker": str, "outputs": dict, "metrics": dict}
        assert {key: type(entry[key]) for key in types} == types
        assert re.fullmatch("[0-9a-f]{64}", entry["task"])
        for output in entry["outputs"].values():
            assert re.fullmatch("[0-9a-f]{64}", output["id"]) and type(output["bytes"]) is int
    scores = by_name(document)["evaluate[case=logistic]"]["metrics"]
    assert 0 < scores["accuracy"] <= 1
    assert by_name(document)["train[case=logistic]"]["axes"] == {"case": "logistic"}


def test_json_entries_have_the_same_keys_whatever_became_of_the_task(place):
    place.write("p.yaml", FAILING)
    document = place.run(code=1)
    assert states(document) == {"bad": "failed", "behind": "upstream_failed", "beside": "succeeded"}
    for entry in document["steps"]:
        assert {"step", "axes", "task", "state", "hit", "attempts", "seconds", "worker", "outputs", "metrics"} <= set(entry)
    assert by_name(document)["bad"]["error"]["code"] == "exit"
    assert document["tasks"] == {"total": 3, "executed": 1, "hit": 0, "failed": 1, "upstream_failed": 1, "skipped": 0,
                                 "unneeded": 0, "cancelled": 0}


def test_results_go_to_stdout_and_all_else_to_stderr(iris):
    result = iris.broker("run", IRIS)
    assert result.code == 0
    assert "the winner by f1" in result.out and "succeeded in" not in result.out
    assert "prepare: succeeded in" in result.err and "26 tasks, 26 executed, 0 cached" in result.err
    json.loads(iris.broker("run", IRIS, "--json").out)
    assert "\033" not in result.out + result.err


def test_quiet_shows_no_progress_but_the_result(iris):
    result = iris.broker("run", IRIS, "-q")
    assert result.err == "" and "the winner" in result.out


def test_what_is_cached_takes_one_line_per_step(iris):
    iris.run(IRIS)
    lines = iris.broker("run", IRIS).err.splitlines()
    assert lines[:5] == ["prepare: cached", "train (8 tasks): cached", "predict (8 tasks): cached",
                         "evaluate (8 tasks): cached", "compare: cached"]
    assert "0 executed, 26 cached" in lines[5]


def test_force_runs_all_again_and_makes_the_same(demo):
    first = demo.run()
    again = demo.run("p.yaml", "--force")
    assert again["tasks"]["executed"] == 3 and output_ids(again) == output_ids(first)


def test_force_of_a_step_runs_that_step_alone(demo):
    demo.run()
    document = demo.run("p.yaml", "--force=say")
    assert executed(document) == {"say"}


def test_only_runs_a_step_and_what_it_needs(demo):
    document = demo.run("p.yaml", "--only", "say")
    assert executed(document) == {"copy", "say"} and states(document)["count"] == "unneeded"


def test_a_parameter_changes_what_depends_on_it(demo):
    demo.run()
    document = demo.run("p.yaml", "-p", "word=bye")
    assert executed(document) == {"say"}
    assert demo.export("say.said", "said").read_text() == "bye\none\ntwo\n"
    assert demo.run("p.yaml", "--param=word=hello")["tasks"]["executed"] == 0


def test_set_edits_the_document(demo):
    demo.run()
    assert executed(demo.run("p.yaml", "--set", "count.params.command=wc -c < ${inputs.text} > lines.txt")) == {"count"}
    assert demo.export("count.lines", "lines").read_text().strip() == "8"


@pytest.mark.parametrize("flag", [["-j", "1"], ["-j3"], ["--slots", "2"], ["--slots=4"]])
def test_slots(demo, flag):
    assert demo.run("p.yaml", *flag)["tasks"]["executed"] == 3


def test_slots_limit_what_runs_at_once(place):
    place.write("p.yaml", """
version: 1
name: once
steps:
  a: {kind: exec, matrix: {i: [1, 2, 3]}, outputs: {o: o}, params: {command: "date +%s%N > o; sleep 0.2; date +%s%N >> o; : ${matrix.i}"}}
""")
    place.run("p.yaml", "-j", "1")
    spans = sorted(tuple(map(int, place.export(f"a[i={i}].o", f"o{i}").read_text().split())) for i in (1, 2, 3))
    assert all(end <= begin for (_, end), (begin, _) in zip(spans, spans[1:]))


def test_home_is_where_everything_local_is_kept(demo):
    demo.run("p.yaml", "--home", "elsewhere")
    assert (demo.path / "elsewhere/state").exists() and not (demo.path / ".penstock").exists()
    assert demo.run(PENSTOCK_HOME="elsewhere")["tasks"]["hit"] == 3


# ---- exit codes ----

def test_a_failed_task_is_exit_code_1_and_the_rest_goes_on(place):
    place.write("p.yaml", FAILING)
    result = place.broker("run", "p.yaml")
    assert result.code == 1
    run = place.broker("list", "--json").json[0]["run"]
    assert "failed: bad: exited with status 3" in result.err and f"its log: {BROKER} logs {run}/bad" in result.err
    assert "beside: succeeded" in result.err and "behind: not run: something above it failed" in result.err
    quiet = place.broker("run", "p.yaml", "-q")
    assert quiet.code == 1 and "failed: bad" in quiet.err


def test_an_environment_out_of_reach_is_exit_code_3(place):
    place.write("p.yaml", SLOW)
    process = place.start("run", "p.yaml", "-j", "1")
    wait_for("work[i=1]: succeeded", process.stderr)
    result = place.broker("run", "p.yaml")
    process.communicate(timeout=20)
    assert result.code == 3 and "another broker" in result.err, result


def test_damaged_data_is_exit_code_4(demo):
    said = by_name(demo.run())["say"]["outputs"]["said"]["id"]
    damage(demo, said)
    result = demo.broker("export", "say.said")
    assert result.code == 4 and result.out == "", result


def wait_for(text, stream, seconds=20):
    seen, end = "", time.monotonic() + seconds
    while text not in seen:
        assert time.monotonic() < end and select.select([stream], [], [], seconds)[0], seen
        seen += os.read(stream.fileno(), 4096).decode()
    return seen


def test_ctrl_c_once_lets_running_tasks_finish_and_a_rerun_goes_on(place):
    place.write("p.yaml", SLOW)
    process = place.start("run", "p.yaml", "-j", "1")
    wait_for("work[i=1]: succeeded", process.stderr)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "stopping: what runs may finish; Ctrl-C again ends it now" in err
    assert "work[i=2]: succeeded" in err and "cancelled" in err and "the same command goes on from here" in err
    done = place.run()
    assert done["tasks"]["hit"] >= 2 and done["state"] == "succeeded"


def test_ctrl_c_twice_ends_what_runs(place):
    place.write("p.yaml", SLOW.replace("sleep 0.4", "sleep 30"))
    process = place.start("run", "p.yaml")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    wait_for("stopping", process.stderr)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "ending what runs" in err
    assert time.monotonic() - begun < 10
