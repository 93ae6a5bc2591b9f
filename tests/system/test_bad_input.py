"""Bad input: one clear message each, exit code 2, and nothing has run. All errors of a file are reported together."""
import pytest

HEAD = "version: 1\nname: bad\n"
TRAIN = """
steps:
  prepare:
    kind: preprocess
    inputs: {table: sources.t}
    params: {target: y, split: {method: shuffle, test_size: 0.5}}
  train:
    kind: train
    inputs: {dataset: prepare.train}
    params: {model: decision_tree}
"""


def refused(place, text, *words):
    """The file is refused: exit 2, every word is said, and nothing was made or run."""
    place.write("p.yaml", text)
    result = place.broker("run", "p.yaml")
    assert result.code == 2, result
    for word in words:
        assert word in result.err, (word, result)
    assert result.out == ""
    return result


def test_a_missing_file(place):
    result = place.broker("run", "nowhere.yaml")
    assert result.code == 2 and "nowhere.yaml" in result.err, result


@pytest.mark.parametrize("text, words", [
    ("", ["empty"]),
    (b"\x7fELF\x02\x01\x01\x00\x00\x00", ["p.yaml"]),
    ("version: 1\nname: [a\n", ["p.yaml:"]),
    ("a: b: c\n", ["p.yaml:1:"]),
], ids=["empty", "binary", "unclosed", "not yaml"])
def test_a_file_that_is_no_document(place, text, words):
    refused(place, text, *words)


