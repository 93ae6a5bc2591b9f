"""What is tried again and what is not: for each kind its typical failures, and how many attempts they get with
`retry: {limit: 2}`. Trying again mends a machine, a store or a moment, never a table, a parameter or a program's output."""
import pytest

from conftest import by_name

HEAD = "version: 1\nname: retries\ndefaults: {retry: {limit: 2, backoff: 10ms}}\n"
ROWS = "a,b,y\n" + "".join(f"{i}.5,{i % 3},{'uv'[i % 2]}\n" for i in range(20))
PREPARE = """
sources: {t: t.csv}
steps:
  prepare: {kind: preprocess, inputs: {table: sources.t}, params: {target: y, split: {test_size: 0.5, method: shuffle}}}
"""
TRAIN = PREPARE + "  train: {kind: train, inputs: {dataset: prepare.train}, params: {model: decision_tree}}\n"
PREDICT = TRAIN + "  predict: {kind: predict, inputs: {model: train.model, dataset: prepare.test}}\n"
NONSENSE = "  file: {kind: exec, outputs: {o: o}, params: {command: \"echo nonsense > o\"}}\n"
FOLDER = "  folder: {kind: exec, outputs: {o: o}, params: {command: \"mkdir o; echo '{}' > o/config.json; echo x > o/data\"}}\n"


def exec_step(command, more=""):
    return f"steps:\n  bad: {{kind: exec, outputs: {{o: o}}, params: {{command: {command}}}{more}}}\n"


# The step that fails, the attempts it gets, the code of the failure; the pipeline, and the table if it has one.
FOR_GOOD = {
    "no such column": ("prepare", "invalid", PREPARE, ROWS.replace(",y\n", ",z\n")),
    "a ragged row": ("prepare", "invalid", PREPARE, ROWS.replace("3.5,0,v", "3.5,0,v,9")),
    "an empty table": ("prepare", "invalid", PREPARE, ""),
    "a table that is binary": ("prepare", "invalid", PREPARE, b"\0\1\2" * 100),
    "a table that is a folder": ("bad", "invalid", "steps:\n" + FOLDER +
                                 "  bad: {kind: preprocess, inputs: {table: folder.o}, params: {target: y}}\n", None),
    "a column to scale that is missing": ("prepare", "invalid", PREPARE.replace(
        "target: y", "target: y, operations: [{scale: {columns: [c]}}]"), ROWS),
    "a value that is missing": ("prepare", "invalid", PREPARE, ROWS.replace("3.5,0", ",0")),
    "one class alone": ("train", "invalid", TRAIN, ROWS.replace(",v\n", ",u\n")),
    "a dataset that is none": ("bad", "corrupt", "steps:\n" + NONSENSE +
                               "  bad: {kind: train, inputs: {dataset: file.o}, params: {model: decision_tree}}\n", None),
    "a dataset that is a folder": ("bad", "invalid", "steps:\n" + FOLDER +
                                   "  bad: {kind: train, inputs: {dataset: folder.o}, params: {model: decision_tree}}\n", None),
    "a model that is none": ("bad", "invalid", PREPARE + FOLDER +
                             "  bad: {kind: predict, inputs: {model: folder.o, dataset: prepare.test}}\n", ROWS),
    "a model that is a file": ("bad", "invalid", PREPARE + NONSENSE +
                               "  bad: {kind: predict, inputs: {model: file.o, dataset: prepare.test}}\n", ROWS),
    "features that the model does not know": ("bad", "invalid", TRAIN.replace("target: y", "target: y, operations: [{drop: {columns: [b]}}]") +
                                              "  other: {kind: preprocess, inputs: {table: sources.t}, params: {target: y}}\n"
                                              "  bad: {kind: predict, inputs: {model: train.model, dataset: other.dataset}}\n", ROWS),
    "predictions that are none": ("bad", "corrupt", "steps:\n" + NONSENSE +
                                  "  bad: {kind: metrics, inputs: {predictions: file.o}}\n", None),
    "no such metric": ("bad", "invalid", PREDICT + "  m: {kind: metrics, inputs: {predictions: predict.predictions}}\n"
                       "  bad: {kind: metrics, params: {select: {metric: rmse}}, inputs: {reports: m.metrics}}\n", ROWS),
    "an output that was not made": ("bad", "invalid", exec_step('"true"'), None),
    "an output that is a link": ("bad", "invalid", exec_step('"ln -s /etc/passwd o"'), None),
    "no such program": ("bad", "not_found", exec_step("[no-such-program]"), None),
}
TRIED_AGAIN = {
    "an exit status": ("bad", "exit", exec_step('"exit 3"'), None),
    "a crash": ("bad", "crashed", exec_step('"kill -SEGV $$"'), None),
    "a timeout": ("bad", "timeout", exec_step('"sleep 60"', ", timeout: 100ms"), None),
    "too much memory": ("bad", "memory_limit", "steps:\n  bad: {kind: sleep, params: {fault: memory}, "
                        "resources: {memory: 64Mi}}\n", None),
    "a slot that crashes": ("bad", "crashed", "steps:\n  bad: {kind: sleep, params: {fault: segfault}}\n", None),
    "a slot that ends": ("bad", "exit", "steps:\n  bad: {kind: sleep, params: {fault: exit}}\n", None),
    "a slot that hangs": ("bad", "timeout", "steps:\n  bad: {kind: sleep, params: {fault: hang}, timeout: 100ms}\n", None),
}


def fails(place, step, code, attempts, text, table):
    place.write("p.yaml", HEAD + text)
    if table is not None:
        place.write("t.csv", table)
    entry = by_name(place.run("p.yaml", code=1))[step]
    assert entry["state"] == "failed"
    assert (entry["attempts"], entry["error"]["code"]) == (attempts, code), entry


@pytest.mark.parametrize("step, code, text, table", FOR_GOOD.values(), ids=FOR_GOOD)
def test_what_trying_again_can_not_mend_is_tried_once(place, step, code, text, table):
    fails(place, step, code, 1, text, table)


@pytest.mark.parametrize("step, code, text, table", TRIED_AGAIN.values(), ids=TRIED_AGAIN)
def test_what_may_pass_is_tried_to_the_limit(place, step, code, text, table):
    fails(place, step, code, 3, text, table)


@pytest.mark.parametrize("status", ["unreachable", "io", "disk_full", "timeout"])
@pytest.mark.parametrize("times, attempts, state", [(2, 3, "succeeded"), (0, 3, "failed")], ids=["a while", "for ever"])
def test_a_store_that_fails_is_tried_again(place, status, times, attempts, state):
    place.write("p.yaml", HEAD + exec_step('"echo x > o"'))
    store = f"fault+.penstock/store?on=put&fail=1&times={times}&status={status}"
    entry = by_name(place.run("p.yaml", "--store", store, code=state == "failed"))["bad"]
    assert (entry["state"], entry["attempts"]) == (state, attempts)


@pytest.mark.parametrize("status", ["denied", "unsupported"])
def test_a_store_that_refuses_is_not(place, status):
    place.write("p.yaml", HEAD + exec_step('"echo x > o"'))
    store = f"fault+.penstock/store?on=put&fail=1&times=0&status={status}"
    entry = by_name(place.run("p.yaml", "--store", store, code=1))["bad"]
    assert (entry["attempts"], entry["error"]["code"]) == (1, status)
