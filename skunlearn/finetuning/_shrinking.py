"""A net drawn towards new random weights: between fine-tuning and training anew."""

import torch

from skunlearn._recipe.parameter_texts import list_built_otherwise
from skunlearn._rows.containers import is_dataset
from skunlearn._rows.seeding import derive_seed, seeded
from skunlearn._torch import checkpoints, skorch_nets
from skunlearn._torch.batches.net_rows import make_dataset
from skunlearn._torch.inference import evaluating
from skunlearn._torch.loop.fit_loop import batches
from skunlearn._torch.loop.norms import NORMS
from skunlearn._torch.parts.net_state import parts
from skunlearn.exceptions import UnlearningError


def new_net(estimator, rows, classes, seed):
    """A net as a training on `rows` begins with it, with weights that callbacks make.

    Parameters
    ----------
    estimator : skorch net, left as it is
    rows : Rows
    classes : ndarray, or None for regression
    seed : int
    """
    with seeded(seed):
        net = skorch_nets.fresh_net(estimator, verbose=0)
        skorch_nets.name_columns(net, classes)
        data = make_dataset(net, rows)
        with checkpoints.private_checkpoints(net):
            net.notify("on_train_begin", X=data, y=None if is_dataset(rows.source) else data.y)
        with torch.no_grad(), evaluating(net):  # a batch of one row would be too few for a norm
            net.infer(next(batches(net, rows)).x)  # lazy layers get their shapes
    return net


def shrink_net(unlearner, net, retain, factor):
    """Draw the copy that a request of `unlearner` works on towards a net that is built anew."""
    seed = derive_seed(unlearner._seed, 5, len(unlearner.deletions_))
    recipe = skorch_nets.unwrap(unlearner.estimator)
    shrink(net, new_net(recipe, retain, unlearner._classes, seed), factor)


@torch.no_grad()
def shrink(net, new, factor):
    """w ← factor · w + (1 − factor) · w_new for all weights that learn, and running statistics.

    Parameters
    ----------
    net : skorch net, changed in place
    new : skorch net of the same layers
    factor : float in [0, 1]
    """
    for (name, ours), (_, theirs) in zip(parts(net), parts(new), strict=True):
        own, other = _movable(ours), dict(_tensors(theirs))
        for key, value in own.items():
            if key not in other or other[key].shape != value.shape:
                raise UnlearningError(
                    f"{name}.{key} of shape {tuple(value.shape)} is not in a net that is built "
                    f"anew from the recipe: {_explain(net, new)}, or use a method that goes on "
                    "from the weights as they are (FineTuneUnlearner)."
                )
            value.lerp_(other[key].to(value), 1 - factor)


def _explain(net, new):
    changed = list_built_otherwise(net, new)
    if changed:
        return f"{', '.join(changed)} was set after fit. Set it back, fit again"
    return "the layers were changed after they were built. Let the module's __init__ make them"


def _movable(module):
    found = {key: p for key, p in module.named_parameters() if p.requires_grad}
    for name, norm in module.named_modules():
        if isinstance(norm, NORMS) and norm.running_mean is not None:
            for key in ("running_mean", "running_var"):
                found[f"{name}.{key}" if name else key] = getattr(norm, key)
    return found


def _tensors(module):
    yield from module.named_parameters()
    yield from module.named_buffers()
