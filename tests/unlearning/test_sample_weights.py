"""``fit(X, y, sample_weight=...)``: what a net is trained on, and what requests count."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.utils.data import default_collate

from skunlearn import InfluenceUnlearner, RetrainUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.loop.task_loss import TaskLoss
from skunlearn._unlearning.fitted import Fitted
from skunlearn._unlearning.row_reader import RowReader
from skunlearn.exceptions import UnlearningError
from skunlearn.influence import InverseCurvature
from skunlearn.influence._curvature import Curvature
from skunlearn.influence._objective import Objective
from skunlearn.nets import BatchLoader, MicroBatches
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.batch_tools import Plain, net, other_methods, some_methods, unlearner
from tests.unlearning.weighted import FORGET, weighted, whole_batch

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def by_hand(X, y, w, epochs=5):
    torch.manual_seed(0)
    module = Plain()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    for _ in range(epochs):
        optimizer.zero_grad()
        losses = nn.functional.cross_entropy(
            module(torch.from_numpy(X)), torch.from_numpy(y), reduction="none"
        )
        w_ = torch.from_numpy(w).float()
        ((w_ * losses).sum() / w_.sum()).backward()
        optimizer.step()
    return module


def test_a_net_is_trained_on_the_weighted_mean():
    X, y, w = weighted()
    fitted = RetrainUnlearner(whole_batch(), random_state=0).fit(X, y, sample_weight=w)
    expected = by_hand(X, y, w)
    ours = fitted.estimator_.module_
    for a, b in zip(ours.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    fitted.unlearn(indices=FORGET)  # with the weights of the rows that are left
    expected = by_hand(X[6:], y[6:], w[6:])
    ours = fitted.estimator_.module_
    for a, b in zip(ours.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b)


CRITERIA = {
    "classes": nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 0.5])),
    "smoothed": nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 0.5]), label_smoothing=0.1),
    "ignored": nn.CrossEntropyLoss(ignore_index=1),
    "summed": nn.CrossEntropyLoss(reduction="sum"),
    "margin": nn.MultiMarginLoss(),
}


class Given(nn.Module):
    """A criterion without torch's reductions."""

    def forward(self, out, y):
        return nn.functional.cross_entropy(out, y)


@pytest.mark.parametrize("criterion", [*CRITERIA.values(), Given()], ids=[*CRITERIA, "own"])
def test_equal_weights_change_nothing_and_whole_ones_repeat_rows(criterion):
    X, y, _ = weighted(20)
    fitted = net().initialize()
    fitted.criterion_ = criterion
    task_loss = TaskLoss(fitted)
    x, y = torch.from_numpy(X), torch.from_numpy(y)
    out = fitted.infer(x)
    plain = fitted.get_loss(out, y, X=x, training=True)
    twos = torch.full((20,), 2.0)
    factor = 2 if getattr(criterion, "reduction", "mean") == "sum" else 1
    torch.testing.assert_close(task_loss(out, y, x, twos), factor * plain)
    counts = torch.arange(20) % 3
    repeated = fitted.get_loss(out.repeat_interleave(counts, 0), y.repeat_interleave(counts))
    torch.testing.assert_close(task_loss(out, y, x, counts.float()), repeated)


class Takes(NeuralNetClassifier):
    """Handles weights itself."""

    given = []

    def get_loss(self, y_pred, y_true, X=None, training=False, sample_weight=None):
        if training:
            Takes.given.append(sample_weight)
        return super().get_loss(y_pred, y_true, X, training)


def test_a_net_that_takes_weights_is_given_them():
    X, y, w = weighted()
    Takes.given.clear()
    RetrainUnlearner(whole_batch(cls=Takes), random_state=0).fit(X, y, sample_weight=w)
    assert all(np.array_equal(given, w) for given in Takes.given)
    assert len(Takes.given) == 5


class Own(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, X=None, training=False):
        return super().get_loss(y_pred, y_true, X, training) + 0 * X.mean()


class Small(MicroBatches, NeuralNetClassifier):
    pass


class ByHand:
    def __init__(self, dataset, batch_size):
        self.dataset = dataset

    def __iter__(self):
        yield default_collate([self.dataset[i] for i in range(len(self.dataset))])


@pytest.mark.parametrize(
    "params",
    [
        {"cls": Own},
        {"cls": Small, "micro_batch_size": 7},
        {"iterator_train__collate_fn": default_collate},
        {"iterator_train": ByHand},
        {"iterator_train": BatchLoader, "iterator_train__prefetch": True},
        {"optimizer": torch.optim.LBFGS, "max_epochs": 1},
    ],
    ids=["get_loss", "micro batches", "loader", "own iterator", "prefetch", "closures"],
)
def test_ways_to_the_same_weights(params):
    X, y, w = weighted()
    plain = whole_batch()
    if "optimizer" in params:
        plain = whole_batch().set_params(**params, iterator_train__collate_fn=default_collate)
    ours = RetrainUnlearner(net(**{"batch_size": -1, "max_epochs": 5} | params), random_state=0)
    found = parameters(ours.fit(X, y, sample_weight=w).estimator_)
    wanted = parameters(RetrainUnlearner(plain, random_state=0).fit(X, y, w).estimator_)
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, atol=1e-5)
    bare = parameters(RetrainUnlearner(plain, random_state=0).fit(X, y).estimator_)
    assert not same_parameters(bare, wanted)


