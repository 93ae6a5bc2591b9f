"""The questions: plan, explain, list, get, logs, lineage, export, graph, lint, doctor."""
import json
import re
import shutil
import subprocess

import pytest

from cli_pipelines import FAILING, IRIS, WIDE, damage, edit, executed, plan_of
from conftest import by_name


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
    run = place.run(code=1)["run"]
    words = explain(place, "bad")
    assert "in the last run it failed: exited with status 3" in words and f'broker logs "{run}/bad"' in words


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
    assert lines[0].split() == ["run", "pipeline", "name", "state", "begun", "tasks", "executed"] and len(lines) == 4
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
