"""Model versions as files that hold arrays and JSON, and the way back from them to a model.

Nets are written by ``unlearner.save``. Exact methods of other models need no weights: a training
on the retained rows gives the same model, so that their version is the list of these rows.
"""

import os

import numpy as np
import torch
from safetensors.torch import load_file, save
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skunlearn import _skorch
from skunlearn._data import is_dataset, match, name_digests, row_digests, take
from skunlearn._pipeline import shallow
from skunlearn._portable import listed
from skunlearn._record import TrainingRecord
from skunlearn._transformers import as_rows
from skunlearn.base import BaseUnlearner
from skunlearn.pipeline import UnlearningPipeline
from skunlearn.production import _names
from skunlearn.production._files import checksum, settle, sweep, write_new

_ROWS = "rows.safetensors"


def kind_of(unlearner):
    """ "net" where ``save`` holds the model, "refit" where a training gives it again.

    Raises TypeError for unlearners that are neither.
    """
    pipeline = isinstance(unlearner, Pipeline)
    final = unlearner.steps[-1][1] if pipeline else unlearner
    name = type(final).__name__
    if not isinstance(final, BaseUnlearner) or (
        pipeline and not isinstance(unlearner, UnlearningPipeline)
    ):
        raise TypeError(
            f"A DeletionWorker needs an unlearner or an UnlearningPipeline, got {unlearner!r}."
        )
    net = _skorch.is_net(_skorch.unwrap(final.estimator))
    if not pipeline and net and not final._watches_training:
        return "net"
    frozen = _skorch.unwrap(final.estimator) is not final.estimator
    if final._is_exact and not frozen and (not pipeline or _is_exact(unlearner)):
        return "refit"
    why = (
        "its steps are kept or it is approximate, and fitted transformers cannot be written "
        "without pickle"
        if pipeline
        else "what it needs to go on forgetting is not part of the file that save writes"
    )
    raise TypeError(
        f"After a restart {type(unlearner).__name__} ({name}) could not go on: {why}. Take a "
        "method for nets that starts from the present weights, or an exact one (RetrainUnlearner, "
        "say, around any estimator or pipeline)."
    )


def refuse_caches(unlearner):
    """Raise ValueError when nets that saw rows to be forgotten would be kept in a cache."""
    for name, value in unlearner.get_params().items():
        if name.rsplit("__", 1)[-1] == "memory" and getattr(value, "location", value) is not None:
            raise ValueError(
                f"{name} keeps models that have seen what is to be forgotten, in {value!r}. It is "
                f"made for searches: use set_params({name}=None) here, and empty that folder."
            )


def _is_exact(pipeline):
    kinds = pipeline._kinds()
    return not kinds["frozen"] and (pipeline.refit_transformers or not kinds["fitted"])


class RowTable:
    """Salted digests of all rows as they came first, to know them again in any order.

    A digest is of row, label and id. Rows of a torch Dataset are known by position.
    """

    def __init__(self, digests, n):
        self.digests, self.n = digests, n

    @classmethod
    def of(cls, X, y, ids, salt):
        """The table of rows as a caller has them."""
        if is_dataset(X):
            return cls(None, len(X))
        parts = [row_digests(as_rows(X)), name_digests(_values(y))]
        if ids is not None:
            parts.append(name_digests(list(ids)))
        if len({len(part) for part in parts}) != 1:
            raise ValueError(f"X, y and ids have {[len(p) for p in parts]} rows.")
        salted = [_names.digest(row.tobytes(), salt) for row in np.hstack(parts)]
        return cls(np.frombuffer(b"".join(salted), np.uint8).reshape(-1, 16), len(salted))

    @classmethod
    def read(cls, folder):
        """The table of a folder."""
        tables = load_file(os.path.join(folder, _ROWS))
        n = int(tables["n"])
        return cls(tables["digests"].numpy() if "digests" in tables else None, n)

    def write(self, folder):
        """Write the table once and for all."""
        tables = {"n": torch.tensor(self.n)}
        if self.digests is not None:
            tables["digests"] = torch.from_numpy(self.digests.copy())
        _write_tensors(tables, os.path.join(folder, _ROWS))

    def order(self, given, retained):
        """Where the rows of `given` hold each retained row of this table, in this table's order.

        Raises ValueError when one is missing, or one was never here.
        """
        if self.digests is None:
            if given.n != self.n:
                raise ValueError(f"The Dataset has {given.n} rows, but had {self.n} at first.")
            return np.flatnonzero(retained)
        hits = match(given.digests, self.digests)
        known = np.zeros(given.n, dtype=bool)
        free = {}  # rows of `given` that stand for a digest, those not yet taken
        order, missing = [], 0
        for position, rows in enumerate(hits):
            known[rows] = True
            if not retained[position]:
                continue
            left = free.setdefault(self.digests[position].tobytes(), list(rows))
            if left:
                order.append(left.pop(0))
            else:
                missing += 1
        if missing or not known.all():
            raise ValueError(
                f"These are not the rows that the model was trained on: {missing} of "
                f"{int(retained.sum())} retained ones are missing, and {int((~known).sum())} were "
                "never among them. Pass the same rows, labels and ids as at the first start; those "
                "that were forgotten may be left out."
            )
        return np.asarray(order, dtype=np.intp)


