"""What a report's picture shows: a panel for each key figure, a mark for each model."""

from dataclasses import dataclass

import numpy as np

from skunlearn.evaluation._showing.explained import explain

_POINTS = 100  # of accuracies


@dataclass(frozen=True)
class Panel:
    """One figure of all models.

    Attributes
    ----------
    metric : str
        As in the report's frame.
    title, unit : str
    models : list of str
    values, low, high : ndarray of shape (n_models,)
        NaN where a model has no such figure, or it has no interval.
    zero : float or None
        Where the retrained model lies (or chance, without one).
    band : (float, float) or None
        Where it may lie.
    """

    metric: str
    title: str
    unit: str
    models: list
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    zero: float | None
    band: tuple | None


def panels(report):
    """Forget accuracy, unseen accuracy, each attack and time, in that order.

    Parameters
    ----------
    report : Report

    Returns
    -------
    panels : list of Panel
        Of differences to the retrained model where there is one.
    """
    frame, first = report.frame, report.roles["retrained"]
    names = list(frame["metric"].unique())
    models = [model for model in frame["model"].unique() if model != first]
    if not models:
        return []
    wanted = [_first_of(names, "forget train", "forget train error", "forget train MSE")]
    wanted += [_first_of(names, "retained test", "test", "test error", "test R²", "test MSE")]
    wanted += [name for name in names if name.startswith("AUC") and name != "AUC difference"]
    wanted += [_first_of(names, "of retraining", "seconds")]
    found = [_panel(frame, metric, models, first) for metric in wanted if metric is not None]
    return [panel for panel in found if not np.isnan(panel.values).all()]


def _first_of(names, *wanted):
    return next((name for name in wanted if name in names), None)


def _panel(frame, metric, models, first):
    rows = frame[frame["metric"] == metric].set_index("model")
    rows = rows.reindex(models)
    attack, timed = metric.startswith("AUC"), metric in ("of retraining", "seconds")
    plain = attack or timed or metric.endswith(("R²", "MSE", "error"))
    scale = 1 if plain else _POINTS
    compared = first is not None and not timed
    columns = ["value", "low", "high"]
    if compared:
        columns = ["difference", "difference low", "difference high"]
    value, low, high = scale * rows[columns].to_numpy(dtype=float).T
    zero, band = None, None
    if compared:
        zero = 0.0
        ends = [
            rows[f"reference{side}"].dropna().unique()[:1].astype(float)
            for side in ("", " low", " high")
        ]
        if all(len(end) for end in ends):
            middle, *ends = (end[0] for end in ends)
            band = tuple(float(scale * (end - middle)) for end in ends)
    elif attack:
        zero = 0.5
    elif metric == "of retraining":
        zero = 1.0
    unit = {"of retraining": "× retraining", "seconds": "s"}.get(metric)
    if unit is None:
        unit = "AUC" if attack else metric.split()[-1] if scale == 1 else "%"
        unit = "points" if compared and scale != 1 else unit
    return Panel(metric, _title(metric), unit, models, value, low, high, zero, band)


def _title(metric):
    short = {
        "of retraining": "time",
        "AUC": "attack",
        "forget train MSE": "forget error",
        "test R²": "unseen R²",
        "test MSE": "unseen error",
        "forget train error": "forget error",
        "test error": "unseen error",
        "test": "unseen accuracy",
    }
    return short.get(metric) or explain(metric).name
