"""The log of deletions, and what a certificate says of it."""

import platform
from datetime import UTC, datetime

import numpy as np
import sklearn
import skorch
import torch

from skunlearn._files.canonical import link
from skunlearn._recipe import caches
from skunlearn._rows import row_forms
from skunlearn._unlearning.certificate import keyed
from skunlearn._unlearning.certificate.derived import derived_artefacts, file_of
from skunlearn._unlearning.certificate.guarantees import in_words
from skunlearn._unlearning.certificate.model_digests import model_digest
from skunlearn._version import __version__

SCHEMA_VERSION = 1  # 0: certificates without digests of weights, chain and sections

_SCOPE = (
    "The model of this unlearner, trained on rows as its fit was given them. What stands before or "
    "around it (a scaler, steps of a scikit-learn Pipeline, an ensemble) is no part of it."
)


def deletion_entry(unlearner, *, rows, named, classes_forgotten, seconds, measured):
    """One entry of ``deletions_``, of plain JSON types.

    `named` is what `names_of` gives of the forgotten rows.
    """
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
        **forgotten_digests(unlearner._key, *named),
        "classes_forgotten": [plain(label) for label in classes_forgotten],
        "seconds": round(float(seconds), 6),
        "measured": measured,
        # The entry before is complete by now: whatever changes it later breaks the chain.
        "previous": link(unlearner.deletions_),
    }


def log_entry(unlearner, change, model, weights, seconds, kept, brought, declared=()):
    """The entry of a request of rows, for the draft that is at work on it.

    Parameters
    ----------
    unlearner : BaseUnlearner, with its `Removal`
    change : Change
    model : fitted estimator
        That after the request.
    weights : str
        Digest of those before it.
    seconds : float
    kept : list of str or None
        Layers whose running statistics are from before the request.
    brought : list of str
        What came along trained; see `name_trained`.
    declared : list of dict
        What came along trained, and is declared public; see `public_parts.declarations`.
    """
    removal, record = unlearner._removal, unlearner._record
    named = names_of_old if removal.corrected else names_of
    entry = deletion_entry(
        unlearner,
        rows=len(removal.positions),
        named=named(record, removal.positions),
        classes_forgotten=removal.emptied,
        seconds=seconds,
        measured=change.measure(),
    )
    held_out = unlearner._count_held_out(removal.retain)
    if removal.corrected:
        entry["corrected"] = len(removal.positions)
    if record.weights is not None:
        entry["weighted"] = True
    if kept is not None:
        entry["statistics_kept"] = kept
    if brought:
        entry |= {"exact": False, "trained_before": brought}
    if declared:
        entry["declared"] = list(declared)
    if held_out is not None:
        entry["held_out"] = held_out
    entry["weights"] = {**model_digest(model), "before": weights}
    return entry | unlearner._logged()


def names_of(record, positions):
    """How a log knows forgotten rows: by what, their digests, and those of their contents."""
    kind = "ids" if record.ids is not None else "positions" if record.is_dataset else "rows"
    contents = None if record.is_dataset else record.digests_at(positions)
    return kind, record.identifiers(positions), contents


def names_of_old(record, positions):
    """As `names_of`, of values that are corrected: their ids, and positions, stay in use."""
    return "rows", record.label_digests[positions], None


def forgotten_digests(key, kind, identifiers, contents=None):
    """Entries of the log that stand for forgotten rows; without the key they say nothing."""
    packed = {"named_by": kind, "identifiers": keyed.pack(identifiers, key)}
    if contents is not None:
        packed["rows"] = keyed.pack(contents, key)
    return {"identifiers_digest": keyed.one_digest(identifiers, key), "forgotten": packed}


def weights_change(before, after):
    """Digests of the model's weights before and after a request."""
    before, after = model_digest(before), model_digest(after)
    return {**after, "before": before["digest"], "digest": after["digest"]}


def content_of(unlearner):
    """What the certificate of a fitted unlearner holds, a dict of JSON's types."""
    guarantee, log = _guarantee(unlearner), unlearner.deletions_
    model, records, notes = _model(unlearner), records_of(unlearner), _notes(unlearner)
    declared = _declared(unlearner)
    if _has_changed(unlearner, model):
        notes.append(
            "The model is not the one that the last request left: its weights have been changed "
            "since, or it was trained anew with other draws."
        )
    return {
        "schema_version": SCHEMA_VERSION,
        "skunlearn": __version__,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "skorch": skorch.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "retained_rows": int(unlearner._record.retained.sum()),
        # By the log: a model that was trained again knows the rows that are left alone.
        "forgotten_rows": sum(entry["rows"] - entry.get("corrected", 0) for entry in log),
        "guarantee": guarantee,
        "scope": _SCOPE,
        **({"proved": unlearner._proved()} if guarantee == "(epsilon, delta)" else {}),
        "notes": notes,
        **({"declared": declared} if declared else {}),
        "model": model,
        "record": {"row": form_of_row(unlearner._record)},
        "deletions": unlearner.deletions_,
        "verification": records.get("verification", []),
        "utility": records.get("utility", []),
        "derived": derived_artefacts(unlearner, records.get("derived", [])),
    }


def with_words(content):
    """The same content with its guarantee in words, which are those of its final state."""
    return {**content, "guarantee_in_words": in_words(content["guarantee"], content)}


def records_of(unlearner):
    """What was recorded beside the log, by section."""
    return getattr(unlearner, "_records", None) or {}


def _model(unlearner):
    model = getattr(unlearner, "estimator_", None)
    kind = type(unlearner).__name__ if model is None else type(model).__name__
    model = unlearner.estimators_ if model is None else model  # of a graph's shards
    return {
        "class": kind,
        "version": len(unlearner.deletions_),
        "weights": model_digest(model),
        "file": file_of(unlearner),
    }


def _has_changed(unlearner, model):
    last = (unlearner.deletions_ or [{}])[-1].get("weights")
    return last is not None and last["digest"] != model["weights"]["digest"]


def form_of_row(record):
    """How a row looks, so that others can be compared with it; None where that is not known."""
    if not hasattr(record, "row_like"):
        return None
    try:
        return row_forms.describe(record.row_like())
    except TypeError:  # columns that no file names
        return None


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
    notes += [
        f"{item['step']} is declared to hold no training row, as it was trained on "
        f"{item['trained_on']}. Declared by: {item['declared_by']}. That is not checked."
        for item in _declared(unlearner)
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
    corrected = sum(entry.get("corrected", 0) for entry in unlearner.deletions_)
    if corrected:
        notes.append(
            f"{corrected} of the rows in the log were corrected, not deleted: their old values are "
            "forgotten, and the model was trained on the new ones."
        )
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


def _declared(unlearner):
    """What was declared of public backbones below nets, each version of them once."""
    found = []
    for entry in unlearner.deletions_:
        found += [item for item in entry.get("declared", []) if item not in found]
    return found


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
