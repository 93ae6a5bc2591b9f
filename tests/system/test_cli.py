"""Every subcommand and option, as a person uses them: what is printed where, and with which exit code."""
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import fcntl
import time

import pytest

from conftest import BROKER, by_name, output_ids

IRIS = "configs/iris.yaml"

DEMO = """
version: 1
name: demo
params: {word: hello}
sources: {raw: raw.txt}
steps:
  copy:
    kind: exec
    inputs: {raw: sources.raw}
    outputs: {out: out.txt}
    params: {command: "cp ${inputs.raw} out.txt"}
  say:
    kind: exec
    inputs: {text: copy.out}
    outputs: {said: said.txt}
    params: {command: "echo saying ${params.word}; (echo ${params.word}; cat ${inputs.text}) > said.txt"}
  count:
    kind: exec
    inputs: {text: copy.out}
    outputs: {lines: lines.txt}
    params: {command: "wc -l < ${inputs.text} > lines.txt"}
"""

FAILING = """
version: 1
name: failing
steps:
  bad: {kind: exec, outputs: {x: x}, params: {command: "echo first words; echo last words >&2; exit 3"}, retry: {limit: 0}}
  behind: {kind: exec, inputs: {x: bad.x}, outputs: {y: y}, params: {command: "cp ${inputs.x} y"}}
  beside: {kind: exec, outputs: {z: z}, params: {command: "echo fine > z"}}
"""

WIDE = """
version: 1
name: wide
steps:
  many: {kind: sleep, matrix: {i: {range: [0, COUNT, 1]}}, params: {seconds: 0, index: "${matrix.i}"}}
"""

SLOW = """
version: 1
name: slow
steps:
  work: {kind: exec, matrix: {i: [1, 2, 3, 4]}, outputs: {o: o}, params: {command: "sleep 0.4; echo ${matrix.i} > o"}}
"""

COMMANDS = ["run", "plan", "explain", "lint", "graph", "list", "get", "lineage", "export", "logs", "doctor"]


@pytest.fixture
def demo(place):
    place.write("raw.txt", "one\ntwo\n")
    place.write("p.yaml", DEMO)
    return place


def edit(place, name, old, new):
    text = (place.path / name).read_text()
    assert old in text
    (place.path / name).write_text(text.replace(old, new))


def states(document):
    return {name: entry["state"] for name, entry in by_name(document).items()}


def executed(document):
    return {n for n, e in by_name(document).items() if e["state"] == "succeeded" and not e["hit"]}


