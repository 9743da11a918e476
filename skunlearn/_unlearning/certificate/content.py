"""What a certificate says of a fitted unlearner and of its log."""

import platform
from collections import Counter

import sklearn
import skorch
import torch

from skunlearn._recipe import caches
from skunlearn._rows import row_forms
from skunlearn._rows.row_names import join_names
from skunlearn._unlearning.certificate.deletion_log import (
    count_forgotten,
    find_kinds_in_front,
    has_rows_in_front,
)
from skunlearn._unlearning.certificate.derived import find_file, list_artefacts
from skunlearn._unlearning.certificate.guarantees import in_words
from skunlearn._unlearning.certificate.model_digests import model_digest
from skunlearn._version import __version__

SCHEMA_VERSION = 1  # 0: certificates without digests of weights, chain and sections

_SCOPE = (
    "The model of this unlearner, trained on rows as its fit was given them. What stands before or "
    "around it (a scaler, steps of a scikit-learn Pipeline, an ensemble) is no part of it."
)


def write_content(unlearner):
    """What the certificate of a fitted unlearner holds, a dict of JSON's types."""
    guarantee, log = _name_guarantee(unlearner), unlearner.deletions_
    model, records = _describe_model(unlearner), read_records(unlearner)
    notes = _write_notes(unlearner)
    declared = _list_declared(unlearner)
    if _has_changed(unlearner, model):
        guarantee = "none"
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
        "forgotten_rows": count_forgotten(log),
        "guarantee": guarantee,
        "scope": _SCOPE,
        **({"proved": unlearner._state_proof()} if guarantee == "(epsilon, delta)" else {}),
        "notes": notes,
        **({"declared": declared} if declared else {}),
        "model": model,
        "record": {"row": form_of_row(unlearner._record)},
        "deletions": unlearner.deletions_,
        "verification": records.get("verification", []),
        "utility": records.get("utility", []),
        "derived": list_artefacts(unlearner, records.get("derived", [])),
    }


def add_words(content):
    """The same content with its guarantee in words, which are those of its final state."""
    return {**content, "guarantee_in_words": in_words(content["guarantee"], content)}


def read_records(unlearner):
    """What was recorded beside the log, by section."""
    return getattr(unlearner, "_records", None) or {}


def _describe_model(unlearner):
    model = getattr(unlearner, "estimator_", None)
    kind = type(unlearner).__name__ if model is None else type(model).__name__
    model = unlearner.estimators_ if model is None else model  # of a graph's shards
    return {
        "class": kind,
        "version": len(unlearner.deletions_),
        "weights": model_digest(model),
        "file": find_file(unlearner),
    }


def _has_changed(unlearner, model):
    last = (unlearner.deletions_ or [{}])[-1].get("weights")
    return last is not None and last["digest"] != model["weights"]["digest"]


def form_of_row(record):
    """How a row looks, so that others can be compared with it; None where that is not known."""
    if not hasattr(record, "like"):
        return None
    try:
        return row_forms.describe(record.like)
    except TypeError:  # columns that no file names
        return None


def _name_guarantee(unlearner):
    promises = unlearner._make_promises()
    if unlearner.deletions_ and promises.certified and not has_rows_in_front(unlearner):
        return "(epsilon, delta)"
    if unlearner.deletions_ and all(entry["exact"] for entry in unlearner.deletions_):
        return promises.guarantee
    return "none"


def _write_notes(unlearner):
    """What narrows the guarantee, a sentence each."""
    in_front = find_kinds_in_front(unlearner)
    brought = [name for entry in unlearner.deletions_ for name in entry.get("trained_before", [])]
    notes = [
        f"{name}: brought along from rows that are not known here, so that no retraining "
        "starts from nothing."
        for name in dict.fromkeys(brought)
    ]
    if any("(a FrozenEstimator" not in name for name in brought):
        notes.append(
            "What of this holds nothing of any row is not named where the module computes it in "
            "its __init__ (an estimator in fit), or where it stands in the code as a list of at "
            "most 100 numbers. Public weights are declared by PublicBackbone."
        )
    notes += [
        f"{item['step']} is declared to hold no training row, as it was trained on "
        f"{item['trained_on']}. Declared by: {item['declared_by']}. That is not checked."
        for item in _list_declared(unlearner)
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
    if report is not None or caches.list_caches(unlearner):
        notes += caches.write_notes(report)
    corrected = sum(entry.get("corrected", 0) for entry in unlearner.deletions_)
    if corrected:
        notes.append(
            f"{corrected} of the rows in the log were corrected, not deleted: their old values are "
            "forgotten, and the model was trained on the new ones."
        )
    equal = sum(entry.get("equal_rows_left", 0) for entry in unlearner.deletions_)
    if equal:
        notes.append(
            f"{equal} retained rows equal one that was forgotten: another record, or the same row "
            "with another label. What the model knows of them stays. X_forget= alone names all "
            "rows that are equal."
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
    written = unlearner.deletions_[-1].get("written_kept") if unlearner.deletions_ else None
    if written:
        notes.append(
            f"{join_names(written)} was written to in the training before the request, by code of "
            "the modules themselves, and is kept: what it holds of forgotten rows is still there, "
            "and in pickles. RetrainUnlearner starts it anew."
        )
    kept = unlearner.deletions_[-1].get("statistics_kept") if unlearner.deletions_ else None
    if kept:
        notes.append(
            f"Running statistics of {', '.join(kept)} are those from before the request: they "
            "could not be taken anew over retained rows, and still hold the forgotten ones."
        )
    return notes + _note_not_looked_at(unlearner)


def _note_not_looked_at(unlearner):
    """What nobody has compared with unseen rows, in a request or in an audit after it."""
    log = unlearner.deletions_
    audited = {found["after_requests"] for found in read_records(unlearner).get("verification", [])}
    blind = [
        entry["not_looked_at"].partition(": ")[2]
        for n, entry in enumerate(log, 1)
        if "not_looked_at" in entry and n not in audited
    ]
    found = []
    for lacked, n in Counter(blind).items():
        which = "" if n == len(log) else f" of {n} of {len(log)} requests"
        found.append(
            f"Whether an attack tells the forgotten rows{which} from rows that the model has never "
            f"seen, nobody has looked at: {lacked}"
        )
    return found


def _list_declared(unlearner):
    """What was declared of public backbones below nets, each version of them once."""
    found = []
    for entry in unlearner.deletions_:
        found += [item for item in entry.get("declared", []) if item not in found]
    return found
