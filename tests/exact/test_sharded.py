"""SISA: exact, by shards and slices."""

import copy
import os
import pickle
from unittest import mock

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_regressor
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from skorch import NeuralNetClassifier
from torch import nn
from torch.utils.data import Subset

from skunlearn import ShardedUnlearner
from skunlearn._torch.observation import observe, summarise
from skunlearn.evaluation import audit
from skunlearn.exact import _shards, expected_retraining_share
from skunlearn.exact._ensemble import ShardEnsemble
from skunlearn.exact._placement import place
from skunlearn.exceptions import UnlearningError
from skunlearn.model_selection import ForgetSplit
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.instances import make_binary_net, make_net, make_regressor_net
from tests.interpreters import LIGHT
from tests.small import as_dataset

pytestmark = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
FORGET = np.array([3, 17, 40])
KEPT = np.setdiff1d(np.arange(60), FORGET)


def sliced(**params):
    net = make_net(module__n_out=3, max_epochs=4, batch_size=8)
    return ShardedUnlearner(net, **({"n_shards": 3, "n_slices": 3, "random_state": 0} | params))


def same(a, b):
    """Bitwise equal members."""
    pairs = list(zip(a.estimator_.members, b.estimator_.members, strict=True))
    return all(
        (one is None) == (other is None)
        and (one is None or same_parameters(parameters(one), parameters(other)))
        for one, other in pairs
    )


