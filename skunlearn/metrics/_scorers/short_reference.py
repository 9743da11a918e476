"""A reference for a few per cent: trained on the retained rows for a share of the epochs."""

import math
import warnings
from dataclasses import dataclass

from sklearn.exceptions import ConvergenceWarning

from skunlearn._recipe import training
from skunlearn._torch import skorch_nets
from skunlearn.base import BaseUnlearner

SHARE = 0.1  # of the recipe's epochs


@dataclass(frozen=True)
class Reference:
    """A model that never saw the forget rows, and how it was trained.

    Attributes
    ----------
    model : fitted estimator
    kind : {"short", "retrained"}
        "retrained" where there were no epochs to cut.
    note : str
    """

    model: object
    kind: str = "retrained"
    note: str = ""


def train_short(unlearner, rows, *, share=SHARE, epochs=None, seed=None):
    """Train the unlearner's recipe on `rows` for a share of its epochs, at least one.

    The training stops early; it is not squeezed: learning rates are those of the recipe's
    beginning. An estimator without epochs is trained in full, and the note says so.

    Parameters
    ----------
    unlearner : fitted unlearner
    rows : Rows
    share : float in (0, 1]
    epochs : int, default=None
        In place of the share.
    seed : int, default=None
        The unlearner's own when None.

    Returns
    -------
    reference : Reference
    """
    check_share(share)
    recipe = skorch_nets.unwrap(unlearner.estimator)
    whole = None if _trains_otherwise(unlearner) else epochs_of(recipe)
    if whole is None:
        return Reference(unlearner._train(rows, seed=seed), "retrained", describe_full(unlearner))
    few = max(1, round(share * whole)) if epochs is None else epochs
    how = {"memory": unlearner.memory, "verbose": unlearner.verbose}
    if skorch_nets.is_net(recipe):
        how["epochs"] = few
    else:
        recipe = skorch_nets.clone_any(recipe).set_params(max_iter=few)
    seed = unlearner._seed if seed is None else seed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is meant to stop early
        model = training.train(recipe, rows, unlearner._classes, seed, **how)
    return Reference(model, "short", f"{few} of {whole} epochs")


def epochs_of(recipe):
    """Epochs of a training: a net's, or those of scikit-learn's that learn by epochs; or None."""
    if skorch_nets.is_net(recipe):
        return recipe.max_epochs
    params = recipe.get_params(deep=False)
    # Solvers have iterations too, but they do not pass over the rows one by one.
    if {"max_iter", "n_iter_no_change"} <= set(params) and params.get("solver") != "lbfgs":
        return params["max_iter"]
    return None


def describe_full(unlearner):
    """Words for a short reference that was none."""
    name = type(skorch_nets.unwrap(unlearner.estimator)).__name__
    if _trains_otherwise(unlearner):
        name = type(unlearner).__name__
    return f"trained in full: {name} has no epochs to cut"


def _trains_otherwise(unlearner):
    """Whether its model is made of the recipe in a way of its own: shards, trees, noise."""
    return type(unlearner)._train is not BaseUnlearner._train


def check_share(share):
    """Raise unless `share` is a share of the epochs."""
    if isinstance(share, bool) or not (
        isinstance(share, int | float) and math.isfinite(share) and 0 < share <= 1
    ):
        raise ValueError(f"short must be a share of the epochs in (0, 1], got {share!r}.")
