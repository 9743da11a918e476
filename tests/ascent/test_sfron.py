"""SFR-on: the weighted ascent on salient weights, its repair, and where it leads."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import softmax
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner, RetrainUnlearner, SFRonUnlearner
from skunlearn.ascent.sfron import _LONGEST_OF_CLASSES, Forgetting, Weighted
from tests.heart import check_nearer, noisy_digits, told_apart
from tests.small import FORGET, net

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
KEPT = np.arange(6, 60)


def linear(**params):
    """A linear net without a bias that takes one full-batch step an epoch."""
    given = {
        "module__in_features": 4, "module__out_features": 3, "module__bias": False, "lr": 0.1,
        "criterion": nn.CrossEntropyLoss, "max_epochs": 20, "batch_size": -1, "train_split": None,
        "verbose": 0,
    }  # fmt: skip
    return NeuralNetClassifier(nn.Linear, **(given | params))


def row_gradients(W, X, y):
    """Of −log p(y|x) of each row of a linear net, and these losses."""
    p = softmax(X @ W.T, axis=1)
    errors = p - np.eye(len(W))[y]
    return errors[:, :, None] * X[:, None, :], -np.log(p[np.arange(len(y)), y])


def by_formula(W, X, y, *, lr, strength, focus, threshold, slow, max_norm, epochs, momentum):
    """Of steps on whole sets: forgetting, repairing, and following in each epoch."""
    fisher = [np.square(row_gradients(W, X[rows], y[rows])[0]).mean(0) for rows in (FORGET, KEPT)]
    mask, carried = fisher[0] >= threshold * fisher[1], np.zeros_like(W)
    for _ in range(epochs):
        start = W
        slopes, losses = row_gradients(W, X[FORGET], y[FORGET])
        shares = losses**-focus * (losses < np.log(3))
        step = mask * strength * (slopes * (shares / shares.sum())[:, None, None]).sum(0)
        W = W + lr * step * min(1, max_norm / np.linalg.norm(step))
        carried = momentum * carried + row_gradients(W, X[KEPT], y[KEPT])[0].mean(0)
        W = W - lr * carried
        W = start + slow * (W - start)
    return W, mask


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"focus": 0.0},
        {"focus": 1.0},
        {"threshold": 0.0},
        {"threshold": 2.0},
        {"slow": 0.3},
        {"max_norm": 1.0},
        {"momentum": 0.9},
    ],
    ids=str,
)
def test_steps_are_those_of_the_formula(data, changed):
    X, y = data
    given = {"strength": 5.0, "focus": 0.5, "threshold": 0.8, "slow": 1.0, "max_norm": 1e6}
    given |= {"momentum": 0.0} | changed
    momentum, epochs = given.pop("momentum"), 3
    model = linear(optimizer__momentum=momentum)
    unlearner = SFRonUnlearner(
        model, every=1, bound=np.log(3), max_epochs=epochs, schedule="constant", random_state=0,
        **given,
    ).fit(X, y)  # fmt: skip
    W = unlearner.estimator_.module_.weight.detach().numpy().astype(np.float64)
    expected, mask = by_formula(W, X, y, lr=0.1, epochs=epochs, momentum=momentum, **given)
    assert mask.any()
    after = unlearner.unlearn(indices=FORGET).estimator_.module_.weight.detach().numpy()
    assert after == pytest.approx(expected, abs=1e-5)
    assert np.abs(after - W).max() > 1e-2


def test_without_salient_weights_it_is_fine_tuning(data):
    X, y = data
    given = {"max_epochs": 3, "random_state": 0}
    found = [
        made.fit(X, y).unlearn(indices=FORGET).estimator_.module_.weight.detach().numpy()
        for made in (
            FineTuneUnlearner(linear(), **given),
            SFRonUnlearner(linear(), threshold=1e12, every=1, **given),
            SFRonUnlearner(linear(), bound=1e-9, every=1, **given),
            SFRonUnlearner(linear(), every=1, **given),
        )
    ]
    tuned, unmarked, left_alone, forgotten = found
    assert unmarked == pytest.approx(tuned, abs=1e-6)
    assert left_alone == pytest.approx(tuned, abs=1e-6)
    assert np.abs(forgotten - tuned).max() > 1e-2


@pytest.mark.parametrize("every, climbs", [(1, 8), (3, 3), (5, 2), (50, 1)])
def test_one_step_on_forget_rows_for_some_on_retained_ones(data, monkeypatch, every, climbs):
    """54 retained rows in batches of 16, two epochs."""
    X, y = data
    seen, climb = [], Forgetting._climb
    monkeypatch.setattr(
        Forgetting, "_climb", lambda self, *given: (seen.append(self.count_), climb(self, *given))
    )
    unlearner = SFRonUnlearner(net(), every=every, slow=0.5, max_epochs=2, random_state=0)
    unlearner.fit(X, y).unlearn(indices=FORGET)
    assert seen == list(range(0, 8, every))
    assert len(seen) == climbs


def test_rows_beyond_the_bound_do_not_count():
    losses = torch.tensor([0.1, 0.4, 5.0], requires_grad=True)

    class Plain:
        mean = staticmethod(lambda values: values.mean())

    def weighted(values):
        return Weighted(iter([(Plain, values)]), 0.5, bound=1.0)()

    loss, any_known = weighted(losses)
    assert any_known
    shares = np.array([0.1, 0.4]) ** -0.5
    assert float(loss) == pytest.approx((shares / shares.sum()) @ [0.1, 0.4])
    (slope,) = torch.autograd.grad(loss, losses)
    assert slope.numpy() == pytest.approx([*(shares / shares.sum()), 0])
    assert not weighted(losses + 1)[1]


def test_where_no_row_is_below_the_bound_no_weight_moves(data):
    """Though the gradient is that of 0 / 0."""
    X, y = data
    fitted = SFRonUnlearner(net(), random_state=0).fit(X, y).estimator_
    params = list(fitted.module_.parameters())
    for known in (False, True):
        before = [p.detach().clone() for p in params]
        total = torch.tensor(float(known))

        def losses(total=total):
            return sum(p.sum() for p in params) * total / total, total > 0

        steps = Forgetting(losses, {p: torch.ones_like(p) for p in params}, 1.0, 1.0, 1, 1.0)
        steps.on_train_begin(fitted)
        steps.on_batch_begin(fitted, training=True)
        assert [torch.equal(p, was) for p, was in zip(params, before)] == [not known] * len(params)
        assert all(p.isfinite().all() for p in params)


def test_the_strength_falls_with_the_rate(data):
    """Under the linear schedule the second of two steps has half of both."""
    X, y = data
    unlearner = SFRonUnlearner(linear(), every=1, max_epochs=2, random_state=0).fit(X, y)
    found = []

    class Kept(Forgetting):
        def _share(self, p, rates):
            found.append((rates[p], super()._share(p, rates)))
            return found[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skunlearn.ascent.sfron.Forgetting", Kept)
        unlearner.unlearn(indices=FORGET)
    assert [rate for rate, _ in found] == pytest.approx([0.1, 0.05])
    assert found[1][1] == pytest.approx(found[0][1] / 2)


def test_rows_known_by_heart_come_nearer_to_a_retrained_net():
    check_nearer(partial(SFRonUnlearner, random_state=0), way=0.4, moved=0.05)


@pytest.mark.parametrize("size", [1e-3, 0.1, 10.0])
def test_a_step_on_classes_goes_as_far_as_the_authors_with_what_momentum_adds(data, size):
    """Theirs is clipped to 7 with α = 25, and carried on by a momentum of 0.9."""
    X, y = data
    unlearner = SFRonUnlearner(linear(), random_state=0).fit(X, y)
    weight = unlearner.estimator_.module_.weight
    slope = torch.full_like(weight, size / weight.numel() ** 0.5)
    theirs = torch.zeros_like(weight).requires_grad_()
    optimizer = torch.optim.SGD([theirs], lr=0.1, momentum=0.9)
    for step in range(300):
        theirs.grad = (step == 0) * -min(25, 7 / size) * slope
        optimizer.step()
    before = weight.detach().clone()
    steps = Forgetting(
        lambda: ((weight * slope).sum(), torch.tensor(True)),
        {weight: torch.ones_like(weight, dtype=torch.bool)},
        unlearner.strength, _LONGEST_OF_CLASSES, unlearner.every, unlearner.slow,
    )  # fmt: skip
    steps.on_train_begin(unlearner.estimator_)
    steps.on_batch_begin(unlearner.estimator_, training=True)
    assert (weight.detach() - before).numpy() == pytest.approx(theirs.detach().numpy(), rel=1e-3)


@pytest.mark.parametrize("label", [1, 8])
def test_a_class_known_by_heart_is_let_go_of_by_long_steps(label):
    """Clipped as rows are, they leave an attack what it had."""
    X, y, (X_unseen, y_unseen), _, net, state, *_ = noisy_digits()
    forget, twins = y == label, y_unseen == label
    sides = (X[forget], y[forget]), (X_unseen[twins], y_unseen[twins])

    def look(unlearner):
        vars(unlearner).update(state)
        return np.array(told_apart(unlearner.unlearn(indices=np.flatnonzero(forget)), *sides))

    wanted, found = look(RetrainUnlearner(net, random_state=0)), {}
    for longest in (None, 7.0, 70.0):
        found[longest] = look(SFRonUnlearner(net, max_norm=longest, random_state=0))
    assert found[None] == pytest.approx(found[70.0])
    far, far_before = (np.abs(found[longest] - wanted).max() for longest in (None, 7.0))
    assert far < 0.5 * far_before, (wanted, found)
