"""The log of deletions and the certificate made of it."""

import json
import platform
from datetime import UTC, datetime

import numpy as np
import sklearn
import skorch
import torch
from sklearn.utils.validation import check_is_fitted

from skunlearn._recipe import caches
from skunlearn._rows.containers import digest_of
from skunlearn._version import __version__

_SCOPE = (
    "The model of this unlearner, trained on rows as its fit was given them. What stands before or "
    "around it (a scaler, steps of a scikit-learn Pipeline, an ensemble) is no part of it."
)


def deletion_entry(unlearner, *, rows, identifiers, classes_forgotten, seconds, measured):
    """One entry of ``deletions_``, of plain JSON types."""
    params = {
        key: plain(value)
        for key, value in unlearner.get_params(deep=False).items()
        if key not in ("estimator", "memory", "verbose")
    }
    seed, promises = int(unlearner._seed), unlearner._make_promises()
    if promises.certified:
        # Whoever can draw the noise again can take it away.
        seed = params["random_state"] = None
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "method": type(unlearner).__name__,
        "exact": promises.exact and not _holds_rows(unlearner),
        "parameters": params,
        "seed": seed,
        "rows": int(rows),
        # Sorted, so that the digest does not depend on the order of the request.
        "identifiers_digest": digest_of(np.unique(identifiers, axis=0)),
        "classes_forgotten": [plain(label) for label in classes_forgotten],
        "seconds": round(float(seconds), 6),
        "measured": measured,
    }


def log_entry(unlearner, change, seconds, kept, brought):
    """The entry of a request of rows, for the draft that is at work on it.

    Parameters
    ----------
    unlearner : BaseUnlearner, with its `Removal`
    change : Change
    seconds : float
    kept : list of str or None
        Layers whose running statistics are from before the request.
    brought : list of str
        What came along trained; see `name_trained`.
    """
    removal, record = unlearner._removal, unlearner._removal.record
    entry = deletion_entry(
        unlearner,
        rows=len(removal.positions),
        identifiers=record.identifiers(removal.positions),
        classes_forgotten=removal.emptied,
        seconds=seconds,
        measured=change.measure(),
    )
    held_out = unlearner._count_held_out(removal.retain)
    if record.weights is not None:
        entry["weighted"] = True
    if kept is not None:
        entry["statistics_kept"] = kept
    if brought:
        entry |= {"exact": False, "trained_before": brought}
    if held_out is not None:
        entry["held_out"] = held_out
    return entry | unlearner._logged()


def certificate(self):
    """What was forgotten, how, when, and what was measured, as JSON.

    Returns
    -------
    text : str
        A JSON object. ``"guarantee"`` is ``"retrained without the rows"`` for exact methods
        (or the solution without them, where it is computed), ``"(epsilon, delta)"`` for
        certified ones, with what was proved under ``"proved"``, and ``"none"`` for the
        others, which are judged by measurement only. It is ``"none"`` as well where
        something was trained before (a ``FrozenEstimator`` inside `estimator`, weights that
        a module loads), or where a scikit-learn Pipeline has fitted steps in front of this
        estimator; ``"notes"`` then names it. ``"scope"`` says what is spoken of.

    Examples
    --------
    >>> import json
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn import RetrainUnlearner
    >>> X, y = np.eye(6), np.array([0, 1, 0, 1, 0, 1])
    >>> unlearner = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X, y)
    >>> certificate = json.loads(unlearner.unlearn(X[:1]).certificate())
    >>> certificate["deletions"][0]["rows"], certificate["guarantee"]
    (1, 'retrained without the rows')
    """
    check_is_fitted(self)
    guarantee, retained = _guarantee(self), self._record.retained
    return json.dumps(
        {
            "skunlearn": __version__,
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "skorch": skorch.__version__,
                "scikit-learn": sklearn.__version__,
            },
            "retained_rows": int(retained.sum()),
            "forgotten_rows": int((~retained).sum()),
            "guarantee": guarantee,
            "scope": _SCOPE,
            **({"proved": self._proved()} if guarantee == "(epsilon, delta)" else {}),
            "notes": _notes(self),
            "deletions": self.deletions_,
        },
        indent=2,
    )


def _guarantee(unlearner):
    promises = unlearner._make_promises()
    if unlearner.deletions_ and promises.certified and not _holds_rows(unlearner):
        return "(epsilon, delta)"
    if unlearner.deletions_ and all(entry["exact"] for entry in unlearner.deletions_):
        return promises.guarantee
    return "none"


def _notes(unlearner):
    """What narrows the guarantee, a sentence each."""
    in_front = _in_front(unlearner)
    brought = [name for entry in unlearner.deletions_ for name in entry.get("trained_before", [])]
    notes = [
        f"{name}: brought along from rows that are not known here, so that no retraining "
        "starts from nothing."
        for name in dict.fromkeys(brought)
    ]
    if in_front.get("declared"):
        notes.append(
            f"Steps {', '.join(in_front['declared'])} of a Pipeline in front are declared to "
            "hold no training row; the certificate of an UnlearningPipeline quotes by whom."
        )
    for kind, what in (
        ("fitted", "were fitted on forgotten rows too, and still hold what they learnt"),
        ("frozen", "were fitted elsewhere, on rows that are not known here"),
    ):
        if in_front.get(kind):
            notes.append(
                f"Steps {', '.join(in_front[kind])} of a Pipeline in front {what}: the log "
                "speaks of the model behind them only. UnlearningPipeline forgets in steps too."
            )
    report = (unlearner.deletions_ or [{}])[-1].get("caches")
    if report is not None or caches.caches(unlearner):
        notes += caches.notes(report)
    if unlearner._record.weights is not None:
        notes.append(
            "The training weighs rows by sample_weight; what was measured counts each once."
        )
    reader = getattr(unlearner._record, "reader", None)
    if unlearner.deletions_ and reader is not None and reader.noisy:
        notes.append(
            "Training rows were measured through their random augmentation, not as they are: "
            "fit was not given measure_on=."
        )
    kept = unlearner.deletions_[-1].get("statistics_kept") if unlearner.deletions_ else None
    if kept:
        notes.append(
            f"Running statistics of {', '.join(kept)} are those from before the request: they "
            "could not be taken anew over retained rows, and still hold the forgotten ones."
        )
    return notes


def _in_front(unlearner):
    """Kinds of the steps of a Pipeline before the unlearner; see `step_kinds.kinds`."""
    return getattr(unlearner, "_steps_before", None) or {}


def _holds_rows(unlearner):
    return any(_in_front(unlearner).get(kind) for kind in ("fitted", "frozen"))


def plain(value):
    """`value` in JSON's types."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "shape"):  # rows, say, that are nobody's business here
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
