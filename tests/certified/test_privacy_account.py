"""What requests spend of a certified method's budget, and when it trains anew."""

import json
import pickle
import warnings

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skunlearn import (
    CertifiedRemovalUnlearner,
    DescentToDeleteUnlearner,
    LangevinUnlearner,
)
from skunlearn.certified import PrivacySpent
from skunlearn.exceptions import PrivacyBudgetWarning, UnlearningError
from tests.certified_tools import all_rows, make, methods, task, weights

# Noise that hides rows destroys small models; that it says so is a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")


FORGET = np.arange(5)


# ---------------------------------------------------------------------- accounts


@methods
def test_what_is_spent(cls):
    X, y = task()
    unlearner = make(cls, C=0.01, epsilon=2.0, delta=1e-6)
    with pytest.raises(NotFittedError):
        unlearner.privacy_spent()
    unlearner.fit(X, y)
    assert unlearner.privacy_spent() == PrivacySpent(epsilon=0.0, delta=1e-6, limit=2.0)
    assert json.loads(unlearner.certificate())["guarantee"] == "none"
    unlearner.unlearn(indices=FORGET)
    spent = unlearner.privacy_spent()
    assert 0 < spent.epsilon <= 2
    assert spent.left == pytest.approx(2 - spent.epsilon)
    certificate = json.loads(unlearner.certificate())
    assert certificate["guarantee"] == "(epsilon, delta)"
    for proved in (certificate["proved"], unlearner.deletions_[0]["proved"]):
        assert (proved["epsilon"], proved["delta"]) == (spent.epsilon, 1e-6)
        assert "kept rows" in proved["against"]
        assert "norm up to 1" in proved["assumes"]


def test_residuals_add_up_over_requests():
    X, y = task(3)
    unlearner = make(CertifiedRemovalUnlearner, epsilon=1e3).fit(X, y)
    sums = [np.zeros(3)]
    for i in range(3):
        unlearner.unlearn(indices=[i])
        sums.append(np.array(unlearner.deletions_[-1]["proved"]["residual_bounds"]))
        assert (sums[-1] > sums[-2]).all()
    together = np.linalg.norm(sums[-1]) + 2 * unlearner._account.start
    assert unlearner._distance() == pytest.approx(together / 1.0)


def test_the_norm_of_the_kept_rows_is_followed():
    X, y = task()
    unlearner = make(CertifiedRemovalUnlearner, epsilon=1e3).fit(X, y)
    unlearner.unlearn(indices=FORGET).unlearn(indices=[50, 60])
    kept = unlearner._problem(all_rows(unlearner)).X
    assert unlearner._gram == pytest.approx(kept.T @ kept, abs=1e-11)


def test_a_spent_budget_trains_anew():
    X, y = task()
    unlearner = make(CertifiedRemovalUnlearner, C=0.1, sigma=2.0).fit(X, y)
    for i in range(50):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            before = weights(unlearner)
            unlearner.unlearn(indices=[i])
        if caught:
            break
    assert 0 < i < 49
    assert caught[0].category is PrivacyBudgetWarning
    assert f"trained anew on the {119 - i} kept rows" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert [entry["proved"]["retrained"] for entry in unlearner.deletions_] == [False] * i + [True]
    assert unlearner.privacy_spent().epsilon == 0
    # A new b: the weights jump.
    assert np.abs(weights(unlearner) - before).max() > 0.01
    problem = unlearner._problem(all_rows(unlearner))
    noise = 2.0 * np.random.default_rng([0, i + 1]).standard_normal(before.shape)
    size = np.linalg.norm(problem.gradient(weights(unlearner)) + noise)
    assert size <= unlearner._account.start * (1 + 1e-9)
    unlearner.unlearn(indices=[60])
    assert unlearner.privacy_spent().epsilon > 0


@pytest.mark.parametrize("cls", [DescentToDeleteUnlearner, LangevinUnlearner])
def test_no_budget_runs_out(cls):
    X, y = task()
    unlearner = make(cls).fit(X, y)
    for i in range(0, 100, 10):  # ever larger shares of what is left
        unlearner.unlearn(indices=np.arange(i, i + 10))
        assert 0 < unlearner.privacy_spent().epsilon <= 1
        assert unlearner.deletions_[-1]["proved"]["steps"] >= 1


@pytest.mark.parametrize("cls", [DescentToDeleteUnlearner, LangevinUnlearner])
def test_less_noise_and_larger_requests_cost_steps(cls):
    X, y = task()

    def steps(rows=1, **kwargs):
        unlearner = make(cls, **kwargs).fit(X, y).unlearn(indices=np.arange(rows))
        return unlearner.deletions_[0]["proved"]["steps"]

    assert steps(sigma=0.01) < steps(sigma=0.001)
    assert steps(sigma=0.01) < steps(sigma=0.01, epsilon=0.1)
    assert steps(sigma=0.01) < steps(sigma=0.01, C=1.0)
    assert steps(sigma=0.01) <= steps(40, sigma=0.01)


@methods
def test_budgets_survive_a_pickle(cls):
    X, y = task()
    unlearner = make(cls, C=0.01, epsilon=5.0).fit(X, y).unlearn(indices=FORGET)
    copy = pickle.loads(pickle.dumps(unlearner))
    assert copy.privacy_spent() == unlearner.privacy_spent()
    copy.unlearn(indices=[20])
    unlearner.unlearn(indices=[20])
    assert copy.privacy_spent() == unlearner.privacy_spent()
    assert np.array_equal(weights(copy), weights(unlearner))


@methods
def test_settings_of_the_training_stay_those_of_the_account(cls):
    X, y = task()
    changed, same = make(cls, C=0.01).fit(X, y), make(cls, C=0.01).fit(X, y)
    changed.set_params(sigma=1000.0, row_norm=0.001, estimator__C=1e-6)
    changed.unlearn(indices=FORGET)
    same.unlearn(indices=FORGET)
    assert changed.privacy_spent() == same.privacy_spent()
    assert changed.deletions_[0]["proved"]["sigma"] == same._setting.sigma
    assert np.array_equal(changed.predict_proba(X), same.predict_proba(X))
    assert np.array_equal(weights(changed), weights(same))


def test_a_smaller_epsilon_after_the_training():
    X, y = task()
    unlearner = make(epsilon=1.0).fit(X, y).set_params(epsilon=0.5).unlearn(indices=[0])
    assert unlearner.privacy_spent().epsilon <= 0.5
    before = unlearner.estimator_
    unlearner.set_params(epsilon=1e-4)
    with pytest.raises(UnlearningError, match="fit again"):
        unlearner.unlearn(indices=[1])
    assert unlearner.estimator_ is before


@methods
def test_a_failed_request_spends_nothing(cls, monkeypatch):
    X, y = task()
    unlearner = make(cls, C=0.01).fit(X, y).unlearn(indices=[0])
    account, step = unlearner._account, unlearner._step
    secret = getattr(unlearner, "_secret", None)

    def broken(self, W):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(cls, "_publish", broken)
        with pytest.raises(MemoryError):
            unlearner.unlearn(indices=[1])
    assert unlearner._account is account
    assert unlearner._step == step
    assert getattr(unlearner, "_secret", None) is secret
    assert unlearner._removal is None
