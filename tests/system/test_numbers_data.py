"""Splits, operations and metrics give scikit-learn's numbers: datasets and reports are exported and compared."""
import csv
import hashlib
import io
import json
import random

import numpy as np
import pytest
import yaml
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from sklearn import metrics as sk
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler


def table(rows, columns):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def run(place, steps, files):
    """Runs steps over source files, given as {name: text or bytes}."""
    for name, content in files.items():
        place.write(name, content)
    pipeline = {"version": 1, "name": "numbers", "sources": {name.split(".")[0]: name for name in files}, "steps": steps}
    place.write("p.yaml", yaml.safe_dump(pipeline, sort_keys=False))
    return place.run("p.yaml")


def metadata_of(path):
    with safe_open(path, "numpy") as file:
        return file.metadata()


# ---- splits ----

SPLITS = [
    (10, 0.3, 0, False), (10, 0.5, 42, True), (37, 0.2, 7, False), (37, 0.25, 7, True),
    (150, 0.2, 42, True), (150, 0.3, 42, True), (150, 0.3, 42, False), (150, 1 / 3, 4294967295, True),
    (1000, 0.1, 1, True), (1000, 0.25, 2, False), (1003, 0.4, 3, True), (4000, 0.2, 123456, True),
]


def split_case(n, seed):
    """A number, and a class that is not equally frequent; each of the three occurs at least 3 times."""
    draw = random.Random(n * 31 + seed)
    classes = ["b", "a", "c"] * 3 + [draw.choice("aaaabbc") for _ in range(n - 9)]
    return [[round(draw.gauss(0, 1), 3), name] for name in classes]


def test_shuffle_splits_are_those_of_train_test_split(place):
    steps, files = {}, {}
    for i, (n, test_size, seed, stratify) in enumerate(SPLITS):
        files[f"t{i}.csv"] = table(split_case(n, seed), ["x", "y"])
        split = {"method": "shuffle", "test_size": test_size, "seed": seed, "stratify": stratify}
        steps[f"s{i}"] = {"kind": "preprocess", "inputs": {"table": f"sources.t{i}"},
                          "params": {"target": "y", "split": split}}
    run(place, steps, files)
    for i, (n, test_size, seed, stratify) in enumerate(SPLITS):
        rows = split_case(n, seed)
        classes = [name for _, name in rows]
        expected = train_test_split(np.arange(n), test_size=test_size, random_state=seed,
                                    stratify=classes if stratify else None)
        for part, rows_expected in zip(("train", "test"), expected):
            made = load_file(place.export(f"s{i}.{part}", f"s{i}.{part}"))
            assert made["row_id"].tolist() == rows_expected.tolist(), SPLITS[i]
            assert made["features"][:, 0].tolist() == [rows[r][0] for r in rows_expected]
            assert ["abc"[k] for k in made["target"]] == [classes[r] for r in rows_expected]


def test_validation_is_a_second_split_of_the_training_part(place):
    rows = split_case(200, 5)
    classes = np.array([name for _, name in rows])
    run(place, {"prepare": {"kind": "preprocess", "inputs": {"table": "sources.t"}, "params": {
        "target": "y", "split": {"method": "shuffle", "test_size": 0.2, "validation_size": 0.25, "seed": 9,
                                 "stratify": True}}}}, {"t.csv": table(rows, ["x", "y"])})
    train, test = train_test_split(np.arange(200), test_size=0.2, random_state=9, stratify=classes)
    train, validation = train_test_split(train, test_size=0.25, random_state=9, stratify=classes[train])
    for part, expected in (("train", train), ("test", test), ("validation", validation)):
        assert load_file(place.export(f"prepare.{part}", part))["row_id"].tolist() == expected.tolist()


def hash_side(seed, row_id, test_size):
    digest = hashlib.blake2b(row_id.to_bytes(8, "little"), key=seed.to_bytes(8, "little"), digest_size=32).digest()
    return (int.from_bytes(digest[:8], "little") >> 11) * 2.0**-53 < test_size


