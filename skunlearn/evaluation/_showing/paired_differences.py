"""Differences of every figure to the retrained model's, with intervals where rows are paired."""

import numpy as np
from scipy.special import ndtri

from skunlearn._torch.row_errors import SQUARED_ERROR
from skunlearn.evaluation.figures import of, right, score_names

_SHARES = {
    "test": "unseen",
    "retained test": "unseen",
    "retained train": "retain",
    "forget train": "forget",
    "forget unseen": "unseen",
}
_ERRORS = {"test": "unseen", "retained train": "retain", "forget train": "forget"}


def add_differences(frame, outputs, sets, attacked, attacks, first):
    """The tidy frame with columns "difference", "difference low" and "difference high".

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per model and figure, with the retrained model's as "reference".
    outputs : dict of str to dict of str to ndarray
        By model and set of rows.
    sets : Sets
    attacked : dict of str to MembershipInference
    attacks : sequence of str
    first : str or None
        The retrained model.

    Returns
    -------
    frame : pandas.DataFrame
        Without intervals where nothing is known of them.
    """
    paired = {}
    for name in outputs:
        if name != first:
            paired[name] = _attacks(attacked[name], score_names(attacks))
            if first is not None:
                paired[name] |= _rows(outputs[name], outputs[first], sets, "test" in _names(frame))
    found = []
    for model, metric, value, reference in frame[["model", "metric", "value", "reference"]].values:
        plain = (value - reference, np.nan, np.nan)
        found.append(paired.get(model, {}).get(metric, plain))
    columns = ["difference", "difference low", "difference high"]
    frame[columns] = np.array(found, dtype=float).reshape(-1, 3)
    return frame


def _names(frame):
    return set(frame["metric"])


def _attacks(result, names):
    """Of every score that the main attack has looked at."""
    found = {}
    for label, name in zip(["AUC", *(f"AUC {n.replace('_', ' ')}" for n in names[1:])], names):
        if result.scores is None or name in result.scores:
            found[label] = of(result.distance_of(name).difference)
        if result.scores is None:  # it has one score, the first
            break
    return found


def _rows(ours, theirs, sets, classes):
    """Of what is measured row by row, for two models of the same rows."""
    found = {}
    if classes:
        masks = {"retained test": sets.kept()}
        if sets.y["forget"].ndim == 1:
            masks["forget unseen"] = np.isin(sets.y["unseen"], sets.y["forget"])
        for metric, rows in _SHARES.items():
            mask = masks.get(metric, slice(None))
            if rows in ours and sets.y[rows][mask].shape[0]:
                pair = (right(o[rows], sets.y[rows])[mask] for o in (ours, theirs))
                found[metric] = _shares(*pair, sets.confidence)
        return found
    for metric, rows in _ERRORS.items():
        if rows not in ours:
            continue
        for error, title in ((SQUARED_ERROR, "MSE"), (sets.error, "error")):
            change = error.of(ours[rows], sets.y[rows]) - error.of(theirs[rows], sets.y[rows])
            arm = ndtri((1 + sets.confidence) / 2) * change.std() / np.sqrt(len(change))
            value, low, high = change.mean(), change.mean() - arm, change.mean() + arm
            found[f"{metric} {title}"] = value, low, high
            spread = error.of_constant(sets.y[rows])
            if title == "MSE" and spread > 0:
                found[f"{metric} R²"] = -value / spread, -high / spread, -low / spread
    return found


def _shares(ours, theirs, confidence):
    """Difference of two shares of the same rows; Bonett and Price's interval (2012).

    Of few rows on which the models differ the usual interval is far too short, and of none empty.
    """
    n = len(ours)
    gained, lost = np.sum(ours & ~theirs), np.sum(theirs & ~ours)
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    arm = ndtri((1 + confidence) / 2) * np.sqrt((up + down - (up - down) ** 2) / (n + 2))
    low, high = max(-1.0, up - down - arm), min(1.0, up - down + arm)
    return (gained - lost) / n, low, high
