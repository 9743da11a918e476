"""Fitted models and views of rows that an audit asks."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from skunlearn import _skorch
from skunlearn._data import is_dataset
from skunlearn._evidence import observe
from skunlearn._from_scratch import check_reference
from skunlearn._seeding import derive_seed
from skunlearn._short import check_share, train_short
from skunlearn.base import model_of
from skunlearn.metrics.blind import blind_attack

_REFERENCES = 10_000  # seeds apart from those of the unlearner's own requests
_MIN_BLIND_ROWS = 20  # per side; the blind attack cross-validates


def named(unlearners, whose):
    """A dict of unlearners; a list takes the names of the classes.

    `whose` own models, the original and the retrained ones, keep their names to themselves.
    """
    if not isinstance(unlearners, dict):
        names = [type(u).__name__ for u in unlearners]
        if len(set(names)) < len(names):
            raise ValueError(f"Names repeat: {names}. Pass a dict of names to unlearners.")
        unlearners = dict(zip(names, unlearners))
    if not unlearners:
        raise ValueError("unlearners is empty.")
    taken = [
        n for n in unlearners if n == "original" or n.startswith(("retrained", "short reference"))
    ]
    if taken:
        raise ValueError(f"{taken} are names of {whose}'s own models; call yours otherwise.")
    return unlearners


def reference_models(unlearner, retain, retrained, n_seeds, share):
    """Models that never saw the forget set, and the first where short ones were asked for."""
    if retrained is None:
        return {}, None
    if isinstance(retrained, str):
        if retrained == "short":
            return short_references(unlearner, retain, n_seeds, share)
        if retrained != "train":
            raise ValueError(
                "retrained must be 'train', 'short', a fitted estimator, a list of them or None, "
                f"got {retrained!r}."
            )
        return train_references(unlearner, retain, n_seeds), None
    models = list(retrained) if isinstance(retrained, (list, tuple)) else [retrained]
    for model in models:
        check_is_fitted(model)
    models = [model_of(model) for model in models]
    return dict(zip(_names(len(models)), models)), None


def train_references(unlearner, retain, n_seeds):
    """`n_seeds` models trained on the retained rows, the first with the unlearner's own seed."""
    check_recipe(unlearner.estimator, "audit")
    first = unlearner._train(retain)
    return {"retrained": first} | dict(other_references(unlearner, retain, n_seeds))


def short_references(unlearner, retain, n_seeds, share):
    """The same, trained for a share of the epochs, and the first with how many these were."""
    check_share(share)
    check_recipe(unlearner.estimator, "audit")
    check_scalar(n_seeds, "n_seeds", Integral, min_val=1)
    found = [
        train_short(unlearner, retain, share=share, seed=s) for s in _seeds(unlearner, n_seeds)
    ]
    short = found[0].kind == "short"
    names = _names(n_seeds, "short reference" if short else "retrained")
    return dict(zip(names, (r.model for r in found))), found[0]


def check_recipe(estimator, who):
    """Refuse to train references of an estimator that holds what was trained before."""
    check_reference(
        _skorch.unwrap(estimator),
        who,
        "Train models that never saw the forget rows yourself: audit takes them by retrained=, "
        "audit_logits by what they say.",
    )


def other_references(unlearner, retain, n_seeds):
    """Name and model of the second to the last reference, one after the other."""
    check_scalar(n_seeds, "n_seeds", Integral, min_val=1)
    for name, seed in list(zip(_names(n_seeds), _seeds(unlearner, n_seeds)))[1:]:
        yield name, unlearner._train(retain, seed=seed)


def _seeds(unlearner, n):
    """Seeds of references, the first the unlearner's own."""
    own = unlearner._seed
    return [own, *(derive_seed(own, _REFERENCES + k) for k in range(n - 1))]


def outputs_of(model, views, classes):
    """Logits of a model on each view."""
    outputs = {}
    for name, rows in views.items():
        outputs[name] = observe(model, rows, classes).logits
        if outputs[name] is None:
            raise ValueError(f"{type(model).__name__} gives no probabilities to audit.")
    return outputs


def blind(views, seed):
    """The blind attack on forgotten and unseen rows; None where rows are no plain numbers."""
    forget, unseen = views["forget"], views["unseen"]
    if is_dataset(forget.source) or is_dataset(unseen.source):
        return None
    sides = [_numbers(rows.arrays()[0]) for rows in (forget, unseen)]
    if any(X is None or len(X) < _MIN_BLIND_ROWS for X in sides):
        return None
    return blind_attack(*sides, y_forget=forget.y, y_unseen=unseen.y, random_state=seed)


def _names(n, first="retrained"):
    return [first, *(f"{first} ({k})" for k in range(2, n + 1))]


def _numbers(X):
    if isinstance(X, dict):
        return None
    X = np.asarray(X)
    return X.reshape(len(X), -1) if X.dtype.kind in "fiub" else None
