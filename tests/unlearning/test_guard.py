"""max_accuracy_drop= undoes a request that costs too much, and says what was measured."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from skunlearn import (
    AmnesiacUnlearner,
    AutoUnlearner,
    FineTuneUnlearner,
    GradientAscentUnlearner,
    NetUnlearner,
    ProximalUnlearner,
    RetrainUnlearner,
    UnlearningPipeline,
)
from skunlearn.evaluation import audit
from skunlearn.exceptions import AccuracyDropError, ModelDamagedWarning, UnlearningError
from skunlearn.utils._check_tools import Snapshot, outcome
from tests.instances import make_net

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::skunlearn.exceptions.{name}")
    for name in (
        "ModelDamagedWarning",
        "NotForgottenWarning",
        "UnsuitableMethodWarning",
    )  # damage is what is made here
]
RUINOUS = {"lr": 100.0, "max_epochs": 3, "schedule": "constant"}


class Biased(NetUnlearner):
    """Pushes one class by so much that a known number of rows goes to it."""

    push = 0.0

    def _unlearn(self, net, retain, forget):
        with torch.no_grad():
            net.module_.out.bias[0] += type(self).push


@pytest.fixture
def blobs():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 240)
    X = (rng.normal(size=(240, 4)) + 2 * np.eye(3, 4)[y]).astype(np.float32)
    return X[:160], y[:160], X[160:], y[160:]


def biased(X, y, push, **kwargs):
    Biased.push = push
    net = make_net(module__n_out=3, max_epochs=10)
    return Biased(net, random_state=0, **kwargs).fit(X, y)


@pytest.mark.parametrize("own_rows", [False, True])
@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (FineTuneUnlearner, RUINOUS),
        (ProximalUnlearner, RUINOUS | {"penalty": 0.0}),
        (GradientAscentUnlearner, {"lr": 5.0, "max_epochs": 5}),
        (Biased, {}),
    ],
)
def test_a_ruinous_request_is_undone(blobs, cls, params, own_rows):
    X, y, X_val, y_val = blobs
    Biased.push = 50.0
    net = make_net(module__n_out=3, max_epochs=10)
    unlearner = cls(net, random_state=0, **params).fit(X, y)
    state, whole = Snapshot(unlearner, X), pickle.dumps(unlearner)
    retained = unlearner._record.retained.copy()
    given = {"X_val": X_val, "y_val": y_val} if own_rows else {}
    with pytest.raises(AccuracyDropError, match="request still waits") as error:
        unlearner.unlearn(indices=range(9), max_accuracy_drop=0.2, **given)
    state.check("a refused request")
    assert np.array_equal(unlearner._record.retained, retained)
    assert pickle.dumps(unlearner) == whole
    reason = error.value
    rows = (X_val, y_val) if own_rows else (X[9:], y[9:])
    assert reason.before == unlearner.score(*rows)
    assert reason.before - reason.after > reason.max_accuracy_drop == 0.2
    assert f"{reason.after:.4f}" in str(reason)
    assert f"{len(rows[1])} " in str(reason)
    assert isinstance(reason, UnlearningError)


def test_what_is_allowed_goes_through_and_is_logged(blobs):
    X, y, X_val, y_val = blobs
    guarded, free = (biased(X, y, 3.0) for _ in range(2))
    before = guarded.score(X_val, y_val)
    guarded.unlearn(indices=range(9), max_accuracy_drop=0.5, X_val=X_val, y_val=y_val)
    free.unlearn(indices=range(9))
    assert np.array_equal(outcome(guarded, X), outcome(free, X))
    guard = guarded.deletions_[0]["guard"]
    assert guard["before"] == before
    assert guard["after"] == guarded.score(X_val, y_val) < before
    assert "guard" not in free.deletions_[0]
    assert '"max_accuracy_drop": 0.5' in guarded.certificate()


def test_a_limit_stands_for_the_warning(blobs):
    X, y, *_ = blobs
    with pytest.warns(ModelDamagedWarning):
        biased(X, y, 50.0).unlearn(indices=range(9))
    unlearner = biased(X, y, 50.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ModelDamagedWarning)
        unlearner.unlearn(indices=range(9), max_accuracy_drop=0.9)


def test_the_limit_itself_is_allowed(blobs):
    X, y, X_val, y_val = blobs
    unlearner, given = biased(X, y, 3.0), {"X_val": X_val, "y_val": y_val}
    measured = copy.deepcopy(unlearner).unlearn(indices=[0], max_accuracy_drop=1, **given)
    guard = measured.deletions_[0]["guard"]
    exactly = guard["before"] - guard["after"]
    assert exactly > 0
    with pytest.raises(AccuracyDropError):
        unlearner.unlearn(indices=[0], max_accuracy_drop=exactly - 1 / len(y_val), **given)
    unlearner.unlearn(indices=[0], max_accuracy_drop=exactly, **given)


def test_many_small_requests_cannot_add_up(blobs):
    X, y, X_val, y_val = blobs
    unlearner = biased(X, y, 0.7)
    start, scores, refused = unlearner.score(X_val, y_val), [], None
    for row in range(10):
        try:
            unlearner.unlearn(indices=[row], max_accuracy_drop=0.1, X_val=X_val, y_val=y_val)
        except AccuracyDropError as error:
            refused = error
            break
        scores.append(unlearner.score(X_val, y_val))
    assert len(scores) > 1  # each alone is within the limit
    assert refused.before == start
    assert start - refused.after > 0.1
    assert scores[-1] - refused.after < 0.1
    # Other rows begin anew, and so does a request without a limit.
    unlearner.unlearn(indices=[row], max_accuracy_drop=0.1, X_val=X_val[1:], y_val=y_val[1:])
    unlearner.unlearn(indices=[row + 1])


def test_requests_that_make_no_sense(blobs):
    X, y, X_val, y_val = blobs
    unlearner = biased(X, y, 0.1)
    state = Snapshot(unlearner, X)
    for error, text, given in (
        (ValueError, "come together", {"X_val": X_val}),
        (ValueError, "come together", {"max_accuracy_drop": 0.1, "X_val": X_val}),
        (ValueError, "come together", {"max_accuracy_drop": 0.1, "y_val": y_val}),
        (ValueError, "2 training rows", {"max_accuracy_drop": 0.1, "X_val": X[:2], "y_val": y[:2]}),
        (ValueError, "max_accuracy_drop", {"max_accuracy_drop": -0.1}),
        (ValueError, "finite", {"max_accuracy_drop": np.nan}),
        (ValueError, "from 0 to 1, got 5.*pass 0.05", {"max_accuracy_drop": 5}),
        (TypeError, "max_accuracy_drop", {"max_accuracy_drop": "small"}),
    ):
        with pytest.raises(error, match=text):
            unlearner.unlearn(indices=[1], **given)
        state.check(text)


@pytest.mark.filterwarnings("error:X_val holds:UserWarning")
def test_unseen_rows_of_a_table_that_holds_rows_twice():
    """Pairs of few users and items, say: that one came before makes it no training row."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 20, size=(600, 2)).astype(np.float32)
    y = (X[:, 0] > X[:, 1]).astype(int)
    unlearner = RetrainUnlearner(GaussianNB()).fit(X[:400], y[:400])
    alike = unlearner._record.mark_seen(X[400:]).sum()
    assert alike > 80  # of 200
    X_val, y_val = X[400:], y[400:]
    unlearner.unlearn(indices=[3], X_val=X_val, y_val=y_val, max_accuracy_drop=0.5)
    guard = unlearner.deletions_[0]["guard"]
    assert guard["after"] == unlearner.score(X_val, y_val)  # none was left out
    with pytest.raises(ValueError, match=r"200 training rows, of 200, where 6\d% of these equal"):
        unlearner.unlearn(indices=[5], X_val=X[5:205], y_val=y[5:205])


