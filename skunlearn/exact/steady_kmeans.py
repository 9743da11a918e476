"""k-means whose start hangs on its own rows, and which can be run again when others have gone."""

import copy
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from skunlearn._rows.row_table import row_sketches
from skunlearn.exact._lloyd import draw_start, find_nearest, run_lloyd
from skunlearn.exact._sums import Sums

__all__ = ["SteadyKMeans"]

_BLOCK = 4096  # rows compared at a time


class SteadyKMeans(KMeans):
    """k-means for an `UnlearningPipeline`, out of which rows go without a training from scratch.

    Choose it in the place of ``KMeans`` as a step whose rows are to be deleted one by one.

    The centres of k-means are means of rows, out of which rows can be taken; but which rows they
    are means of was decided step by step by all rows, from a start that was drawn from them. Here
    the start is a function of the rows that it is made of: each row draws a time by its contents
    and the seed, and the race decides, in proportion to squared distances, as k-means++ does (once
    for each centre, where scikit-learn's tries several). A row that goes changes the start only if
    it was one of its k rows. From there it is Lloyd's algorithm as scikit-learn's, but that a row
    as near to two centres is that of the first, as rounding must not say whose it is. In a pipeline
    every iteration is kept: which rows each centre had, their exact sums, and how far the centres
    may move before a row changes sides. When rows go, the iterations are run again from the first
    one, on the sums without these rows, and only rows near a border are compared with the centres.
    The result is that of ``fit`` on the kept rows, to rounding.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    max_iter : int, default=300
        Most iterations.
    tol : float, default=1e-4
        As of ``KMeans``: the squared shift of all centres, in units of the mean variance of the
        columns, at which it stops.
    random_state : int, RandomState instance or None, default=None
        Seed of the start.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        The centres.
    labels_ : ndarray of shape (n,)
        Cluster of each row.
    inertia_ : float
        Sum of squared distances to the nearest centre.
    n_iter_ : int
        Iterations.
    start_ : ndarray of shape (n_clusters, n_features)
        The rows that it started from.
    n_features_in_ : int
        Columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if they have any.
    compared_ : float
        After a deletion without a training: how many rows were compared with the centres, as a
        share of all rows in all iterations. Absent otherwise.

    See Also
    --------
    UnlearningPipeline : Where it forgets.

    Notes
    -----
    A request trains from scratch when it names a row of the start (one of n_clusters rows, if none
    that stays equals it), where a centre loses all of its rows, where the iterations go another way
    (a fifth of all rows would be compared again), where values are much larger than all that stay,
    and for sparse rows and weighted ones; the log of the pipeline then does not name the step under
    "subtracted". The iterations that are kept take 8 bytes for each row in each.

    Behind a step that learns from rows, like a StandardScaler, k-means is trained from scratch at
    every request: all rows have other values then, and sums of those before are no sums of these.
    (Of 135 requests for one row of nine data sets, 101 followed from the iterations, and none
    behind a StandardScaler.) Rows draw their times there by what they held before the steps of the
    pipeline, so that it starts from the same rows, and is, to rounding, that of a ``fit`` of the
    pipeline on the kept rows. (Where nobody names rows, in a ``Pipeline`` of scikit-learn's or
    inside of a ColumnTransformer, they draw by the values that it is shown.)

    The start can be told from the result, and a row of it is a row: k-means gives rows away like
    any model, before they are deleted.

    References
    ----------
    A. Ginart et al., "Making AI Forget You: Data Deletion in Machine Learning", NeurIPS 2019,
    https://arxiv.org/abs/1907.05012, whose Q-k-means rounds the centres so that most deletions
    leave them as they are. Here nothing is rounded, and iterations are repaired.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import Ridge
    >>> from skunlearn import RetrainUnlearner, UnlearningPipeline
    >>> from skunlearn.exact import SteadyKMeans
    >>> X, y = load_digits(return_X_y=True)
    >>> steps = [("k", SteadyKMeans(10, random_state=0)), ("m", RetrainUnlearner(Ridge()))]
    >>> pipeline = UnlearningPipeline(steps).fit(X, y).unlearn(indices=[7])
    >>> again = SteadyKMeans(10, random_state=0).fit(np.delete(X, 7, axis=0))
    >>> np.allclose(pipeline["k"].cluster_centers_, again.cluster_centers_, rtol=1e-9)
    True
    >>> pipeline["k"].compared_ < 0.1
    True
    """

    def __init__(self, n_clusters=8, *, max_iter=300, tol=1e-4, random_state=None):
        super().__init__(
            n_clusters, n_init=1, max_iter=max_iter, tol=tol, random_state=random_state
        )

    _last = None  # what the last `fit` went through
    _row_names = None  # what stands for the contents of rows, for one call of `fit`

    def fit(self, X, y=None, sample_weight=None):
        """Draw the start and compute the clusters.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, n_features)
            The rows.
        y : None
            Not used.
        sample_weight : array of shape (n,), default=None
            Weights of the rows. The start is drawn from those of positive weight, and does not heed
            them otherwise.

        Returns
        -------
        self : object
        """
        self._validate_params()
        names = vars(self).pop("_row_names", None)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, order="C")
        if len(dense := X.toarray() if sparse.issparse(X) else X) < self.n_clusters:
            raise ValueError(f"n_samples={len(dense)} should be >= n_clusters={self.n_clusters}.")
        self._key = int(check_random_state(self.random_state).randint(2**31 - 1))
        self._weighted = sample_weight is not None
        if names is None:
            names = row_sketches(dense)
        if self._weighted:
            counts = _check_sample_weight(sample_weight, X) > 0
            dense, names = dense[counts], names[counts]
        self.start_ = dense[draw_start(dense, self.n_clusters, self._key, names)]
        vars(self).pop("compared_", None)
        whole = not self._weighted and not sparse.issparse(X)
        spread = _spread(X) if whole else None
        run = _run(self, X, spread) if whole else None
        # From the end of a run, one iteration of scikit-learn's sets what its methods read.
        begin, most = (self.start_, self.max_iter) if run is None else (run.centres, 1)
        columns = vars(self).get("feature_names_in_")
        given = self.init, self.max_iter
        self.init, self.max_iter = begin, most  # where scikit-learn looks for them
        try:
            super().fit(X, sample_weight=sample_weight)
        finally:
            self.init, self.max_iter = given
        self._last = None if run is None else (spread, run)
        if run is not None:
            _take(self, run, X)
        if columns is not None:
            self.feature_names_in_ = columns
        return self

    def predict(self, X):
        """The cluster of each row, the first of those that are as near.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, n_features)
            The rows.

        Returns
        -------
        labels : int32 array of shape (n,)
        """
        check_is_fitted(self)
        X = self._check_test_data(X)
        return (
            super().predict(X) if sparse.issparse(X) else find_nearest(X, self.cluster_centers_)[0]
        )

    def __getstate__(self):
        return {key: value for key, value in super().__getstate__().items() if key != "_last"}

    def __sklearn_clone__(self):
        new = super().__sklearn_clone__()  # as a pipeline's memory= makes one before `fit`
        if self._row_names is not None:
            new._row_names = self._row_names
        return new

    def _check_test_data(self, X):
        # As in `fit`: scikit-learn's own takes float32 for centres of float32 alone.
        return validate_data(self, X, accept_sparse="csr", reset=False, dtype=np.float64, order="C")