def plan_of(place, *args):
    answer = place.broker("plan", "p.yaml", "--json", *args)
    assert answer.code == 0, answer
    return {e["name"]: e for e in answer.json["steps"]}


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
    (["run", "p.yaml", "--slots", "5000"], "1 … 1024"),
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
"""
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, env={**os.environ, "BROKER": BROKER})
    assert done.stdout.splitlines() == ["lint list lineage", "--format", "mermaid", "--pipeline --param"]


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
    assert "failed: bad: exited with status 3" in result.err and f"its log: {BROKER} logs bad" in result.err
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


def damage(place, blob):
    [file] = [p for p in (place.path / ".penstock/store").rglob("*") if p.is_file() and blob.endswith(p.name[-40:])]
    file.chmod(0o644)
    file.write_text("something else")
    shutil.rmtree(place.path / ".penstock/cache", ignore_errors=True)


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


# ---- plan ----

def test_plan_says_what_never_ran_and_writes_nothing(demo):
    before = sorted(p.name for p in demo.path.iterdir())
    result = demo.broker("plan", "p.yaml")
    assert result.code == 0 and result.err == ""
    assert re.search(r"^run +copy +it never ran$", result.out, re.M)
    assert "3 tasks: 3 to run, 0 maybe, 0 cached, 0 not needed" in result.out
    assert sorted(p.name for p in demo.path.iterdir()) == before


def test_plan_says_what_is_cached(demo):
    demo.run()
    assert {e["action"] for e in plan_of(demo).values()} == {"hit"}
    assert "3 cached" in demo.broker("plan", "p.yaml").out


def test_plan_names_the_source_that_changed_and_what_it_may_touch(demo):
    demo.run()
    demo.write("raw.txt", "three\n")
    plan = plan_of(demo)
    assert {n: e["action"] for n, e in plan.items()} == {"copy": "run", "say": "maybe", "count": "maybe"}
    assert "raw.txt (sources.raw) changed" in plan["copy"]["why"]
    assert "copy runs" in plan["say"]["why"] and "early cutoff" in plan["say"]["why"]


def test_plan_takes_parameters_and_counts(demo):
    demo.run()
    plan = demo.broker("plan", "p.yaml", "-p", "word=new", "--json").json
    assert plan["tasks"] == {"total": 3, "hit": 2, "run": 1, "maybe": 0, "unneeded": 0}
    edit(demo, "p.yaml", "    inputs: {raw: sources.raw}\n", "    inputs: {raw: sources.raw}\n    timeout: 9m\n")
    assert {e["action"] for e in plan_of(demo).values()} == {"hit"}


def test_plan_after_a_failure(place):
    place.write("p.yaml", FAILING)
    place.run(code=1)
    plan = plan_of(place)
    assert plan["bad"]["action"] == "run" and plan["bad"]["why"] == "it failed in the last run"
    assert plan["behind"]["action"] == "run" and plan["behind"]["why"] == "something above it failed in the last run"
    assert plan["beside"]["action"] == "hit"


def test_plan_knows_that_an_ancestor_of_hits_is_not_needed(demo):
    flag = demo.path / "broken"
    edit(demo, "p.yaml", "cp ${inputs.raw} out.txt", f"test ! -e {flag} && tr o 0 < ${{inputs.raw}} > out.txt")
    edit(demo, "p.yaml", "    outputs: {out: out.txt}\n", "    outputs: {out: out.txt}\n    retry: {limit: 0}\n")
    demo.run()
    damage(demo, by_name(demo.run())["copy"]["outputs"]["out"]["id"])
    flag.write_text("")
    demo.run("p.yaml", "--force=say", code=1)
    assert {n: e["action"] for n, e in plan_of(demo).items()} == {"copy": "unneeded", "say": "hit", "count": "hit"}
    assert plan_of(demo)["copy"]["why"] == "nothing that has to run needs it"


def test_plan_compresses_tasks_with_one_reason(iris):
    iris.run(IRIS)
    lines = iris.broker("plan", IRIS, "-p", "seed=8").out.splitlines()
    assert len(lines) < 10
    assert lines[0].split() == ["action", "task", "why"]
    assert re.match(r"run +prepare +params.split.seed: 42 → 8$", lines[1])
    assert any(re.match(r"run +train \(2 of 8 tasks\) +params.seed: 42 → 8", line) for line in lines)
    assert any(re.match(r"maybe +evaluate \(8 tasks\) +predict may run", line) for line in lines)
    assert len({line.index("prepare") for line in lines[1:2]} | {lines[0].index("task")}) == 1


def test_plan_of_a_large_changed_pipeline_is_quick_and_short(place):
    place.write("p.yaml", WIDE.replace("COUNT", "12000"))
    place.run()
    edit(place, "p.yaml", "seconds: 0,", "seconds: 0.001,")
    result = place.broker("plan", "p.yaml", timeout=20)
    assert "12000 to run" in result.out and len(result.out.splitlines()) == 3


# ---- explain ----

def explain(place, task, *args):
    result = place.broker("explain", "p.yaml", task, *args)
    assert result.code == 0, result
    return result.out


def test_explain_shows_a_changed_parameter_once(demo):
    demo.run()
    edit(demo, "p.yaml", "wc -l", "wc -c")
    words = explain(demo, "count")
    assert words.startswith("count: run\n")
    assert words.count("params.command") == 1 and '"wc -l' in words and '→ "wc -c' in words
    answer = demo.broker("explain", "p.yaml", "count", "--json").json
    assert [c["field"] for c in answer["changes"]] == ["params.command"]


def test_explain_shows_a_changed_source(demo):
    demo.run()
    demo.write("raw.txt", "other\n")
    assert "inputs.raw: raw.txt (sources.raw) changed (blob " in explain(demo, "copy")
    assert "inputs.text: copy.out" in explain(demo, "say")


def test_explain_shows_a_changed_default(place):
    place.write("d.csv", "a,b,y\n" + "".join(f"{i},{i % 7},{'uv'[i % 2]}\n" for i in range(40)))
    place.write("p.yaml", """
version: 1
name: defaulted
sources: {d: d.csv}
defaults: {train: {params: {model: decision_tree, max_depth: 2}}}
steps:
  prepare: {kind: preprocess, inputs: {table: sources.d}, params: {target: y, split: {test_size: 0.25}}}
  train: {kind: train, inputs: {dataset: prepare.train}}
