"""Models are those of scikit-learn and XGBoost: the same data, both ways, and the exported weights compared."""
import csv
import io
import json

import numpy as np
import pytest
import xgboost
import yaml
from safetensors.numpy import load_file
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor


class Trained:
    """What a run left: per case the model's folder and the predictions."""

    def __init__(self, place, cases):
        self.folders, self.predictions = {}, {}
        for name in cases:
            self.folders[name] = place.export(f"train[case={name}].model", f"model-{name}")
            self.predictions[name] = load_file(place.export(f"predict[case={name}].predictions", f"predictions-{name}"))

    def weights(self, name):
        return load_file(self.folders[name] / "weights.safetensors")

    def config(self, name):
        return json.loads((self.folders[name] / "config.json").read_text())


def table(features, target, task):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([f"f{i}" for i in range(features.shape[1])] + ["y"])
    for row, value in zip(features, target):
        writer.writerow([repr(float(v)) for v in row] + [f"c{value}" if task == "classification" else repr(float(value))])
    return text.getvalue()


def train(place, data, cases, task="classification"):
    """Trains every case (name: parameters) on the data and predicts for them."""
    features, target = data
    place.write("data.csv", table(features, target, task))
    prepare = {"kind": "preprocess", "inputs": {"table": "sources.data"}, "params": {"target": "y", "task": task}}
    steps = {
        "prepare": prepare,
        "train": {"kind": "train", "inputs": {"dataset": "prepare.dataset"}, "params": {"<<": "${matrix.case}"},
                  "matrix": {"case": [{"name": name, **params} for name, params in cases.items()]}},
        "predict": {"kind": "predict", "matrix": "train",
                    "inputs": {"model": "train.model", "dataset": "prepare.dataset"}},
    }
    place.write("p.yaml", yaml.safe_dump({"version": 1, "name": "models", "sources": {"data": "data.csv"},
                                          "steps": steps}, sort_keys=False))
    place.run("p.yaml")
    return Trained(place, cases)


