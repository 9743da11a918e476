"""Lloyd's iterations for k-means, kept so that they can be run again when rows have gone.

Each row is written down with its nearest centre and with how far the centres may move before that
can be another one (the bounds of Hamerly, "Making k-means even faster", SDM 2010, by the triangle
inequality). A run on the kept rows starts from what every iteration was before: its sums without
the rows that go, and only rows near a border are compared with the centres again.
"""

from dataclasses import dataclass, replace

import numpy as np

from skunlearn._rows.row_table import row_sketches
from skunlearn.exact._sums import Sums

_EPS = np.finfo(np.float64).eps
_CELLS = 2**18  # distances at a time
_MOST = 0.2
_TIE = 2.0**-30  # relative difference of squared distances up to which they count as equal


@dataclass(frozen=True)
class Iteration:
    """One iteration: centres, and what the rows made of them.

    Attributes
    ----------
    centres : array of shape (k, p)
    labels : int32 array of shape (n,)
    margins : float32 array of shape (n,)
        By how much the second centre is farther than the nearest, at least; none where they are as
        near.
    sums : Sums of the rows of each centre
    """

    centres: np.ndarray
    labels: np.ndarray
    margins: np.ndarray
    sums: Sums

    def without(self, X, gone, kept):
        """The iteration with other rows: those at `gone`, whose values are `X`, are left out."""
        return replace(
            self,
            labels=self.labels[kept],
            margins=self.margins[kept],
            sums=self.sums.without(X, self.labels[gone]),
        )


@dataclass(frozen=True)
class Run:
    """Iterations until the stop, and what they have come to.

    Attributes
    ----------
    iterations : list of Iteration
    centres : array of shape (k, p)
    labels : int32 array of shape (n,)
    looked : int
        How often a row was compared with all centres.
    """

    iterations: list
    centres: np.ndarray
    labels: np.ndarray
    looked: int


def run_lloyd(X, start, *, max_iter, tol, before=()):
    """Lloyd's algorithm as scikit-learn stops it; `Run`.

    A row that is as near to two centres is that of the first, where rounding would have decided.

    None where a centre loses all of its rows. And of a run from `before` where it has lost its way,
    as it has compared as many rows as a fifth of these iterations have, and where it hangs on
    rounding whether two centres are as near.

    Parameters
    ----------
    X : array of shape (n, p)
    start : array of shape (k, p)
    max_iter : int
    tol : float
        Sum of squared shifts of the centres at which it stops.
    before : sequence of Iteration, default=()
        A run of the same rows from other centres, with sums of these rows.
    """
    iterations, looked, centres, last = [], 0, start, None
    for number in range(max_iter):
        near = before[number] if number < len(before) else last
        labels, margins, count, sure = _assign(X, centres, near)
        looked += count
        if before and (looked > _MOST * len(before) * len(X) or not sure):
            return None
        if near is None:
            sums = Sums.of(X, labels, len(start))
        else:
            changed = np.flatnonzero(labels != near.labels)
            sums = near.sums.move(X[changed], near.labels[changed], labels[changed])
        if not sums.count().all():
            return None
        this, new = Iteration(centres, labels, margins, sums), sums.means()
        iterations.append(this)
        settled = last is not None and np.array_equal(labels, last.labels)
        if settled or ((new - centres) ** 2).sum() <= tol:
            break
        centres, last = new, this
    if not settled:
        labels, _, count, sure = _assign(X, new, this)
        looked += count
        if before and not sure:
            return None
    return Run(iterations, new, labels, looked)


def _assign(X, centres, near):
    """Nearest centre of every row, margins, how many rows were compared, and whether it is sure.

    `near` is an `Iteration` of these rows with other centres, or None.
    """
    if near is None:
        labels, margins, sure = find_nearest(X, centres)
        return labels, margins, len(X), sure
    moved = np.sqrt(((centres - near.centres) ** 2).sum(axis=1))
    others = np.full(len(moved), moved.max())
    others[moved.argmax()] = np.partition(moved, -2)[-2] if len(moved) > 1 else 0.0
    given = (moved + others) * (1 + _TIE)
    labels, margins = near.labels.copy(), _round_down(near.margins - given[near.labels])
    at = np.flatnonzero(~(margins > 0))
    labels[at], margins[at], sure = find_nearest(X[at], centres)
    return labels, margins, len(at), sure


def find_nearest(X, centres):
    """Nearest centre of every row, the first of those as near; margins; and whether it is sure.

    It is not where rounding decides if two centres are as near.
    """
    k, p = centres.shape
    labels, margins, sure = np.zeros(len(X), np.int32), np.full(len(X), np.inf, np.float32), True
    if k == 1:
        return labels, margins, sure
    offset = centres.mean(axis=0)  # small numbers round less
    centres = centres - offset
    sizes = (centres**2).sum(axis=1)
    step = max(1, _CELLS // k)
    for i in range(0, len(X), step):
        rows = X[i : i + step] - offset
        lengths = np.einsum("ij,ij->i", rows, rows)
        far = rows @ (-2 * centres.T)
        far += sizes
        far += lengths[:, None]
        every = np.arange(len(rows))
        nearest = far.argmin(axis=1)
        first = far[every, nearest]
        far[every, nearest] = np.inf
        second = far.min(axis=1)
        far[every, nearest] = first
        slack = (p + 8) * _EPS * (lengths + sizes.max())
        margin = np.sqrt(np.maximum(second - slack, 0))
        margin -= np.sqrt(np.maximum(first + slack, 0)) * (1 + _TIE)
        close = np.flatnonzero(second <= first * (1 + _TIE) + slack)
        over = far[close] - first[close, None] * (1 + _TIE)
        sure &= bool((np.abs(over) > slack[close, None]).all())
        nearest[close], margin[close] = (over <= 0).argmax(axis=1), 0.0
        labels[i : i + step], margins[i : i + step] = nearest, _round_down(margin)
    return labels, margins, sure


def _round_down(values):
    return np.nextafter(values.astype(np.float32), np.float32(-np.inf))


# ------------------------------------------------------------------ the start


def draw_start(X, k, key, names=None):
    """k rows by k-means++, one after the other in proportion to the squared distance.

    The draw is a race of exponential times, which hang on the key and on what a row holds, or on
    its number among `names`: it is the same, in whatever order rows come and whichever others there
    are, as long as its own k rows stay. Equal rows count once.
    """
    sketches, chosen = row_sketches(X) if names is None else names, []
    distances = np.ones(len(X))
    for number in range(k):
        times = _draw_times(sketches, key + number)
        with np.errstate(divide="ignore"):
            chosen.append(int((times / distances).argmin()))
        far = X - X[chosen[-1]]
        far = np.einsum("ij,ij->i", far, far)
        distances = far if number == 0 else np.minimum(distances, far)
    return chosen


def _draw_times(sketches, key):
    """An exponential time of mean one for each row, by the mixing of splitmix64."""
    with np.errstate(over="ignore"):
        z = sketches + np.uint64(key % 2**64) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        z ^= z >> np.uint64(31)
    return -np.log(((z >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)