@pytest.mark.parametrize("n_slices", [1, 3])
@pytest.mark.parametrize("names", [{}, {"ids": True}, {"groups": True}])
def test_equals_a_model_that_never_saw_the_rows(data, n_slices, names):
    X, y = data
    named = {"ids": [f"row {i}" for i in range(60)], "groups": [i // 4 for i in range(60)]}
    given = {key: np.array(named[key]) for key in names}
    kept = {key: value[KEPT] for key, value in given.items()}
    unlearner = sliced(n_slices=n_slices).fit(X, y, **given).unlearn(indices=FORGET)
    again = sliced(n_slices=n_slices).fit(X[KEPT], y[KEPT], **kept)
    assert same(unlearner, again)
    assert not same(unlearner, sliced(n_slices=n_slices).fit(X, y, **given))


@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeClassifier(),
        LogisticRegression(max_iter=500),
        LinearRegression(),
        make_regressor_net(max_epochs=3),
        make_binary_net(max_epochs=3),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_other_estimators(data, estimator):
    X, y = data
    if "Binary" in type(estimator).__name__:
        y = (y > 0).astype(int)
    elif is_regressor(estimator):
        y = X @ np.array([1, 2, 0, -1], dtype=np.float32)
    unlearner = ShardedUnlearner(estimator, random_state=0).fit(X, y).unlearn(indices=FORGET)
    again = ShardedUnlearner(estimator, random_state=0).fit(X[KEPT], y[KEPT])
    assert np.array_equal(unlearner.predict(X), again.predict(X))
    assert unlearner.predict(X).shape == y.shape
    first = ShardedUnlearner(estimator, random_state=0).fit(X, y)
    assert first.score(X, y) > 0.3


def test_datasets_keep_positions(data):
    X, y = data
    dataset = as_dataset(X, y)
    unlearner = sliced().fit(dataset, y)
    before = copy.deepcopy(unlearner.estimator_.members)
    unlearner.unlearn(Subset(dataset, FORGET))
    forget = np.isin(np.arange(60), FORGET)
    assert same(unlearner, sliced().fit(dataset, y, forget=forget))
    touched = np.unique(unlearner._places[0][FORGET])
    for k, (old, new) in enumerate(zip(before, unlearner.estimator_.members)):
        assert same_parameters(parameters(old), parameters(new)) == (k not in touched)


def test_only_touched_shards_are_trained_and_from_the_touched_slice_on(data):
    X, y = data
    unlearner = sliced().fit(X, y)
    shards, slices = unlearner._places
    row = int(np.flatnonzero(slices == 1)[0])
    kept = {k: dict(files) for k, files in unlearner._files.items()}
    before = list(unlearner.estimator_.members)
    with mock.patch.object(_shards, "_stage", wraps=_shards._stage) as stage:
        unlearner.unlearn(indices=[row])
    assert [call.args[4] for call in stage.call_args_list] == [1, 2]
    for k in range(3):
        assert (unlearner.estimator_.members[k] is before[k]) == (k != shards[row])
    mine = unlearner._files[int(shards[row])]
    assert mine[0] == kept[shards[row]][0]
    assert mine[1] != kept[shards[row]][1]
    entry = unlearner.deletions_[0]
    assert entry["shards_retrained"] == 1
    in_shard = shards == shards[row]
    upto = [int((in_shard & (slices <= s)).sum()) for s in range(3)]
    whole = sum(int(((shards == k) & (slices <= s)).sum()) for k in range(3) for s in range(3))
    assert entry["share_retrained"] == pytest.approx((upto[1] + upto[2] - 2) / whole)


def test_checkpoints_hold_nothing_that_saw_the_rows(data, tmp_path):
    X, y = data
    unlearner = sliced(folder=tmp_path).fit(X, y)
    (folder,) = tmp_path.iterdir()
    before = {f.name for f in folder.iterdir()}
    assert len(before) == 3 * 2
    unlearner.unlearn(indices=FORGET)
    after = {f.name for f in folder.iterdir()}
    assert after == {name for files in unlearner._files.values() for name in files.values()}
    shards, slices = unlearner._places
    assert len(before - after) == sum(
        max(0, 2 - int(slices[FORGET][shards[FORGET] == k].min()))
        for k in np.unique(shards[FORGET])
    )


def test_a_second_request_goes_on_from_the_first(data):
    X, y = data
    unlearner = sliced().fit(X, y).unlearn(indices=FORGET[:1]).unlearn(indices=FORGET[1:])
    assert same(unlearner, sliced().fit(X[KEPT], y[KEPT]))


def test_one_persons_rows_lie_in_one_shard(data):
    X, y = data
    groups = np.arange(60) // 6
    unlearner = sliced(n_slices=1).fit(X, y, groups=groups).unlearn(groups=[4])
    assert unlearner.deletions_[0]["rows"] == 6
    assert unlearner.deletions_[0]["shards_retrained"] == 1


def test_places_depend_on_the_row_alone(data):
    X, y = data
    whole, part = sliced().fit(X, y), sliced().fit(X[20:][::-1], y[20:][::-1])
    for a, b in zip(whole._places, part._places):
        assert np.array_equal(a[20:][::-1], b)
    twice = sliced().fit(np.concatenate([X, X[:5]]), np.append(y, (y[:5] + 1) % 3))
    assert all(np.array_equal(a[:5], a[60:]) for a in twice._places)


def test_places_are_uniform_and_independent():
    record = ShardedUnlearner(DecisionTreeClassifier(max_depth=1), n_shards=4, random_state=3)
    X = np.arange(20_000, dtype=float).reshape(-1, 1)
    record = record.fit(X, np.arange(20_000) % 2)._record
    shards, slices = place(record, 3, 4, 5)
    counts = np.histogram2d(shards, slices, bins=(4, 5))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # χ² of 19 degrees of freedom at 0.001
    other = place(record, 4, 4, 5)[0]
    assert abs(np.mean(other == shards) - 0.25) < 0.02


def test_shards_without_rows_or_classes():
    X = np.arange(8.0).reshape(-1, 1)
    y = np.array(["a", "b"] * 4)
    unlearner = ShardedUnlearner(LogisticRegression(), n_shards=6, random_state=0).fit(X, y)
    p = unlearner.predict_proba(X)
    assert p.shape == (8, 2)
    assert np.allclose(p.sum(axis=1), 1)
    unlearner.unlearn(indices=[0, 1, 2, 3, 4, 6])
    assert np.allclose(unlearner.predict_proba(X).sum(axis=1), 1)
    assert unlearner.estimator_.members.count(None) >= 4  # two rows are left


def test_slices_without_rows(data):
    X, y = data
    unlearner = sliced(n_slices=20, n_shards=2).fit(X[:20], y[:20])
    unlearner.unlearn(indices=[0, 1, 2])
    assert same(unlearner, sliced(n_slices=20, n_shards=2).fit(X[3:20], y[3:20]))


@pytest.mark.parametrize("make", [make_net, make_regressor_net])
def test_rows_of_another_shape_are_told(data, make):
    """Shapes that pass the check of features, and not the module."""
    X, y = data
    y = y.astype(np.float32).reshape(-1, 1) if make is make_regressor_net else y
    unlearner = ShardedUnlearner(make(max_epochs=1), n_shards=2, random_state=0).fit(X, y)
    with pytest.raises(
        ValueError, match=r"X has rows of shape \(\d+, 0\), but the model was fitted"
    ):
        unlearner.predict(np.zeros((1, X.shape[1], 0), dtype=np.float32))


def test_means_and_votes(data):
    X, y = data
    mean = ShardedUnlearner(DecisionTreeClassifier(max_depth=2), random_state=0).fit(X, y)
    vote = clone(mean).set_params(aggregate="vote").fit(X, y)
    each = [m.predict_proba(X) for m in mean.estimator_.members]
    assert all(p.shape == (60, 3) for p in each)
    assert np.allclose(mean.predict_proba(X), np.mean(each, axis=0))
    votes = np.array([m.predict(X) for m in vote.estimator_.members])
    assert np.allclose(vote.predict_proba(X)[:, 1], (votes == 1).mean(axis=0))
    svc = ShardedUnlearner(LinearSVC(), aggregate="vote", random_state=0).fit(X, y)
    assert svc.predict(X).shape == (60,)


def test_processes(data, monkeypatch):
    monkeypatch.syspath_prepend(LIGHT)
    X, y = data
    alone = sliced().fit(X, y).unlearn(indices=FORGET)
    many = sliced(n_jobs=2).fit(X, y).unlearn(indices=FORGET)
    assert same(alone, many)


def test_seeds(data):
    X, y = data
    assert same(sliced().fit(X, y), sliced().fit(X, y))
    assert not same(sliced().fit(X, y), sliced(random_state=1).fit(X, y))
    trees = ShardedUnlearner(DecisionTreeClassifier(), random_state=0).fit(X, y).estimator_.members
    assert len({tree.random_state for tree in trees}) == len(trees)


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda u: pickle.loads(pickle.dumps(u))])
def test_copies_have_their_own_checkpoints(data, make_copy):
    X, y = data
    unlearner = sliced().fit(X, y)
    last = np.flatnonzero(unlearner._places[1] == 2)[:1]
    other = make_copy(unlearner)
    unlearner.unlearn(indices=last)
    with mock.patch.object(_shards, "_read", wraps=_shards._read) as read:
        other.unlearn(indices=last)
    assert read.called
    assert same(unlearner, other)


