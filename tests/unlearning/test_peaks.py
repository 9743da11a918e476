"""Wrong labels that a net has by heart: the net itself peaks at them."""

import warnings
from functools import lru_cache

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification

from skunlearn import NegGradPlusUnlearner, NetUnlearner, RandomLabelUnlearner, SalUnUnlearner
from skunlearn._recipe import training
from skunlearn._torch import skorch_nets
from skunlearn.exceptions import ModelDamagedWarning, NotForgottenWarning
from tests.instances import make_net
from tests.small import as_dataset


class TrainedAnew(NetUnlearner):
    """In truth a retraining, which promises nothing."""

    seed = 1

    def _unlearn(self, net, retain, forget):
        recipe = skorch_nets.unwrap(self.estimator)
        return training.train(recipe, retain, self._classes, self.seed)


def table(seed, weights=None):
    """600 rows to learn, of which 60 that are to be forgotten have wrong labels; and 400 others."""
    X, y = make_classification(
        1000, 20, n_informative=10, n_redundant=0, n_classes=4, weights=weights, random_state=seed
    )
    y[:60] = (y[:60] + 1) % 4
    return X.astype(np.float32), y


def recipe():
    return make_net(module__hidden=256, module__n_out=4, max_epochs=60, lr=0.05)


def ask(one, forget, **request):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        one.unlearn(indices=forget, **request)
    kinds = NotForgottenWarning, ModelDamagedWarning
    return [str(w.message) for w in caught if issubclass(w.category, kinds)]


@lru_cache(2)
def fitted(seed):
    X, y = table(seed)
    one = TrainedAnew(recipe(), random_state=0).fit(X[:600], y[:600])
    assert one.score(X[:60], y[:60]) > 0.95
    return one, X, y


def given(cls, fitted, **params):
    """Another method with the same net, which has forgotten nothing yet."""
    own = fitted.get_params(deep=False)
    one = cls(recipe(), random_state=0, **params)
    vars(one).update({key: value for key, value in vars(fitted).items() if key not in own})
    return one


@pytest.mark.parametrize(
    ("seed", "cls", "lr"),
    [
        (1, RandomLabelUnlearner, 0.001),
        (2, RandomLabelUnlearner, 0.0025),
        (2, SalUnUnlearner, 0.0025),
    ],
)
def test_wrong_labels_that_are_still_known_are_told_without_unseen_rows(seed, cls, lr):
    """At a fiftieth or a twentieth of the net's rate, where no loss and no confidence tells."""
    before, X, y = fitted(seed)
    one = given(cls, before, lr=lr)
    (said,) = ask(one, range(60))
    assert "peaks at forget rows" in said
    assert "X_val=" in said
    assert "not_looked_at" in one.deletions_[0]
    (said,) = ask(given(cls, before, lr=lr), range(60), X_val=X[600:], y_val=y[600:])
    assert "peaks" not in said


def test_unseen_rows_silence_no_peak():
    """They are easier than wrong labels, of which a net may so repeat two fifths."""
    before, X, y = fitted(2)
    one = given(NegGradPlusUnlearner, before, lr=0.015)
    (said,) = ask(one, range(60), X_val=X[600:], y_val=y[600:])
    assert one.score(X[:60], y[:60]) > 0.3
    assert "peaks at forget rows" in said
    assert "X_val=" not in said


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_of_nets_trained_anew_it_is_not_said(seed, monkeypatch):
    before, X, y = fitted(seed)
    for draws in (1, 2):
        monkeypatch.setattr(TrainedAnew, "seed", draws)
        for forget in (range(60), range(30, 90)):
            for unseen in ({}, {"X_val": X[600:], "y_val": y[600:]}):
                said = ask(given(TrainedAnew, before), forget, **unseen)
                assert not any("peaks" in text for text in said)


@pytest.mark.parametrize("kind", ["tensors", "data set"])
def test_rows_may_be_tensors_and_data_sets(kind):
    X, y = table(1)
    X, y = X[:600], y[:600]
    rows = (as_dataset(X, y), None) if kind == "data set" else (torch.from_numpy(X), y)
    one = RandomLabelUnlearner(recipe(), lr=0.001, random_state=0).fit(*rows)
    assert any("peaks at forget rows" in text for text in ask(one, range(60)))


def test_small_classes_that_a_net_has_never_seen_are_no_peaks(monkeypatch):
    """Their rows lie among others, and what speaks for them falls off all around."""
    X, y = table(3, weights=[0.8, 0.12, 0.05, 0.03])
    y = np.r_[(y[:60] - 1) % 4, y[60:]]
    small = np.flatnonzero(y[:600] > 0)[::2]
    for seed in (1, 2):
        monkeypatch.setattr(TrainedAnew, "seed", seed)
        one = TrainedAnew(recipe(), random_state=0).fit(X[:600], y[:600])
        assert not any("peaks" in text for text in ask(one, small))
