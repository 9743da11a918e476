"""What is measured after a batch, and when it is reason to stop."""

import numpy as np
from sklearn.pipeline import Pipeline

from skunlearn._fitted_model import read_rows
from skunlearn._rows.containers import is_dataset, take
from skunlearn._rows.seen import share_alike
from skunlearn._unlearning.validation import dataset_targets
from skunlearn.metrics import MIAScorer
from skunlearn.metrics._scorers.scoring import (
    FORGOTTEN,
    TrainingRowsError,
    choose_some,
    refuse_training_rows,
    rows_before_steps,
)


def refuse_seen(model, X_test, y_test, known=None):
    """Raise where the test rows are, or were, training rows, which makes every figure too good.

    `known` marks rows that were ever trained on, where the model's record does not know them all.
    """
    before = rows_before_steps(X_test)
    if isinstance(model, Pipeline):
        refuse_training_rows(model, before)
    else:
        refuse_training_rows(model, read_rows(model, X_test, y_test))
    if known is not None:
        some = before.take(choose_some(len(before))).X
        share = known(some).mean()
        if share > 0.5 and share > share_alike(model._record, some)[1]:
            raise TrainingRowsError(FORGOTTEN)


def measure(model, X_test, y_test):
    """Figures of a model that has just forgotten a batch, in JSON's types.

    "score" is accuracy (R² of regressors) on the test rows, without those of classes of which no
    retained row is left: to answer them wrong is what was asked for. "AUC" is that of the matched
    attack on the rows just forgotten, by the "attack" of all scores that lies farthest from 0.5,
    with its 95 % interval, which holds for the farthest; None, and a "note", where it cannot be
    made.
    """
    X_test, y_test = of_known_classes(model, X_test, y_test)
    figures = {"score": score_of(model, X_test, y_test), "attack": None}
    figures |= {"AUC": None, "AUC interval": None}
    try:
        result = MIAScorer().measure(model, X_test, y_test)
    except ValueError as error:
        # No unseen row of a forgotten class, or a model without probabilities.
        return figures | {"note": str(error)}
    interval = result.interval
    figures["AUC"] = float(result.auc)
    figures["attack"] = result.strongest
    figures["AUC interval"] = [float(interval.low), float(interval.high)]
    return figures


def score_of(model, X_test, y_test):
    """Accuracy on test rows of classes that are left, or R², as a float."""
    if y_test is None and not is_dataset(X_test):
        raise ValueError("The audits need labels of the test rows: pass y_test.")
    classes = _classes(model)
    if classes is not None and model._record.has_data:
        left = np.unique(model._record.retained_y)
        if len(left) < len(classes):
            X_test, y_test = _of_classes(classes[left], X_test, y_test)
    return float(model.score(X_test, y_test))


def of_known_classes(model, X_test, y_test):
    """Test rows without those of classes that a model lacks: it was trained once they had gone."""
    if _classes(model) is None or y_test is None:
        return X_test, y_test
    return _of_classes(_classes(model), X_test, y_test)


def _classes(model):
    classes = getattr(model, "_final_estimator", model)._classes
    return classes if isinstance(classes, np.ndarray) else None


def _of_classes(classes, X_test, y_test):
    """Test rows of some classes; all where none is of them, which is for others to refuse."""
    y = dataset_targets(X_test) if y_test is None else y_test
    y = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
    kept = np.flatnonzero(np.isin(y, classes)) if y.ndim == 1 else ()
    if len(kept) in (0, len(y)):
        return X_test, y_test
    return take(X_test, kept), None if y_test is None else y[kept]


def breach(figures, baseline, *, max_accuracy_drop, max_auc_distance):
    """Why these figures are reason to stop, or None.

    A batch of few rows has an AUC of any value by chance, so that the whole interval must lie
    farther from 0.5 than is allowed.
    """
    drop = baseline - figures["score"]
    # An undefined score is no good score.
    if max_accuracy_drop is not None and not drop <= max_accuracy_drop:
        return (
            f"The score on the test rows is {figures['score']:.4g}, {drop:.4g} below the "
            f"{baseline:.4g} after the last full training; allowed are {max_accuracy_drop:g}."
        )
    if max_auc_distance is None or figures["AUC interval"] is None:
        return None
    low, high = figures["AUC interval"]
    distance = max(low - 0.5, 0.5 - high)
    if not np.isnan(distance) and distance <= max_auc_distance:
        return None
    by = f" by {figures['attack'].replace('_', ' ')}" if figures.get("attack") else ""
    return (
        f"An attack{by} tells the forgotten rows from unseen ones: AUC {figures['AUC']:.3f}, 95 % "
        f"interval {low:.3f}–{high:.3f}, which is farther from 0.5 than the allowed "
        f"{max_auc_distance:g}."
    )
