"""Rows that a net knows by heart, forgotten by a method: is it nearer to a retrained net?"""

import functools

import numpy as np

from skunlearn import RetrainUnlearner
from skunlearn.datasets import load_digits_images
from tests.instances import make_net

N, GONE = 600, 80


@functools.cache
def noisy_digits():
    """Digits of which a fifth has a wrong label, a net that learnt them, what it says and should.

    Returns
    -------
    X, y, forget, net, state, before, wanted
        `state` is that of a fitted unlearner; the last two are what `said` returns of the forget
        rows by the original and by a retrained net.
    """
    X, y = load_digits_images(return_X_y=True)
    rng = np.random.default_rng(0)
    X, y = X[:N], y[:N]
    y = np.where(rng.random(N) < 0.2, (y + rng.integers(1, 10, N)) % 10, y)
    net, forget = make_net(max_epochs=60, module__hidden=256), rng.choice(N, GONE, replace=False)
    fitted = RetrainUnlearner(net, random_state=0).fit(X, y)
    state = {k: v for k, v in vars(fitted).items() if k not in fitted.get_params(deep=False)}
    before = said(fitted, X[forget], y[forget])
    fitted.unlearn(indices=forget)
    return X, y, forget, net, state, before, said(fitted, X[forget], y[forget])


def said(model, X, y):
    """Mean loss and mean entropy of what a model says of rows."""
    p = np.clip(model.predict_proba(X), 1e-9, 1)
    return -np.log(p[np.arange(len(y)), y]).mean(), -(p * np.log(p)).sum(axis=1).mean()


def forgotten_by(make):
    """What a method's net says of the forget rows, after it forgot them, and other rows instead."""
    X, y, forget, net, state, *_ = noisy_digits()
    found = []
    for rows in (forget, np.setdiff1d(np.arange(N), forget)[:GONE]):
        unlearner = make(net)
        vars(unlearner).update(state)
        found.append(said(unlearner.unlearn(indices=rows), X[forget], y[forget]))
    return found


def check_nearer(make, *, way, others):
    """Nearer to the retrained net in loss and in entropy, by a share of the way.

    And it is these rows, not any: their loss is `others` times that at most after another request.
    """
    *_, before, wanted = noisy_digits()
    these, elsewhere = forgotten_by(make)
    for old, new, goal in zip(before, these, wanted, strict=True):
        assert abs(new - goal) < (1 - way) * abs(old - goal), (old, new, goal)
    assert elsewhere[0] < others * these[0], (elsewhere, these)