def test_hash_split_follows_its_rule_and_the_id_column(place):
    ids = random.Random(1).sample(range(10**6), 500)
    rows = [[i, i % 7] for i in ids]
    run(place, {"prepare": {"kind": "preprocess", "inputs": {"table": "sources.t"}, "params": {
        "id": "id", "split": {"test_size": 0.3, "seed": 11}}}}, {"t.csv": table(rows, ["id", "x"])})
    test = load_file(place.export("prepare.test", "test"))["row_id"].tolist()
    train = load_file(place.export("prepare.train", "train"))["row_id"].tolist()
    assert test == [i for i in ids if hash_side(11, i, 0.3)]
    assert train == [i for i in ids if not hash_side(11, i, 0.3)]


# ---- operations ----

def mixed_rows(n=120):
    draw = random.Random(3)
    return [[draw.gauss(50, 20), draw.randrange(1000), 7.5, draw.choice(["red", "green", "dark blue"]),
             draw.choice(["", "", "1.5", "2", "-3"]), draw.choice(["", "n", "s"])] for _ in range(n)]


COLUMNS = ["real", "whole", "constant", "color", "holes", "side"]
SPLIT = {"method": "shuffle", "test_size": 0.25, "seed": 1}


def prepared(place, params):
    """Both parts, with the rows of the table they came from."""
    rows = mixed_rows()
    run(place, {"prepare": {"kind": "preprocess", "inputs": {"table": "sources.t"},
                            "params": {"split": SPLIT, **params}}}, {"t.csv": table(rows, COLUMNS)})
    parts = []
    for part in ("train", "test"):
        path = place.export(f"prepare.{part}", part)
        made = load_file(path)
        parts.append((made["features"], [rows[i] for i in made["row_id"]], json.loads(metadata_of(path)["columns"])))
    return parts


@pytest.mark.parametrize("method, ddof, peer", [("standard", 0, StandardScaler()), ("standard", 1, None),
                                                ("min_max", 0, MinMaxScaler())])
def test_scaling(place, method, ddof, peer):
    names = ["real", "whole", "constant"]
    parts = prepared(place, {"operations": [{"select": {"columns": names}}, {"scale": {"method": method, "ddof": ddof}}]})
    train = np.array([r[:3] for r in parts[0][1]], dtype=float)
    for features, rows, columns in parts:
        raw = np.array([r[:3] for r in rows], dtype=float)
        if peer:
            expected = peer.fit(train).transform(raw)
        else:
            deviation = train.std(axis=0, ddof=1)
            expected = (raw - train.mean(axis=0)) / np.where(deviation > 1e-9, deviation, 1)
        assert columns == names
        np.testing.assert_allclose(features, expected, rtol=0, atol=1e-12)


def test_one_hot_and_label_encoding(place):
    parts = prepared(place, {"operations": [
        {"select": {"columns": ["color", "whole", "side"]}},
        {"fill_missing": {"columns": "side", "strategy": "constant", "value": "none"}},
        {"encode": {"columns": "color"}}, {"encode": {"columns": "side", "method": "label"}}]})
    train = parts[0][1]
    one_hot = OneHotEncoder(sparse_output=False).fit([[r[3]] for r in train])
    label = OrdinalEncoder().fit([[r[5] or "none"] for r in train])
    for features, rows, columns in parts:
        assert columns == [*one_hot.get_feature_names_out(["color"]), "whole", "side"]
        np.testing.assert_array_equal(features[:, :3], one_hot.transform([[r[3]] for r in rows]))
        np.testing.assert_array_equal(features[:, 3], [r[1] for r in rows])
        np.testing.assert_array_equal(features[:, 4:], label.transform([[r[5] or "none"] for r in rows]))


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent"])
def test_filling(place, strategy):
    parts = prepared(place, {"operations": [{"select": {"columns": ["holes"]}}, {"fill_missing": {"strategy": strategy}}]})

    def raw(rows):
        return np.array([[float(r[4]) if r[4] else np.nan] for r in rows])

    imputer = SimpleImputer(strategy=strategy).fit(raw(parts[0][1]))
    for features, rows, _ in parts:
        np.testing.assert_allclose(features, imputer.transform(raw(rows)), rtol=0, atol=1e-12)