@pytest.mark.parametrize("text, words", [
    (HEAD + "stepz: {}\n", ['p.yaml:3:1', "stepz", 'did you mean "steps"']),
    (HEAD + "steps:\n  a: {kind: trian}\n", ["p.yaml:4:", "trian", 'did you mean "train"']),
    (HEAD + "steps:\n  a: {kind: sleep, parms: {}}\n", ["p.yaml:4:", "parms", 'did you mean "params"']),
    (HEAD + "steps:\n  a: {kind: sleep, params: {secnds: 1}}\n", ["secnds", 'did you mean "seconds"']),
    (HEAD + "steps:\n  a: {kind: sleep, params: {seconds: -1}}\n", ["seconds", "-1"]),
    (HEAD + "steps:\n  a: {kind: sleep, params: {seconds: soon}}\n", ["seconds", "soon", "number"]),
    (HEAD + "steps:\n  a: {kind: train, inputs: {dataset: b.train}, params: {model: decision_treee}}\n",
     ["decision_treee", 'did you mean "decision_tree"']),
    (HEAD + "steps:\n  b: {kind: sleep}\n  a: {kind: exec, inputs: {x: c.out}, params: {command: ls}}\n", ["p.yaml:5:", '"c']),
    (HEAD + "steps:\n  b: {kind: exec, outputs: {out: o}, params: {command: ls}}\n"
     "  a: {kind: exec, inputs: {x: b.oot}, params: {command: ls}}\n", ["oot", "out"]),
    (HEAD + "steps:\n  a: {kind: exec, inputs: {x: b.o}, outputs: {o: o}, params: {command: ls}}\n"
     "  b: {kind: exec, inputs: {x: a.o}, outputs: {o: o}, params: {command: ls}}\n", ["→"]),
    (HEAD + 'steps:\n  a: {kind: sleep, params: {index: "${matrix.i}"}}\n', ['no axis "i"']),
    (HEAD + "steps:\n  a: {kind: sleep, matrix: {i: {range: [0, 1000000000]}}, params: {index: \"${matrix.i}\"}}\n",
     ["1000000000"]),
    (HEAD + "steps: " + "[" * 80000, ["p.yaml:3:"]),
    ("a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)), ["p.yaml:"]),
    (HEAD + 'steps:\n  a: {kind: sleep, params: {seconds: "${params.nothing}"}}\n', ["params.nothing"]),
    (HEAD + "steps:\n  a: {kind: sleep, retry: {limit: 100000}}\n", ["100000"]),
    (HEAD + "steps:\n  a: {kind: sleep, timeout: soon}\n", ["timeout", "soon"]),
    (HEAD + "steps:\n  a: {kind: sleep, resources: {gpu: 1000001}}\n", ["p.yaml:4:", "resources.gpu", "1000001", "1000000"]),
    (HEAD + "steps:\n  a: {kind: sleep, resources: {mem: 2}}\n", ["p.yaml:4:", "mem", 'did you mean "memory"']),
    (HEAD + "defaults: {timeout: 31d, sleep: {retry: {limit: 1001, backoff: 0.5h}}}\nsteps:\n  a: {kind: sleep}\n",
     ["p.yaml:3:21: timeout: 31d", "30d", "p.yaml:3:49: retry.limit: 1001", "1000"]),
], ids=["key", "kind", "step key", "parameter", "range", "type", "model", "no such step", "no such output", "cycle",
        "axis not declared", "10^9 tasks", "80 KB of [", "alias bomb", "no such parameter", "retry limit", "timeout", "a count",
        "misspelt memory", "defaults"])
def test_a_pipeline_that_makes_no_sense(place, text, words):
    refused(place, text, *words)


def test_a_cycle_is_shown_as_its_path(place):
    steps = "".join(f"  {a}: {{kind: exec, inputs: {{x: {b}.o}}, outputs: {{o: o}}, params: {{command: ls}}}}\n"
                    for a, b in [("a", "c"), ("b", "a"), ("c", "b")])
    result = refused(place, HEAD + "steps:\n" + steps)
    assert "a → b → c → a" in result.err or "a → c → b → a" in result.err, result


def test_all_errors_of_a_file_are_reported_together(place):
    result = refused(place, HEAD + """
steps:
  a: {kind: slep}
  b: {kind: sleep, params: {seconds: -1, idex: 3}}
  c: {kind: sleep, retry: {limitt: 3}}
""", "slep", "-1", "idex", "limitt")
    assert len([line for line in result.err.splitlines() if line.startswith("p.yaml:")]) == 4, result


def test_a_missing_source(place):
    refused(place, HEAD + "sources: {t: no/such.csv}\n" + TRAIN, "no/such.csv", "p.yaml:3:")


@pytest.mark.parametrize("options, word", [
    (["-p", "sed=7"], 'did you mean "seed"'), (["--set", "train.params.modle=x"], 'did you mean "model"'),
    (["--force=nothing"], '"nothing"'), (["--only", "nothing"], '"nothing"'), (["--frobnicate"], "frobnicate"),
    (["-p", "seed"], "NAME=VALUE"), (["--slots", "-1"], "--slots")])
def test_a_bad_option(iris, options, word):
    result = iris.broker("run", "configs/iris.yaml", *options)
    assert result.code == 2 and result.out == "", result
    assert word in result.err, result


# ---- tables: known only when a task reads them, so the task fails, at once and for good ----

def failed(place, table, *words, train=TRAIN):
    place.write("t.csv", table)
    place.write("p.yaml", HEAD + "sources: {t: t.csv}\n" + train)
    document = place.run("p.yaml", code=1)
    [entry] = [e for e in document["steps"] if e["state"] == "failed"]
    assert entry["attempts"] == 1, "trying again mends no table"
    for word in words:
        assert word in entry["error"]["text"], (word, entry["error"])
    return entry


ROWS = "a,y\n" + "".join(f"{i}.5,{'uv'[i % 2]}\n" for i in range(20))


@pytest.mark.parametrize("table, words", [
    (ROWS.replace("3.5,v", "3.5,v,9"), ["5", "fields"]),
    (ROWS.replace("a,y", "a,z"), ["`y`", "z"]),
    (ROWS.replace("3.5,", "three,"), ["three", "a", "5"]),
    (ROWS.replace("3.5,", "nan,"), ["nan", "a", "5"]),
    (ROWS.replace("3.5,", ","), ["a", "5"]),
    ("a,y\n", ["row"]),
    ("", ["empty"]),
    (b"\x00\x01\x02\x03" * 100, ["t"]),
], ids=["ragged row", "no target column", "text in a number", "NaN", "missing value", "zero rows", "empty file", "binary file"])
def test_a_table_that_can_not_be_used(place, table, words):
    failed(place, table, *words)


def test_one_class_only(place):
    entry = failed(place, ROWS.replace(",v", ",u"), "class", "u")
    assert entry["step"] == "train"


def test_a_class_too_rare_to_stratify(place):
    train = TRAIN.replace("test_size: 0.5", "test_size: 0.5, stratify: true")
    failed(place, ROWS + "1.0,w\n", "w", train=train)
