"""What a net says of rows that it has never seen, as the target for rows that it is to forget."""

import numpy as np
import torch

from skunlearn._torch.observation import observe
from skunlearn._torch.parts.tasks import need_one_class, task_of
from skunlearn._torch.row_losses import Targets, labels_of
from skunlearn.exceptions import UnlearningError


class HeldOutReference:
    """Mean answer to as many unseen rows of each class as a batch of forget rows has.

    Parameters
    ----------
    net : skorch net before the request
    retain, forget : Rows
    unseen : Rows or None
    classes : see `task_of`
    seed : int
    method : str, for messages
    """

    def __init__(self, net, retain, forget, unseen, classes, seed, method):
        need_one_class(classes, f"{method}(target='reference')")
        if unseen is None:
            raise ValueError(
                "target='reference' needs rows that the net has never seen, with their labels: "
                "pass X_val= and y_val= to unlearn, or give the net a predefined_split."
            )
        emptied = task_of(classes).find_emptied(retain.y, forget.y)
        if len(emptied):
            raise UnlearningError(
                f"No retained row is left of class {classes[emptied].tolist()[0]!r}: "
                "target='reference' would teach the forget rows what the net says of unseen rows "
                "of their class, and keep it. Take target='oracle' for whole classes."
            )
        self.classes, self.method, self.targets = classes, method, Targets(net, forget)
        logits = observe(net, unseen, classes).logits
        self.p = task_of(classes).probabilities(np.asarray(logits, dtype=np.float64))
        pools = {k: np.flatnonzero(unseen.y == k) for k in np.unique(forget.y)}
        self.pools = {k: pool if len(pool) else np.arange(len(unseen)) for k, pool in pools.items()}
        self.rng = np.random.default_rng(seed)

    def __call__(self, batch):
        """Log-probabilities for the rows of a batch, the same for all of them."""
        y = labels_of(batch, self.targets, self.classes, self.method).cpu().numpy().ravel()
        drawn = [
            self.rng.choice(self.pools[k], count)
            for k, count in zip(*np.unique(y.astype(np.int64), return_counts=True), strict=True)
        ]
        mean = self.p[np.concatenate(drawn)].mean(axis=0)
        logits = np.log(np.maximum(mean, np.finfo(np.float32).tiny))
        return torch.as_tensor(logits, dtype=torch.float32).expand(len(y), -1)