def test_a_new_table_is_prepared_by_an_old_preprocessor(place):
    rows = mixed_rows()
    steps = {
        "prepare": {"kind": "preprocess", "inputs": {"table": "sources.t"}, "params": {
            "target": "whole", "task": "regression", "dtype": "f32",
            "operations": [{"select": {"columns": ["real", "color"]}}], "encode": "one_hot", "scale": "standard"}},
        "again": {"kind": "preprocess", "inputs": {"table": "sources.u", "preprocessor": "prepare.preprocessor"}},
    }
    shuffled = [[r[3], r[0]] for r in reversed(rows)]
    run(place, steps, {"t.csv": table(rows, COLUMNS), "u.csv": table(shuffled, ["color", "real"])})
    first, again = place.export("prepare.dataset", "first"), place.export("again.dataset", "again")
    assert load_file(first)["features"].dtype == np.float32
    np.testing.assert_array_equal(load_file(first)["features"][::-1], load_file(again)["features"])
    assert "target" not in load_file(again) and metadata_of(again)["task"] == "none"
    assert metadata_of(first)["preprocessor"] == metadata_of(again)["preprocessor"]
    preprocessor = place.export("prepare.preprocessor", "preprocessor").read_bytes()
    assert hashlib.blake2b(preprocessor, digest_size=32).hexdigest() == metadata_of(first)["preprocessor"]


# ---- metrics ----

def close(made, expected):
    if made is None or expected is None:
        return made is None and (expected is None or np.isnan(expected))
    return abs(made - expected) < 1e-12 * max(1, abs(expected))


def probabilities_of(draw, n, k, digits):
    p = np.array([[draw.random() + 1e-3 for _ in range(k)] for _ in range(n)])
    return np.round(p / p.sum(axis=1, keepdims=True), digits)


def classification_cases():
    """name → target, probabilities; predictions are the most probable class."""
    draw = random.Random(8)
    cases = {}
    for k in (2, 3, 5):
        for digits in (12, 1):  # 1: many ties
            target = [i % k for i in range(k)] + [draw.randrange(k) for _ in range(200)]
            cases[f"random_{k}_{digits}"] = target, probabilities_of(draw, len(target), k, digits)
    never = probabilities_of(draw, 60, 3, 6)
    never[:, 2] = 0
    cases["class_never_predicted"] = [i % 3 for i in range(60)], never
    cases["class_without_rows"] = [i % 2 for i in range(60)], probabilities_of(draw, 60, 3, 6)
    cases["class_nowhere"] = [i % 2 for i in range(60)], never
    cases["one_class_only"] = [1] * 20, probabilities_of(draw, 20, 2, 6)
    cases["one_class_right"] = [0] * 5, np.array([[1.0, 0.0]] * 5)
    cases["all_wrong_and_sure"] = [0, 1] * 5, np.array([[0.0, 1.0], [1.0, 0.0]] * 5)
    cases["all_tied"] = [0, 1, 1] * 4, np.full((12, 2), 0.5)
    cases["one_row"] = [1], np.array([[0.25, 0.75]])
    return cases


def write_predictions(place, name, k, tensors):
    task = {"task": "classification", "classes": json.dumps([f"class {i}" for i in range(k)])} if k else {"task": "regression"}
    rows = len(tensors["prediction"])
    path = place.write(f"{name}.safetensors", b"")
    save_file({**tensors, "row_id": np.arange(rows)}, path, metadata={"format": "penstock.predictions.1", **task})
    return path.read_bytes()


def auc_or_none(target, probabilities, k):
    if len(set(target)) != k:
        return None
    if k == 2:
        return sk.roc_auc_score(target, probabilities[:, 1])
    # one class against the rest, by hand: roc_auc_score wants rows that sum to 1
    return np.mean([sk.roc_auc_score(np.array(target) == i, probabilities[:, i]) for i in range(k)])


