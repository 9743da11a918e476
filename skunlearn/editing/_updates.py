"""Weight updates of single training batches, on disk."""

import os
import shutil
import uuid

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from skorch.callbacks import Callback

from skunlearn._rows.containers import match, row_digests
from skunlearn._torch.batches.batching import n_batches
from skunlearn._torch.parts.net_state import refuse_unsized
from skunlearn.exceptions import UnlearningError


class UpdateStore:
    """Which batches held which sensitive rows, and where their updates lie.

    Parameters
    ----------
    folder : Folder
    sensitive : ndarray of shape (k, 16) of digests, or (k,) of positions in a Dataset
        A sensitive row is known below by its number, its place in this table.
    batches : dict of str to ndarray of int
        File name to the numbers of the sensitive rows in that batch.
    steps : int
        All steps of the training, recorded or not.
    """

    def __init__(self, folder, sensitive, batches=None, steps=0):
        self.folder, self.sensitive = folder, sensitive
        self.batches = {} if batches is None else batches
        self.steps = steps

    def numbers(self, rows):
        """Number of every row, -1 for those that are not sensitive; and those of its duplicates."""
        if self.sensitive.ndim == 1:
            base = getattr(rows.source, "indices", None)  # a Subset that came with the request
            wanted = rows.index if base is None else np.asarray(base)[rows.index]
            order = np.argsort(self.sensitive)
            at = np.searchsorted(self.sensitive, wanted, sorter=order).clip(max=len(order) - 1)
            hits = np.where(self.sensitive[order[at]] == wanted, order[at], -1)
            return hits, hits[hits >= 0]
        digests = row_digests(rows.arrays()[0]) if rows.digests is None else rows.digests
        hits = match(self.sensitive, digests)
        first = np.array([hit[0] if len(hit) else -1 for hit in hits], dtype=np.intp)
        return first, np.unique(np.concatenate([*hits, np.empty(0, np.intp)]).astype(np.intp))

    def holding(self, numbers):
        """Files of the batches that held any of these rows."""
        return [name for name, held in self.batches.items() if np.isin(held, numbers).any()]

    def change(self, without, added, steps):
        """A store without some files, and with others; nothing on disk is changed."""
        kept = {name: held for name, held in self.batches.items() if name not in set(without)}
        return UpdateStore(self.folder, self.sensitive, kept | added, self.steps + steps)

    def fork(self):
        """This store, or one in a folder of its own; see `Folder.fork`."""
        folder = self.folder.fork(self.batches)
        return UpdateStore(folder, self.sensitive, self.batches, self.steps)

    def read(self, name):
        """The update of a batch, by parameter name."""
        try:
            return load_file(os.path.join(self.folder.path, name))
        except FileNotFoundError as error:
            raise UnlearningError(
                f"Some recorded updates are gone from {self.folder.path}: a copy of this estimator "
                "has forgotten rows that were in them, or, of folder=None, they have ended with "
                "the process. Go on with that copy, or fit again; give folder= to keep them."
            ) from error


class UpdateRecorder(Callback):
    """Write the update of every batch that holds a sensitive row.

    Parameters
    ----------
    store : UpdateStore
    rows : Rows
        Those of which the net trains on all, or holds some out.
    """

    def __init__(self, store, rows):
        self.store, self._index, self._numbers = store, rows.index, store.numbers(rows)[0]
        self.batches, self.steps = {}, 0

    def on_train_begin(self, net, X=None, **kwargs):
        """Find the rows that are trained on, and refuse what would fill the disk."""
        order = np.argsort(self._index)
        places = order[np.searchsorted(self._index, X.index, sorter=order)]
        self.number = torch.as_tensor(self._numbers[places])
        size = sum(p.nbytes for p in net.module_.parameters() if p.requires_grad)
        sensitive = int((self.number >= 0).sum())
        steps = max(1, n_batches(net, len(self.number)))
        needed = size * min(steps, sensitive) * net.max_epochs
        free = shutil.disk_usage(self.store.folder.path).free
        if needed > 0.9 * free:
            raise UnlearningError(
                f"Recording may take {needed / 2**30:.3g} GiB in {self.store.folder.path}, where "
                f"{free / 2**30:.3g} GiB are free. Declare fewer rows sensitive in "
                "fit(sensitive=mask), or give a folder= elsewhere."
            )

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        """Note the weights before the step."""
        if not training:
            return
        self.steps += 1
        if batch.rows is None:
            batch.places("AmnesiacUnlearner")  # says why
        held = self.number[batch.rows]  # also where they are mixed: all of them have a part
        self.held_ = held[held >= 0].numpy()
        if len(self.held_):
            refuse_unsized(net)
            self.before_ = {n: p.detach().clone() for n, p in _learning(net)}

    @torch.no_grad()
    def on_batch_end(self, net, training=False, **kwargs):
        """Write what the step changed."""
        if not training or not len(self.held_):
            return
        # In their place, where the difference the other way round is the same but for its sign.
        update = {n: self.before_[n].sub_(p).neg_() for n, p in _learning(net)}
        update = {n: way.contiguous().cpu() for n, way in update.items()}
        name = f"{uuid.uuid4().hex}.safetensors"
        save_file(update, os.path.join(self.store.folder.path, name))
        self.batches[name] = self.held_
        del self.before_


@torch.no_grad()
def subtract(net, store, names):
    """Take the updates of these files back, one at a time."""
    params = dict(net.module_.named_parameters())
    for name in names:
        for key, update in store.read(name).items():
            params[key].sub_(update.to(params[key].device))


def _learning(net):
    return ((n, p) for n, p in net.module_.named_parameters() if p.requires_grad)
