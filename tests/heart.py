"""Rows that a net knows by heart, forgotten by a method: is it nearer to a retrained net?"""

import functools

import numpy as np

from skunlearn import RetrainUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.metrics import auc
from tests.instances import make_net

N, GONE = 600, 80


@functools.cache
def noisy_digits():
    """Digits of which a fifth has a wrong label, a net that learnt half of them, and a retrained.

    Returns
    -------
    X, y, unseen, forget, net, state, before, wanted
        `unseen` are other rows and labels, `state` is that of a fitted unlearner, and the last two
        are what `told_apart` returns of the original and of the retrained net.
    """
    X, y = load_digits_images(return_X_y=True)
    rng = np.random.default_rng(0)
    X, y = X[: 2 * N], y[: 2 * N]
    y = np.where(rng.random(2 * N) < 0.2, (y + rng.integers(1, 10, 2 * N)) % 10, y)
    net, forget = make_net(max_epochs=60, module__hidden=256), rng.choice(N, GONE, replace=False)
    unseen, (X, y) = (X[N:], y[N:]), (X[:N], y[:N])
    fitted = RetrainUnlearner(net, random_state=0).fit(X, y)
    state = {k: v for k, v in vars(fitted).items() if k not in fitted.get_params(deep=False)}
    before = told_apart(fitted, (X[forget], y[forget]), unseen)
    fitted.unlearn(indices=forget)
    return (
        X,
        y,
        unseen,
        forget,
        net,
        state,
        before,
        told_apart(fitted, (X[forget], y[forget]), unseen),
    )


def told_apart(model, gone, unseen):
    """AUC of rows against unseen ones, by the loss and by the entropy of what a model says."""
    scores = [], []
    for X, y in (gone, unseen):
        p = np.clip(model.predict_proba(X), 1e-9, 1)
        scores[0].append(np.log(p[np.arange(len(y)), y]))
        scores[1].append((p * np.log(p)).sum(axis=1))
    return [auc(*pair) for pair in scores]


def check_nearer(make, *, way, moved):
    """Nearer to the retrained net by loss, by a share of the way; by entropy, too.

    And it is these rows that are forgotten, not any: after a request for others they are told apart
    by loss better, by `moved` at least; None leaves that open.
    """
    X, y, unseen, forget, net, state, before, wanted = noisy_digits()
    others, found = np.setdiff1d(np.arange(N), forget)[:GONE], []
    for rows in (forget,) if moved is None else (forget, others):
        unlearner = make(net)
        vars(unlearner).update(state)
        unlearner.unlearn(indices=rows)
        found.append(told_apart(unlearner, (X[forget], y[forget]), unseen))
    told = f"original {before}, retrained {wanted}, this and for others {found}"
    assert abs(found[0][0] - wanted[0]) < (1 - way) * abs(before[0] - wanted[0]), told
    assert abs(found[0][1] - wanted[1]) < abs(before[1] - wanted[1]), told
    if moved is not None:
        assert found[1][0] > found[0][0] + moved, told