@other_methods
def test_every_method_takes_them(name):
    """Constant weights change nothing but rounding; others lead elsewhere."""
    X, y, w = weighted()
    results = []
    for given in (None, np.full(60, 2.0), w):
        fitted = unlearner(name, net(max_epochs=3)).fit(X, y, sample_weight=given)
        fitted.unlearn(indices=FORGET)
        assert fitted.deletions_[0].get("weighted", False) == (given is not None)
        results.append(fitted.predict_proba(X))
    np.testing.assert_allclose(results[0], results[1], atol=1e-4)
    assert np.abs(results[0] - results[2]).max() > 1e-4


@some_methods
def test_requests_use_them(name):
    """From the same model: only the request differs."""
    X, y, w = weighted()
    results = []
    for weights in (np.ones(60), w):
        fitted = unlearner(name, net(max_epochs=3)).fit(X, y, sample_weight=np.ones(60))
        fitted._record.weights = weights
        results.append(fitted.unlearn(indices=FORGET).predict_proba(X))
    differs = np.abs(results[0] - results[1]).max() > 1e-6
    assert differs, "the weights of the rows had no part in the request"


def test_unknown_rows_and_mixed_ones_have_no_weights():
    X, y, w = weighted(50)

    def mixup(items):
        x, y = default_collate(items)
        y = nn.functional.one_hot(y, 3).float()
        return (x + x.flip(0)) / 2, (y + y.flip(0)) / 2

    for params, reason in (
        ({"iterator_train__collate_fn": mixup}, "sample weights must know the rows"),
        ({"iterator_train": Hidden}, "does not tell"),
    ):
        with pytest.raises(UnlearningError, match=reason):
            RetrainUnlearner(net(**params), random_state=0).fit(X, y, sample_weight=w)


class Hidden:
    def __init__(self, dataset, batch_size):
        self.items = [dataset[i] for i in range(len(dataset))]

    def __iter__(self):
        yield default_collate(self.items)


def test_curvature_counts_rows_by_weight():
    """Whole weights are repeated rows."""
    X, y, _ = weighted(40)
    counts = np.arange(40) % 3 + 1
    model = RetrainUnlearner(net(max_epochs=5), random_state=0).fit(X, y).estimator_
    once = Rows(X, y, np.arange(40), weights=counts.astype(float))
    again = Rows(X, y, np.repeat(np.arange(40), counts))
    objective = Objective(model, 80, batch_size=16, seed=0)
    assert objective.mass(once) == objective.mass(again) == counts.sum()
    torch.testing.assert_close(
        objective.gradient(once), objective.gradient(again), rtol=1e-4, atol=1e-4
    )
    v = torch.randn(2, len(objective))
    found = objective.dots(once, v)
    np.testing.assert_allclose(found, objective.dots(Rows(X, y, np.arange(40)), v) * counts, 1e-4)

    for kind in ("gauss_newton", "hessian"):
        curvatures = [Curvature(objective, rows, kind=kind, damping=0.0) for rows in (once, again)]
        a, b = (curvature(v) for curvature in curvatures)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("solver", ["cg", "exact", "kfac", "ekfac"])
def test_influence_counts_rows_by_weight(solver):
    X, y, _ = weighted(100)
    counts = np.arange(100) % 3 + 1
    model = RetrainUnlearner(net(max_epochs=5), random_state=0).fit(X, y).estimator_
    results = []
    for rows in (
        Rows(X, y, np.arange(100), weights=counts.astype(float)),
        Rows(X, y, np.repeat(np.arange(100), counts)),
    ):
        inverse = InverseCurvature(solver=solver, curvature_rows=None)
        worker = InfluenceUnlearner(net(), inverse=inverse, random_state=0)
        worker._check_parameters()
        worker._fitted = Fitted(0, None, RowReader(np.arange(3)), model=model)
        first = 6 if rows.weights is not None else counts[:6].sum()
        moved = worker._attempt(
            rows.take(np.arange(first, len(rows))), rows.take(np.arange(first)), 0
        )
        results.append(parameters(moved))
    start = parameters(model)
    scale = max(np.abs(v - start[k]).max() for k, v in results[0].items())
    # Kronecker factors are made with random signs, one for each row.
    share = 0.2 if "fac" in solver else 1e-3
    for key, value in results[0].items():
        np.testing.assert_allclose(value, results[1][key], atol=share * scale)