def test_exact_methods_lose_what_the_request_takes():
    """No method can keep what only the forgotten rows said."""
    rng = np.random.default_rng(1)
    y = np.arange(200) % 2
    X = rng.normal(size=(200, 2)) + 3 * y[:, None]
    X_val, y_val = X[100:], y[100:]
    unlearner = RetrainUnlearner(GaussianNB(), random_state=0).fit(X[:100], y[:100])
    state = Snapshot(unlearner, X)
    most = np.flatnonzero(y[:100] == 1)[1:]  # one row says nothing of a variance
    with pytest.raises(AccuracyDropError):
        unlearner.unlearn(indices=most, max_accuracy_drop=0.2, X_val=X_val, y_val=y_val)
    state.check("a refused request")
    unlearner.unlearn(indices=most[:9], max_accuracy_drop=0.2, X_val=X_val, y_val=y_val)


def test_files_of_a_refused_request_are_whole(blobs, tmp_path):
    """What Amnesiac keeps on disk serves the next request as if the refused one had not been."""
    X, y, X_val, _ = blobs
    results = []
    for refuse in (True, False):
        net = make_net(module__n_out=3, max_epochs=3)
        unlearner = AmnesiacUnlearner(net, folder=tmp_path / str(refuse), random_state=0)
        unlearner.fit(X, y, groups=np.arange(len(y)) // 10)
        if refuse:
            with pytest.raises(AccuracyDropError):
                unlearner.unlearn(
                    groups=[0, 1], max_accuracy_drop=0, X_val=X_val, y_val=unlearner.predict(X_val)
                )
        results.append(outcome(unlearner.unlearn(groups=[0, 1]), X))
    assert np.array_equal(*results)


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("own_rows", [True, False])
def test_pipelines_are_guarded(blobs, refit, own_rows):
    X, y, X_val, y_val = blobs
    net = make_net(module__n_out=3, max_epochs=10)
    Biased.push = 50.0
    steps = [("scale", StandardScaler()), ("net", Biased(net, random_state=0))]
    pipeline = UnlearningPipeline(steps, refit_transformers=refit).fit(X, y)
    before, expected = dict(vars(pipeline)), outcome(pipeline, X)
    given = {"X_val": X_val, "y_val": y_val} if own_rows else {}
    with pytest.raises(AccuracyDropError) as error:
        pipeline.unlearn(indices=range(9), max_accuracy_drop=0.2, **given)
    with pytest.raises(ValueError, match="from 0 to 1, got 5"):
        pipeline.unlearn(indices=range(9), max_accuracy_drop=5, **given)
    assert all(vars(pipeline)[key] is value for key, value in before.items())
    assert np.array_equal(outcome(pipeline, X), expected)
    assert pipeline.deletions_ == []
    rows = (X_val, y_val) if own_rows else (X[9:], y[9:])
    assert error.value.before == pipeline.score(*rows)
    Biased.push = 0.5
    pipeline.unlearn(indices=range(9), max_accuracy_drop=0.2, **given)
    assert pipeline.deletions_[0]["guard"]["max_accuracy_drop"] == 0.2


def test_regressors_lose_r2(blobs):
    X, _, X_val, _ = blobs
    y, y_val = X @ np.arange(4), X_val @ np.arange(4)
    y[:3] = 500.0
    unlearner = RetrainUnlearner(LinearRegression(), random_state=0).fit(X, y)
    unlearner.unlearn(indices=range(3), max_accuracy_drop=0, X_val=X_val, y_val=y_val)  # it rises
    unlearner.unlearn(indices=[3], max_accuracy_drop=5, X_val=X_val, y_val=y_val)  # no share
    assert unlearner.deletions_[0]["guard"]["after"] > 0.99
    constant = RetrainUnlearner(LinearRegression(), random_state=0).fit(X, np.ones(len(X)))
    with pytest.raises(ValueError, match="Pass X_val"):
        constant.unlearn(indices=[0], max_accuracy_drop=0.1)
    assert constant.deletions_ == []


def test_the_error_survives_a_pickle():
    error = AccuracyDropError("too much", 0.9, 0.5, 0.1)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.before, again.after) == ("too much", 0.9, 0.5)


