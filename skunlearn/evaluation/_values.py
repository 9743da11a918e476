"""What an audit asks of regressors, whose outputs are predictions."""

import numpy as np
from scipy.special import ndtri

from skunlearn._torch.row_errors import SQUARED_ERROR
from skunlearn.evaluation._against import Null
from skunlearn.evaluation.figures import difference, mean, of, of_few
from skunlearn.evaluation.verdicts import Known, is_idle, warn_about_rows, warn_if_unmoved
from skunlearn.evaluation.verdicts import judge as judge_known
from skunlearn.metrics._attacks.comparing import compare_sides
from skunlearn.metrics._attacks.scores import squared_error

__all__ = [
    "against",
    "ceiling",
    "curves",
    "has_one_class",
    "judge",
    "measure",
    "null",
    "warn_about",
    "warn_about_sets",
]

has_one_class = False  # a row

_UTILITY = 0.01  # R² on unseen rows, or what stands for it, that counts as lost


def measure(predicted, sets, attacks, reference):
    """All figures of one model; see `figures.measure`."""
    figures = _fits(predicted, sets, SQUARED_ERROR, "MSE")
    if sets.error is not SQUARED_ERROR:
        figures = _fits(predicted, sets, sets.error, "error") | figures
    errors, name = _errors(predicted, sets), sets.error.name
    members, others = -errors["forget"], -errors["unseen"]
    theirs, given = reference.outputs, {}
    if theirs is not None:
        found = _errors(theirs, sets)
        given = {"reference_sides": {name: (-found["forget"], -found["unseen"])}}
        given |= {"kind": reference.kind, "note": reference.note}
    attacked = compare_sides(
        {name: (members, others)},
        np.ones(len(others)),
        attack=name,
        confidence=sets.confidence,
        random_state=sets.seed,
        **given,
    )
    figures["AUC"], figures["AUC difference"] = of(attacked.interval), of(attacked.difference)
    return figures | of_few(attacked, members, others, sets), attacked, attacked


def against(outputs, figures, attacked, name, first, confidence):
    """Figures of model `name` that need the retrained model `first`."""
    distances = squared_error(outputs[name]["forget"], outputs[first]["forget"])
    return {"forget distance": mean(distances, confidence)}


def null(outputs, retrained, confidence):
    """Of the farthest rows alone, by the squared difference of predictions."""
    return Null(outputs, retrained, confidence, np.asarray, squared_error, ratios=False)


def judge(outputs, references, attacked, sets, tolerance):
    """Verdict on one model against the retrained one.

    `tolerance` is a difference of AUCs, and a share of the retrained model's mean error on the
    forget set; two retrained models that differ by more raise it to what they differ by.
    """
    if not references:
        return judge_known(attacked, None, tolerance)
    y = sets.y["forget"]
    ours, theirs, *others = (sets.error.of(o["forget"], y) for o in (outputs, *references))
    found = [errors.mean() for errors in (theirs, *others)]
    gap = _surely_less(theirs - ours, outputs, references[0], sets)
    short = attacked.reference_kind == "short"
    whose = "short reference" if short else "retrained"
    text = (
        f"mean {sets.error.name} {ours.mean():.4g} on the forget set, {whose} {theirs.mean():.4g}"
    )
    if short:  # it knows less of everything
        gap = 0.0
    known = Known(gap, max(tolerance * theirs.mean(), max(found) - min(found)), text)
    return judge_known(attacked, known, tolerance)


def _surely_less(less, outputs, reference, sets):
    """By how much the errors on forget rows surely are smaller, or larger, than `reference`'s.

    A model that is as much better at rows that it has never seen remembers nothing by that.
    """
    if abs(less.mean()) <= _arm(less, sets.confidence):
        return 0.0
    y = sets.y["unseen"]
    better = sets.error.of(reference["unseen"], y) - sets.error.of(outputs["unseen"], y)
    if min(less.mean(), better.mean()) <= 0:
        return float(less.mean())
    error = np.hypot(*(values.std() / np.sqrt(len(values)) for values in (less, better)))
    return float(max(0.0, less.mean() - better.mean() - ndtri(sets.confidence) * error))


def warn_about(name, outputs, reference, original, sets):
    """Sentences about one candidate that its reader should not miss."""
    if reference is None:
        return []
    found, y = [], sets.y["unseen"]
    ours, theirs = (sets.error.of(o["unseen"], y) for o in (outputs, reference))
    more, spread = ours - theirs, sets.error.of_constant(y)
    if spread > 0 and more.mean() - _arm(more, sets.confidence) > _UTILITY * spread:
        share = "R²" if sets.error is SQUARED_ERROR else f"D² of the {sets.error.name}"
        beside = ""
        if original is not None:
            before = sets.error.of(original["unseen"], y).mean()
            beside = f", the original's {1 - before / spread:.3f}"
        found.append(
            f"{name}: utility lost. On unseen rows its {share} is {1 - ours.mean() / spread:.3f}, "
            f"the retrained model's {1 - theirs.mean() / spread:.3f}{beside}."
        )
    if original is None:
        return found
    sides = [sets.error.of(o["forget"], sets.y["forget"]) for o in (original, outputs, reference)]
    return found + warn_if_unmoved(name, sides, sets.confidence)


def warn_about_sets(original, reference, attacked, sets, blind):
    """Sentences about the rows, whatever the model."""
    idle = False
    if original is not None and reference is not None:
        sides = (sets.error.of(o["forget"], sets.y["forget"]) for o in (original, reference))
        idle = is_idle(*sides, sets.confidence)
    return warn_about_rows(attacked, blind, idle, of_classes=False)


def curves(outputs, sets, name):
    """Scores of the attack, for pictures."""
    found = {}
    for model, predicted in outputs.items():
        scores = {k: -errors for k, errors in _errors(predicted, sets).items()}
        weights = np.ones(len(sets.y["unseen"]))
        found[model] = scores | {"weights": weights, "attack": sets.error.name}
    return found


def ceiling(sets):
    """A regressor has no classes to lose."""
    return 1.0


def _errors(predicted, sets):
    return {name: sets.error.of(values, sets.y[name]) for name, values in predicted.items()}


def _fits(predicted, sets, error, title):
    """Mean errors on every set, and the R² to which squared ones amount."""
    errors = {name: error.of(values, sets.y[name]) for name, values in predicted.items()}
    figures = {}
    for metric, rows in (("test", "unseen"), ("retained train", "retain")):
        if rows not in errors:
            continue
        value, low, high = mean(errors[rows], sets.confidence)
        spread = error.of_constant(sets.y[rows])
        if title == "MSE" and spread > 0:  # none of a constant target
            figures[f"{metric} R²"] = tuple(1 - end / spread for end in (value, high, low))
        figures[f"{metric} {title}"] = value, low, high
    if "retain" in errors:
        sides = errors["unseen"], errors["retain"]
        figures[f"over-fit {title}"] = difference(*sides, sets.confidence)
    figures[f"forget train {title}"] = mean(errors["forget"], sets.confidence)
    return figures


def _arm(values, confidence):
    """Half-width of the normal interval of a mean."""
    return ndtri((1 + confidence) / 2) * values.std() / np.sqrt(len(values))
