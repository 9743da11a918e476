"""What an unlearner tells of itself: the certificate, findings that join it, what must stay out.

The functions that take `self` are methods of unlearners, pipelines and graph estimators.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime

from sklearn.utils.validation import check_is_fitted

from skunlearn._files.digests import canonical, chain_entry, json_digest
from skunlearn._unlearning.certificate.content import add_words, read_records
from skunlearn._unlearning.certificate.derived import check_artefacts
from skunlearn._unlearning.certificate.document import issue
from skunlearn._unlearning.certificate.exclusion import write_manifest
from skunlearn._unlearning.certificate.findings import describe_finding

_REQUEST = (
    *("id", "what", "subject", "received", "done"),
    *("deadline", "state", "reason", "next", "version"),
)
_REQUEST_STATES = ("applied", "refused", "delayed", "pending", "running")


def certificate(self, *, format="json", request=None):
    """What was forgotten, how, when, and what was measured.

    ``"guarantee"`` is ``"retrained without the rows"`` for exact methods (or the solution
    without them, where it is computed), ``"(epsilon, delta)"`` for certified ones, with what
    was proved under ``"proved"``, and ``"none"`` for the others, which are judged by
    measurement only. It is ``"none"`` as well where something was trained before (a
    ``FrozenEstimator`` inside `estimator`, weights that a module loads), or where a
    scikit-learn Pipeline has fitted steps in front of this estimator; ``"notes"`` then names
    it. ``"guarantee_in_words"`` says it in words, and against whom it holds; ``"scope"`` says
    what is spoken of.

    ``"model"`` holds a digest of the weights, ``"verification"``, ``"utility"`` and
    ``"derived"`` what `record` was given, ``"integrity"`` the digests by which
    ``python -m skunlearn.verify`` finds changes.

    Parameters
    ----------
    format : {"json", "letter", "html"}, default="json"
        JSON; plain words for the person whose rows they were; one page for the file.
    request : dict, default=None
        The request that is answered: "id" and "state" ("applied", "refused", "delayed",
        "pending" or "running"), and "what" ("deletion" or "correction"), "subject" (a
        pseudonym), "received", "done", "deadline", "reason", "next" and "version" if there
        are any, all of them text. From a `DeletionQueue` use its ``certificate``, which fills
        these in.

    Returns
    -------
    certificate : Certificate, or str for the other formats
        The text of a JSON object; its entries are read as those of a dict.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn import RetrainUnlearner
    >>> X, y = np.eye(6), np.array([0, 1, 0, 1, 0, 1])
    >>> unlearner = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X, y)
    >>> certificate = unlearner.unlearn(X[:1]).certificate()
    >>> certificate["deletions"][0]["rows"], certificate["guarantee"]
    (1, 'retrained without the rows')
    """
    check_is_fitted(self)
    return certify(self, self._certified_content(), request, format)


def record(self, *, audit=None, utility=None, derived=None):
    """Let what was found out after a request join its certificate.

    Each record names the request that it is about, the last one, and the record before it.

    Parameters
    ----------
    audit : Report, MembershipInference, dict, or list of these, default=None
        What `skunlearn.evaluation.audit`, ``MIAScorer.measure`` or `check_deletion` have found:
        every figure with its interval, reference and verdict.
    utility : dict, default=None
        What `skunlearn.evaluation.utility_change` has found.
    derived : list of dict, default=None
        What was made of the model or of its rows (checkpoints, exports, distilled or
        fine-tuned children, caches, embeddings): "what" in words, "state" ("deleted",
        "retrained", "still there" or "unknown"), and "detail" if there is one. A later
        state takes the place of an earlier one. Caches, checkpoints and files of `save` are
        filled in by themselves.

    Returns
    -------
    self : object

    Raises
    ------
    TypeError, ValueError
        When nothing has been forgotten yet, nothing is given, or something is of another
        kind, holds rows or values that JSON does not have. Nothing is recorded then.
    """
    check_is_fitted(self)
    if not self.deletions_:
        raise ValueError(f"This {type(self).__name__} has not forgotten anything yet.")
    audits = [] if audit is None else list(audit) if isinstance(audit, list) else [audit]
    entries = [
        ("verification", {"kind": type(found).__name__, "found": describe_finding(found)})
        for found in audits
    ]
    if utility is not None:
        entries.append(("utility", {"found": describe_finding(utility)}))
    if derived is not None:
        entries.append(("derived", {"artefacts": check_artefacts(derived)}))
    if not entries:
        raise ValueError("Pass what is to be recorded: audit=, utility= or derived=.")
    records = dict(read_records(self))
    about = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "after_requests": len(self.deletions_),
        "deletion": json_digest(self.deletions_[-1]),
    }
    for section, entry in entries:
        canonical(entry)
        records[section] = chain_entry(records.get(section, []), about | entry)
    self._change(records=records)
    return self


def log_key(self):
    """The secret of the digests of rows in ``deletions_`` and in the certificate.

    It is drawn by ``fit``, and lies in pickles and files of the estimator. It protects against
    whoever has the log or a certificate alone, and might guess a name or a row. Not against
    whoever has the estimator, whose record holds digests without a key, by which forgotten
    rows are recognised when they come back.

    Returns
    -------
    key : bytes
        For ``Certificate.mentions`` of a certificate that was read from a file.
    """
    check_is_fitted(self)
    return self._key


def exclusion_manifest(self, key):
    """Keyed digests of what was forgotten, to keep it out of the next training.

    Beside a data pipeline or a backup it tells forgotten rows from others, see
    `skunlearn.verify.assert_excluded`, and says nothing to whoever does not have the key. The old
    values of corrected rows are among what was forgotten, unless a retained row holds them now.

    Parameters
    ----------
    key : bytes
        A secret of your own, of 16 bytes at least.

    Returns
    -------
    manifest : dict
        Of JSON's types.

    Raises
    ------
    TypeError
        When the key is no key.
    ValueError
        When rows are known by position only (a torch Dataset without ids), or not known at all, as
        the model was trained again on those that are left: a worker in production does so when it
        is started anew, of an exact method. Keep the manifest of before.
    """
    check_is_fitted(self)
    return write_manifest(self._record, key, self.deletions_)


def certify(unlearner, content, request=None, format="json"):
    """The certificate of a content."""
    content = add_words(content)
    if request is not None:
        content = {"request": check_request(request), **content}
    return issue(content, key=getattr(unlearner, "_key", None), format=format)


def check_request(request):
    """A request's fields as a certificate holds them."""
    if not isinstance(request, Mapping):
        raise TypeError(f"request must be a dict, got {type(request).__name__}.")
    unknown = set(request) - set(_REQUEST)
    if unknown:
        raise TypeError(f"request has unknown entries {sorted(map(str, unknown))}; of {_REQUEST}.")
    if not isinstance(request.get("id"), str) or request.get("state") not in _REQUEST_STATES:
        raise ValueError(
            f"request needs an 'id', a text, and a 'state' of {_REQUEST_STATES}; got {request!r}."
        )
    if request["state"] in ("refused", "delayed") and not request.get("reason"):
        raise ValueError(f"A request that is {request['state']} needs a 'reason', in words.")
    for name, value in request.items():
        kinds = (str, int) if name == "version" else str
        if value is not None and not isinstance(value, kinds):
            raise TypeError(f"request[{name!r}] must be text, got {value!r}.")
    return {name: request.get(name) for name in _REQUEST}


def note_file(unlearner, path):
    """Remember a file that holds the present model."""
    path = os.path.abspath(os.fspath(path))
    file = os.path.basename(path), len(unlearner.deletions_), path
    files = [other for other in unlearner._saved_files if other[1:] != file[1:]]
    unlearner._change(files=(*files, file))
