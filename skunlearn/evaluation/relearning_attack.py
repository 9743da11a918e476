"""Relearning: how much of what was forgotten comes back with a few of its rows?"""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state, check_scalar

from skunlearn._fitted_model import ask_about
from skunlearn._rows.checking import check_models
from skunlearn._rows.seeding import seeded
from skunlearn._torch import skorch_nets
from skunlearn._torch.loop.fit_loop import train
from skunlearn._torch.loop.learning_rates import scale_rates
from skunlearn._torch.loop.optimizer_steps import norms_at_rest
from skunlearn._torch.observation import observe

__all__ = ["relearning_attack"]


def relearning_attack(
    models,
    X_forget,
    y_forget,
    *,
    k=(1, 5, 20),
    X_others=None,
    y_others=None,
    X_unseen=None,
    y_unseen=None,
    retrained="retrained",
    lr=1.0,
    max_epochs=20,
    n_repeats=3,
    random_state=0,
):
    """Train a model on `k` of the rows it forgot; does it know the *other* ones again?

    The adversary of [1]_ has the model's weights and a few of the forgotten rows. A model that
    only hides what it knew gets all of it back from a few rows; one that has forgotten learns
    from `k` rows what any model would, which the retrained one shows. `relearn_time` asks how
    long all rows take instead, and needs no secret left.

    Parameters
    ----------
    models : dict of str to skorch net or unlearner of one
        None is changed.
    X_forget, y_forget : rows that were forgotten, with labels
        Column numbers as labels where the models are plain nets.
    k : int or sequence of int, default=(1, 5, 20)
        Rows that the adversary has; each at most one less than there are.
    X_others, y_others : rows and labels, default=None
        Rows of the adversary's own, of other classes, used beside the `k` in every pass (a batch
        holds both). Needed where the forgotten rows are of one class: a net that is trained on
        one class alone calls everything by it, which is no memory.
    X_unseen, y_unseen : rows and labels, default=None
        Rows that no model has seen, of the forgotten classes: what comes back on them too is
        knowledge of the class, not of the rows.
    retrained : str, default="retrained"
        Name among `models` of the one to compare with (which may be missing).
    lr : float, default=1.0
        Learning rate in units of the net's own.
    max_epochs : int, default=20
        Passes over the adversary's rows.
    n_repeats : int, default=3
        Draws of the `k` rows; every model gets the same ones.
    random_state : int, RandomState instance or None, default=0
        Of the draws of the `k` rows and the order of the batches.

    Returns
    -------
    results : pandas.DataFrame
        Index (model, k), columns

        - "before": accuracy on the forgotten rows that are not among the `k`.
        - "after": the same after the attack; "after sd" over the draws.
        - "regained": after − before.
        - "excess": after − that of the retrained model with the same rows (mean over draws);
          above 0 the model had kept something. Only with a retrained one.
        - "unseen after": accuracy on `X_unseen`, after. Only with these.
        - "others after": accuracy on `X_others`, after. Only with these.

    Raises
    ------
    TypeError
        When a model is no skorch net.
    ValueError
        When `k` does not fit or labels are unknown.

    Notes
    -----
    Batch normalisation stays in evaluation mode, as one row has no statistics. Whatever schedule
    the net has is left out: the rate is constant.

    References
    ----------
    .. [1] S. Hu et al., "Unlearning or Obfuscating? Jogging the Memory of Unlearned LLMs via
       Benign Relearning", ICLR 2025, https://arxiv.org/abs/2406.13356

    Examples
    --------
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> from skunlearn.evaluation import relearning_attack
    >>> X, y = load_digits_images(return_X_y=True)
    >>> X, y, X_others, y_others = X[:800], y[:800], X[800:1000], y[800:1000]
    >>> unlearner = RetrainUnlearner(digits_classifier(max_epochs=4), random_state=0).fit(X, y)
    >>> models = {"original": unlearner.estimator_}
    >>> models["retrained"] = unlearner.unlearn(indices=range(100)).estimator_
    >>> results = relearning_attack(
    ...     models, X[:100], y[:100], k=10, X_others=X_others, y_others=y_others, n_repeats=1
    ... )
    >>> results["excess"].loc["retrained"].tolist()
    [0.0]
    """
    import pandas as pd

    check_models(models)
    k = [check_scalar(size, "k", Integral, min_val=1) for size in np.atleast_1d(k).tolist()]
    check_scalar(lr, "lr", Real, min_val=0, include_boundaries="neither")
    check_scalar(max_epochs, "max_epochs", Integral, min_val=1)
    check_scalar(n_repeats, "n_repeats", Integral, min_val=1)
    rng = check_random_state(random_state)
    n = len(np.asarray(y_forget))
    if max(k) >= n:
        raise ValueError(
            f"k={max(k)} of {n} forgotten rows leaves none to look at; take at most {n - 1}."
        )
    draws = [(rng.permutation(n), int(rng.randint(2**31))) for _ in range(n_repeats)]
    table = {}
    for name, model in models.items():
        net, forget, classes = ask_about(model, X_forget, y_forget)
        if not skorch_nets.is_net(net) or classes is None:
            raise TypeError(
                f"{name!r} is no skorch classifier: a {type(net).__name__} cannot be trained on."
            )
        others, unseen = (
            None if X is None else ask_about(model, X, y)[1]
            for X, y in ((X_others, y_others), (X_unseen, y_unseen))
        )
        for size in k:
            runs = [
                _attack(net, classes, forget, order, size, others, unseen, lr, max_epochs, seed)
                for order, seed in draws
            ]
            table[name, size] = pd.DataFrame(runs)
    results = pd.DataFrame({key: runs.mean() for key, runs in table.items()}).T
    results.index.names = ["model", "k"]
    results.insert(2, "after sd", [runs["after"].std(ddof=0) for runs in table.values()])
    results.insert(3, "regained", results["after"] - results["before"])
    if retrained in models:
        base = results.loc[retrained, "after"]
        excess = [results.loc[key, "after"] - base[key[1]] for key in results.index]
        results.insert(4, "excess", excess)
    return results


def _attack(net, classes, forget, order, size, others, unseen, lr, max_epochs, seed):
    """Accuracies before and after the training on the first `size` rows of `order`."""
    rest = forget.take(np.sort(order[size:]))
    with seeded(seed):
        new = skorch_nets.copy_net(net, keep_schedule=False, max_epochs=max_epochs)
        scale_rates(new, lr)
        owned = forget.take(np.sort(order[:size]))
        owned = owned if others is None else owned.union(others)
        with norms_at_rest(new):
            train(new, owned, shuffle=True)
    found = {"before": _score(net, rest, classes), "after": _score(new, rest, classes)}
    for name, rows in (("unseen after", unseen), ("others after", others)):
        if rows is not None:
            found[name] = _score(new, rows, classes)
    return found


def _score(net, rows, classes):
    return observe(net, rows, classes).score()
