"""Oracles of the user's own: fitted models, and shadow models."""

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skunlearn._rows.containers import is_dataset, match, row_digests
from skunlearn._torch import skorch_nets
from skunlearn._torch.observation import observe
from skunlearn.base import BaseUnlearner


class GivenOracles:
    """Models that a user says never saw the forget rows, checked where that can be done.

    Parameters
    ----------
    given : fitted model, shadow models or list of them
    labels : ndarray or None
        Of the unlearner that asks, for models without ``classes_``.
    whole : bool
        Whether a whole class is forgotten: then no model may have seen any of the rows.
    method : str, for messages

    Attributes
    ----------
    models : list
    count : int
        How many models answer for a row, the fewest of all rows.
    evidence : list of str
        Why they never saw the rows.
    """

    def __init__(self, given, labels, whole, method):
        given = list(given) if isinstance(given, list | tuple) else [given]
        self.labels, self.whole, self.method = labels, whole, method
        self.models, self.count, self.evidence = [], 0, []
        for model in given:
            check_fitted(model)
            model = skorch_nets.unwrap(model)
            self.models.append(model.lend() if hasattr(model, "lend") else model)

    def answers(self, forget, classes):
        """Logits, or values, of each model on the forget rows, arrays of shape (n, outputs)."""
        found = []
        for model in self.models:
            if hasattr(model, "ask"):
                lent = _Lent(model, self.whole)
                found.append(answer(lent, forget, classes, self.labels, self.method))
                self._note(lent.fewest, lent.evidence)
                continue
            self._note(1, _compare(model, forget))
            found.append(answer(model, forget, classes, self.labels, self.method))
        return found

    def _note(self, count, evidence):
        self.count += count
        if evidence not in self.evidence:
            self.evidence.append(evidence)


def answer(model, forget, classes, labels, method):
    """Logits, or values, of a model on the forget rows, of shape (n, outputs).

    See `GivenOracles` for the last two parameters.
    """
    asked = model
    if classes is not None and hasattr(model, "predict_proba"):
        asked = model if skorch_nets.is_net(model) else _Asked(model, labels)
    try:
        seen = observe(asked, forget, classes)
    except (IndexError, ValueError) as error:
        if isinstance(error, UnfitRowsError):
            raise
        raise ValueError(_of_another_task(model, method)) from error
    said = seen.predicted if classes is None else seen.logits
    if said is None:
        raise TypeError(
            f"An oracle says how likely each class is; {type(model).__name__} has neither "
            "predict_proba nor decision_function."
        )
    said = np.asarray(said, dtype=np.float64).reshape(len(forget), -1)
    wanted = forget.y.reshape(len(forget), -1).shape[1]
    if said.shape[1] != (wanted if classes is None else len(classes)):
        raise ValueError(_of_another_task(model, method))
    return said


class UnfitRowsError(ValueError):
    """Rows of which a model cannot answer as one that never saw them."""


def check_fitted(model):
    """Raise TypeError where a model cannot answer."""
    lends = hasattr(model, "lend") or hasattr(model, "ask")
    if not lends and not (hasattr(model, "predict_proba") or hasattr(model, "predict")):
        raise TypeError(
            f"oracle= takes fitted models; {type(model).__name__} has no predict_proba and no "
            "predict."
        )
    inner = skorch_nets.unwrap(model)
    try:
        if skorch_nets.is_net(inner):
            if not getattr(inner, "initialized_", False):
                raise NotFittedError
        else:
            check_is_fitted(inner)
    except NotFittedError as error:
        raise TypeError(
            f"The oracle {type(inner).__name__} is not fitted. Where a search or clone() has "
            "copied it, wrap it in FrozenEstimator, which they leave as it is."
        ) from error
    except TypeError:  # no estimator of scikit-learn's: it answers or it does not
        pass


def _compare(model, forget):
    """Why a model never saw the rows; raises where its own record says that it did."""
    if not isinstance(model, BaseUnlearner):
        return "its owner says so"
    record = model._record
    if record.is_dataset or is_dataset(forget.source):
        return "its owner says so"
    digests = row_digests(forget.X)
    known = np.array([len(hit) > 0 for hit in match(record.digests, digests)])
    held = record.mark_seen(forget.X)
    if not model._make_promises().exact:  # what it forgot it has seen
        held |= known
    if held.any():
        raise ValueError(
            f"The oracle {type(model).__name__} was trained on {int(held.sum())} of "
            f"{len(held)} forget rows (the first is number {int(held.argmax())} among them). An "
            "oracle never saw them: train it without them, or leave oracle= out."
        )
    return "compared with the rows that it was fitted on"


def _of_another_task(model, method):
    name = type(getattr(model, "lender", model)).__name__
    return (
        f"The oracle {name} answers for other classes or targets than the {method} was fitted on. "
        "Give models of the same task."
    )


class _Asked:
    """A model that need not have more than ``predict_proba``; nobody asks which class it names."""

    names_likeliest = True

    def __init__(self, model, classes):
        self.predict_proba = model.predict_proba
        self.classes_ = getattr(model, "classes_", classes)

    def predict(self, X):
        """Labels of rows that have several."""
        return self.predict_proba(X) > 0.5


class _Lent:
    """Shadow models, each row asked of those that were not trained on it."""

    def __init__(self, lender, whole):
        self.lender, self.whole, self.classes_ = lender, whole, lender.classes_

    def predict_proba(self, X):
        """Probabilities, of the mean of these models."""
        try:
            p, counts, together = self.lender.ask(X, together=True if self.whole else None)
        except ValueError as error:
            raise UnfitRowsError(str(error)) from error
        self.fewest, own = int(counts.min()), "it" if not together else "any of them"
        self.evidence = f"each row is asked of shadow models that were not trained on {own}"
        return p