def log_loss_of(target, probabilities):
    eps = np.finfo(float).eps
    p = np.clip(probabilities, eps, 1 - eps)
    return -np.mean(np.log(p[np.arange(len(target)), target]))


def expected_classification(target, probabilities):
    k = probabilities.shape[1]
    prediction = probabilities.argmax(axis=1)
    expected = {"accuracy": sk.accuracy_score(target, prediction), "roc_auc": auc_or_none(target, probabilities, k),
                "log_loss": log_loss_of(target, probabilities)}
    if np.allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-9):
        theirs = sk.log_loss(target, probabilities, labels=list(range(k)))
        assert close(expected["log_loss"], theirs)
    for name, score in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        expected[name] = score(target, prediction, average="macro", zero_division=0)
        expected[f"{name}_weighted"] = score(target, prediction, average="weighted", zero_division=0)
        if k == 2:
            expected[f"{name}_binary"] = score(target, prediction, pos_label=1, zero_division=0)
    return expected, prediction


def test_metrics_of_classification(place):
    cases, steps, files = classification_cases(), {}, {}
    for name, (target, probabilities) in cases.items():
        tensors = {"prediction": probabilities.argmax(axis=1), "probabilities": probabilities, "target": np.array(target)}
        files[f"{name}.safetensors"] = write_predictions(place, name, probabilities.shape[1], tensors)
        steps[name] = {"kind": "metrics", "inputs": {"predictions": f"sources.{name}"}}
    run(place, steps, files)
    for name, (target, probabilities) in cases.items():
        made = json.loads(place.export(f"{name}.metrics", f"{name}.json").read_text())
        expected, prediction = expected_classification(target, probabilities)
        assert {key: (made[key], value) for key, value in expected.items() if not close(made[key], value)} == {}, name
        labels = list(range(probabilities.shape[1]))
        assert made["confusion_matrix"] == sk.confusion_matrix(target, prediction, labels=labels).tolist()
        each = sk.precision_recall_fscore_support(target, prediction, labels=labels, zero_division=0)
        for label, entry in zip(labels, made["classes"]):
            assert entry["class"] == f"class {label}" and entry["support"] == each[3][label]
            for key, values in zip(("precision", "recall", "f1"), each):
                assert close(entry[key], values[label]), (name, label, key)


def regression_cases():
    draw = random.Random(4)
    target = np.array([draw.gauss(1e3, 5) for _ in range(300)])
    return {
        "noisy": (target, target + np.array([draw.gauss(0, 2) for _ in range(300)])),
        "right": (target, target.copy()),
        "constant_target": (np.full(10, 3.0), np.linspace(1, 4, 10)),
        "constant_and_right": (np.full(10, 3.0), np.full(10, 3.0)),
        "one_row": (np.array([2.0]), np.array([2.5])),
        "worse_than_the_mean": (np.array([1.0, 2, 3]), np.array([30.0, -20, 10])),
    }


@pytest.mark.filterwarnings("ignore:R\\^2 score is not well-defined")
def test_metrics_of_regression(place):
    cases, steps, files = regression_cases(), {}, {}
    for name, (target, prediction) in cases.items():
        files[f"{name}.safetensors"] = write_predictions(place, name, 0, {"prediction": prediction, "target": target})
        steps[name] = {"kind": "metrics", "inputs": {"predictions": f"sources.{name}"}}
    run(place, steps, files)
    for name, (target, prediction) in cases.items():
        made = json.loads(place.export(f"{name}.metrics", f"{name}.json").read_text())
        expected = {"mae": sk.mean_absolute_error(target, prediction), "mse": sk.mean_squared_error(target, prediction),
                    "rmse": sk.root_mean_squared_error(target, prediction),
                    "r2": sk.r2_score(target, prediction) if len(target) > 1 else None}
        assert {key: (made[key], value) for key, value in expected.items() if not close(made[key], value)} == {}, name
