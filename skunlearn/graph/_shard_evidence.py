"""What retrained nets say about the nodes of their shards, before and after a request."""

import numpy as np

from skunlearn._torch.observation import Evidence, summarise
from skunlearn._torch.parts.tasks import Classes
from skunlearn.graph import _nets


def measure(before, after, n_classes):
    """Mean loss and accuracy of the retrained nets on the labelled nodes of their own shards.

    Parameters
    ----------
    before, after : dict of shard to ``(part of the graph, net)``
        The net is None where it had nothing to be trained on. On forgotten nodes both nets are
        asked within the part from before, the only one that holds them.
    n_classes : int

    Returns
    -------
    measured : dict of str to dict, as in the log of every unlearner
    """
    found = {f"{what}_{when}": [] for what in ("forget", "retain") for when in ("before", "after")}
    for shard, (old, old_net) in before.items():
        new, new_net = after[shard]
        stays = np.isin(old.position, new.position)
        gone, kept = (old.y >= 0) & ~stays, (old.y >= 0) & stays
        for net, when, part, rows in (
            (old_net, "forget_before", old, gone),
            (old_net, "retain_before", old, kept),
            (new_net, "forget_after", old, gone),
            (new_net, "retain_after", new, new.y >= 0),
        ):
            if net is not None and rows.any():
                found[when].append((part.y[rows], _nets.logits(net, part, n_classes)[rows]))
    return {name: _summary(parts) for name, parts in found.items()}


def _summary(parts):
    y = np.concatenate([part for part, _ in parts]) if parts else ()
    if len(y) == 0:
        return summarise(None)
    logits = np.concatenate([part for _, part in parts])
    classes = Classes(np.arange(logits.shape[1]))
    return summarise(Evidence(y, logits, classes.name(logits), classes))
