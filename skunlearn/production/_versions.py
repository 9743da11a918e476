"""Model versions as files that hold arrays and JSON, and the way back from them to a model.

Nets are written as ``unlearner.save`` does, with the fitted steps in front of them. Exact methods
of other models need no weights: a training on the retained rows gives the same model, so that their
version is the list of these rows, with the log and digests of weights and rows, by which an auditor
knows it.
"""

import copy
import hashlib
import json
import re

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skunlearn._files.write_whole import PART
from skunlearn._recipe import caches
from skunlearn._rows.checking import check_weights
from skunlearn._rows.containers import is_dataset, match, name_digests, row_digests, take
from skunlearn._rows.record import TrainingRecord
from skunlearn._rows.row_names import join_names
from skunlearn._torch import skorch_nets
from skunlearn._unlearning import persistence
from skunlearn._unlearning.validation import check_dataset
from skunlearn.base import BaseUnlearner
from skunlearn.compose import _step_files
from skunlearn.compose._front_steps import as_rows
from skunlearn.compose.pipeline import UnlearningPipeline
from skunlearn.production import _logs, _names

_FOLDER = "models"
_NAMES = ("ids", "groups", "contents")
_BEGUN = re.compile(rf"{re.escape(PART)}.*|rows(-\d+)?\.safetensors")


def kind_of(unlearner):
    """ "net" where ``save`` holds the model, "refit" where a training gives it again.

    Raises TypeError for unlearners that are neither, ImportError where skops is missing to write
    the steps in front of a net.
    """
    pipeline = isinstance(unlearner, Pipeline)
    final = unlearner.steps[-1][1] if pipeline else unlearner
    name = type(final).__name__
    if not isinstance(final, BaseUnlearner) or (
        pipeline and not isinstance(unlearner, UnlearningPipeline)
    ):
        raise TypeError(
            f"A DeletionWorker needs an unlearner or an UnlearningPipeline, got {unlearner!r}. "
            "Pass an unlearner around it: RetrainUnlearner takes any estimator or pipeline, and "
            "make_unlearner(estimator) chooses one."
        )
    net = skorch_nets.is_net(skorch_nets.unwrap(final.estimator))
    holds = net and not final._make_promises().watches_training
    if holds and not pipeline:
        return "net"
    frozen = skorch_nets.unwrap(final.estimator) is not final.estimator
    if unlearner._make_promises().exact and not frozen:
        return "refit"
    if holds:
        _step_files.refuse_unwritable(unlearner.steps[:-1])
        return "net"
    why = (
        "its steps are kept, and a training on the retained rows would give others"
        if pipeline and final._make_promises().exact and not frozen
        else "what it needs to go on forgetting is not part of the file that save writes"
    )
    if frozen and unlearner._make_promises().exact:
        why = (
            "its model was trained elsewhere (FrozenEstimator), and a training on the retained "
            "rows would be another; without FrozenEstimator it could"
        )
    raise TypeError(
        f"After a restart {type(unlearner).__name__} ({name}) could not go on: {why}. Take a "
        "method for nets that starts from the present weights, or an exact one (RetrainUnlearner, "
        "say, around any estimator or pipeline)."
    )


def refuse_caches(unlearner):
    """Raise ValueError when nets that saw rows to be forgotten would be kept in a cache."""
    for name, (_, value) in caches.list_caches(unlearner).items():
        raise ValueError(
            f"{name} keeps models that have seen what is to be forgotten, in {value!r}. It is "
            f"made for searches: use set_params({name}=None) here, and empty that folder."
        )


