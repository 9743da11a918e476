"""A class for each of several positions of a row: of words of a text, of pixels of an image."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit
from scipy.special import softmax as softmax_
from torch.nn.functional import cross_entropy

from skunlearn._torch.row_blocks import RowBlock, by_blocks

_SCORES = {
    "margin": RowBlock.margin,
    "entropy": RowBlock.negative_entropy,
    "modified_entropy": RowBlock.negative_modified_entropy,
}
_ENTRIES = 2**24  # logits that are held at a time: of a language model no memory holds all
_LOOKED_AT = 100, 2**26  # retained rows that are looked at beside a request at least, and logits


class WithoutClasses:
    """What holds of a task whose rows are of no class: of values, and of many classes each."""

    def strata(self, y):
        """Rows that a sample is to hold in proportion: they are all alike."""
        return np.zeros(len(y), dtype=int)

    def find_emptied(self, left, gone):
        """A row has no class to lose; a word that no other text has is no class to forget."""
        return np.array([], dtype=int)

    def covers(self, left, gone):
        """As `find_emptied`."""
        return False


@dataclass(frozen=True)
class Positions(WithoutClasses):
    """One class for each position of a row, as ``CrossEntropyLoss`` takes them.

    It stands where other tasks have an array of class labels (`task_of`): targets are integers of
    shape (n, *shape), logits of shape (n, n_classes, *shape). What is said of a row is the mean
    over those of its positions that count.

    Parameters
    ----------
    n : int, number of classes
    shape : tuple of int, that of the targets of a row
    ignored : int, target of positions that do not count: the criterion's ``ignore_index``
    """

    n: int
    shape: tuple
    ignored: int

    noun = "a net that names a class for each position of a row"
    asks = "takes_positions"
    has_one_class = False
    has_labels = False

    def __len__(self):
        return self.n

    def __getitem__(self, y):
        """Targets in the user's form: as they are."""
        return y

    def check(self, y, n, name="y"):
        """Check the targets of `n` rows, and return them as int64, the user's own if they are."""
        y = np.asarray(y.detach().cpu().numpy() if isinstance(y, torch.Tensor) else y)
        if y.shape[1:] != self.shape or y.dtype.kind not in "biu":
            wanted = ", ".join(map(str, ("n", *self.shape)))
            raise ValueError(
                f"{name} must hold integers of shape ({wanted}), a class for each position of a "
                f"row, got dtype {y.dtype} and shape {y.shape}."
            )
        if len(y) != n:
            raise ValueError(
                f"X{name[1:]} and {name} have inconsistent numbers of samples: {n} rows and "
                f"{len(y)} targets."
            )
        counted, places = y != self.ignored, tuple(range(1, y.ndim))
        wrong = counted & ((y < 0) | (y >= self.n))
        rows = np.flatnonzero(wrong.any(axis=places))
        if len(rows):
            raise ValueError(
                f"{name} must hold classes from 0 to {self.n - 1}, for which the module has "
                f"outputs, or {self.ignored}, the criterion's ignore_index; row {rows[0]} holds "
                f"{y[rows[0]][wrong[rows[0]]][0]}."
            )
        empty = np.flatnonzero(~counted.any(axis=places))
        if len(empty):
            raise ValueError(
                f"{name} holds {len(empty)} rows of which no position counts: all are "
                f"{self.ignored}, the criterion's ignore_index; the first is row {empty[0]}. They "
                "teach nothing, and nothing can be measured on them. Leave them out, of X too."
            )
        return y.astype(np.int64, copy=False)

    # ------------------------------------------------------------------ tensors

    def losses(self, logits, y):
        """Cross-entropy of each row, averaged over the positions that count."""
        counted = (y != self.ignored).flatten(1).sum(dim=1).clamp_min(1)
        return self._sums(logits, y) / counted

    def log_likelihoods(self, logits, y):
        """log p(y|x) of each row, of all positions that count."""
        return -self._sums(logits, y)

    def _sums(self, logits, y):
        each = cross_entropy(logits, y.long(), ignore_index=self.ignored, reduction="none")
        return each.flatten(1).sum(dim=1)

    # ------------------------------------------------------------------ arrays

    def measure(self, logits, y, named):
        """Scores of each row by name, means over its positions that count, and these.

        Higher scores look more like a member; "loss" and the others are those of
        `skunlearn.metrics.membership_scores`.

        Parameters
        ----------
        logits : ndarray of shape (n, n_classes, *shape)
        y : ndarray of shape (n, *shape)
        named : ndarray of shape (n, *shape)
            What `name` says of the logits.

        Returns
        -------
        found : dict of str to ndarray of shape (n,)
            Also "right", the share that is named rightly, and "counted", how many count.
        """
        counts = y != self.ignored
        rows, own = np.nonzero(counts)[0], y[counts].astype(np.int64)
        z = np.moveaxis(logits, 1, -1)[counts]  # float32, as means over many positions need no more
        found = by_blocks(_SCORES, z, own)
        found["loss"] = -np.logaddexp(0.0, -found["margin"])
        found["confidence"] = expit(found["margin"])
        found["right"] = named[counts] == own
        counted = np.bincount(rows, minlength=len(y))
        means = {
            name: np.bincount(rows, weights=values, minlength=len(y)) / np.maximum(counted, 1)
            for name, values in found.items()
        }
        return means | {"counted": counted}

    def losses_of(self, said):
        """Cross-entropy of each row of an `Evidence`."""
        return -said.by_row["loss"]

    def score_of(self, said):
        """Share of positions that are named rightly, of those of all rows that count."""
        return float(np.average(said.by_row["right"], weights=said.by_row["counted"]))

    def name(self, logits):
        """The likeliest class of each position."""
        return logits.argmax(axis=1)

    def probabilities(self, logits):
        """Probability of each class at each position, of shape (n, n_classes, *shape)."""
        return softmax_(logits, axis=1)

    def confidences(self, logits):
        """None: a mean over positions does not reach the levels that are known of classes."""
        return None

    def chance(self, y):
        """Mean loss of one who only knows how frequent each class is."""
        counted = y[y != self.ignored]
        p = np.bincount(counted.astype(np.int64), minlength=self.n) / len(counted)
        entropy = float(-(p[p > 0] * np.log(p[p > 0])).sum())
        return entropy if entropy > 0 else float(np.log(max(2, self.n)))

    def cut(self, n):
        """Places of `n` rows in parts whose logits memory holds, as arrays."""
        size = max(1, _ENTRIES // self._logits)
        return [np.arange(start, min(start + size, n)) for start in range(0, n, size)]

    @property
    def most_looked_at(self):
        """Retained rows that are looked at beside a request; each says something many times."""
        least, entries = _LOOKED_AT
        return max(least, entries // self._logits)

    @property
    def _logits(self):
        """How many there are of a row."""
        return self.n * int(np.prod(self.shape))

    def check_width(self, out):
        """Whether outputs of a module are logits of these targets."""
        return tuple(out.shape[1:]) == (self.n, *self.shape)


def refuse_positions(classes, who):
    """Raise where a model names a class for each position of a row, which `who` cannot judge.

    Parameters
    ----------
    classes : see `task_of`
    who : str
    """
    if isinstance(classes, Positions):
        raise ValueError(
            f"{who} does not take {Positions.noun}. MIAScorer does: "
            "MIAScorer(reference='retrain').measure(unlearner, X_test, y_test) compares forgotten "
            "with unseen rows, beside a net that was trained without them."
        )


def takes_positions(criterion):
    """Whether a criterion takes a class for each position of a row."""
    return issubclass(criterion, torch.nn.CrossEntropyLoss | torch.nn.NLLLoss)
