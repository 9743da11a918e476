"""A report from the outputs of models: figures, verdicts, warnings, curves."""

from numbers import Real

import numpy as np
from sklearn.utils import check_scalar

from skunlearn._torch.parts.tasks import task_of
from skunlearn.evaluation._showing.key_figures import cell, title_of
from skunlearn.evaluation._showing.paired_differences import add_differences
from skunlearn.evaluation._spread import spread, warn_about_spread
from skunlearn.evaluation.figures import IDEALS, Reference, direction_of, score_names
from skunlearn.evaluation.report import Report
from skunlearn.metrics._attacks.scores import check_attack

# By what a model is held against the floor: of each the first that was measured.
_BEATEN_BY = (
    ("AUC difference",),
    ("forget over null", "forget distance"),
    ("retained test", "test error", "test R²", "test"),
)


def assemble(
    task,
    outputs,
    sets,
    *,
    retrained,
    original,
    seconds,
    blind,
    attacks,
    tolerance,
    reference_note=None,
    floor=None,
):
    """Judge every model that is neither the original nor retrained.

    Parameters
    ----------
    task : module
        `_classes` or `_multilabel`, whose outputs are logits, or `_values`, whose outputs are
        predictions.
    outputs : dict of str to dict of str to ndarray
        By model and set of rows.
    sets : Sets
    retrained : list of str
    original : str or None
    seconds, blind, attacks, tolerance, reference_note, floor
        See `audit_logits`.

    Returns
    -------
    report : Report
    """
    first, short = retrained[0] if retrained else None, reference_note is not None
    how = "short" if short else "retrained", reference_note or ""
    figures, attacked, plain = {}, {}, {}
    for name, found in outputs.items():
        reference = Reference(None if name == first else outputs.get(first), *how)
        figures[name], attacked[name], plain[name] = task.measure(found, sets, attacks, reference)
    if first is not None:
        del figures[first]["AUC difference"]  # to itself
    nulls = {}
    if first is not None and not short:
        null = task.null(outputs, retrained, sets.confidence)
        nulls = null.references()
        for name in outputs:
            if name != first:
                figures[name] |= task.against(outputs, figures, plain, name, first, sets.confidence)
            figures[name] |= null.figures(name)
    spreads, spread_nulls = {}, {}
    if first is not None and not short and task.has_one_class:
        spreads, spread_nulls = spread(outputs, sets, retrained)
        for name, values in spreads.items():
            figures[name] |= values
    _add_seconds(figures, seconds or {}, first)

    ours, theirs = outputs.get(original), outputs.get(first)
    theirs = None if short else theirs  # which knows less of everything
    judged = plain[first or next(iter(outputs))]
    warnings, verdicts = task.warn_about_sets(ours, theirs, judged, sets, blind), {}
    references = [outputs[name] for name in retrained]
    for name in outputs:
        if name == original or name in retrained:
            continue
        verdicts[name] = task.judge(outputs[name], references, attacked[name], sets, tolerance)
        if name == floor:
            continue  # what it lost is what there is to know of it
        warnings += task.warn_about(name, outputs[name], theirs, ours, sets)
        warnings += warn_about_spread(name, spreads, spread_nulls)
        warnings += _warn_if_beaten(name, figures[name], floor, figures.get(floor))
    tidy = _tidy(figures, retrained, nulls | spread_nulls)
    return Report(
        frame=add_differences(tidy, outputs, sets, attacked, attacks, first),
        verdicts=verdicts,
        warnings=warnings,
        roles={"original": original, "retrained": first, "floor": floor},
        curves=task.curves(outputs, sets, score_names(attacks)[0]),
        ceiling=task.ceiling(sets),
        confidence=sets.confidence,
        rows={name: len(values) for name, values in sets.y.items()},
    )


