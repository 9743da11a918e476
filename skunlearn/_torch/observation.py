"""What a model says about some rows: logits, losses, accuracy, from one forward pass."""

import warnings
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import logit
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from skunlearn._rows.seeding import seeded
from skunlearn._torch import inference, skorch_nets
from skunlearn._torch.decisions import class_decisions
from skunlearn._torch.parts.outputs import Outputs
from skunlearn._torch.parts.positions import Positions
from skunlearn._torch.parts.tasks import Labels, task_of
from skunlearn.exceptions import UnlearningError

# They name the likeliest class, which takes them another pass through all trees.
_NAME_LIKELIEST = (RandomForestClassifier, ExtraTreesClassifier)


@dataclass(frozen=True)
class Evidence:
    """Outputs of one model on one set of rows.

    Attributes
    ----------
    y : ndarray, encoded targets
    logits : ndarray of shape (n, n_classes) or (n, n_labels), or None when the model gives none
        Also of a class for each position, see `by_row`.
    predicted : ndarray like `y`
    task : see `task_of`
    noisy : bool, whether rows were read through the random augmentation of training
    answers : tuple of ((model, bool), ndarray)
        Of an ensemble what each member said, and whether it voted; no copy or file holds it.
    by_row : dict of str to ndarray of shape (n,), or None
        What `Positions.measure` says of rows that have a class for each position, in the place of
        logits, of which there are too many.
    """

    y: np.ndarray
    logits: np.ndarray | None
    predicted: np.ndarray
    task: object
    noisy: bool = False
    answers: tuple = field(default=(), repr=False, compare=False)
    by_row: dict | None = None

    def __getstate__(self):
        return vars(self) | {"answers": ()}

    def losses(self):
        """Cross-entropy or squared error of each row; None without probabilities."""
        held = vars(self)  # the rules about a request ask again and again
        if "_losses" not in held:
            held["_losses"] = self.task.losses_of(self)
        return held["_losses"]

    def score(self):
        """Accuracy, or R² for regression; None when R² is undefined."""
        return self.task.score_of(self)

    def take(self, rows):
        """The same of some rows, a mask or positions."""
        logits = None if self.logits is None else self.logits[rows]
        new = replace(
            self,
            y=self.y[rows],
            logits=logits,
            predicted=self.predicted[rows],
            answers=tuple((asked, said[rows]) for asked, said in self.answers),
            by_row=self.by_row and {name: said[rows] for name, said in self.by_row.items()},
        )
        if (losses := vars(self).get("_losses")) is not None:
            vars(new)["_losses"] = losses[rows]
        return new

    def is_finite(self):
        """Whether the model's outputs are numbers."""
        if self.by_row is not None:
            return bool(np.isfinite(self.by_row["loss"]).all())
        return bool(np.isfinite(self.predicted if self.logits is None else self.logits).all())


def summarise(evidence):
    """Mean loss and score, as finite floats or None, which JSON can hold."""
    if evidence is None:
        return {"loss": None, "score": None}
    losses = evidence.losses()
    values = {"loss": None if losses is None else losses.mean(), "score": evidence.score()}
    return {
        key: float(value) if value is not None and np.isfinite(value) else None
        for key, value in values.items()
    }