@pytest.mark.parametrize("method", [AutoUnlearner, FineTuneUnlearner])
@pytest.mark.parametrize("limit", [None, 0.5])
@pytest.mark.parametrize("fault", ["width", "nan", "length", "kind"])
def test_an_error_about_unseen_rows_says_that_it_means_them(method, limit, fault):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 4)).astype(np.float32), np.arange(90) % 3
    X_val, y_val = X[60:].copy(), y[60:]
    if fault == "width":
        X_val = X_val[:, :3]
    elif fault == "nan":
        X_val[4, 1] = np.nan
    elif fault == "length":
        y_val = y_val[:-1]
    else:
        y_val = y_val.astype(str)
    unlearner = method(make_net(module__n_out=3, max_epochs=40), random_state=0).fit(X[:60], y[:60])
    before = unlearner.predict_proba(X[:60])
    with pytest.raises(ValueError, match=r"These rows are X_val and y_val of the request\."):
        unlearner.unlearn(indices=range(9), X_val=X_val, y_val=y_val, max_accuracy_drop=limit)
    assert not unlearner.deletions_
    np.testing.assert_array_equal(unlearner.predict_proba(X[:60]), before)


def test_items_of_the_training_set_are_no_unseen_rows(blobs):
    """They are known by their places in the same data set, in Subsets of Subsets too."""
    X, y, X_val, y_val = blobs
    whole = TensorDataset(
        torch.from_numpy(np.concatenate([X, X_val])), torch.from_numpy(np.append(y, y_val))
    )
    order = np.random.default_rng(0).permutation(len(whole)).tolist()
    train, rest = Subset(whole, order[:160]), Subset(whole, order[160:])
    unlearner = RetrainUnlearner(make_net(module__n_out=3, max_epochs=1), random_state=0).fit(train)
    unlearner.unlearn(indices=[0], X_val=rest, max_accuracy_drop=1.0)
    for shown, n in ((train, 159), (Subset(train, range(1, 21)), 20), (whole, 159)):
        with pytest.raises(ValueError, match=f"X_val holds {n} training rows, of {len(shown)}"):
            unlearner.unlearn(indices=[1], X_val=shown)
        with pytest.raises(ValueError, match="These rows are training rows"):
            audit(unlearner, shown)
    with_one = Subset(whole, [*rest.indices, train.indices[7]])
    with pytest.warns(UserWarning, match="holds 1 of 81 rows that are training rows too"):
        unlearner.unlearn(indices=[2], X_val=with_one, max_accuracy_drop=1.0)
    assert len(audit(unlearner, rest).frame)