def _values(y):
    return np.asarray(y.detach().cpu() if isinstance(y, torch.Tensor) else y).tolist()


class Versions:
    """The files of a folder's models; only the newest is kept, as older ones know more."""

    def __init__(self, queue):
        self.folder = os.path.join(queue.folder, "models")
        os.makedirs(self.folder, mode=0o700, exist_ok=True)

    def write(self, unlearner, number, retained, kind):
        """Write a version, and return its file and checksum once both are on disk."""
        name = f"{number:08d}.safetensors"
        path = os.path.join(self.folder, name)
        if kind == "net":
            lost = unlearner._lost_in_files()
            if lost:
                raise TypeError(
                    f"After a restart {type(unlearner).__name__} could not go on: a model version "
                    f"holds weights and buffers, and not {listed(lost)}, which were changed after "
                    "the module was built. Let the module's __init__ build them from parameters "
                    "(module__<name>=...), or hold them as buffers."
                )
            unlearner.save(path)
            os.chmod(path, 0o600)  # older safetensors leave it to the umask
            settle(path)
        else:
            _write_tensors({"retained": torch.from_numpy(np.asarray(retained))}, path)
        return name, checksum(path)

    def path(self, name, sha256):
        """Path of a version whose content is what was written."""
        path = os.path.join(self.folder, name)
        if checksum(path) != sha256:
            raise ValueError(
                f"{path} is not the file that was written: its checksum differs. Restore it from "
                "a backup of this version."
            )
        return path

    def retained(self, name, sha256):
        """The mask of retained rows in a version."""
        tables = load_file(self.path(name, sha256))
        return (tables["retained"] if "retained" in tables else tables["record.retained"]).numpy()

    def sweep(self, keep):
        """Delete what is not the newest: older models, and what a kill left half-written."""
        sweep(self.folder, keep)


def _write_tensors(tables, path):
    write_new(path, save(tables))


def template(unlearner):
    """An unfitted copy, in which no trained model is left."""
    new = clone(unlearner)
    if isinstance(getattr(new, "estimator", None), FrozenEstimator):
        inner = new.estimator.estimator
        new.estimator = _skorch.clone_net(inner) if _skorch.is_net(inner) else clone(inner)
    return new


def check_rows(unlearner, kind, X, y):
    """Raise when a fitted unlearner was not fitted on these rows, in this order."""
    record = unlearner._record
    if kind == "refit" and not record.retained.all():
        raise ValueError(
            "This unlearner has forgotten rows already. Pass one that is not fitted, with the rows "
            "that are left."
        )
    same = record.has_data
    if same and not is_dataset(X):
        X, y = unlearner._check_request(as_rows(X), y, "train")
        given = TrainingRecord(X, y).label_digests
        same = np.array_equal(given, record.label_digests)
    elif same:
        same = len(X) == len(record)
    if not same:
        raise ValueError(
            "These are not the rows that the unlearner was fitted on, in their order, or it holds "
            "none. Pass the rows of its fit, or an unlearner that is not fitted."
        )


def fitted_again(unlearner, kind, path, X, y, ids, groups, order):
    """A copy of `unlearner` in the state of a version, with its rows."""
    new = shallow(unlearner)
    if kind == "net":
        new.load(path)
        if is_dataset(X):
            return new.attach(X, y)
        return new.attach(*_taken((as_rows(X), np.asarray(y)), order))
    X, y, ids, groups = _taken((X if is_dataset(X) else as_rows(X), y, ids, groups), order)
    return new.fit(X, y, ids=ids, groups=groups)


def _taken(parts, order):
    """Rows in another order; untouched where the order is that in which they came."""
    result = []
    for part in parts:
        n = None if part is None else len(part) if not hasattr(part, "shape") else part.shape[0]
        if part is None or (n == len(order) and np.array_equal(order, np.arange(n))):
            result.append(part)
        elif hasattr(part, "shape") or is_dataset(part):
            result.append(take(part, order))
        else:
            result.append([part[i] for i in order])
    return result