def observe(model, rows, classes, earlier=None):
    """`Evidence` of a net or scikit-learn estimator on `rows` (encoded targets), as they are.

    For `classes` see `task_of`; without `rows` there is no evidence, None. Members of an ensemble
    that `earlier`, `Evidence` of an ensemble on the same rows, was asked of are not asked again.
    """
    if rows is None:
        return None
    if hasattr(model, "noting") and "answers" not in vars(model):
        # Members draw one after the other: of fewer each would see another augmentation.
        known = earlier.answers if earlier is not None and not earlier.noisy else ()
        noting = model.noting(known)
        return replace(observe(noting, rows, classes), answers=noting.answers)
    if rows.reader is not None:
        noisy = rows.reader.noisy
        # Through an augmentation the same draws each time, so that two models see the same.
        with seeded(0) if noisy else nullcontext():
            return replace(observe(model, rows.reader.rows(rows), classes), noisy=noisy)
    task = task_of(classes)
    if isinstance(task, Positions):
        return _observe_positions(model, rows, task)
    if skorch_nets.is_net(model):
        with seeded(0):  # a module that samples draws the same for two models, and each time
            out = inference.outputs(model, rows)
        if classes is None:
            predicted = inference.values(model, out).numpy().reshape(rows.y.shape)
            return Evidence(rows.y, None, predicted, task)
        logits = inference.logits(model, out, classes).numpy()
        return Evidence(rows.y, logits, task.name(logits), task)
    X, y = rows.arrays()
    if classes is None:
        return Evidence(y, None, np.reshape(model.predict(X), y.shape), task)
    if isinstance(classes, Labels):  # of nets in shards
        p, several = model.predict_proba(X), isinstance(classes, Outputs)
        if several:
            p = np.hstack(classes.spread(model, p))
        logits = logit(np.clip(p, np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).epsneg))
        named = classes.name(p) if several else model.predict(X).astype(bool)
        return Evidence(y, logits, named, task)
    if len(model.classes_) == 1:
        logits, predicted = _hear_one_class(model, X, classes)
        return Evidence(y, logits, predicted, task)
    logits = _sklearn_logits(model, X, classes)
    if getattr(model, "names_likeliest", False) or type(model) in _NAME_LIKELIEST:
        predicted = logits.argmax(axis=1)  # one pass for both
    else:
        predicted = np.searchsorted(classes, model.predict(X))
    return Evidence(y, logits, predicted, task)


def _observe_positions(net, rows, task):
    named, found = [], []
    for part, logits in inference.read_positions(net, rows, task):
        named.append(task.name(logits))
        found.append(task.measure(logits, part.y))
    named, y = np.concatenate(named), rows.y
    # Nothing is right where nothing counts, whoever compares.
    named[y == task.ignored] = np.iinfo(named.dtype).min
    by_row = {name: np.concatenate([said[name] for said in found]) for name in found[0]}
    return Evidence(y, None, named, task, by_row=by_row)


def observe_forgotten(model, rows, classes, earlier=None):
    """As `observe`, of rows that a model of the other rows may have no answer to; None then.

    Within a radius, say, there need be no neighbour of theirs. A net has an answer always.
    """
    if rows is None or skorch_nets.is_net(model):
        return observe(model, rows, classes, earlier)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "One or more samples have no neighbors")
            said = observe(model, rows, classes, earlier)
    except ValueError as error:
        if "No neighbors found" not in str(error):
            raise
        return None
    return said if said.is_finite() else None


def _hear_one_class(model, X, classes):
    """Logits and prediction of a model that a request has left one class, as far as it answers."""
    try:
        predicted = np.searchsorted(classes, model.predict(X))
    except (IndexError, ValueError) as error:  # scikit-learn's LDA, for one
        raise UnlearningError(
            f"One class is left, {model.classes_[0]}, and a {type(model).__name__} of one class "
            "cannot predict. Nothing was forgotten: there is no model of these rows to be had, "
            "delete it."
        ) from error
    logits = np.full((len(predicted), len(classes)), np.log(np.finfo(np.float64).tiny))
    logits[:, np.searchsorted(classes, model.classes_)] = 0.0
    return logits, predicted


def _sklearn_logits(model, X, classes):
    if hasattr(model, "predict_proba"):
        with np.errstate(divide="ignore"):
            values = np.log(model.predict_proba(X))
        values = np.maximum(values, np.log(np.finfo(np.float64).tiny))
    elif hasattr(model, "decision_function"):
        values = class_decisions(model, X)
    else:
        return None
    # A class of which no row is left has no column in a retrained estimator.
    full = np.full((len(values), len(classes)), np.log(np.finfo(np.float64).tiny))
    full[:, np.searchsorted(classes, model.classes_)] = values
    return full
