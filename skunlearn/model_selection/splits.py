"""Cross-validation in which some of the training rows are to be forgotten."""

import numpy as np
from sklearn.model_selection import BaseCrossValidator, KFold, StratifiedKFold
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target

from skunlearn._rows.checking import check_forget_mask

__all__ = ["ForgetSplit"]

# What searches hand to a splitter, and how; pinned by tests on scikit-learn.
_WAYS = (
    "Leave the mask out of ForgetSplit(), and let the search hand it over, in one of two ways. "
    "With metadata routing on (sklearn.set_config(enable_metadata_routing=True)): "
    'search.fit(X, y, forget=mask), or cross_validate(search, X, y, params={"forget": mask}). With '
    "routing off the mask is passed as groups too, the one name that scikit-learn hands to "
    "splitters: search.fit(X, y, forget=mask, groups=mask), or cross_validate(search, X, y, "
    'params={"forget": mask, "groups": mask}); it reaches the first search that it meets, and none '
    "inside that."
)


class ForgetSplit(BaseCrossValidator):
    """K folds whose training parts hold forget rows and whose test parts hold rows never seen.

    A row can only be forgotten by a model that has seen it, so the rows of `forget` stay in the
    training part of every fold; the other rows take turns as test rows. Where the forget set is
    a whole class this would leave no unseen row of the class to compare with, so then a
    different k-th of the class is left out of each training part and put into the test part:
    unseen twins for the attack. They would count as errors of a model that has forgotten, so
    score accuracy with `RetainedScorer`.

    Parameters
    ----------
    n_splits : int, default=5
        At least 2 (scikit-learn's default).
    forget : bool array of shape (n_samples,), default=None
        The mask that is passed to ``fit`` of the search. None takes it from the search, so that
        searches nest: each of them has the part of the mask that belongs to its own rows. With
        metadata routing on the search hands it over by itself, ``search.fit(X, y,
        forget=mask)``. With routing off scikit-learn hands splitters nothing but ``groups``: pass
        the mask a second time under that name, ``search.fit(X, y, forget=mask, groups=mask)``; it
        goes to the first search that it meets.
    kind : {"auto", "instance", "class"}, default="auto"
        "auto" treats classes all of whose rows are marked as forgotten classes, and the other
        marked rows as instances.
    shuffle : bool, default=True
        Whether to shuffle the rows of each class, and the marked ones, before they are divided.
    random_state : int, RandomState instance or None, default=None
        Used when `shuffle` is true.

    See Also
    --------
    skunlearn.metrics.MIAScorer, skunlearn.metrics.RetainedScorer

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.model_selection import ForgetSplit
    >>> y = np.repeat([0, 1], 6)
    >>> forget = np.zeros(12, dtype=bool)
    >>> forget[:2] = True
    >>> train, test = next(ForgetSplit(2, forget=forget, random_state=0).split(y, y))
    >>> bool(np.isin([0, 1], train).all()), len(test)
    (True, 5)
    >>> a_class = ForgetSplit(2, forget=y == 1, random_state=0)
    >>> train, test = next(a_class.split(y, y))
    >>> int((y[test] == 1).sum()), int((y[train] == 1).sum())
    (3, 3)

    Without a mask of its own, in one search inside another:

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV, cross_validate
    >>> from skunlearn import RetrainUnlearner
    >>> X, y = load_iris(return_X_y=True)
    >>> forget = np.arange(150) % 5 == 0
    >>> search = GridSearchCV(
    ...     RetrainUnlearner(LogisticRegression(max_iter=500)),
    ...     {"estimator__C": [0.1, 1.0]},
    ...     cv=ForgetSplit(2, random_state=0),
    ... )
    >>> masks = {"forget": forget, "groups": forget}
    >>> len(cross_validate(search, X, y, cv=3, params=masks)["test_score"])
    3
    """

    # With metadata routing on, GridSearchCV.fit(..., forget=mask) reaches `split`.
    __metadata_request__split = {"forget": True}

    def __init__(self, n_splits=5, *, forget=None, kind="auto", shuffle=True, random_state=None):
        self.n_splits = n_splits
        self.forget = forget
        self.kind = kind
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None, forget=None):
        """Number of folds.

        Parameters
        ----------
        X, y, groups, forget : object
            Ignored.

        Returns
        -------
        n_splits : int
        """
        return self.n_splits

    def split(self, X, y=None, groups=None, forget=None):
        """Yield the training and test positions of each fold.

        Parameters
        ----------
        X : array-like of n_samples rows
            Only their number counts.
        y : array of shape (n_samples,), default=None
            Folds are stratified by classes when given.
        groups : bool array of shape (n_samples,), or object, default=None
            The mask, where neither `forget` nor the constructor gives one. Ignored otherwise.
        forget : bool array of shape (n_samples,), default=None
            Overrides the constructor's.

        Yields
        ------
        train, test : ndarray of int

        Raises
        ------
        ValueError, TypeError
            When the mask is missing or is no mask over the rows, or a part is too small.
        """
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        forget = self._mask(forget, groups, n)
        if self.kind not in ("auto", "instance", "class"):
            raise ValueError(f"kind must be 'auto', 'instance' or 'class', got {self.kind!r}.")
        if isinstance(self.n_splits, bool) or not self.n_splits >= 2:
            raise ValueError(f"n_splits must be an integer of at least 2, got {self.n_splits!r}.")
        stratified = y is not None and type_of_target(y) in ("binary", "multiclass")
        y = np.asarray(y) if stratified else np.zeros(n, dtype=int)
        whole = self._forgotten_class_rows(y, forget, stratified)
        pinned = forget & ~whole
        fold = np.full(n, -1)
        rng = check_random_state(self.random_state)
        self._deal(fold, np.flatnonzero(~forget), y, stratified, rng)
        if whole.any():
            _check_twins(y, whole, self.n_splits)
            self._deal(fold, np.flatnonzero(whole), y, True, rng)
        for k in range(self.n_splits):
            # Pinned rows have no fold and are in every training part.
            yield np.flatnonzero(fold != k), np.flatnonzero((fold == k) & ~pinned)

    def _mask(self, forget, groups, n):
        """The mask of rows to forget, from whoever gives one."""
        own = forget is None and self.forget is not None
        mask = np.asarray(self.forget) if own else None
        if own and mask.dtype == bool and mask.shape != (n,):
            raise ValueError(
                f"forget must have one entry per row of X: expected shape ({n},), got "
                f"{mask.shape}, which is what ForgetSplit(forget=mask) holds. A mask of the outer "
                "length fits no search that stands inside another one or inside "
                f"cross-validation. {_WAYS}"
            )
        forget = self.forget if own else forget
        if forget is None and groups is None:
            raise ValueError(
                f"ForgetSplit needs the mask of rows to forget. {_WAYS} For one search alone "
                "ForgetSplit(forget=mask) will do, with the mask of fit(X, y, forget=mask)."
            )
        if forget is None and np.asarray(groups).dtype != bool:
            raise TypeError(
                "ForgetSplit takes its mask of rows to forget from groups=, where it has no "
                f"other, and groups has dtype {np.asarray(groups).dtype}: no mask. {_WAYS}"
            )
        return check_forget_mask(groups if forget is None else forget, n)

    def _forgotten_class_rows(self, y, forget, stratified):
        if self.kind == "instance":
            return np.zeros(len(y), dtype=bool)
        if not stratified:
            if self.kind == "class":
                raise ValueError("kind='class' needs class labels y.")
            return np.zeros(len(y), dtype=bool)
        whole = np.isin(y, np.setdiff1d(y[forget], y[~forget]))
        if self.kind == "class" and not np.array_equal(whole, forget):
            raise ValueError(
                "kind='class' needs a mask that covers every row of the classes to forget; some "
                f"rows of {sorted(set(y[forget & ~whole].tolist()))} are not marked."
            )
        return whole

    def _deal(self, fold, rows, y, stratified, rng):
        """Give each of `rows` the number of the fold that tests it."""
        splitter = StratifiedKFold if stratified else KFold
        seed = rng.randint(2**31 - 1) if self.shuffle else None
        folds = splitter(self.n_splits, shuffle=self.shuffle, random_state=seed)
        for k, (_, test) in enumerate(folds.split(rows, y[rows])):
            fold[rows[test]] = k


def _check_twins(y, whole, n_splits):
    for label, count in zip(*np.unique(y[whole], return_counts=True)):
        if count < n_splits:
            raise ValueError(
                f"The forgotten class {np.asarray(label).item()!r} has {count} rows, too few to "
                f"leave unseen ones out in each of n_splits={n_splits} folds."
            )