def test_a_cleared_folder_costs_time_only(data, tmp_path):
    X, y = data
    unlearner = sliced(folder=tmp_path).fit(X, y)
    for path in next(tmp_path.iterdir()).iterdir():
        os.unlink(path)
    unlearner.unlearn(indices=FORGET)
    assert same(unlearner, sliced().fit(X[KEPT], y[KEPT]))


def test_faults_leave_model_and_files_as_they_were(data, tmp_path):
    X, y = data
    unlearner = sliced(folder=tmp_path).fit(X, y)
    (folder,) = tmp_path.iterdir()
    files, members = set(os.listdir(folder)), list(unlearner.estimator_.members)
    plain, calls = _shards._stage, []

    def failing(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(*args)

    with mock.patch.object(_shards, "_stage", failing), pytest.raises(KeyboardInterrupt):
        unlearner.unlearn(indices=FORGET)
    assert set(os.listdir(folder)) == files
    assert all(a is b for a, b in zip(unlearner.estimator_.members, members))
    unlearner.unlearn(indices=FORGET)
    assert same(unlearner, sliced().fit(X[KEPT], y[KEPT]))
    calls.clear()
    with mock.patch.object(_shards, "_stage", failing), pytest.raises(KeyboardInterrupt):
        sliced(folder=tmp_path).fit(X, y)
    assert len(list(tmp_path.iterdir())) == 1


def test_searches_and_audits():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    forget = np.arange(400) < 40
    search = GridSearchCV(
        ShardedUnlearner(LogisticRegression(), random_state=0),
        {"n_shards": [1, 4]},
        cv=ForgetSplit(2, forget=forget, random_state=0),
    ).fit(X[:400], y[:400], forget=forget)
    assert search.cv_results_["mean_test_score"].min() > 0.8
    unlearner = clone(search.best_estimator_).set_params(n_shards=4).fit(X[:400], y[:400])
    unlearner.unlearn(indices=np.arange(40))
    report = audit(unlearner, X[400:], y[400:], n_seeds=2)
    name = type(unlearner).__name__
    same_as = report.frame.query("metric == 'AUC'").set_index("model")["value"]
    assert same_as[name] == same_as["retrained"]  # the references are sharded too
    assert "retrained (2)" in same_as


def test_rows_that_come_with_a_request_are_not_enough(data):
    X, y = data
    unlearner = sliced().fit(X, y).detach()
    with pytest.raises(UnlearningError, match="attach"):
        unlearner.unlearn(indices=[0], X_retain=X[1:], y_retain=y[1:])
    unlearner.attach(X, y).unlearn(indices=FORGET)
    assert same(unlearner, sliced().fit(X[KEPT], y[KEPT]))


@pytest.mark.parametrize("n_shards, n_slices, n_requests", [(4, 1, 1), (4, 3, 1), (4, 3, 5)])
def test_expected_share(n_shards, n_slices, n_requests):
    """Against the accounting of the implementation itself, without the training."""
    rng, shares = np.random.default_rng(0), []
    for _ in range(400):
        shards, slices = rng.integers(n_shards, size=1200), rng.integers(n_slices, size=1200)
        gone = rng.choice(1200, n_requests, replace=False)
        work = np.array(
            [[((shards == k) & (slices <= s)).sum() for s in range(n_slices)]
             for k in range(n_shards)]
        )  # fmt: skip
        spent = sum(
            work[k, slices[gone][shards[gone] == k].min() :].sum() for k in np.unique(shards[gone])
        )
        shares.append(spent / work.sum())
    expected = expected_retraining_share(n_shards, n_slices, n_requests)
    assert np.mean(shares) == pytest.approx(expected, rel=0.05)
    if n_requests == 1:
        assert expected == pytest.approx((2 * n_slices + 1) / (3 * n_slices * n_shards))


def test_refusals(data):
    X, y = data
    tree = DecisionTreeClassifier()
    for params, message in [
        ({"n_shards": 0}, "n_shards"),
        ({"n_slices": 2}, "n_slices=2 needs a skorch net"),
        ({"aggregate": "max"}, "aggregate must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            ShardedUnlearner(tree, **params).fit(X, y)
    with pytest.raises(ValueError, match="predict_proba"):
        ShardedUnlearner(LinearSVC()).fit(X, y)
    with pytest.raises(ValueError, match="for classifiers"):
        ShardedUnlearner(LinearRegression(), aggregate="vote").fit(X, y)
    with pytest.raises(TypeError, match="already trained"):
        ShardedUnlearner(FrozenEstimator(tree.fit(X, y))).fit(X, y)
    with pytest.raises(TypeError, match="ShardEnsemble"):
        ShardedUnlearner(tree).fit(X, y).save("nowhere")
    with pytest.raises(ValueError, match="n_requests"):
        expected_retraining_share(2, 2, 0)


def test_progress(data, capsys):
    X, y = data
    sliced(verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0] == f"fitting {len(X)} rows …"
    assert lines[1].startswith("shard 1: ")
    assert lines[4].startswith("done in ")


class LazyImages(nn.Module):
    """Every layer takes its size from the first rows."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.LazyConv2d(4, 1), nn.LazyBatchNorm2d()
        self.back, self.out = nn.LazyConvTranspose2d(2, 1), nn.LazyLinear(3)

    def forward(self, X):
        X = self.norm(self.conv(X.float().reshape(len(X), 1, 2, -1)))
        return self.out(torch.relu(self.back(X)).flatten(1))


def test_lazy_layers_in_shards_of_one_row(data):
    """A net read from a file has their sizes as well, although no row has passed it yet."""
    X, y = data
    net = NeuralNetClassifier(LazyImages, criterion=nn.CrossEntropyLoss, train_split=None)
    net.set_params(verbose=0)
    model = ShardedUnlearner(net, n_shards=5, n_slices=3, random_state=0).fit(X[:8], y[:8])
    assert model.unlearn(indices=[0]).predict(X).shape == y.shape


def test_a_request_asks_members_that_it_leaves_as_they_are_once(data, monkeypatch):
    sharded = ShardedUnlearner(make_net(module__n_out=3), n_shards=3, random_state=0).fit(*data)
    asked, plain = [], ShardEnsemble._probabilities
    monkeypatch.setattr(
        ShardEnsemble,
        "_probabilities",
        lambda self, member, X: (asked.append((member, len(X))), plain(self, member, X))[1],
    )
    old = list(sharded.estimator_.members)
    sharded.unlearn(indices=[0])  # every member of both sets of rows, and the new one again
    new = [m for m in sharded.estimator_.members if all(m is not other for other in old)]
    assert len(new) == 1
    assert sum(any(m is n for n in new) for m, _ in asked) == 2
    assert len(asked) == 2 * 3 + 2
    asked.clear()
    sharded.unlearn(indices=[1])  # what retained rows were said to be is known
    assert len(asked) == 3 + 2


def test_what_members_said_is_what_they_would_say_again(data):
    sharded, other = (
        ShardedUnlearner(make_net(module__n_out=3), n_shards=3, random_state=0).fit(*data)
        for _ in range(2)
    )
    for row in (0, 1, 2):
        sharded.unlearn(indices=[row])
        other = pickle.loads(pickle.dumps(other)).unlearn(indices=[row])  # which remembers less
        ours, theirs = (u.deletions_[-1]["measured"] for u in (sharded, other))
        assert ours == theirs
    positions, said = sharded._looked
    fresh = observe(sharded.estimator_, sharded._record.view(positions), sharded._classes)
    np.testing.assert_array_equal(said.logits, fresh.logits)
    # A member that somebody has written to since is asked anew.
    with torch.no_grad():
        for p in sharded.estimator_.members[0].module_.parameters():
            p.mul_(2)
    fresh = observe(sharded.estimator_, sharded._record.view(positions), sharded._classes)
    after = summarise(fresh.take(positions != 3))
    sharded.unlearn(indices=[3])
    assert sharded.deletions_[-1]["measured"]["retain_before"] == after


def test_votes_of_before_are_no_probabilities_after():
    X, y = load_digits(return_X_y=True)
    tree = DecisionTreeClassifier(max_depth=4, random_state=0)
    kinds = {"n_shards": 3, "random_state": 0}
    voting = ShardedUnlearner(tree, aggregate="vote", **kinds).fit(X[:300], y[:300])
    mean = ShardedUnlearner(tree, **kinds).fit(X[:300], y[:300]).unlearn(indices=[0])
    voting.set_params(aggregate="mean").unlearn(indices=[0])
    said, wanted = (u.deletions_[0]["measured"]["retain_after"] for u in (voting, mean))
    assert said == wanted
