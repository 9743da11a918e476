"""Parameters as text: equal in every process, other for other parameters."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skunlearn._recipe.parameter_texts import write_parameters
from tests.instances import all_instances, binary_instances, forest_instances, make_net
from tests.interpreters import environment

PRINT = """
import json, warnings
warnings.simplefilter("ignore")
from tests.recipe.test_parameter_texts import write_all
print(json.dumps(write_all()))
"""


def write_all():
    instances = [*all_instances(), *binary_instances(), *forest_instances()]
    return [write_parameters(clone(each)) for each in instances]


def test_every_process_writes_the_same():
    ours = write_all()
    assert sum(map(len, ours)) > 1000
    assert not [text for texts in ours for text in texts.values() if " at 0x" in text]
    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    done = subprocess.run(
        [sys.executable, "-c", PRINT],
        env=environment(PYTHONHASHSEED=other),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == ours


@pytest.mark.parametrize(
    ("estimator", "name", "other"),
    [
        (LogisticRegression(), "C", 2.0),
        (LogisticRegression(), "class_weight", {1: 2.0}),
        (LogisticRegression(class_weight={0: 1.0, 1: 3.0}), "class_weight", {0: 3.0, 1: 1.0}),
        (GaussianNB(priors=np.array([0.4, 0.6])), "priors", np.array([0.6, 0.4])),
        (GaussianNB(priors=[0.4, 0.6]), "priors", (0.4, 0.6)),
        (BaggingClassifier(DecisionTreeClassifier()), "estimator__max_depth", 3),
        (BaggingClassifier(DecisionTreeClassifier()), "estimator", LogisticRegression()),
        (FunctionTransformer(np.sqrt), "func", np.cbrt),
        (FunctionTransformer(np.linalg.norm), "func", np.linalg.inv),
        (make_pipeline(StandardScaler()), "standardscaler__with_mean", False),
        (make_net(), "module__hidden", 5),
        (make_net(), "optimizer", torch.optim.Adam),
        (make_net(), "lr", 0.7),
    ],
)
def test_a_change_is_seen(estimator, name, other):
    before = write_parameters(estimator)
    assert write_parameters(clone(estimator)) == before
    after = write_parameters(clone(estimator).set_params(**{name: other}))
    assert name in {key for key in after if before.get(key) != after[key]}


def test_what_shapes_no_model_is_left_out():
    before = write_parameters(BaggingClassifier(LogisticRegression()))
    other = BaggingClassifier(LogisticRegression(verbose=2), n_jobs=2, verbose=1)
    assert write_parameters(other) == before
    assert write_parameters(make_net(device="cpu")) == write_parameters(make_net(device="cuda"))
