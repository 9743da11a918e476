"""``memory=`` trains each base net once, and never hands out another one's."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from skorch.callbacks import (
    Callback,
)

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.small import FORGET, as_dataset, net, quiet


class Counted(Callback):
    trainings = 0

    def on_train_begin(self, net, **kwargs):
        Counted.trainings += 1


def counted(**kwargs):
    return net(callbacks=[("count", Counted())], **kwargs)


@quiet
def test_memory_trains_each_base_net_once(data, tmp_path):
    X, y = data
    unlearner = FineTuneUnlearner(
        counted(criterion__weight=torch.tensor([1.0, 2.0, 1.0])),
        memory=str(tmp_path),
        random_state=0,
        max_epochs=1,
    )
    Counted.trainings = 0
    mask = np.arange(60) < 6
    runs = [clone(unlearner).set_params(lr=lr).fit(X, y, forget=mask) for lr in (0.1, 0.2, 0.3)]
    assert Counted.trainings == 1 + 3
    plain = clone(unlearner).set_params(lr=0.3, memory=None).fit(X, y, forget=mask)
    assert same_parameters(parameters(runs[2].estimator_), parameters(plain.estimator_))
    Counted.trainings = 0
    for other in (
        {"random_state": 1},
        {"estimator__lr": 0.07},
        {"estimator__module__hidden": 9},
        {"estimator__criterion__weight": torch.tensor([1.0, 2.0, 2.0])},
    ):
        clone(unlearner).set_params(**other).fit(X, y)
    clone(unlearner).fit(X + 1, y)
    clone(unlearner).fit(X, np.roll(y, 1))
    assert Counted.trainings == 6


def test_memory_tells_other_rows_labels_and_shapes_apart(data, tmp_path):
    X, y = data
    one = RetrainUnlearner(LogisticRegression(), memory=str(tmp_path), random_state=0)
    first = clone(one).fit(X, np.array(["a", "b", "c"])[y])
    second = clone(one).fit(X, np.array(["x", "y", "z"])[y])
    assert set(first.predict(X)) <= set("abc")
    assert set(second.predict(X)) <= set("xyz")
    zeros = RetrainUnlearner(counted(max_epochs=1), memory=str(tmp_path), random_state=0)
    Counted.trainings = 0
    clone(zeros).fit(np.zeros((6, 4), np.float32), np.arange(6) % 3)
    clone(zeros).fit(np.zeros((6, 2, 2), np.float32), np.arange(6) % 3)
    clone(zeros).fit(np.zeros((6, 4), np.int32), np.arange(6) % 3)
    assert Counted.trainings == 3


def test_memory_knows_the_rows_that_come_with_a_request(data, tmp_path):
    """Two requests with other retained rows must not share a model."""
    X, y = data
    cached = RetrainUnlearner(net(), memory=str(tmp_path), random_state=0).fit(X, y)
    results = []
    for kept in (np.arange(6, 60), np.arange(20, 60)):
        plain = RetrainUnlearner(net(), random_state=0).fit(X, y)
        other = clone(cached).fit(X, y)
        for unlearner in (plain, other):
            unlearner.unlearn(indices=FORGET, X_retain=X[kept], y_retain=y[kept])
        assert same_parameters(parameters(plain.estimator_), parameters(other.estimator_))
        results.append(parameters(plain.estimator_))
    assert not same_parameters(*results)


def test_memory_is_not_used_for_datasets(data, tmp_path):
    X, y = data
    with pytest.warns(UserWarning, match="torch Dataset") as caught:
        RetrainUnlearner(net(), memory=str(tmp_path)).fit(as_dataset(X, y))
    assert caught[0].filename == __file__
