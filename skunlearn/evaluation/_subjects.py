"""Whom an audit judges: an unlearner or an UnlearningPipeline, and rows as they came to its fit."""

import copy
from dataclasses import dataclass

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skunlearn._fitted_model import model_of, read_rows, read_targets
from skunlearn._recipe import step_kinds
from skunlearn._rows.containers import is_dataset
from skunlearn._rows.frames import select_columns
from skunlearn._rows.seeding import derive_seed, seeded
from skunlearn._rows.views import Rows
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.positions import refuse_positions
from skunlearn.base import BaseUnlearner
from skunlearn.compose import _front_steps
from skunlearn.compose.pipeline import UnlearningPipeline
from skunlearn.metrics._scorers.scoring import read_forgotten, refuse_training_rows


@dataclass(frozen=True)
class Chain:
    """A model behind fitted steps, asked about rows as they are before the first of them.

    Attributes
    ----------
    steps : list of (str, transformer)
    unlearner : BaseUnlearner, for the form in which its rows are
    model : fitted net or scikit-learn estimator
    """

    steps: list
    unlearner: BaseUnlearner
    model: object

    def shown(self, rows):
        """`rows` as the steps show them to the model."""
        try:
            return _front_steps.transform_rows(rows, self.steps, self.unlearner)
        except ValueError as error:
            raise ValueError(
                "The steps of the pipeline cannot transform rows that an audit asks about, those "
                f"to forget or those never seen: {error} Let the step take values that it has not "
                "seen (handle_unknown='ignore', say)."
            ) from error

    def observe(self, rows, classes):
        """What the model says of `rows`."""
        return observe(self.model, self.shown(rows), classes)


def find_asked_model(estimator):
    """What `observe` asks of a fitted estimator of any kind, an `UnlearningPipeline` included."""
    check_is_fitted(estimator)
    if isinstance(estimator, UnlearningPipeline):
        final = estimator.steps[-1][1]
        return Chain(estimator.steps[:-1], final, final.estimator_)
    return model_of(estimator)


def _train_whole(unlearner, rows, seed):
    return unlearner._train(rows, seed=seed)


class Subject:
    """An unlearner or pipeline under audit.

    Parameters
    ----------
    whole : BaseUnlearner or UnlearningPipeline, fitted
    who : str
        Who asks, for messages.

    Attributes
    ----------
    final : BaseUnlearner
        The unlearner itself.
    name : str
        Of its class.
    classes : ndarray, or None for regression
    """

    def __init__(self, whole, who):
        check_kind(whole, who)
        check_is_fitted(whole)
        self.whole, self.piped = whole, isinstance(whole, Pipeline)
        self.final = whole.steps[-1][1] if self.piped else whole
        self._stepped = None  # the rows behind whose steps a model was trained last, and those
        self.name, self.classes = type(self.final).__name__, self.final._classes
        refuse_positions(self.classes, who)

    @property
    def model(self):
        """The model to judge."""
        return find_asked_model(self.whole)

    def unseen(self, X, y):
        """Rows that the model never saw, checked and encoded."""
        rows = self._read(X, y, "test")
        refuse_training_rows(self.whole, rows)
        return rows

    def _read(self, X, y, name):
        if not self.piped:
            return read_rows(self.final, X, y, name)
        X = _front_steps.as_rows(X)
        names = getattr(self.whole._record.like, "columns", None)
        X = X if names is None or is_dataset(X) else select_columns(X, names)
        y = read_targets(self.final, X, y, f"y_{name}")
        return Rows(X, y, np.arange(len(y)))

    def retained(self):
        """All rows that are left."""
        record = self.whole._record
        return record.view(np.flatnonzero(record.retained))

    def forgotten(self, X=None, y=None):
        """Rows of the last request, or those that were brought, which must have been forgotten."""
        if X is None and y is None:
            return read_forgotten(self.whole)
        if X is None:
            raise ValueError("y_forget comes with the rows, X_forget.")
        rows = self._read(X, y, "forget")
        if not len(rows):
            raise ValueError("X_forget holds no row.")
        record = self.whole._record
        wrong = ~record.mark_forgotten(rows.X)
        if wrong.any():
            held = int(record.mark_seen(rows.X)[wrong].sum())
            kept = f" ({held} of them are retained)" if held else ""
            raise ValueError(
                f"X_forget holds {int(wrong.sum())} rows, of {len(rows)}, that were not forgotten"
                f"{kept}; the first is row {int(wrong.argmax())}. Pass forgotten rows, as they "
                "were passed to fit."
            )
        return rows

    def numbers(self, rows):
        """`rows` as the model itself is given them."""
        return self.model.shown(rows) if self.piped else rows

    def trainer(self, retain, train=_train_whole):
        """A function that trains a model of these rows alone from a seed: ``train(seed=None)``.

        `train` of an unlearner, rows and a seed does so behind the steps of a pipeline.
        """
        if not self.piped:
            return lambda seed=None: train(self.final, retain, seed)
        steps, start, rows = self._fit_steps(retain)
        return lambda seed=None: Chain(steps, start, train(start, rows, seed))

    def _fit_steps(self, retain):
        """The steps of a pipeline on these rows, what is trained behind them, and on which rows."""
        if self._stepped is not None and self._stepped[0] is retain:
            return self._stepped[1]
        final, steps = self.final, self.whole.steps[:-1]
        frozen = step_kinds.sort_steps(steps)["frozen"]
        if frozen:
            raise TypeError(
                f"The reference would be trained behind {', '.join(frozen)}, which may have seen "
                "the forget rows. Pass models that never saw them, by retrained=."
            )
        y = retain.y if self.classes is None else self.classes[retain.y]
        start = copy.copy(final)
        with seeded(derive_seed(final._seed, 1)):
            steps, made = _front_steps.fit_transform(steps, retain.arrays()[0], y)
        rows = _front_steps.check_rows(made, retain, start, reset=True)
        self._stepped = retain, (steps, start, rows)
        return self._stepped[1]


def check_kind(whole, who):
    """Raise unless `whole` is an unlearner or an UnlearningPipeline."""
    if isinstance(whole, BaseUnlearner | UnlearningPipeline):
        return
    if isinstance(whole, Pipeline):
        raise TypeError(
            f"{who} takes an UnlearningPipeline, got a scikit-learn Pipeline, whose steps have "
            "seen the forget rows. Of such a one pass the last step, and rows as the steps make "
            "them."
        )
    raise TypeError(
        f"{who} takes unlearners and UnlearningPipelines, got {type(whole).__name__}. Other "
        "models are judged by what they say: audit_logits."
    )
