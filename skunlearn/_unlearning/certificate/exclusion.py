"""Manifests of what must not come back, in training or from a backup."""

import base64
import hashlib
import hmac

import numpy as np

from skunlearn._rows import row_forms
from skunlearn._rows.containers import align, is_dataset, name_digests, row_digests
from skunlearn._unlearning.certificate.deletion_log import count_forgotten
from skunlearn.exceptions import AlreadyForgottenError

_KIND = "skunlearn exclusion manifest"
_ALGORITHM = "HMAC-SHA256, 16 bytes, of BLAKE2b of the row"
_SIZE = 16


def write_manifest(record, key, log):
    """Keyed digests of the forgotten rows of a record, and of what corrected ones held before.

    A dict of JSON's types. By the `log` the record must know all of them.
    """
    key = check_key(key)
    gone = np.flatnonzero(~record.retained)
    contents, ids = getattr(record, "digests", None), getattr(record, "ids", None)
    if not hasattr(record, "like"):  # nodes of a graph go by their ids
        contents, ids = None, record.digests
    if contents is None and ids is None:
        raise ValueError(
            "The rows of this estimator are known by position only, as it was fitted on a torch "
            "Dataset without ids: a manifest could not tell them from others. Pass ids= to fit."
        )
    _refuse_missing(record, contents, log)
    return {
        "kind": _KIND,
        "algorithm": _ALGORITHM,
        "key": _mac(b"which key", key).hex(),
        "row": None if contents is None else row_forms.describe(record.like),
        "rows": None if contents is None else _pack(record.digests_gone, key),
        "ids": None if ids is None else _pack(ids[gone], key),
        "n_forgotten": len(gone),
    }


def assert_excluded(X=None, manifest=None, key=None, *, ids=None):
    """Refuse rows that were forgotten, before the next training or after a backup was restored.

    Parameters
    ----------
    X : rows as in ``fit``, default=None
        Compared by content, whatever their labels.
    manifest : dict
        Of ``exclusion_manifest`` of an unlearner.
    key : bytes
        With which it was made.
    ids : sequence of hashable values, default=None
        Identifiers of rows, compared with those that were forgotten. At least one of `X` and
        `ids` is needed.

    Raises
    ------
    AlreadyForgottenError
        When a row or an identifier was forgotten; it says which, by position.
    ValueError
        When this is no manifest, the key is another one, or the manifest cannot tell (it holds no
        digests of contents, say).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.verify import assert_excluded
    >>> X, y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])
    >>> unlearner = RetrainUnlearner(GaussianNB()).fit(X, y).unlearn(indices=[2])
    >>> key = b"a secret of your own"
    >>> manifest = unlearner.exclusion_manifest(key)
    >>> assert_excluded(X[3:], manifest, key)
    >>> assert_excluded(X, manifest, key)
    Traceback (most recent call last):
    ...
    skunlearn.exceptions.AlreadyForgottenError: 1 of 6 rows of X were forgotten and must not \
come back (2). Leave them out.
    """
    if not isinstance(manifest, dict) or manifest.get("kind") != _KIND:
        raise ValueError("manifest must be what exclusion_manifest of an unlearner returned.")
    if X is None and ids is None:
        raise TypeError("Pass what is to be checked: X, ids= or both.")
    key = check_key(key)
    if not hmac.compare_digest(manifest["key"], _mac(b"which key", key).hex()):
        raise ValueError("The key is not the one that the manifest was made with.")
    if X is not None:
        if manifest["rows"] is None:
            raise ValueError("This manifest knows rows by their ids only: pass ids=.")
        if is_dataset(X):
            raise TypeError("X must be an array, a frame or the like; a torch Dataset is none.")
        X, exact = align(X, row_forms.empty(manifest["row"]), "X")
        _refuse(exact & _find_hits(manifest["rows"], row_digests(X), key), "rows of X")
    if ids is not None:
        if manifest["ids"] is None:
            raise ValueError("This manifest holds no ids, as fit was given none: pass X.")
        _refuse(_find_hits(manifest["ids"], name_digests(list(ids)), key), "ids")


def check_key(key):
    """A secret of the user's."""
    if not isinstance(key, bytes) or len(key) < 16:
        raise TypeError("key must be bytes, 16 at least, that nobody can guess.")
    return key


def _refuse_missing(record, contents, log):
    """Raise where rows are gone that the record does not know, and a manifest would let pass."""
    missing = count_forgotten(log) - int((~record.retained).sum())
    if contents is not None:
        known = 0 if record.old_digests is None else len(record.old_digests)
        missing += max(0, sum(entry.get("corrected", 0) for entry in log) - known)
    if missing > 0:
        raise ValueError(
            f"{missing} of the rows that the log tells of are not known any more, as the model was "
            "trained again on those that are left (by a worker that was started anew, say): a "
            "manifest would let them pass. Keep the manifest of before; start of a worker knows "
            "them itself, and leaves them out."
        )


def _refuse(hits, what):
    if hits.any():
        where = np.flatnonzero(hits).tolist()
        shown = ", ".join(map(str, where[:5])) + (", ..." if len(where) > 5 else "")
        raise AlreadyForgottenError(
            f"{len(where)} of {len(hits)} {what} were forgotten and must not come back ({shown}). "
            "Leave them out.",
            where,
        )


def _mac(data, key):
    return hmac.new(key, data, hashlib.sha256).digest()[:_SIZE]


def _pack(table, key):
    return base64.b64encode(b"".join(sorted({_mac(row.tobytes(), key) for row in table}))).decode()


def _find_hits(packed, table, key):
    data = base64.b64decode(packed)
    held = {data[i : i + _SIZE] for i in range(0, len(data), _SIZE)}
    return np.array([_mac(row.tobytes(), key) in held for row in table], dtype=bool)
