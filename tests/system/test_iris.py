"""The example: it runs, nothing is done twice, and its bytes are the same everywhere."""
import json

import pytest

from conftest import ROOT, by_name, output_ids

PIPELINE = "configs/iris.yaml"
GOLDEN = ROOT / "tests/golden/iris_outputs.json"


def edit(place, old, new, path=PIPELINE):
    file = place.path / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def executed(document):
    return {name for name, e in by_name(document).items() if e["state"] == "succeeded" and not e["hit"]}


def test_a_first_run_trains_everything_and_names_a_winner(iris):
    document = iris.run(PIPELINE)
    assert document["state"] == "succeeded"
    assert document["tasks"] == {"total": 26, "executed": 26, "hit": 0, "failed": 0, "upstream_failed": 0,
                                 "skipped": 0, "unneeded": 0, "cancelled": 0}
    [comparison] = document["comparisons"]
    assert len(comparison["rows"]) == 8
    assert sum(row["winner"] for row in comparison["rows"]) == 1
    best = max(row["metrics"]["f1"] for row in comparison["rows"])
    assert [row["metrics"]["f1"] for row in comparison["rows"] if row["winner"]] == [best]
    assert best > 0.9


def test_the_table_at_the_end_shows_models_settings_scores_and_marks_the_winner(iris):
    result = iris.broker("--pipeline", PIPELINE)
    assert result.code == 0, result
    head, *rows = result.out.splitlines()
    assert head.split() == ["model", "settings", "accuracy", "F1", "log", "loss", "seconds"]
    assert len([r for r in rows if r.startswith("*  ")]) == 1
    assert any("random_forest" in r and "n_estimators=10" in r for r in rows)


def test_the_winner_is_an_artifact(iris):
    document = iris.run(PIPELINE)
    [winner] = [r for r in document["comparisons"][0]["rows"] if r["winner"]]
    case = winner["axes"]["case"]
    entries = by_name(document)
    assert entries["compare"]["outputs"]["model"]["id"] == entries[f"train[case={case}]"]["outputs"]["model"]["id"]
    folder = iris.export("compare.model", "winner")
    assert json.loads((folder / "config.json").read_text())["model"] == winner["settings"]["model"]


def test_the_same_command_again_runs_nothing(iris):
    first = iris.run(PIPELINE)
    again = iris.run(PIPELINE)
    assert again["tasks"]["executed"] == 0
    assert again["tasks"]["hit"] == again["tasks"]["total"] == 26
    assert output_ids(again) == output_ids(first)


def test_another_seed_runs_only_what_depends_on_it(iris):
    edit(iris, 'seed: "${params.seed}", stratify', "seed: 42, stratify")
    iris.run(PIPELINE)
    document = iris.run(PIPELINE, "-p", "seed=7")
    trained = {name for name in executed(document) if name.startswith("train")}
    assert trained == {"train[case=forest_small]", "train[case=forest_large]"}
    assert "prepare" not in executed(document)


@pytest.mark.parametrize("change", [
    ("# Trains eight models", "# Another comment\n# Trains eight models"),
    ("split: {method: shuffle, test_size: 0.3,", "split: {test_size: 0.3, method: shuffle,"),
    ("name: logistic, model: logistic_regression, C: 1.0", "name: logistic, model: logistic_regression, C: 1"),
    ("name: tree_shallow, model: decision_tree, max_depth: 2",
     "name: tree_shallow, model: decision_tree, max_depth: 2, min_samples_leaf: 1"),
    ("evaluate", "score"),
], ids=["comment", "key order", "1 for 1.0", "a default written out", "a step renamed"])
def test_what_changes_no_bytes_runs_nothing(iris, change):
    iris.run(PIPELINE)
    edit(iris, *change)
    assert iris.run(PIPELINE)["tasks"]["executed"] == 0


def test_a_byte_that_the_selected_columns_do_not_see_cuts_off_early(iris):
    csv = iris.path / "configs/data/iris.csv"
    head, *rows = csv.read_text().splitlines()
    csv.write_text("\n".join([head + ",note"] + [row + ",a" for row in rows]) + "\n")
    edit(iris, "      target: species\n", "      operations: [{drop: [note]}]\n      target: species\n")
    first = iris.run(PIPELINE)
    csv.write_text(csv.read_text().replace(",a\n", ",b\n", 1))
    plan = {e["name"]: e for e in iris.broker("plan", PIPELINE, "--json").json["steps"]}
    assert plan["prepare"]["action"] == "run" and "inputs.table" in plan["prepare"]["why"]
    assert plan["train[case=logistic]"]["action"] == "maybe"
    assert "early cutoff" in plan["train[case=logistic]"]["why"]
    document = iris.run(PIPELINE)
    assert executed(document) == {"prepare"}
    assert output_ids(document) == output_ids(first)
    words = iris.broker("explain", PIPELINE, "train[case=logistic]").out
    assert "early cutoff" in words


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_the_bytes_are_those_pinned(iris, slots):
    ids = output_ids(iris.run(PIPELINE, "--slots", slots))
    assert ids == json.loads(GOLDEN.read_text())


def test_two_equal_tasks_are_executed_once(place):
    """Two steps of one identity, both ready at once, two slots free: one execution, and both have its result."""
    count = place.path / "count"
    step = f"{{kind: exec, outputs: {{out: o}}, params: {{command: 'echo x >> {count}; sleep 0.2; date +%N > o'}}}}"
    place.write("p.yaml", f"version: 1\nname: twins\nsteps:\n  a: {step}\n  b: {step}\n")
    document = place.run("p.yaml", "--slots", 2, PENSTOCK_WRITABLE=str(place.path))
    assert count.read_text() == "x\n"
    assert document["tasks"]["total"] == 2 and document["tasks"]["executed"] == 1
    ids = output_ids(document)
    assert ids["a"] == ids["b"]


def test_a_command_of_words_takes_numbers(place):
    place.write("p.yaml", """
version: 1
name: words
steps:
  a: {kind: exec, matrix: {n: [2, 3]}, params: {command: [seq, "${matrix.n}"], stdout: out}}
""")
    place.run("p.yaml")
    assert place.broker("export", "a[n=3].out").out == "1\n2\n3\n"
