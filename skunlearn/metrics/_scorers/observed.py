"""Attacks on what a model was seen to say of forgotten and of unseen rows."""

from skunlearn._torch.parts.positions import Positions
from skunlearn._torch.parts.tasks import Values
from skunlearn._torch.row_scores import SQUARED
from skunlearn.metrics._attacks.comparing import aucs_by_name
from skunlearn.metrics._attacks.scores import (
    ALL_SCORES,
    attack_scores,
    check_attack,
    squared_error,
)
from skunlearn.metrics._statistics.matching import weigh


def observe_scores(seen, new, attack="strongest", *, match="class", random_state=0):
    """Scores of both sides by each score of an attack.

    Parameters
    ----------
    seen, new : Evidence
        Of forgotten and of unseen rows; of classifiers with logits.
    attack, match, random_state
        See `attack_scores`. Regressors are attacked by their squared error.

    Returns
    -------
    sides : dict of str to (scores of forgotten rows, scores of unseen rows)
    """
    if isinstance(seen.task, Values):
        return {SQUARED: tuple(-squared_error(e.predicted, e.y) for e in (seen, new))}
    if isinstance(seen.task, Positions):
        return _of_positions(seen, new, attack)
    sides = (seen.logits, seen.y), (new.logits, new.y)
    return attack_scores(*sides, attack, match=match, random_state=random_state)


def _of_positions(seen, new, attack):
    """Of a class for each position: means over a row, which no class of its own matches."""
    check_attack(attack)
    if attack == "learned":
        raise ValueError(
            "attack='learned' is for one class, or several labels, per row; this is "
            f"{seen.task.noun}. Take 'strongest', or one score: {', '.join(ALL_SCORES)}."
        )
    names = ALL_SCORES if attack == "strongest" else (attack,)
    return {name: (seen.by_row[name], new.by_row[name]) for name in names}


def observe_weights(seen, new, *, match="class"):
    """Weights of the unseen rows that match their classes; None where there are none to match."""
    if match is None or not seen.task.has_one_class:
        return None
    return weigh(seen.y, new.y)


def observe_aucs(seen, new, attack="strongest", *, match="class", random_state=0):
    """AUC of each score of an attack, by name."""
    weights = observe_weights(seen, new, match=match)
    sides = observe_scores(seen, new, attack, match=match, random_state=random_state)
    return aucs_by_name(sides, weights)
