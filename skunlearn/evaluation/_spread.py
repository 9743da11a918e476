"""Where the probability of wholly forgotten classes went, beside retrained models."""

import numpy as np

from skunlearn.metrics._attacks.class_spread import FIGURES, Spread, place_beside


def spread(outputs, sets, retrained):
    """Figures of `class_spread_attack` of every model.

    Parameters
    ----------
    outputs : dict of str to dict of str to ndarray
        Logits by model and set of rows.
    sets : Sets
    retrained : list of str

    Returns
    -------
    figures : dict of str to dict of str to (value, low, high)
        By model; empty where no class was wholly forgotten, or too few are left.
    nulls : dict of str to (value, low, high)
        Of the figures, the retrained models' and where one more would lie.
    """
    if not len(sets.gone):
        return {}, {}
    references = [outputs[name]["forget"] for name in retrained]
    try:
        rows = Spread(references, sets.y["forget"], sets.y["unseen"], sets.gone)
    except ValueError:  # nothing to spread over, or no unseen row to compare with
        return {}, {}
    found = {name: rows.figures(z["forget"], z["unseen"]) for name, z in outputs.items()}
    figures = {
        name: {_label(key): (value, np.nan, np.nan) for key, value in values.items()}
        for name, values in found.items()
    }
    nulls = {}
    for key in FIGURES:
        null = place_beside(0.5, [found[name][key] for name in retrained], sets.confidence)
        nulls[_label(key)] = null.reference, null.low, null.high
    return figures, nulls


def warn_about_spread(name, figures, nulls):
    """A sentence about a model that a forgotten class's spread gives away."""
    found = []
    for key, (_, low, high) in nulls.items():
        value = figures[name][key][0]
        if not np.isnan(low) and not low <= value <= high:
            found.append(f"{key.removeprefix('spread ')} {value:.3f}, not {low:.3f} to {high:.3f}")
    if not found:
        return []
    return [
        f"{name}: given away by the spread of the forgotten class. Where its probability went over "
        f"the other classes tells the model from one more retrained model ({'; '.join(found)}), "
        "whether or not the class is named."
    ]


def _label(key):
    return f"spread {key}"
