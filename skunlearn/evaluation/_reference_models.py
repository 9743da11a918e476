"""Fitted models and views of rows that an audit asks."""

from numbers import Integral
from time import perf_counter

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar

from skunlearn._recipe.from_scratch import check_reference
from skunlearn._rows.containers import is_dataset
from skunlearn._rows.seeding import derive_seed
from skunlearn._torch import skorch_nets
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.tasks import task_of
from skunlearn.auto import AutoUnlearner
from skunlearn.evaluation._subjects import Chain, find_asked_model
from skunlearn.exact import retrain
from skunlearn.metrics._attacks.blind import blind_attack
from skunlearn.metrics._scorers.short_reference import check_share, train_short
from skunlearn.net_unlearner import NetUnlearner

_REFERENCES = 10_000  # seeds apart from those of the unlearner's own requests
_FLOOR = 9_999
_USUAL = 5  # of the recipe's epochs a method takes one in so many, where it says nothing else
_MIN_BLIND_ROWS = 20  # per side; the blind attack cross-validates


def name_unlearners(unlearners, whose):
    """A dict of unlearners; others take the names of their classes, or of those in pipelines.

    `whose` own models, the original and the retrained ones, keep their names to themselves.
    """
    if hasattr(unlearners, "fit"):  # a single one; pipelines have a length too
        unlearners = [unlearners]
    if not isinstance(unlearners, dict):
        finals = [u.steps[-1][1] if isinstance(u, Pipeline) else u for u in unlearners]
        names = [type(u).__name__ for u in finals]
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


def reference_models(subject, retain, retrained, n_seeds, share):
    """Models that never saw the forget set, and the first where short ones were asked for."""
    if retrained is None:
        return {}, None
    if isinstance(retrained, str):
        if retrained not in ("train", "short"):
            raise ValueError(
                "retrained must be 'train', 'short', a fitted estimator, a list of them or None, "
                f"got {retrained!r}."
            )
        return _train(subject, retain, n_seeds, share if retrained == "short" else None)
    models = list(retrained) if isinstance(retrained, (list, tuple)) else [retrained]
    models = [find_asked_model(model) for model in models]
    return dict(zip(_names(len(models)), models)), None


def _train(subject, retain, n_seeds, share):
    found = []

    def train_some(unlearner, rows, seed):
        found.append(train_short(unlearner, rows, share=share, seed=seed))
        return found[-1].model

    if share is not None:
        check_share(share)
    check_recipe(subject.final.estimator, "audit")
    train = subject.trainer(retain) if share is None else subject.trainer(retain, train_some)
    models = [train(), *(m for _, m in other_references(subject.final._seed, train, n_seeds))]
    asked = found[0] if found else None
    short = asked is not None and asked.kind == "short"
    return dict(zip(_names(n_seeds, "short reference" if short else "retrained"), models)), asked


def check_floor(floor, estimator):
    """Raise unless `floor` is None, "same", or a number of epochs of a net."""
    if floor is None or (isinstance(floor, str) and floor == "same"):
        return
    if isinstance(floor, bool) or not isinstance(floor, Integral):
        raise TypeError(f"floor must be 'same', a number of epochs or None, got {floor!r}.")
    check_scalar(floor, "floor", Integral, min_val=1)
    if not skorch_nets.is_net(skorch_nets.unwrap(estimator)):
        raise TypeError(
            f"floor= is a number of epochs, of nets; {type(estimator).__name__} has none. Leave "
            "it at 'same'."
        )