def overlapping(rows, columns, classes, seed):
    """Continuous features, classes that overlap: no ties, and every unpenalised fit has an optimum."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(rows, columns))
    score = features @ draw.normal(size=columns) + draw.normal(size=rows)
    return features, np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))


# ---- logistic regression ----

def iris(classes):
    features, target = load_iris(return_X_y=True)
    keep = target >= 3 - classes
    return features[keep], target[keep]


@pytest.mark.parametrize("data", [iris(3), iris(2), overlapping(500, 6, 3, 1), overlapping(400, 8, 2, 2)],
                         ids=["iris, 3 classes", "iris, 2 classes", "made up, 3 classes", "made up, 2 classes"])
def test_logistic_regression_has_scikit_learns_coefficients(place, data):
    strengths = {"weak": 0.1, "medium": 1.0, "strong": 10.0}
    ours = train(place, data, {name: {"model": "logistic_regression", "C": c} for name, c in strengths.items()})
    for name, c in strengths.items():
        peer = LogisticRegression(C=c, tol=1e-12, max_iter=100000).fit(*data)
        weights = ours.weights(name)
        assert weights["coef"].shape == peer.coef_.shape
        np.testing.assert_allclose(weights["coef"], peer.coef_, rtol=0, atol=1e-4)
        np.testing.assert_allclose(weights["intercept"], peer.intercept_, rtol=0, atol=1e-4)
        np.testing.assert_allclose(ours.predictions[name]["probabilities"], peer.predict_proba(data[0]), atol=1e-5)


@pytest.mark.parametrize("data", [iris(2), overlapping(500, 6, 3, 3), overlapping(400, 8, 2, 4)],
                         ids=["iris, 2 classes", "made up, 3 classes", "made up, 2 classes"])
def test_logistic_regression_without_penalty_has_scikit_learns_coefficients(place, data):
    ours = train(place, data, {"free": {"model": "logistic_regression", "penalty": "none"}})
    peer = LogisticRegression(C=np.inf, tol=1e-12, max_iter=100000, solver="newton-cg").fit(*data)
    np.testing.assert_allclose(ours.weights("free")["coef"], peer.coef_, rtol=0, atol=1e-4)
    np.testing.assert_allclose(ours.weights("free")["intercept"], peer.intercept_, rtol=0, atol=1e-4)


def test_logistic_regression_without_intercept_goes_through_the_origin(place):
    data = overlapping(300, 4, 2, 5)
    ours = train(place, data, {"plain": {"model": "logistic_regression", "fit_intercept": False}})
    peer = LogisticRegression(fit_intercept=False, tol=1e-12, max_iter=100000).fit(*data)
    np.testing.assert_allclose(ours.weights("plain")["coef"], peer.coef_, rtol=0, atol=1e-4)
    assert not ours.weights("plain")["intercept"].any()


def test_columns_of_very_different_scale_are_no_obstacle(place):
    features, target = overlapping(400, 6, 2, 6)
    data = features * [1, 10, 100, 0.01, 1, 1000], target
    ours = train(place, data, {"scaled": {"model": "logistic_regression"}})
    peer = LogisticRegression(tol=1e-12, max_iter=100000, solver="newton-cholesky").fit(*data)
    np.testing.assert_allclose(ours.weights("scaled")["coef"], peer.coef_, rtol=1e-6)


# ---- trees ----

def assert_equal_trees(weights, tree):
    for name in ["children_left", "children_right", "feature", "threshold", "n_node_samples"]:
        np.testing.assert_array_equal(weights[name], getattr(tree, name), err_msg=name)
    np.testing.assert_allclose(weights["value"].ravel(), tree.value.ravel(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(weights["impurity"], tree.impurity, rtol=0, atol=1e-12)


def peer_without_ties(kind, data, **settings):
    """scikit-learn breaks ties by chance: where they decide nothing, all its seeds give one tree."""
    trees = [kind(random_state=seed, **settings).fit(*data).tree_ for seed in range(5)]
    assert all(np.array_equal(trees[0].threshold, tree.threshold) for tree in trees), "ties decide in this data"
    return trees[0]


TREE_CASES = {f"{criterion}-{depth}-{label}": {"criterion": criterion, "max_depth": depth, "min_samples_split": split}
              for criterion in ["gini", "entropy", "log_loss"] for depth in [3, 10]
              for label, split in [("count", 150), ("fraction", 0.1)]}


@pytest.mark.parametrize("classes", [2, 3])
def test_decision_trees_equal_scikit_learns_node_for_node(place, classes):
    data = overlapping(2000, 5, classes, 0)
    ours = train(place, data, {name: {"model": "decision_tree", **case} for name, case in TREE_CASES.items()})
    for name, case in TREE_CASES.items():
        tree = peer_without_ties(DecisionTreeClassifier, data, **case)
        assert tree.node_count > 10
        assert_equal_trees(ours.weights(name), tree)


def test_trees_grown_to_the_end_on_one_feature_are_equal_too(place):
    data = overlapping(600, 1, 3, 7)
    cases = {"full": {}, "leaf": {"min_samples_leaf": 5}, "deep": {"max_depth": 10}, "gain": {"min_impurity_decrease": 0.002}}
    ours = train(place, data, {name: {"model": "decision_tree", **case} for name, case in cases.items()})
    for name, case in cases.items():
        assert_equal_trees(ours.weights(name), peer_without_ties(DecisionTreeClassifier, data, **case))


def test_regression_trees_equal_scikit_learns(place):
    draw = np.random.default_rng(8)
    features = draw.normal(size=(1500, 4))
    data = features, features @ [1, -2, 0.5, 3] + draw.normal(size=1500)
    cases = {"shallow": {"max_depth": 3}, "deep": {"max_depth": 10, "min_samples_leaf": 20}}
    ours = train(place, data, {name: {"model": "decision_tree", **case} for name, case in cases.items()}, "regression")
    for name, case in cases.items():
        assert_equal_trees(ours.weights(name), peer_without_ties(DecisionTreeRegressor, data, **case))
        peer = DecisionTreeRegressor(random_state=0, **case).fit(*data)
        np.testing.assert_allclose(ours.predictions[name]["prediction"], peer.predict(features), rtol=0, atol=1e-12)


FOREST = """
version: 1
name: forests
sources: {data: data.csv}
steps:
  prepare:
    kind: preprocess
    matrix: {seed: {range: [0, 20, 1]}}
    inputs: {table: sources.data}
    params: {target: y, split: {method: shuffle, test_size: 0.3, seed: "${matrix.seed}", stratify: true}}
  train:
    kind: train
    matrix: prepare
    inputs: {dataset: prepare.train}
    params: {model: random_forest, n_estimators: 100, seed: "${matrix.seed}"}
  predict:
    kind: predict
    matrix: prepare
    inputs: {model: train.model, dataset: prepare.test}
