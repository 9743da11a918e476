"""What methods with a teacher compute."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from skunlearn import BadTeacherUnlearner, DELETEUnlearner, SCRUBUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.parts.tasks import Classes
from skunlearn.distillation import bad_teacher
from skunlearn.distillation._teacher import copy_teacher, make_untrained_teacher
from tests.method_nets import FORGET, gradient, headed, linear, weight

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_divergence_is_per_row():
    """Not divided by the number of classes, and multiplied by T²."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 9, 5))
    p, q = softmax(a / 4, axis=1), softmax(b / 4, axis=1)
    expected = 16 * (p * np.log(p / q)).sum(axis=1).mean()
    found = Classes(np.arange(5)).divergences(torch.tensor(a), torch.tensor(b), 4.0)
    assert float(found.mean()) == pytest.approx(expected, rel=1e-5)
    a[:, 0] = -np.inf  # a class that the teacher excludes
    p = softmax(a[:, 1:], axis=1)
    expected = (p * (np.log(p) - log_softmax(b, axis=1)[:, 1:])).sum(axis=1).mean()
    found = Classes(np.arange(5)).divergences(torch.tensor(a), torch.tensor(b))
    assert float(found.mean()) == pytest.approx(expected, rel=1e-5)


def test_teachers_share_no_weights(data):
    X, y = data
    net = headed().fit(X, y)
    x = torch.as_tensor(X)
    teacher, fresh = copy_teacher(net, np.arange(3)), make_untrained_teacher(net, np.arange(3))
    before = teacher(x).clone()
    with torch.no_grad():
        for p in net.module_.parameters():
            p.add_(1.0)
    assert torch.equal(teacher(x), before)
    assert not torch.equal(fresh(x), before)
    assert not teacher(x).requires_grad
    shared = {p.data_ptr() for p in net.module_.parameters()}
    assert not shared & {p.data_ptr() for p in teacher.net.module_.parameters()}


def pull(W, taught, X, T):
    """Gradient of the mean of T² KL(softmax(taught / T) ‖ softmax(XWᵀ / T)) by W."""
    return T * (softmax(X @ W.T / T, axis=1) - softmax(taught / T, axis=1)).T @ X / len(X)


@pytest.mark.parametrize("climbs, bound, T", [(None, 1e9, 4.0), (4, "chance", 4.0), (1, 1e9, 1.0)])
def test_scrub_is_its_formula(data, climbs, bound, T):
    """Away from the teacher on forget rows, then γ·CE + α·KL on retained ones, four epochs."""
    X, y = data
    unlearner = SCRUBUnlearner(
        linear(), alpha=0.5, gamma=0.9, temperature=T, max_steps_epochs=climbs, bound=bound,
        max_norm=1e9, lr=0.5, max_epochs=4, schedule="constant", random_state=0,
    ).fit(X, y)  # fmt: skip
    W = teacher = weight(unlearner)
    kept = np.setdiff1d(np.arange(60), FORGET)
    for epoch in range(4):
        if epoch < (3 if climbs is None else climbs):  # of four, two thirds rounded up
            losses = -log_softmax(X[FORGET] @ W.T, axis=1)[np.arange(12), y[FORGET]]
            known = X[FORGET][losses < (np.log(3) if bound == "chance" else bound)]
            W = W + 0.5 * pull(W, known @ teacher.T, known, T) * len(known) / 12
        step = 0.9 * gradient(W, X[kept], y[kept]) + 0.5 * pull(W, X[kept] @ teacher.T, X[kept], T)
        W = W - 0.5 * step
    assert weight(unlearner.unlearn(indices=FORGET)) == pytest.approx(W, abs=1e-5)


def test_scrub_rewinds_to_the_epoch_with_the_nearest_error(data):
    """Of six, by the error on unseen rows of the forget rows' classes alone."""
    X, y = data
    forget, unseen = np.flatnonzero(y[:40] < 2)[:14], np.arange(40, 60)
    kept, alike = np.setdiff1d(np.arange(40), forget), unseen[y[unseen] < 2]
    unlearner = SCRUBUnlearner(
        linear(), alpha=0.5, gamma=0.2, bound=1e9, max_norm=1e9, lr=1.0, max_epochs=6,
        schedule="constant", rewind=(X[unseen], y[unseen]), random_state=0,
    ).fit(X[:40], y[:40])  # fmt: skip
    W = teacher = weight(unlearner)
    seen = []
    for epoch in range(6):
        if epoch < 4:
            W = W + pull(W, X[forget] @ teacher.T, X[forget], 4.0)
        step = 0.2 * gradient(W, X[kept], y[kept])
        W = W - step - 0.5 * pull(W, X[kept] @ teacher.T, X[kept], 4.0)
        right = [np.mean((X[rows] @ W.T).argmax(axis=1) == y[rows]) for rows in (forget, alike)]
        seen.append((abs(right[0] - right[1]), W))
    gaps = [gap for gap, _ in seen]
    best = gaps.index(min(gaps))
    assert 0 < best < 5, gaps
    assert weight(unlearner.unlearn(indices=forget)) == pytest.approx(seen[best][1], abs=1e-5)
    with pytest.raises(ValueError, match="pair"):
        SCRUBUnlearner(linear(), rewind=True).fit(X, y)
    others = X[unseen][y[unseen] == 2], y[unseen][y[unseen] == 2]
    with pytest.raises(ValueError, match="no row of the forget rows' classes"):
        unlearner.set_params(rewind=others).unlearn(indices=np.flatnonzero(y[:40] == 1)[-3:])


@pytest.mark.parametrize("T, share", [(1.0, 1.0), (3.0, 1.0), (1.0, 0.5)])
def test_bad_teacher_is_its_formula(data, monkeypatch, T, share):
    """As the untrained teacher on forget rows, as the original on others, each row alike."""
    X, y = data
    made, make = [], bad_teacher.make_untrained_teacher
    monkeypatch.setattr(
        bad_teacher, "make_untrained_teacher", lambda *args: made.append(make(*args)) or made[-1]
    )
    unlearner = BadTeacherUnlearner(
        linear(), retain_share=share, temperature=T, lr=2.0, max_epochs=3, schedule="constant",
        random_state=0,
    ).fit(X, y)  # fmt: skip
    W = teacher = weight(unlearner)
    kept = np.setdiff1d(np.arange(60), FORGET)
    kept = Rows(X, y, kept).sample(round(share * 48), 0).index
    assert len(kept) == 48 * share
    assert not np.isin(kept, FORGET).any()
    unlearner.unlearn(indices=FORGET)
    untrained = made[0].net.module_.weight.detach().numpy().astype(np.float64)
    taught = np.concatenate([X[kept] @ teacher.T, X[FORGET] @ untrained.T])
    for _ in range(3):
        W = W - 2.0 * pull(W, taught, X[[*kept, *FORGET]], T)
    assert weight(unlearner) == pytest.approx(W, abs=1e-5)
    assert np.abs(W - teacher).max() > 0.02


def test_delete_is_its_formula(data):
    """One whole-batch step on a linear net."""
    X, y = data
    rows = np.flatnonzero(y == 2)
    unlearner = DELETEUnlearner(
        linear(), bound=1e9, lr=0.5, max_epochs=1, schedule="constant", random_state=0
    ).fit(X, y)
    W = weight(unlearner)
    z = X[rows] @ W.T
    z[:, 2] = -np.inf
    step = (softmax(X[rows] @ W.T, axis=1) - softmax(z, axis=1)).T @ X[rows] / len(rows)
    assert weight(unlearner.unlearn(indices=rows)) == pytest.approx(W - 0.5 * step, abs=1e-6)
