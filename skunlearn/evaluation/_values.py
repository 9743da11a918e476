"""What an audit asks of regressors, whose outputs are predictions."""

import numpy as np
from scipy.special import ndtri

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

ATTACK = "squared error"  # the one attack on regressors
_UTILITY = 0.01  # R² on unseen rows that counts as lost


def measure(predicted, sets, attacks, reference):
    """All figures of one model; see `figures.measure`."""
    errors = _errors(predicted, sets)
    figures = _fit("test", errors["unseen"], sets.y["unseen"], sets.confidence)
    if "retain" in errors:
        figures |= _fit("retained train", errors["retain"], sets.y["retain"], sets.confidence)
        sides = errors["unseen"], errors["retain"]
        figures["over-fit MSE"] = difference(*sides, sets.confidence)
    figures["forget train MSE"] = mean(errors["forget"], sets.confidence)
    members, others = -errors["forget"], -errors["unseen"]
    theirs, given = reference.outputs, {}
    if theirs is not None:
        found = _errors(theirs, sets)
        given = {"reference_sides": {ATTACK: (-found["forget"], -found["unseen"])}}
        given |= {"kind": reference.kind, "note": reference.note}
    attacked = compare_sides(
        {ATTACK: (members, others)},
        np.ones(len(others)),
        attack=ATTACK,
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

    `tolerance` is a difference of AUCs, and a share of the retrained model's mean squared error on
    the forget set; two retrained models that differ by more raise it to what they differ by.
    """
    if not references:
        return judge_known(attacked, None, tolerance)
    y = sets.y["forget"]
    ours, theirs, *others = (squared_error(o["forget"], y) for o in (outputs, *references))
    found = [errors.mean() for errors in (theirs, *others)]
    gap = _surely_less(theirs - ours, outputs, references[0], sets)
    short = attacked.reference_kind == "short"
    whose = "short reference" if short else "retrained"
    text = f"mean squared error {ours.mean():.4g} on the forget set, {whose} {theirs.mean():.4g}"
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
    better = squared_error(reference["unseen"], y) - squared_error(outputs["unseen"], y)
    if min(less.mean(), better.mean()) <= 0:
        return float(less.mean())
    error = np.hypot(*(values.std() / np.sqrt(len(values)) for values in (less, better)))
    return float(max(0.0, less.mean() - better.mean() - ndtri(sets.confidence) * error))


def warn_about(name, outputs, reference, original, sets):
    """Sentences about one candidate that its reader should not miss."""
    if reference is None:
        return []
    found, y = [], sets.y["unseen"]
    ours, theirs = (squared_error(o["unseen"], y) for o in (outputs, reference))
    more, spread = ours - theirs, _spread(y)
    if spread > 0 and more.mean() - _arm(more, sets.confidence) > _UTILITY * spread:
        found.append(
            f"{name}: utility lost. On unseen rows its R² is {1 - ours.mean() / spread:.3f}, the "
            f"retrained model's {1 - theirs.mean() / spread:.3f}{_beside_original(original, y)}."
        )
    if original is None:
        return found
    sides = [squared_error(o["forget"], sets.y["forget"]) for o in (original, outputs, reference)]
    return found + warn_if_unmoved(name, sides, sets.confidence)


def _beside_original(original, y):
    if original is None:
        return ""
    return f", the original's {1 - squared_error(original['unseen'], y).mean() / _spread(y):.3f}"


def warn_about_sets(original, reference, attacked, sets, blind):
    """Sentences about the rows, whatever the model."""
    idle = False
    if original is not None and reference is not None:
        sides = (squared_error(o["forget"], sets.y["forget"]) for o in (original, reference))
        idle = is_idle(*sides, sets.confidence)
    return warn_about_rows(attacked, blind, idle, of_classes=False)


def curves(outputs, sets, name):
    """Scores of the attack, for pictures."""
    found = {}
    for model, predicted in outputs.items():
        scores = {k: -errors for k, errors in _errors(predicted, sets).items()}
        weights = np.ones(len(sets.y["unseen"]))
        found[model] = scores | {"weights": weights, "attack": ATTACK}
    return found


def ceiling(sets):
    """A regressor has no classes to lose."""
    return 1.0


def _errors(predicted, sets):
    return {name: squared_error(values, sets.y[name]) for name, values in predicted.items()}


def _fit(name, errors, y, confidence):
    """Mean squared error, and the R² to which it amounts; none of a constant target."""
    value, low, high = mean(errors, confidence)
    found, spread = {f"{name} MSE": (value, low, high)}, _spread(y)
    if spread > 0:
        found = {f"{name} R²": tuple(1 - error / spread for error in (value, high, low))} | found
    return found


def _spread(y):
    """Mean squared error of the best constant."""
    y = np.asarray(y, dtype=np.float64)
    return float(squared_error(np.broadcast_to(y.mean(axis=0), y.shape), y).mean())


def _arm(values, confidence):
    """Half-width of the normal interval of a mean."""
    return ndtri((1 + confidence) / 2) * values.std() / np.sqrt(len(values))
