"""Many deletion requests, one after the other, audited as they go."""

import time
from numbers import Integral

import numpy as np
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from skunlearn._fitted_model import read_rows
from skunlearn._recipe import training
from skunlearn._recipe.from_scratch import check_reference
from skunlearn._torch import skorch_nets
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.tasks import Classes, Labels
from skunlearn.base import BaseUnlearner
from skunlearn.metrics._scorers.observed import observe_aucs
from skunlearn.metrics._scorers.scoring import refuse_training_rows
from skunlearn.metrics._scorers.short_reference import train_short

__all__ = ["deletion_stream"]


def deletion_stream(unlearner, requests, X_test, y_test=None, *, every=100, reference=True):
    """Apply deletion requests in their order, and audit after every hundred.

    A generator: requests are applied while it is read. ``deletions_`` counts those that are done,
    so that a process that was stopped goes on where its last pickle was: the same call with the
    same `requests` skips them.

    Parameters
    ----------
    unlearner : fitted unlearner that holds its rows
        Changed, as by ``unlearn``.
    requests : sequence
        Each a mapping of arguments of ``unlearn`` (``{"ids": ["user-17"]}``), or positions for
        its ``indices``.
    X_test, y_test : rows that the model has never seen, with labels or targets
        For accuracy, and as the other side of the attack. A torch Dataset has its labels with
        it, and `y_test` is None.
    every : int, default=100
        Requests between two audits; there is one more after the last request.
    reference : bool or "short", default=True
        Whether each audit trains `estimator` anew on the rows that are left; "short" for a tenth
        of its epochs, as that of `MIAScorer`.

    Yields
    ------
    audit : dict
        - "requests", "rows": forgotten since ``fit``.
        - "seconds": spent in ``unlearn`` since ``fit``, by the log.
        - "score": accuracy (R² for regressors) on the test rows.
        - "score forgotten": the same on the rows forgotten in this call, from the first to the
          last: it must not come back.
        - "AUC": of the margin attack (squared error for regressors) on these rows, matched to
          their classes; NaN for classifiers without probabilities, and where rows of ``fit`` are
          read through a random augmentation (``measure_on=`` of ``fit``).
        - "distance", "strongest": the largest distance of an AUC from that of the reference (from
          0.5 without one) over all scores of `membership_scores`, and the name of that score;
          NaN and None where there is no AUC.
        - "seconds retraining", "score retrained", "score forgotten retrained", "AUC retrained":
          of a model trained anew, the time as if each request since the last audit had paid for
          such a training. With `reference` only. Of a short one, "retrained" says how short
          ("3 of 30 epochs"), and its scores are those of a short training.

    Raises
    ------
    TypeError
        When `unlearner` is none, or a `reference` would start from what was trained before.
    ValueError
        When more requests are done than `requests` holds.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.evaluation import deletion_stream
    >>> X, y = load_digits(return_X_y=True)
    >>> unlearner = RetrainUnlearner(GaussianNB(), random_state=0).fit(X[:1000], y[:1000])
    >>> stream = deletion_stream(unlearner, range(6), X[1000:], y[1000:], every=3)
    >>> [(audit["requests"], audit["score"] == audit["score retrained"]) for audit in stream]
    [(3, True), (6, True)]
    """
    if not isinstance(unlearner, BaseUnlearner):
        raise TypeError(f"deletion_stream needs an unlearner, got {unlearner!r}.")
    if isinstance(reference, str) and reference != "short":
        raise ValueError(f"reference must be True, False or 'short', got {reference!r}.")
    check_is_fitted(unlearner)
    check_scalar(every, "every", Integral, min_val=1)
    if reference:
        check_recipe(unlearner)
    requests = [_arguments(request) for request in requests]
    if len(unlearner.deletions_) > len(requests):
        raise ValueError(
            f"The unlearner has fulfilled {len(unlearner.deletions_)} requests, but there are "
            f"only {len(requests)}. Pass all of them since fit: those that are done are skipped."
        )
    unseen = read_rows(unlearner, X_test, y_test)
    refuse_training_rows(unlearner, unseen)
    return _run(unlearner, requests, unseen, every, reference)


def check_recipe(unlearner):
    """Refuse references of an estimator that holds what was trained before."""
    check_reference(
        skorch_nets.unwrap(unlearner.estimator),
        "reference=True",
        "Use reference=False, and train models that never saw the rows yourself.",
    )


def retrain_model(unlearner):
    """The unlearner's estimator, trained anew on the rows that are left."""
    return training.train(
        skorch_nets.unwrap(unlearner.estimator),
        _view(unlearner._record, unlearner._record.retained),
        unlearner._classes,
        unlearner._seed,
    )


def _run(unlearner, requests, unseen, every, reference):
    start, spent = unlearner._record, 0.0
    done = since = len(unlearner.deletions_)
    while done < len(requests):
        unlearner.unlearn(**requests[done])
        done += 1
        if done % every and done < len(requests):
            continue
        audit = _count_requests(unlearner)
        forgotten = _view(start, start.retained & ~unlearner._record.retained)
        figures, aucs = _figures(unlearner, unlearner.estimator_, unseen, forgotten)
        audit |= figures
        theirs = None
        if reference:
            began = time.perf_counter()
            model, note = _reference(unlearner, reference)
            spent += (time.perf_counter() - began) * (done - since)
            found, theirs = _figures(unlearner, model, unseen, forgotten)
            audit |= {"seconds retraining": spent}
            audit |= {f"{name} retrained": value for name, value in found.items()}
            audit |= {} if note is None else {"retrained": note}
        audit |= _strongest(aucs, theirs)
        since = done
        yield audit


def _arguments(request):
    if hasattr(request, "keys"):
        return dict(request)
    return {"indices": np.atleast_1d(request)}


def _count_requests(unlearner):
    return {
        "requests": len(unlearner.deletions_),
        "rows": sum(entry["rows"] for entry in unlearner.deletions_),
        "seconds": sum(entry["seconds"] for entry in unlearner.deletions_),
    }


def _view(record, mask):
    return record.view(np.flatnonzero(mask))


def _figures(unlearner, model, unseen, forgotten):
    seen = observe(model, forgotten, unlearner._classes)
    new = observe(model, unseen, unlearner._classes)
    aucs = _attack(seen, new)
    main = aucs.get("margin", aucs.get("squared error", np.nan))
    return {"score": new.score(), "score forgotten": seen.score(), "AUC": main}, aucs


def _reference(unlearner, reference):
    if reference != "short":
        return retrain_model(unlearner), None
    found = train_short(unlearner, _view(unlearner._record, unlearner._record.retained))
    return found.model, found.note


def _attack(seen, new):
    """AUC by each score, by name."""
    if seen.noisy:  # the rows of one side are augmented at random, those of the other are not
        return {}
    if isinstance(seen.task, Classes | Labels) and seen.logits is None:
        return {}
    return observe_aucs(seen, new)


def _strongest(ours, theirs):
    """The largest distance of an AUC to the reference's, and of which score."""
    known = [name for name in ours if theirs is None or name in theirs]
    found = {name: abs(ours[name] - (0.5 if theirs is None else theirs[name])) for name in known}
    name = max(found, key=found.get, default=None)
    return {"distance": found.get(name, np.nan), "strongest": name}