""")
    place.run()
    edit(place, "p.yaml", "max_depth: 2", "max_depth: 3")
    assert "params.max_depth: 2 → 3" in explain(place, "train")
    edit(place, "p.yaml", ", max_depth: 3", "")
    assert "params.max_depth: 2 → default" in explain(place, "train")


def test_explain_after_a_failure_says_how_it_failed_and_where_the_log_is(place):
    place.write("p.yaml", FAILING)
    place.run(code=1)
    words = explain(place, "bad")
    assert "in the last run it failed: exited with status 3" in words and 'broker logs "bad"' in words


def test_explain_tells_of_early_cutoff(demo):
    demo.run()
    edit(demo, "p.yaml", "cp ${inputs.raw} out.txt", "cat ${inputs.raw} > out.txt")
    assert "only if that changes the bytes it reads (early cutoff)" in explain(demo, "say")
    assert executed(demo.run()) == {"copy"}
    assert "turned out byte-identical" in explain(demo, "say")


def test_explain_of_a_hit_and_of_a_task_that_never_ran(demo):
    assert "it never ran" in explain(demo, "copy")
    demo.run()
    assert explain(demo, "copy") == "copy: hit\n  its record is there\n"


def test_explain_wants_one_task(iris):
    result = iris.broker("explain", IRIS, "train")
    assert result.code == 2 and 'names 8 tasks; say which, as in "train[case=logistic]"' in result.err


# ---- list, get, logs ----

def test_list_of_an_empty_folder(place):
    result = place.broker("list")
    assert result.code == 0 and result.out == "" and "nothing has run here yet" in result.err
    assert place.broker("list", "--json").json == []
    assert list(place.path.iterdir()) == []


def test_list_shows_runs_newest_first(demo):
    first, second, third = demo.run(), demo.run(), demo.run("p.yaml", "-p", "word=bye")
    runs = demo.broker("list", "--json").json
    assert [r["run"] for r in runs] == [third["run"], second["run"], first["run"]]
    assert [r["tasks"]["executed"] for r in runs] == [1, 0, 3]
    assert runs[0]["params"] == {"word": "bye"} and runs[0]["state"] == "succeeded"
    lines = demo.broker("list").out.splitlines()
    assert lines[0].split() == ["run", "pipeline", "state", "begun", "tasks", "executed"] and len(lines) == 4
    assert len(demo.broker("list", "-n", "2").out.splitlines()) == 3


def test_get_a_run_by_id_prefix_and_latest(demo):
    first, second = demo.run(), demo.run("p.yaml", "-p", "word=bye")
    assert demo.broker("get", "latest", "--json").json["id"] == second["run"]
    for ref in (first["run"], first["run"][:-2]):
        document = demo.broker("get", ref, "--json").json
        assert document["id"] == first["run"] and document["result"]["tasks"]["executed"] == 3
    several = demo.broker("get", first["run"][:3])
    assert several.code == 2 and several.err


def test_get_a_task(demo):
    run = by_name(demo.run())
    record = demo.broker("get", "say", "--json").json
    assert record["task"] == run["say"]["task"] and record["outputs"] == run["say"]["outputs"]
    assert record["action"]["kind"] == "exec" and record["attempt"] == 1
    assert demo.broker("get", run["say"]["task"][:12], "--json").json == record
    unknown = demo.broker("get", "sya")
    assert unknown.code == 2 and "say" in unknown.err


def test_get_spec_nests_everything_down_to_the_sources(iris):
    iris.run(IRIS)
    spec = iris.broker("get", "evaluate[case=tree_deep]", "--spec", "--json").json
    assert spec["kind"] == "metrics" and spec["version"].startswith("1")
    predict = spec["inputs"]["predictions"]["made_by"]
    assert predict["kind"] == "predict"
    train = predict["inputs"]["model"]["made_by"]
    assert train["kind"] == "train" and train["params"] == {"model": "decision_tree", "criterion": "entropy", "max_depth": 8}
    prepare = [i["made_by"] for i in (predict["inputs"]["dataset"], train["inputs"]["dataset"]) if isinstance(i["made_by"], dict)]
    table = prepare[0]["inputs"]["table"]
    assert table["source"] is True and table["location"] == "data/iris.csv" and table["name"] == "iris"


def test_logs_show_what_a_task_wrote(demo):
    demo.run()
    assert demo.broker("logs", "say").out == "saying hello\n"
    silent = demo.broker("logs", "copy")
    assert silent.code == 0 and silent.out == "" and "wrote nothing" in silent.err


def test_logs_of_a_failed_task(place):
    place.write("p.yaml", FAILING)
    run = place.run(code=1)["run"]
    result = place.broker("logs", "bad")
    assert result.code == 0 and "first words" in result.out and "last words" in result.out
    assert place.broker("logs", f"{run}/bad").out == result.out
    never = place.broker("logs", "behind")
    assert never.code == 2 and "did not run" in never.err


def test_get_for_a_person(demo):
    run = demo.run()
    words = demo.broker("get", "latest").out
    assert f"run       {run['run']}" in words and "3 total, 3 executed" in words
    assert re.search(r"^say +succeeded +1 +\d\.\d{3} +[0-9a-f]{12}$", words, re.M)
    words = demo.broker("get", "say").out
    assert "kind      exec" in words and re.search(r"^  said +[0-9a-f]{12}  14 bytes$", words, re.M)


def test_every_command_answers_in_json(demo):
    demo.run()
    for args in (["plan", "p.yaml"], ["explain", "p.yaml", "say"], ["lint", "p.yaml"], ["graph", "p.yaml"], ["list"],
                 ["get", "say"], ["get", "latest"], ["lineage", "say.said"], ["logs", "say"], ["doctor"],
                 ["export", "say.said", "-o", "said"], ["run", "p.yaml"]):
        result = demo.broker(*args, "--json")
        assert result.code == 0 and json.loads(result.out), args
    assert demo.broker("logs", "say", "--json").json == {"task": "say", "text": "saying hello\n"}
    assert demo.broker("lint", "p.yaml", "--json").json == {"ok": True, "problems": []}


# ---- lineage, export ----

def test_lineage_of_the_winner_goes_down_to_the_file(iris):
    iris.run(IRIS)
    answer = iris.broker("lineage", "compare.model", "--json").json["artifact"]
    assert answer["made_by"]["kind"] == "metrics"
    winner = [m for m in answer["made_by"]["inputs"]["models"] if m["id"] == answer["id"]][0]
    assert winner["made_by"]["kind"] == "train"
    tree = iris.broker("lineage", "compare.model").out
    assert "source data/iris.csv" in tree and tree.splitlines()[0].startswith("artifact  " + answer["id"][:8])
    assert "model=random_forest" in tree and "split.seed=42" in tree


def test_lineage_by_name_by_digits_and_of_an_old_run(demo):
    first = demo.run()
    demo.write("raw.txt", "new\n")
    demo.run()
    said = by_name(first)["say"]["outputs"]["said"]["id"]
    old = demo.broker("lineage", f"{first['run']}/say.said", "--json").json
    assert old["artifact"]["id"] == said
    assert demo.broker("lineage", said[:10], "--json").json == old
    now = demo.broker("lineage", "say.said", "--json").json
    assert now["artifact"]["id"] != said
    source = now["artifact"]["made_by"]["inputs"]["text"]["made_by"]["inputs"]["raw"]
    assert source["source"] is True and source["location"] == "raw.txt"


def test_export_a_blob_to_stdout_and_to_a_file(demo):
    demo.run()
    expected = "hello\none\ntwo\n"
    assert demo.broker("export", "say.said").out == expected == demo.broker("export", "say.said", "-o", "-").out
    result = demo.broker("export", "say.said", "-o", "said.txt")
    assert result.out == "" and (demo.path / "said.txt").read_text() == expected
    assert demo.broker("export", "say").code in (0, 2)


def test_export_a_tree_to_a_folder(iris):
    iris.run(IRIS)
    assert iris.broker("export", "compare.model", "-o", "winner").code == 0
    assert json.loads((iris.path / "winner/config.json").read_text())["model"] == "random_forest"
    again = iris.broker("export", "compare.model", "-o", "winner")
    assert again.code == 2 and "winner is there already" in again.err
    to_stdout = iris.broker("export", "compare.model")
    assert to_stdout.code == 2 and "-o PATH" in to_stdout.err and to_stdout.out == ""


@pytest.mark.parametrize("ref, words", [
    ("trian[case=logistic].model", 'did you mean "train"?'),
    ("zzz.model", "its steps: prepare, train, predict, evaluate, compare"),
    ("train.model", 'names 8 tasks; say which, as in "train[case=logistic]"'),
    ("train[case=nope].model", 'the step "train" has 8, as "train[case=logistic]"'),
    ("compare.page", "which output? It has metrics, model"),
    ("compare", "which output? It has metrics, model"),
    ("0123456789abcdef", "no artifact"),
    ("19990101t000000000-000000/compare.model", "19990101t"),
])
def test_export_of_what_is_not_there_says_what_is(iris, ref, words):
    iris.run(IRIS)
    result = iris.broker("export", ref)
    assert result.code == 2 and result.out == "" and words in result.err, result


@pytest.mark.parametrize("command", [["get", "x"], ["lineage", "x.y"], ["export", "x.y"], ["logs", "x"]])
def test_asking_where_nothing_has_run(place, command):
    result = place.broker(*command)
    assert result.code == 2 and "nothing has run here yet" in result.err
    assert list(place.path.iterdir()) == []


# ---- graph, lint, doctor ----

@pytest.mark.parametrize("tasks", [[], ["--tasks"]])
def test_graph_as_dot(iris, tasks):
    text = iris.broker("graph", IRIS, *tasks).out
    nodes = len(re.findall(r"^  n\d+ \[label=", text, re.M))
    edges = len(re.findall(r"^  n\d+ -> n\d+", text, re.M))
    assert text.startswith("digraph") and text.rstrip().endswith("}")
    assert (nodes, edges) == ((26, 8 + 8 + 8 + 8 + 8 + 8) if tasks else (5, 6))
    if shutil.which("dot"):
        drawn = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True)
        assert drawn.returncode == 0 and "<svg" in drawn.stdout


def test_graph_as_mermaid(iris):
    lines = iris.broker("graph", IRIS, "--format", "mermaid").out.splitlines()
    assert lines[0] == "flowchart LR" and '  n1["train × 8"]' in lines
    assert "  n0 -->|train| n1" in lines
    assert not (iris.path / ".penstock").exists()


def test_lint_of_a_good_file_is_silent(demo):
    result = demo.broker("lint", "p.yaml")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert not (demo.path / ".penstock").exists()


def test_lint_warns_of_what_nothing_uses(place):
    place.write("p.yaml", """
