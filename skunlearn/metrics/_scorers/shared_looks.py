"""What models say of rows, kept from one scorer to the next of the same fold."""

import threading
from weakref import WeakKeyDictionary

import numpy as np

from skunlearn._rows.containers import digest_of, digest_rows, is_dataset
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.net_state import parts
from skunlearn._torch.skorch_nets import is_net
from skunlearn._unlearning.certificate.model_digests import model_digest

_PLAIN = bool, int, float, str, type(None)
_MODELS, _SETS = 4, 2  # a model and its reference, each asked about forgotten and unseen rows


class _Kept(threading.local):
    """Answers of each model, as long as it lives: a list of what was asked and what it said."""

    def __init__(self):
        self.of = WeakKeyDictionary()


_KEPT = _Kept()


def look(model, rows, classes):
    """`observe`, without asking a model again that has just answered.

    Several scorers of a search ask the same model about the same rows. Its answers are known by
    digests of its weights, its settings and digests of the rows, so that any may change in place,
    and none is held. Items of a Dataset and augmented rows may be others each time: they are asked
    about each time.

    Parameters
    ----------
    model : net or scikit-learn estimator
    rows : Rows
    classes : see `task_of`

    Returns
    -------
    said : Evidence
    """
    if rows.reader is not None or is_dataset(rows.source):
        return observe(model, rows, classes)
    try:
        said = _KEPT.of.setdefault(model, [])
    except TypeError:  # of models without a hash, or that no weak reference can be made to
        return observe(model, rows, classes)
    asked = _describe(model, rows)
    for before, classes_before, answer in said:
        if asked == before and classes is classes_before:
            return answer
    answer = observe(model, rows, classes)
    said[:] = [*said, (asked, classes, answer)][-_SETS:]
    while len(_KEPT.of) > _MODELS:
        del _KEPT.of[next(iter(_KEPT.of))]
    return answer


def _describe(model, rows):
    source = rows.source
    dtypes, shape = (getattr(source, name, "") for name in ("dtype", "shape"))
    form = type(source), str(dtypes), tuple(shape[1:])
    columns = tuple(getattr(source, "columns", ()))
    return (
        model_digest(model)["digest"],
        _list_settings(model),
        *(form, columns, digest_rows(source, rows.index)),
        None if rows.y is None else digest_of(np.ascontiguousarray(rows.y)),
    )


def _list_settings(model):
    """Plain values that its answers may depend on, beside what a model has learnt."""
    if is_net(model):
        held = {
            f"{name}.{inner}": vars(module)
            for name, part in parts(model)
            for inner, module in part.named_modules()
        }
        held[""] = {"predict_nonlinearity": repr(model.predict_nonlinearity)}
    else:
        held = {"": model.get_params() if hasattr(model, "get_params") else {}}
    return [
        (name, key, value)
        for name, values in held.items()
        for key, value in values.items()
        if isinstance(value, _PLAIN) and key != "training"
    ]