@dataclass(frozen=True)
class ClusterStatistic:
    """The iterations behind a fitted SteadyKMeans, out of which rows can go.

    Attributes
    ----------
    sketches : uint64 array of shape (n,), by which rows are found
    spread : Sums of squares of all rows
    iterations : list of Iteration
    """

    sketches: np.ndarray
    spread: Sums
    iterations: list

    reads_rows = True  # `without` is shown the rows that stay

    @classmethod
    def of(cls, step, X):
        """The statistic of the rows that a fitted step was fitted on; None where it is no use."""
        if sparse.issparse(X) or step._weighted:
            return None
        X = cls._check_rows(step, X)
        last = vars(step).pop("_last", None)  # a copy has none
        spread = _spread(X) if last is None else last[0]
        run = _run(step, X, spread) if last is None else last[1]
        return None if run is None else cls(row_sketches(X), spread, run.iterations)

    def without(self, step, X, kept):
        """The statistic when rows `X` go, and the step of those that are `kept`; None as above."""
        X, kept = self._check_rows(step, X), self._check_rows(step, kept)
        left, gone, start = (row_sketches(rows) for rows in (kept, X, step.start_))
        at = _find_gone(self.sketches, left, gone)
        if at is None:
            return None
        stay = np.ones(len(self.sketches), bool)
        stay[at] = False
        touched = start[np.isin(start, gone, kind="sort")]
        if len(touched) and not np.isin(touched, left, kind="sort").all():
            return None
        spread = self.spread.without(X, np.zeros(len(X), int))
        if spread.is_coarse():
            return None
        before = [each.without(X, at, stay) for each in self.iterations]
        run = _run(step, kept, spread, before)
        if run is None:
            return None
        new = _take(copy.copy(step), run, kept)
        new.compared_ = run.looked / (len(kept) * (len(run.iterations) + 1))
        return type(self)(left, spread, run.iterations), new

    @staticmethod
    def _check_rows(step, X):
        return validate_data(step, X, reset=False, dtype=np.float64)


def _spread(X):
    """Sums of the squares of all rows."""
    return Sums.of(X, np.zeros(len(X), int), 1, "squares")


def _run(step, X, spread, before=()):
    tol = step.tol * (spread.scatter()[0] / spread.n[0]).mean()
    return run_lloyd(X, step.start_, max_iter=step.max_iter, tol=tol, before=before)


def _take(step, run, X):
    """The step, with what a run on rows `X` has come to."""
    step.cluster_centers_, step.labels_ = run.centres, run.labels
    step.inertia_ = float(((X - run.centres[run.labels]) ** 2).sum())
    step.n_iter_ = len(run.iterations)
    return step


def _find_gone(table, left, gone):
    """Where each of `gone` stands in `table`, of which `left` is the rest; None where it is not."""
    found, at = [], 0
    while at < len(left):
        block = left[at : at + _BLOCK]
        here = table[at + len(found) :][: len(block)]
        if len(here) < len(block):
            return None
        differ = here != block
        at += int(differ.argmax()) if differ.any() else len(block)
        if differ.any():
            found.append(at + len(found))
    found = np.array([*found, *range(at + len(found), len(table))], np.intp)
    if not np.array_equal(np.sort(table[found]), np.sort(gone)):
        return None
    places = np.empty_like(found)
    places[np.argsort(gone, kind="stable")] = found[np.argsort(table[found], kind="stable")]
    return places