"""


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
def test_forests_are_as_accurate_as_scikit_learns(place, load):
    """Over 20 seeds, each of which decides split and forest, the means lie within one standard error."""
    place.write("data.csv", table(*load(return_X_y=True), "classification"))
    place.write("p.yaml", FOREST)
    place.run("p.yaml")
    ours, peers = [], []
    for seed in range(20):
        fitted = load_file(place.export(f"prepare[seed={seed}].train", f"train-{seed}"))
        tested = load_file(place.export(f"prepare[seed={seed}].test", f"test-{seed}"))
        found = load_file(place.export(f"predict[seed={seed}].predictions", f"predictions-{seed}"))
        peer = RandomForestClassifier(100, random_state=seed).fit(fitted["features"], fitted["target"])
        ours.append(np.mean(found["prediction"] == tested["target"]))
        peers.append(peer.score(tested["features"], tested["target"]))
    assert abs(np.mean(ours) - np.mean(peers)) <= np.std(peers, ddof=1) / np.sqrt(20)


# ---- gradient boosting ----

OUR_NAMES = {"eta": "learning_rate", "lambda": "reg_lambda", "alpha": "reg_alpha"}
BOOSTING_CASES = {
    **{method: {"tree_method": method, "eta": 0.1, "max_depth": 3} for method in ["hist", "exact", "approx"]},
    "sampled": {"tree_method": "hist", "subsample": 0.7, "colsample_bytree": 0.6, "seed": 5},
    "penalised": {"tree_method": "hist", "lambda": 0.35, "alpha": 0.013, "gamma": 0.07, "min_child_weight": 1.7,
                  "max_bin": 17},
}


@pytest.mark.parametrize("load, task, objective", [
    (load_iris, "classification", {"objective": "multi:softprob", "num_class": 3}),
    (load_breast_cancer, "classification", {"objective": "binary:logistic"}),
    (load_diabetes, "regression", {"objective": "reg:squarederror"}),
], ids=["three classes", "two classes", "regression"])
def test_boosting_predicts_as_the_python_package_to_the_bit(place, load, task, objective):
    assert xgboost.__version__ == "1.7.4"
    rounds = 25
    data = load(return_X_y=True)
    cases = {name: {"model": "gradient_boosting", "n_estimators": rounds, **{OUR_NAMES.get(k, k): v for k, v in case.items()}}
             for name, case in BOOSTING_CASES.items()}
    ours = train(place, data, cases, task)
    matrix = xgboost.DMatrix(data[0].astype(np.float32), label=data[1].astype(np.float32), nthread=1)
    for name, case in BOOSTING_CASES.items():
        peer = xgboost.train({**objective, **case, "nthread": 1, "verbosity": 0}, matrix, rounds)
        expected = peer.predict(matrix)
        found = ours.predictions[name]["probabilities" if task == "classification" else "prediction"]
        if expected.ndim == 1 and found.ndim == 2:
            np.testing.assert_array_equal(found.sum(axis=1), 1)
            found = found[:, 1]
        np.testing.assert_array_equal(found.astype(np.float32), expected, err_msg=name)
        assert np.array_equal(found, found.astype(np.float32)), "predictions are widened floats"
        loaded = xgboost.Booster()
        loaded.load_model(ours.folders[name] / "model.ubj")
        np.testing.assert_array_equal(loaded.predict(matrix), expected, err_msg=name)


# ---- what a model says about itself ----

def test_a_models_config_names_everything_that_made_it(place):
    data = iris(3)
    ours = train(place, data, {"small": {"model": "random_forest", "n_estimators": 3}})
    config = ours.config("small")
    assert config["model"] == "random_forest"
    assert config["classes"] == ["c0", "c1", "c2"]
    assert config["columns"] == ["f0", "f1", "f2", "f3"]
    assert config["target"] == "y"
    assert config["task"] == "classification"
    assert config["parameters"] == {"n_estimators": 3, "criterion": "auto", "max_depth": None, "min_samples_split": 2,
                                    "min_samples_leaf": 1, "min_impurity_decrease": 0.0, "max_features": None,
                                    "bootstrap": True, "seed": 0}
    assert config["kind_version"].startswith("train.random_forest@1+sleef-")
    assert len(config["preprocessor"]) == 64


@pytest.mark.parametrize("model, data, says", [
    ("logistic_regression", (iris(3)[0], np.zeros(150, dtype=int)), "one class only, `c0`"),
    ("decision_tree", (iris(3)[0], np.zeros(150, dtype=int)), "one class only, `c0`"),
])
def test_one_class_alone_is_refused_by_name(place, model, data, says):
    with pytest.raises(AssertionError, match=says):
        train(place, data, {"only": {"model": model}})


def test_separable_classes_need_a_penalty(place):
    with pytest.raises(AssertionError, match="do not overlap"):
        train(place, iris(3), {"free": {"model": "logistic_regression", "penalty": "none"}})
