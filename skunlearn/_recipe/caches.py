"""What ``memory=`` keeps of rows that are forgotten, and its deletion.

Beside each cached model lies an index, the digests of the rows that it was trained on. After a
request every model goes whose index holds a row that is not retained, whoever trained it.
"""

import contextlib
import os
from contextvars import ContextVar

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_memory

from skunlearn._files.write_whole import written_whole

_FOLDER = "skunlearn-rows"
_KEPT = ContextVar("caches of models are kept", default=False)


class NotCachedError(Exception):
    """A cached model is asked for that is not there."""


@contextlib.contextmanager
def kept():
    """Requests within are experiments on rows that nobody asked to delete: caches stay."""
    token = _KEPT.set(True)
    try:
        yield
    finally:
        _KEPT.reset(token)


def note(memory, key, rows):
    """Write down which rows a model is going to know, before it is trained and cached.

    Parameters
    ----------
    memory : joblib.Memory
    key : str, of the model
    rows : Rows
        Whose digests are written down.
    """
    folder = _find_index(memory)
    if folder is None or os.path.exists(os.path.join(folder, f"{key}.npy")):
        return
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{key}.npy")
    with written_whole(path) as part, open(part, "wb") as file:
        np.save(file, np.ascontiguousarray(rows.digests))


def purge(estimator, record, cached, parts=()):
    """Delete what the caches of an estimator hold of rows that are not retained.

    Parameters
    ----------
    estimator : unlearner or pipeline that ends in one, after a request
    record : TrainingRecord
        Of the unlearner, with the digests of rows as cached models have seen them, and what is
        retained now.
    cached : callable
        Gives the cached function of a joblib.Memory that trains models.
    parts : sequence of str
        Names of ``memory`` parameters at which an unlearner's models are kept.

    Returns
    -------
    report : dict or None
        "models" deleted; "emptied", names of parameters whose caches of fitted transformers were
        deleted whole; "left", names of those of which it is not known what they hold. None
        without caches.
    """
    found = list_caches(estimator)
    if not found or _KEPT.get():
        return None
    report = {"models": 0, "emptied": [], "left": []}
    for name, (owner, memory) in found.items():
        memory = check_memory(memory)
        try:
            if name in parts:
                if _find_index(memory) is None:
                    report["left"].append(name)
                elif record.digests is not None:
                    report["models"] += _delete_models(memory, record, cached)
            elif isinstance(owner, Pipeline):
                _empty(memory, type(owner))
                report["emptied"].append(name)
            else:
                report["left"].append(name)
        except OSError:  # no right to delete, say: the request is done all the same, and tells
            report["left"].append(name)
    return report


def list_caches(estimator):
    """Caches among the parameters, by name: ``(owner, memory)``."""
    params, found = estimator.get_params(), {}
    for name, value in params.items():
        prefix, _, last = name.rpartition("__")
        if last == "memory" and getattr(value, "location", value) is not None:
            found[name] = params[prefix] if prefix else estimator, value
    return found


def write_notes(report):
    """What a certificate says of caches, given the report of its last request."""
    if report is None:
        return [
            "The memory= cache may still hold models trained on forgotten rows; clear it "
            "(joblib.Memory.clear) to complete the deletion."
        ]
    found = []
    if report["models"] or not (report["emptied"] or report["left"]):
        found.append(
            f"The memory= cache was rid of {report['models']} models trained on forgotten rows."
        )
    if report["emptied"]:
        names = ", ".join(report["emptied"])
        found.append(f"The memory= cache of fitted transformers was emptied ({names}).")
    if report["left"]:
        found.append(
            f"The memory= cache at {', '.join(report['left'])} may still hold what was learnt from "
            "forgotten rows; clear it (joblib.Memory.clear) to complete the deletion."
        )
    return found


def _empty(memory, kind):
    """Delete what pipelines of a kind have cached: scikit-learn's own, and a library's on it."""
    for module in {cls.__module__ for cls in kind.__mro__ if issubclass(cls, Pipeline)}:
        path = module.split(".")
        memory.store_backend.clear_path(path)
        if os.path.exists(os.path.join(str(memory.store_backend.location), *path)):
            raise PermissionError(f"The cache of {module} is still there.")  # joblib is silent


def _find_index(memory):
    """The folder of a cache's indices; None where the cache is in no folder."""
    if getattr(memory, "backend", "local") != "local":
        return None
    return os.path.join(memory.store_backend.location, _FOLDER)


def _delete_models(memory, record, cached):
    folder, deleted = _find_index(memory), 0
    if not os.path.isdir(folder):
        return 0
    sides = ~record.retained, record.retained
    gone, kept_rows = (_count_digests(record.digests[side]) for side in sides)
    for name in os.listdir(folder):
        key = name.removesuffix(".npy")
        if name == key:
            continue
        path = os.path.join(folder, name)
        try:
            known = _count_digests(np.load(path))
        except FileNotFoundError:  # another process was faster
            continue
        # A row may be there twice, and only one of them forgotten.
        if not any(known.get(row, 0) > kept_rows.get(row, 0) for row in gone):
            continue
        function = cached(memory)
        # Where it is not there yet, somebody may be training it: the index is needed then.
        if function.check_call_in_cache(key, work=None):
            with contextlib.suppress(NotCachedError):
                function.call_and_shelve(key, work=None).clear()
            if function.check_call_in_cache(key, work=None):
                raise PermissionError(f"Model {key} is still in the cache.")  # joblib is silent
            deleted += 1
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    return deleted


def _count_digests(digests):
    rows, counts = np.unique(digests, axis=0, return_counts=True)
    return dict(zip(map(bytes, rows), counts.tolist()))
