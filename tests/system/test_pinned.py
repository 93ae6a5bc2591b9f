"""The bytes that every kind and model makes of a fixed input. A change of them without a new kind version fails here:
raise the number in proto/kinds.def, then write the file anew with PENSTOCK_PIN=1."""
import json
import os
import re
import shutil

from conftest import ROOT, by_name, output_ids

GOLDEN = ROOT / "tests/golden"
OUTPUTS = GOLDEN / "kind_outputs.json"


def run(place):
    shutil.copy(GOLDEN / "kinds.yaml", place.path)
    shutil.copy(GOLDEN / "kinds.csv", place.path)
    return place.run("kinds.yaml")


def test_the_bytes_of_every_kind_and_model_are_those_pinned(place):
    ids = output_ids(run(place))
    if os.environ.get("PENSTOCK_PIN"):
        OUTPUTS.write_text(json.dumps(ids, indent=1, sort_keys=True) + "\n")
    assert ids == json.loads(OUTPUTS.read_text())


def test_no_kind_model_or_operation_is_left_out_of_the_pinned():
    pipeline = (GOLDEN / "kinds.yaml").read_text()
    kinds = re.findall(r'^KIND\((\w+), "(\w*)"', (ROOT / "proto/kinds.def").read_text(), re.M)
    missing = {name for name, _ in kinds if f"kind: {name}\n" not in pipeline}
    missing |= {model for _, model in kinds if model and f"model: {model}," not in pipeline}
    operations = [file.stem[3:] for file in (ROOT / "proto/schema").glob("op_*.def")]
    missing |= {name for name in operations if f"- {name}: " not in pipeline}
    assert not missing


def test_the_pinned_pipeline_tells_something(place):
    entries = by_name(run(place))
    assert all(0.4 < e["metrics"]["accuracy"] for n, e in entries.items() if n.startswith("class_scores"))
    assert all(0.25 < e["metrics"]["r2"] for n, e in entries.items() if n.startswith("value_scores"))
