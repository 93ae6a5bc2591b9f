"""The work of configs/iris.yaml in one Python process with scikit-learn and XGBoost: read, split, scale, train eight
models, predict, score, pick. `iris_peer.py iris.csv` prints the winner."""
import csv
import sys

import numpy as np
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

SEED = 42


def boosting(n_estimators, learning_rate):
    return xgboost.XGBClassifier(n_estimators=n_estimators, learning_rate=learning_rate, max_depth=3, n_jobs=1)


MODELS = {
    "logistic": LogisticRegression(C=1.0),
    "logistic_strong": LogisticRegression(C=0.1),
    "tree_shallow": DecisionTreeClassifier(max_depth=2),
    "tree_deep": DecisionTreeClassifier(max_depth=8, criterion="entropy"),
    "forest_small": RandomForestClassifier(n_estimators=10, random_state=SEED),
    "forest_large": RandomForestClassifier(n_estimators=50, random_state=SEED),
    "boosting_slow": boosting(40, 0.1),
    "boosting_fast": boosting(10, 0.5),
}


def main(path):
    with open(path, newline="") as file:
        rows = list(csv.reader(file))[1:]
    features = np.array([[float(cell) for cell in row[:4]] for row in rows])
    _, target = np.unique([row[4] for row in rows], return_inverse=True)
    train, test, train_target, test_target = train_test_split(features, target, test_size=0.3, random_state=SEED,
                                                              stratify=target)
    scaler = StandardScaler().fit(train)
    scores = {}
    for name, model in MODELS.items():
        model.fit(scaler.transform(train), train_target)
        probabilities = model.predict_proba(scaler.transform(test))
        labels = probabilities.argmax(axis=1)
        scores[name] = (f1_score(test_target, labels, average="macro"), accuracy_score(test_target, labels),
                        log_loss(test_target, probabilities))
    print(max(scores, key=lambda name: scores[name][0]))


if __name__ == "__main__":
    main(sys.argv[1])