def check_settings(attacks, tolerance, confidence):
    """The attacks as a tuple; raises where one is unknown, or a number makes no sense."""
    attacks = (attacks,) if isinstance(attacks, str) else tuple(attacks)
    if not attacks:
        raise ValueError("attacks is empty; the first of them decides the verdict.")
    for attack in attacks:
        check_attack(attack)
    check_scalar(tolerance, "tolerance", Real, min_val=0)
    if not np.isfinite(tolerance):
        raise ValueError(f"tolerance must be a number, got {tolerance!r}.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}.")
    return attacks


def check_twins(forget, unseen, classes):
    """Raise where a class of the forget rows has no test row, before the methods are at work."""
    if not task_of(classes).has_one_class:
        return
    missing = np.setdiff1d(forget.y, unseen.y)
    if len(missing):
        raise ValueError(
            f"The test rows have no unseen row of {classes[missing].tolist()[:10]}, of which rows "
            "are forgotten: an attack compares these with unseen rows of their class. Hold out "
            "some rows of every class before the training, and pass them among X_test."
        )


def _warn_if_beaten(name, ours, floor, theirs):
    """A sentence where training anew for the same budget did as well by every figure."""
    if theirs is None:
        return []
    leads, said = [], []
    for metrics in _BEATEN_BY:
        metric = next((m for m in metrics if m in ours and m in theirs), None)
        if metric is None:
            return []
        there, here = (
            abs(value) if metric == "AUC difference" else value
            for value in (theirs[metric][0], ours[metric][0])
        )
        leads.append(there - here if direction_of(metric).startswith("higher") else here - there)
        there, here = (
            cell({"value": value, "low": np.nan, "high": np.nan}, metric) for value in (there, here)
        )
        said.append(f"{title_of(metric)} {there} ({here})")
    if not all(lead >= 0 for lead in leads) or not any(leads):
        return []
    return [
        f"{name} is no better than training anew for the same budget, which leaves no trace of a "
        f"row: {floor} has {'; '.join(said)}."
    ]


def _add_seconds(figures, seconds, first):
    for name, value in seconds.items():
        if name in figures:
            figures[name]["seconds"] = (value, np.nan, np.nan)
            if seconds.get(first):
                figures[name]["of retraining"] = (value / seconds[first], np.nan, np.nan)


def _tidy(figures, retrained, nulls):
    """One row per model and figure, with its reference: one of the `nulls`, where it has one."""
    import pandas as pd

    first = retrained[0] if retrained else None
    order = list(dict.fromkeys(metric for found in figures.values() for metric in found))
    order.sort(key=lambda metric: metric in ("seconds", "of retraining"))
    rows = []
    for model, found in figures.items():
        for metric in (m for m in order if m in found):
            value, low, high = found[metric]
            reference = nulls.get(metric) or _reference(figures, retrained, metric)
            inside = None
            if model != first and not np.isnan(reference[1]):
                inside = bool(reference[1] <= value <= reference[2])
            direction = direction_of(metric)
            rows.append((model, metric, value, low, high, *reference, direction, inside))
    columns = ["model", "metric", "value", "low", "high"]
    columns += ["reference", "reference low", "reference high", "direction", "inside"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({"inside": "boolean"})


def _reference(figures, retrained, metric):
    """Value of the retrained model with the interval that it and its other seeds span."""
    if not retrained:
        chance = 0.5 if metric.startswith("AUC") else np.nan
        return (0.0 if metric == "AUC difference" else chance, np.nan, np.nan)
    if metric in IDEALS:
        # The first is the yardstick of most and has none of these; the others show how far a
        # retrained model lies. Over the null each is judged by the others, the first as well.
        ideal, found = IDEALS[metric], [figures[name].get(metric) for name in retrained]
        values = [ideal, *(each[0] for each in found if each is not None)]
        return (ideal, min(values), max(values)) if len(values) > 1 else (ideal, np.nan, np.nan)
    others = [figures[name][metric] for name in retrained[1:] if metric in figures[name]]
    spans = [figures[retrained[0]].get(metric, (np.nan,) * 3), *others]
    return spans[0][0], min(s[1] for s in spans), max(s[2] for s in spans)