def test_training_rows_are_noticed_in_another_data_set(blobs):
    """By what they hold: views that are made anew, copies, and items after a fit on arrays."""
    X, y, X_val, y_val = blobs

    def of(X, y):
        return TensorDataset(torch.from_numpy(X), torch.from_numpy(y))

    shown = ConcatDataset([of(X_val[:30], y_val[:30]), Subset(of(X, y), range(10, 30))])
    for rows in ((X, y), (of(X, y), None)):
        unlearner = RetrainUnlearner(make_net(module__n_out=3, max_epochs=1), random_state=0)
        unlearner.fit(*rows)
        with pytest.raises(ValueError, match="X_val holds 20 training rows, of 50"):
            unlearner.unlearn(indices=[0], X_val=shown)
        assert unlearner.deletions_ == []
        unlearner.unlearn(indices=[0], X_val=of(X_val, y_val))
        with pytest.raises(ValueError, match="These rows are training rows"):
            audit(unlearner, of(X[20:], y[20:]))


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.AugmentedRowsWarning")
def test_items_by_which_training_rows_are_measured_are_no_unseen_rows(blobs):
    X, y, _, _ = blobs
    plain = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    train = TensorDataset(torch.from_numpy(X + 1), torch.from_numpy(y))
    unlearner = RetrainUnlearner(make_net(module__n_out=3, max_epochs=1), random_state=0)
    unlearner.fit(train, measure_on=plain)
    with pytest.raises(ValueError, match="X_val holds 160 training rows"):
        unlearner.unlearn(indices=[0], X_val=plain)


def test_a_dataset_of_unseen_rows_after_a_fit_on_arrays(blobs):
    X, y, X_val, y_val = blobs
    unlearner = RetrainUnlearner(make_net(module__n_out=3, max_epochs=1), random_state=0).fit(X, y)
    rows = TensorDataset(torch.from_numpy(X_val), torch.from_numpy(y_val))
    unlearner.unlearn(indices=[0], X_val=rows, max_accuracy_drop=1.0)
    assert unlearner.deletions_[0]["guard"]["after"] == unlearner.score(X_val, y_val)