version: 1
name: idle
params: {unused: 1}
steps:
  a: {kind: sleep, matrix: {i: [1, 2], k: [1, 2]}, params: {seconds: 0, index: "${matrix.i}"}}
""")
    result = place.broker("lint", "p.yaml")
    assert result.code == 0
    assert re.search(r'^p.yaml:4:\d+: warning: nothing uses the parameter "unused"', result.err, re.M)
    assert re.search(r'^p.yaml:6:\d+: warning: step "a": nothing uses the axis "k"', result.err, re.M)


def test_lint_tells_all_errors_at_once(place):
    place.write("p.yaml", "version: 1\nname: x\nsteps:\n  a: {kind: trian}\n  b: {kind: sleep, params: {secnds: 0}}\n")
    result = place.broker("lint", "p.yaml")
    assert result.code == 2
    assert 'did you mean "train"?' in result.err and "secnds" in result.err and "2 errors" in result.err


def test_doctor_finds_this_machine_well(place):
    result = place.broker("doctor")
    assert result.code == 0, result
    checks = place.broker("doctor", "--json").json
    assert {"worker", "home", "disk", "state"} <= {c["check"] for c in checks} and all(c["ok"] for c in checks)
    assert list(place.path.iterdir()) == []


def test_doctor_says_how_to_mend(place):
    result = place.broker("doctor", PENSTOCK_WORKER="/nowhere/worker")
    assert result.code == 3 and re.search(r"^BAD +worker", result.out, re.M) and "mend: " in result.out


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

def on_terminal(place, *args, rows=24, columns=80, keys=(), **environment):
    """Runs the broker on a pseudo-terminal; returns all that it painted, and its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(place.path)
        os.execve(BROKER, [BROKER, *args], place.environment(**{"TERM": "xterm", "NO_COLOR": "", **environment}))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    painted, keys = b"", list(keys)
    while True:
        try:
            got = os.read(terminal, 65536)
        except OSError:
            break
        if not got:
            break
        painted += got
        if keys and keys[0][0] in painted:
            os.write(terminal, keys.pop(0)[1])
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return painted.decode(), os.waitstatus_to_exitcode(status)


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
    with open(iris.path / "table", "w") as table:
        subprocess.run(["script", "-qec", f"{BROKER} run {IRIS} > result", "/dev/null"], cwd=iris.path, stdout=table,
                       env=iris.environment(TERM="xterm"))
    assert "the winner" in (iris.path / "result").read_text() and "\033" not in (iris.path / "result").read_text()
