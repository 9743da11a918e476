"""check_deletion: verification apart from execution, and utility, in the certificate."""

import copy
import json

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier
from torch.utils.data import TensorDataset

from skunlearn import RetrainUnlearner, RidgeUnlearner
from skunlearn.evaluation import check_deletion, utility_change
from skunlearn.verify import verify
from tests.instances import make_net


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def test_all_that_was_found_joins_the_certificate(iris):
    X, y = iris
    groups = np.array(["young", "old", "few"])[np.where(np.arange(150) < 5, 2, np.arange(150) % 2)]
    order = np.random.default_rng(0).permutation(150)
    X, y, groups = X[order], y[order], groups[order]
    unlearner = RetrainUnlearner(ExtraTreesClassifier(5, max_depth=3), random_state=0)
    unlearner.fit(X[:90], y[:90])
    before = copy.deepcopy(unlearner)
    unlearner.unlearn(indices=np.arange(40))
    given = {"groups": groups[:90], "groups_test": groups[90:]}
    found = check_deletion(unlearner, X[90:], y[90:], before=before, **given)
    certificate = unlearner.certificate()
    assert all(finding.ok for finding in verify(certificate))
    assert certificate["verification"][0]["found"] == found["verification"]
    assert certificate["utility"][0]["found"] == found["utility"]
    parts = found["verification"]
    said = repr(found)
    assert len(said.splitlines()) < 15, said
    assert parts["audit"]["verdicts"]["RetrainUnlearner"]["text"] in said
    assert f"{found['utility']['all']['after']:.3f} after (60 rows)" in said
    assert "group young: AUC 0." in said
    assert "this dict: verification (audit, attack, groups), utility." in said
    assert json.loads(json.dumps(found)) == found
    metrics = {row["metric"] for row in parts["audit"]["figures"]}
    assert {"AUC", "forget over null"} <= metrics
    assert parts["audit"]["roles"]["original"] == "original"
    assert set(parts["audit"]["worst_rows"]) >= {"original", "RetrainUnlearner"}
    assert len(parts["attack"]["scores"]) > 3
    assert len(parts["attack"]["per_class"]) >= 1
    assert set(parts["groups"]) <= {"young", "old", "few"}
    assert {"young", "old"} <= set(parts["groups"])
    for group in ("young", "old"):
        attacked = parts["groups"][group]
        assert attacked["n_forget"] <= np.sum(groups[:40] == group)
        assert attacked["scores"]
    if "few" in parts["groups"]:
        assert "skipped" in parts["groups"]["few"]
    assert parts["reconstruction"] is None
    # Who wants to see them by group must say the group of each row.
    with pytest.raises(ValueError, match="groups must have one entry"):
        check_deletion(unlearner, X[90:], y[90:], groups=groups, groups_test=groups[90:])
    with pytest.raises(ValueError, match="come together"):
        check_deletion(unlearner, X[90:], y[90:], groups=groups[:90])
    assert unlearner.certificate() == certificate


def test_two_versions_of_a_linear_model(iris):
    X, y = iris[0][::2], iris[0][::2, 0] * 2.0
    for unlearner in (
        RidgeUnlearner(Ridge(0.1)),
        RetrainUnlearner(LogisticRegression(max_iter=500)),
    ):
        target = y if isinstance(unlearner, RidgeUnlearner) else iris[1][::2]
        test = iris[0][1::2], (iris[0][1::2, 0] * 2.0 if target is y else iris[1][1::2])
        before = copy.deepcopy(unlearner.fit(X, target))
        unlearner.unlearn(indices=np.arange(0, 75, 5))
        found = check_deletion(unlearner, *test, before=before, n_seeds=1)
        rebuilt = found["verification"]["reconstruction"]
        assert 0 <= rebuilt["similarity_of_unseen"] <= 1
        assert 0 <= rebuilt["similarity"] <= 1
        assert rebuilt["n_deleted"] == 15
        assert f"reconstruction: similarity {rebuilt['similarity']:.2f} to a del" in repr(found)
        # The row itself is no part of the record.
        assert not any(isinstance(value, list) for value in rebuilt.values())
        if isinstance(unlearner, RidgeUnlearner):
            assert found["utility"]["by_class"] is None
            assert found["verification"]["attack"] is None


def test_utility_by_class_and_group(iris):
    X, y = iris
    known = DecisionTreeClassifier(random_state=0).fit(X, y)
    stump = DecisionTreeClassifier(max_depth=1, random_state=0).fit(X, y)
    groups = np.arange(150) // 75
    change = utility_change(known, stump, X, y, groups=groups, scoring="accuracy")
    assert change["all"] == {"before": 1.0, "after": stump.score(X, y), "n": 150}
    for label in range(3):
        rows = y == label
        assert change["by_class"][str(label)] == {
            "before": 1.0,
            "after": stump.score(X[rows], y[rows]),
            "n": 50,
        }
    for group in range(2):
        rows = groups == group
        assert change["by_group"][str(group)]["after"] == stump.score(X[rows], y[rows])
    assert utility_change(known, stump, X, y)["by_group"] is None


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")
def test_a_dataset_brings_its_labels(iris):
    X, y = iris
    X = X.astype(np.float32)
    unlearner = RetrainUnlearner(make_net(module__n_out=3, max_epochs=2), random_state=0)
    before = copy.deepcopy(unlearner.fit(X[::2], y[::2]))
    unlearner.unlearn(indices=np.arange(0, 75, 3))
    rows = TensorDataset(torch.as_tensor(X[1::2]), torch.as_tensor(y[1::2]))
    groups = {"groups": np.arange(75) % 2, "groups_test": np.arange(75) % 2}
    found = [
        check_deletion(unlearner, *given, before=before, n_seeds=1, **groups)
        for given in ((rows,), (X[1::2], y[1::2]))
    ]
    assert found[0]["utility"] == found[1]["utility"]
    for part in ("attack", "groups"):
        assert found[0]["verification"][part] == found[1]["verification"][part] is not None
    change = utility_change(before, unlearner, rows)
    assert change == utility_change(before, unlearner, X[1::2], y[1::2])