class RowTable:
    """Salted digests of all rows as they came first, to know them again in any order.

    A digest is of row, label, sample weight and id. Rows of a torch Dataset are known by position
    (and weight, if they have any). Once rows were corrected, `newest` holds by which request: see
    `resolve`. `names` maps "ids" and "groups" to salted digests of those of the first start,
    and "contents" to those of rows alone.
    """

    def __init__(self, digests, n, newest=None, names=None):
        self.digests, self.n, self.newest = digests, n, newest
        self.names = names or {}
        self.as_columns = self.contents = None

    @classmethod
    def of(cls, X, y, weights, ids, salt):
        """The table of rows as a caller has them."""
        if is_dataset(X):
            check_dataset(X)
            if weights is None:
                return cls(None, len(X))
            parts, ids = [name_digests(range(len(X)))], None
        else:
            values = _values(y)
            parts = [row_digests(as_rows(X)), name_digests(values)]
        if weights is not None:
            parts.append(name_digests(np.asarray(_values(weights), dtype=np.float64)))
        if ids is not None:
            parts.append(name_digests(list(ids)))
        if len({len(part) for part in parts}) != 1:
            sizes = [len(part) for part in parts]
            raise ValueError(f"X, y, sample_weight and ids (those given) have {sizes} rows.")
        salted = _salted(np.hstack(parts), salt)
        table = cls(salted, len(salted))
        if not is_dataset(X):
            table.contents = parts[0]
            table.as_columns = lambda: _salted(
                np.hstack([parts[0], name_digests([[value] for value in values]), *parts[2:]]), salt
            )
        return table

    @classmethod
    def read(cls, queue):
        """The table of a queue."""
        tables = load_tensors(read_whole(queue, *queue._meta("rows")))
        held = {name: table.numpy() for name, table in tables.items()}
        names = {kind: held[kind] for kind in _NAMES if kind in held}
        return cls(held.get("digests"), int(held["n"]), held.get("newest"), names)

    def keep_names(self, salt, **names):
        """Keep what tells later which names were here: of forgotten rows no other file may."""
        for kind, given in names.items():
            if given is not None:
                self.names[kind] = _salted(np.unique(name_digests(list(given)), axis=0), salt)

    def keep_contents(self, salt, table=None):
        """Keep, beside what is kept, what tells later that a row was here; of another `table`."""
        contents = self.contents if table is None else table.contents
        if contents is not None and (table is None or "contents" in self.names):
            salted = _salted(np.unique(contents, axis=0), salt)
            held = self.names.get("contents", salted[:0])
            self.names = self.names | {"contents": np.concatenate([held, salted])}

    def was_seen(self, kind, digests, salt):
        """Which of these names rows bore at the first start."""
        if kind not in self.names:
            return np.zeros(len(digests), dtype=bool)
        return np.array([len(hit) > 0 for hit in match(self.names[kind], _salted(digests, salt))])

    def correct(self, positions, digests, by):
        """A table in which some rows are known by other digests.

        `by` holds each `Correction`, behind the positions of its rows at the first start.
        """
        held = self.digests.copy()
        held[positions] = digests
        newest = np.zeros((self.n, 2), np.int64) if self.newest is None else self.newest.copy()
        for rows, each in by:
            for part, values in enumerate((each.X, each.y)):
                if values is not None:
                    newest[rows, part] = each.number
        return type(self)(held, self.n, newest, self.names)

    def write(self, queue, lease, number=None):
        """Write the table; return its file and checksum.

        `number` is that of the batch that has corrected rows; None at the first start.
        """
        tables = {"n": torch.tensor(self.n)}
        if self.digests is not None:
            tables["digests"] = torch.from_numpy(self.digests.copy())
        if self.newest is not None:
            tables["newest"] = torch.from_numpy(self.newest)
        tables |= {kind: torch.from_numpy(held.copy()) for kind, held in self.names.items()}
        data, name = save(tables), f"rows{lease.suffix}.safetensors"
        if number is not None:
            name = f"{_FOLDER}/rows{number:08d}{lease.suffix}.safetensors"
        queue._objects.write(name, data, lease.held())
        return name, _sha256(data)

    def order(self, given, retained):
        """Where the rows of `given` hold each retained row of this table, in this table's order.

        Raises ValueError when one is missing, or one was never here.
        """
        if self.digests is None:
            if given.n != self.n:
                raise ValueError(f"The Dataset has {given.n} rows, but had {self.n} at first.")
            return np.flatnonzero(retained)
        hits = match(given.digests, self.digests)
        if given.as_columns and not all(len(hits[i]) for i in np.flatnonzero(retained)):
            # Release 0.2.0 knew a label that came in a column as a list of one value.
            older = match(given.as_columns(), self.digests)
            hits = [hit if len(hit) else old for hit, old in zip(hits, older)]
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
                "never among them. Pass the same rows, labels, sample weights and ids as at the "
                "first start; those that were forgotten may be left out, and those that were "
                "corrected have their new values."
            )
        return np.asarray(order, dtype=np.intp)


def _salted(digests, salt):
    """Keyed digests of digests, of shape (n, 16)."""
    salted = b"".join(_names.digest(row.tobytes(), salt) for row in digests)
    return np.frombuffer(salted, np.uint8).reshape(-1, 16)


def _values(y):
    """Values of an array of any kind as a list; a column is one of its values, as in ``fit``."""
    y = np.asarray(y.detach().cpu() if isinstance(y, torch.Tensor) else y)
    return (y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y).tolist()


