"""The training of one shard, slice by slice."""

import json
import os
import time
import uuid
from dataclasses import dataclass, field

import numpy as np
from safetensors.torch import load_file, safe_open, save_file
from sklearn.dummy import DummyClassifier

from skunlearn._recipe import training
from skunlearn._rows.row_names import join_names
from skunlearn._rows.seeding import derive_seed, seeded
from skunlearn._rows.views import Rows
from skunlearn._torch import portable, shared_parameters, skorch_nets
from skunlearn._torch.first_weights import digest_tensor
from skunlearn._torch.held_out_rows import holding_out
from skunlearn._torch.loop import fit_loop
from skunlearn._torch.parts.net_state import weights
from skunlearn.exceptions import UnlearningError


@dataclass
class Shard:
    """The rows of a shard, and how its model is trained on them.

    Attributes
    ----------
    rows : Rows, in the order of their positions
    slices : ndarray of int, the slice of each
    n_slices : int
    seed : int
        Of this shard alone.
    classes : see `task_of`
    """

    rows: Rows
    slices: np.ndarray
    n_slices: int
    seed: int
    classes: object


@dataclass
class Trained:
    """A shard's model, and where its checkpoints lie.

    Attributes
    ----------
    model : fitted net or scikit-learn estimator, or None for a shard without rows that count
    files : dict of int to str
        Stage (but for the last) to the name of the file with the weights at its end.
    row_epochs : int
        Rows that went through the training, counted once for each epoch.
    seconds : float
    """

    model: object
    files: dict = field(default_factory=dict)
    row_epochs: int = 0
    seconds: float = 0.0


def train_shard(recipe, shard, folder, first=0, files=None, verbose=0):
    """Train on slice 1, then on slices 1 and 2, and so on; `Trained`.

    Parameters
    ----------
    recipe : net or scikit-learn estimator, untouched
    shard : Shard
    folder : str or None
        Where checkpoints go; needed with more than one slice.
    first : int
        Stage to begin with, from the checkpoint of the stage before in `files`.
    files : dict of int to str or None
        Checkpoints of earlier stages.
    """
    began = time.perf_counter()
    if not skorch_nets.is_net(recipe):
        done = _train_once(recipe, shard, verbose)
    else:
        done = _train_stages(recipe, shard, folder, first, files or {}, verbose)
        skorch_nets.drop_last_steps(done.model) if done.model is not None else None
    done.seconds = time.perf_counter() - began
    return done


def stage_epochs(epochs, n_slices):
    """Epochs of one stage, so that all together cost what `epochs` over all rows do."""
    return max(1, round(2 * epochs / (n_slices + 1)))


def _train_once(recipe, shard, verbose):
    counting = _counting(shard.rows)
    if not counting.any():
        return Trained(None)
    y = shard.rows.y
    y = y if counting.all() else y[counting]
    if shard.classes is not None and (y == y.flat[0]).all():
        # Many classifiers refuse a single class; what it says of any row is clear.
        recipe = DummyClassifier(strategy="most_frequent")
    try:
        model = training.train(recipe, shard.rows, shard.classes, shard.seed, verbose=verbose)
    except Exception as error:
        error.add_note(
            f"This was on one shard alone, which holds {len(shard.rows)} rows. If they are too few "
            "for the estimator (early stopping holds out rows of every class, say), use fewer "
            "shards or set it otherwise."
        )
        raise
    return Trained(model, row_epochs=len(shard.rows))


def _train_stages(recipe, shard, folder, first, files, verbose):
    epochs = recipe.max_epochs
    if shard.n_slices > 1:
        epochs = stage_epochs(epochs, shard.n_slices)
        recipe = skorch_nets.clone_net(recipe).set_params(max_epochs=epochs)
    done = Trained(None, {k: name for k, name in files.items() if k < first})
    if done.files:
        done.model = _read(recipe, shard, os.path.join(folder, done.files[max(done.files)]))
    for stage in range(first, shard.n_slices):
        rows = shard.rows.take(np.flatnonzero(shard.slices <= stage))
        if not _counting(rows).any():
            continue
        done.model = _stage(recipe, done.model, rows, shard, stage, verbose)
        done.row_epochs += len(rows) * epochs
        if stage < shard.n_slices - 1:
            done.files[stage] = f"{uuid.uuid4().hex}.safetensors"
            _write(done.model, recipe, shard, os.path.join(folder, done.files[stage]))
    return done


def _counting(rows):
    """Which rows count: those whose weight is not zero."""
    return np.ones(len(rows), dtype=bool) if rows.weights is None else rows.weights > 0


def _stage(recipe, model, rows, shard, stage, verbose):
    """Train further, or afresh: with a new optimizer, so that weights are all there is to keep."""
    seed = derive_seed(shard.seed, stage) if stage else shard.seed
    if model is None:
        return training.train(recipe, rows, shard.classes, seed, verbose=verbose)
    with seeded(seed):
        net = skorch_nets.copy_net(model, verbose=verbose)
        with holding_out(net, recipe, rows) as kept:
            return fit_loop.train(net, kept)


def _write(net, recipe, shard, path):
    lost = portable.name_lost(net, recipe, shard.seed, shard.rows)
    if lost:
        raise UnlearningError(
            f"n_slices={shard.n_slices} keeps the net after each slice in a file, which cannot "
            f"hold {join_names(lost)}: the training has changed that on the modules "
            "themselves. Use n_slices=1, or let the module hold it as a buffer."
        )
    tensors, base = weights(net), _base(recipe, shard, net)
    kept = {k: v.contiguous().cpu() for k, v in tensors.items() if k not in base}
    about = {"frozen": portable.name_frozen(net), "base": base}
    save_file(kept, path, metadata={key: json.dumps(value) for key, value in about.items()})


def _read(recipe, shard, path):
    with safe_open(path, framework="pt") as file:
        about = {key: json.loads(value) for key, value in file.metadata().items()}
    tensors, base = load_file(path), about["base"]
    if base:
        with seeded(shard.seed):
            built = weights(skorch_nets.fresh_net(recipe, verbose=0))
        for name, digest in base.items():
            if name not in built or digest_tensor(built[name]) != digest:
                raise UnlearningError(
                    f"{name}, which does not learn, is no longer what the module built in fit, so "
                    "that shards would stand on different weights. Load those of then, or fit anew."
                )
        tensors |= {name: built[name] for name in base}
    return portable.rebuild(recipe, shard.seed, tensors, about["frozen"], classes=shard.classes)


def _base(recipe, shard, net):
    """Digests of frozen parameters that the module builds as they are: no file need hold them."""
    frozen = shared_parameters.list_frozen(net)
    if not frozen:  # as in most nets, which are not built once more to see that
        return {}
    with seeded(shard.seed):
        fresh = shared_parameters.list_frozen(skorch_nets.fresh_net(recipe, verbose=0))
    return {
        name: digest_tensor(p)
        for name, p in frozen.items()
        if name in fresh and shared_parameters.are_equal(fresh[name], p)
    }
