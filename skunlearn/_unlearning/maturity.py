"""Whether a net had learnt its rows when its training ended, or was still learning them."""

import numpy as np

from skunlearn._torch.skorch_nets import is_net

_LEARNT = 0.2  # share of the loss of chance up to which retained rows are learnt
_HARDLY = 0.65  # the same from which they hardly are
_NOTHING = 0.85  # the same from which nothing is learnt that could be forgotten
_BY_HEART = 0.1  # the same below which nearly all of them are known by heart
_FELL = 0.05  # fall of the training's loss in its last fifth, as a share of it


def is_learning(model, said):
    """Whether a training of more epochs would have taught a net more, and other seeds other things.

    Two such nets of one recipe may be far apart in accuracy: up to 0.45 on 54 pairs, and 0.08 on
    104 pairs of nets that had learnt their rows.

    Parameters
    ----------
    model : estimator
        Before a request.
    said : Evidence or None
        What it says of retained rows.
    """
    share = _share_of_chance(said)
    if share is None or not is_net(model):
        return False
    return share > _LEARNT and (share > _HARDLY or _still_fell(model))


def has_learnt_nothing(said):
    """Whether a model names its own rows hardly better than by chance; None counts as no."""
    share = _share_of_chance(said)
    return share is not None and share > _NOTHING


def knows_by_heart(said):
    """Whether a model has learnt nearly all of its own rows by heart; None counts as no."""
    share = _share_of_chance(said)
    return share is not None and share < _BY_HEART


def _share_of_chance(said):
    """Mean loss over that of chance; None without."""
    losses = None if said is None else said.losses()
    chance = 0.0 if said is None else said.task.chance(said.y)
    return float(losses.mean()) / chance if losses is not None and chance else None


def _still_fell(net):
    """Whether its loss still fell at the end; so too where its history does not tell."""
    try:
        losses = [float(epoch["train_loss"]) for epoch in net.history]
    except (AttributeError, KeyError, TypeError):
        losses = []
    if len(losses) < 2:
        return True
    return losses[-1] < (1 - _FELL) * losses[-1 - max(1, len(losses) // 5)]


def share_above_chance(said):
    """A score, of `Evidence`, beyond that of naming the most frequent label; of R² itself."""
    score = said.score()
    if score is None:
        return 0.0
    if not said.task.has_one_class:
        return score
    return score - np.unique(said.y, return_counts=True)[1].max() / len(said.y)