class Versions:
    """The files of a queue's models; only the newest is kept, as older ones know more."""

    def __init__(self, queue):
        self.queue = queue

    @staticmethod
    def pack(unlearner, retained, kind):
        """The bytes of a version."""
        if kind != "net":
            return _logs.pack(unlearner, retained)
        if isinstance(unlearner, UnlearningPipeline):
            tensors, state = unlearner._describe()
            lost = state["last"]["lost"]
        else:
            tensors, state = persistence.describe(unlearner)
            lost = state["lost"]
        if lost:
            raise TypeError(
                f"After a restart {type(unlearner).__name__} could not go on: a model version "
                f"holds weights and buffers, and not {join_names(lost)}, which were "
                "changed after the module was built. Let the module's __init__ build them from "
                "parameters (module__<name>=...), or hold them as buffers."
            )
        return save(tensors, metadata={"skunlearn": json.dumps(state)})

    def write(self, data, number, lease):
        """Write a version, and return its file and checksum once it is stored."""
        name = f"{number:08d}{lease.suffix}.safetensors"
        self.queue._objects.write(f"{_FOLDER}/{name}", data, lease.held())
        return name, _sha256(data)

    def read(self, name, sha256):
        """The bytes of a version, which are those that were written."""
        return read_whole(self.queue, f"{_FOLDER}/{name}", sha256)

    def load(self, unlearner, data, name):
        """Bring an unlearner into the state that the bytes of a version hold."""
        tensors, state = load_tensors(data), _logs.read_state(data)
        where = self.queue._objects.where(f"{_FOLDER}/{name}")
        if isinstance(unlearner, UnlearningPipeline):
            unlearner._restore(tensors, state, where)
            return unlearner
        return persistence.restore(unlearner, tensors, state, where)

    def clear(self, lease):
        """Delete what first starts that were killed have left outside of the models' folder."""
        objects = self.queue._objects
        with lease.held():
            for name in objects.names(""):
                if _BEGUN.fullmatch(name):
                    objects.delete(name)

    @staticmethod
    def retained(data):
        """The mask of retained rows in the bytes of a version."""
        tables = load_tensors(data)
        return (tables["retained"] if "retained" in tables else tables["record.retained"]).numpy()

    def sweep(self, lease):
        """Delete what is not the newest: older models, and what a kill left half-written.

        Of a worker that has taken over in the meantime nothing is touched.
        """
        objects = self.queue._objects
        with lease.held():
            keep = {f"{_FOLDER}/{self.queue._newest()[1]}", self.queue._meta("rows")[0]}
            for name in objects.names(_FOLDER):
                if name not in keep and (not lease.suffix or _token(name) <= lease.token):
                    objects.delete(name)


def _token(name):
    """The token in the name of a file that a worker with a lease has written."""
    digits = name.removesuffix(".safetensors").rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def read_whole(queue, name, sha256):
    """The bytes of a file of a queue's, which are those that were written.

    Raises FileNotFoundError or ValueError, with what to do.
    """
    where = queue._objects.where(name)
    try:
        data = queue._objects.read(name)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{where} is gone. Restore it from a backup of this version."
        ) from error
    if _sha256(data) != sha256:
        raise ValueError(
            f"{where} is not the file that was written: its checksum differs. Restore it from "
            "a backup of this version."
        )
    return data


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def template(unlearner):
    """An unfitted copy, in which no trained model is left."""
    new = clone(unlearner)
    final = new.steps[-1][1] if isinstance(new, Pipeline) else new
    if isinstance(getattr(final, "estimator", None), FrozenEstimator):
        final.estimator = skorch_nets.clone_any(final.estimator.estimator)
    return new


def check_rows(unlearner, kind, X, y, weights):
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
    given = None if weights is None else check_weights(weights, len(record))
    if not _same(given, record.weights, record.retained):
        raise ValueError(
            "sample_weight is not what the unlearner was fitted with. Pass that, or an unlearner "
            "that is not fitted."
        )


def _same(given, weights, retained):
    if given is None or weights is None:
        return given is weights
    return np.array_equal(given[retained], weights[retained])


def fit_again(unlearner, load, rows, order):
    """A copy of `unlearner` in the state of a version, with its rows.

    `rows` are those of now, as ``X, y, sample_weight, ids, groups, measure_on``. `load` brings a
    net into that state; None where a training gives it again.
    """
    new, (X, y, weights, ids, groups, measure_on) = copy.copy(unlearner), rows
    if load is not None:
        load(new)
        if is_dataset(X):
            return new.attach(X, y, measure_on=measure_on)
        X, y = taken((as_rows(X), np.asarray(y)), order)
        if is_dataset(measure_on):
            measure_on = take(measure_on, order)
        return new.attach(X, y, measure_on=measure_on)
    X = X if is_dataset(X) else as_rows(X)
    X, y, weights, ids, groups = taken((X, y, weights, ids, groups), order)
    if is_dataset(measure_on):
        (measure_on,) = taken((measure_on,), order)
    given = {"sample_weight": weights, "measure_on": measure_on}
    given = {name: value for name, value in given.items() if value is not None}
    return new.fit(X, y, ids=ids, groups=groups, **given)


def taken(parts, order):
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
