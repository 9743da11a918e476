"""What measurements found, in JSON's types, for a certificate."""

import dataclasses
import json
import math
from collections.abc import Mapping

import numpy as np

_DERIVED = ("difference", "distinguishable")  # properties of outcomes that belong to them


def describe_finding(found):
    """A report of ``audit``, an outcome of an attack or a dict, as it stands in a certificate.

    Raises TypeError for what is none, and for what holds rows.
    """
    if hasattr(found, "frame") and hasattr(found, "to_json"):
        described = json.loads(found.to_json()) | {"worst_rows": worst_rows(found)}
    elif dataclasses.is_dataclass(found) and not isinstance(found, type):
        described = _list_values(found)
    elif isinstance(found, Mapping):
        described = _make_plain(found)
    else:
        raise TypeError(
            f"audit takes what skunlearn.evaluation.audit or MIAScorer.measure returns, or a dict "
            f"of figures, got {type(found).__name__}."
        )
    return described


def worst_rows(report):
    """Of each model in a report the forgotten row that its main attack is surest of.

    Returns
    -------
    worst : dict of str to dict
        "surest_member": the share of unseen rows that look as much like members as the forgotten
        row that does most; "surest_stranger": the same on the other side, of the row that looks
        least like one. Among many rows the surest is surer by chance: compare with the
        retrained model's.
    """
    worst = {}
    for model, curve in report.curves.items():
        forget, unseen = (np.asarray(curve[key], dtype=float) for key in ("forget", "unseen"))
        weights = curve.get("weights")
        weights = np.ones(len(unseen)) if weights is None else np.asarray(weights, dtype=float)
        if not len(forget) or not weights.sum() > 0:
            continue
        high = float(weights[unseen >= forget.max()].sum() / weights.sum())
        low = float(weights[unseen <= forget.min()].sum() / weights.sum())
        worst[model] = {
            "surest_member": high,
            "surest_stranger": low,
            "n_forget": len(forget),
            "n_unseen": int(np.count_nonzero(weights)),
        }
    return worst


def _list_values(found):
    described = {f.name: _make_plain(getattr(found, f.name)) for f in dataclasses.fields(found)}
    for name in _DERIVED:
        if name not in described and hasattr(type(found), name):
            described[name] = _make_plain(getattr(found, name))
    return described


def _make_plain(value):
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _list_values(value)
    if isinstance(value, Mapping):
        return {str(_make_plain(key)): _make_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_make_plain(item) for item in value]
    raise TypeError(
        f"A certificate takes numbers, text, lists and dicts of these, got {type(value).__name__}: "
        "no rows, and no arrays that might be some."
    )