def train_floor(subject, retain, floor, asked):
    """A net that is trained anew for as many epochs as the methods took.

    Parameters
    ----------
    subject : Subject
    retain : Rows
    floor : int, "same" or None
    asked : list of (BaseUnlearner, dict)
        The methods, and their entries in the log.

    Returns
    -------
    models : dict of str to model
        Of one, or empty: of other models than nets, of exact methods, and where a method took as
        long as a training in full.
    seconds : dict of str to float
        That its training took.
    notes : list of str
        Why there is none, where its training failed: rates that are squeezed into few epochs may
        let it diverge.
    """
    recipe = skorch_nets.unwrap(subject.final.estimator)
    if floor is None or not skorch_nets.is_net(recipe):
        return {}, {}, []
    epochs = floor
    if isinstance(floor, str):
        asked = [pair for pair in asked if not pair[0]._make_promises().exact]
        n = len(retain)
        epochs = max((_count_epochs(*pair, n) for pair in asked), default=recipe.max_epochs)
        if epochs >= recipe.max_epochs:
            return {}, {}, []
    check_recipe(subject.final.estimator, "audit")

    def train_some(unlearner, rows, seed):
        return retrain.train_short(unlearner.estimator, rows, unlearner._classes, seed, epochs)

    name, start = f"retrained {epochs}/{recipe.max_epochs} epochs", perf_counter()
    try:
        model = subject.trainer(retain, train_some)(derive_seed(subject.final._seed, _FLOOR))
    except Exception as error:  # the report is about others
        said = f"No net was retrained for the same budget, {epochs} epochs: {error}"
        return {}, {}, [f"{said} Give another number of epochs as floor=."]
    return {name: model}, {name: perf_counter() - start}, []


def _count_epochs(unlearner, entry, n_retained):
    """Those that a request trained, as far as the method says; of the retained rows' length."""
    if isinstance(unlearner, AutoUnlearner) and "auto" in entry:
        done = entry["auto"]
        trial = (done["trial"] or {"epochs": 0})["epochs"]
        return done["epochs"] + done["reference_epochs"] + trial
    if not isinstance(unlearner, NetUnlearner):
        return -(-skorch_nets.unwrap(unlearner.estimator).max_epochs // _USUAL)
    epochs = unlearner._epochs()
    if not unlearner._make_promises().reads_retain_rows:  # theirs are of the forget rows
        epochs = -(-epochs * entry["rows"] // n_retained)
    return epochs


def check_recipe(estimator, who):
    """Refuse to train references of an estimator that holds what was trained before."""
    check_reference(
        skorch_nets.unwrap(estimator),
        who,
        "Train models that never saw the forget rows yourself: audit takes them by retrained=, "
        "audit_logits by what they say.",
    )


def other_references(seed, train, n_seeds):
    """Name and model of the second to the last reference, one after the other.

    `seed` is the unlearner's, and ``train(seed)`` trains one.
    """
    check_scalar(n_seeds, "n_seeds", Integral, min_val=1)
    for k, name in enumerate(_names(n_seeds)[1:]):
        yield name, train(derive_seed(seed, _REFERENCES + k))


def outputs_of(model, views, classes):
    """What a model says of each view: logits, or predictions of a regressor."""
    outputs = {}
    for name, rows in views.items():
        piped = isinstance(model, Chain)
        found = model.observe(rows, classes) if piped else observe(model, rows, classes)
        outputs[name] = found.predicted if classes is None else found.logits
        if outputs[name] is None:
            inner = model.model if piped else model
            raise ValueError(f"{type(inner).__name__} gives no probabilities to audit.")
    return outputs


def run_blind_attack(views, seed, *, classes):
    """The blind attack on forgotten and unseen rows; None where rows are no plain numbers."""
    forget, unseen = views["forget"], views["unseen"]
    if is_dataset(forget.source) or is_dataset(unseen.source):
        return None
    sides = [_numbers(rows.arrays()[0]) for rows in (forget, unseen)]
    if any(X is None or len(X) < _MIN_BLIND_ROWS for X in sides):
        return None
    if not task_of(classes).has_one_class:
        return blind_attack(*sides, match=None, random_state=seed)
    return blind_attack(*sides, y_forget=forget.y, y_unseen=unseen.y, random_state=seed)


def _names(n, first="retrained"):
    return [first, *(f"{first} ({k})" for k in range(2, n + 1))]


def _numbers(X):
    if isinstance(X, dict):
        return None
    X = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
    plain = X.dtype.kind in "fiub" and np.isfinite(X).all()  # a model may take NaN
    return X.reshape(len(X), -1) if plain else None
