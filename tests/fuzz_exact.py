"""Random requests to exact methods, beside a fresh fit on what remains after each of them.

A `Trial` holds what a user holds: rows, labels, weights, ids and groups as they should be now. It
asks for deletions and corrections in every way in which rows are named, refused ones among them,
and goes through pickles and files in the middle.
"""

import copy
import os
import pickle
import tempfile
import warnings

import numpy as np
from sklearn.frozen import FrozenEstimator

from skunlearn._torch.skorch_nets import is_net, unwrap
from skunlearn.exceptions import AlreadyForgottenError, UnknownRowsError, UnlearningError

N_TEST, WIDTH = 30, 5
KINDS = ("indices", "ids", "groups", "rows", "rows with labels", "correct indices", "correct ids")
FEW = 5  # labels, with which whole classes are deleted
STAYING = ("gone", "stranger", "all", "pickle", "save", "copy", "lend")
LEAVING = ("correct ids", "correct indices", *STAYING)
ODD = ("correct rows", "brought", "away", *STAYING)
ACTS = (*KINDS, "whole class", *ODD)
BRING = "give them back with attach"  # what shards say of rows that come with a request


class Trial:
    """One estimator and its requests.

    Parameters
    ----------
    make : callable
        ``make()`` gives an unfitted unlearner.
    draw : callable
        ``draw(rng, n)`` gives rows and labels.
    fresh : callable
        ``fresh(X, y, weights, ids, groups)`` gives a model of these rows alone.
    seed : int
    n : int, default=90
        Training rows.
    fewest : int, default=20
        With so many rows left or fewer, no more are deleted.
    weighted : bool, default=False
        Whether the rows have weights, some of them none.
    wrap : callable, default=None
        ``wrap(X)`` puts rows into the container in which they are given: a frame, say.
    trained : callable, default=None
        Makes an estimator that is fitted before, on these rows: ``make(FrozenEstimator(...))``.
    """

    def __init__(
        self,
        make,
        draw,
        fresh,
        seed,
        *,
        n=90,
        fewest=20,
        weighted=False,
        wrap=None,
        trained=None,
    ):
        self.n, self.rng = n, np.random.default_rng(seed)
        self.wrap = wrap or np.array
        self.make, self.draw, self.fresh, self.fewest = make, draw, fresh, fewest
        self.seed, self.drift, self.done = seed, 0.0, []
        X, y = draw(self.rng, n + N_TEST)
        X[3], y[3] = X[4], y[4]  # equal rows with equal labels
        X[5] = X[6]  # and perhaps with others
        self.X, self.y, self.X_test = X[: self.n], y[: self.n], X[self.n :]
        self.weights = self.rng.uniform(0.1, 2.0, self.n) if weighted else None
        if weighted:
            self.weights[self.rng.random(self.n) < 0.1] = 0.0
        self.known = np.unique(y)
        self.ids = np.array([f"row-{i}" for i in range(self.n)])
        self.groups = np.array([f"person-{i // 3}" for i in range(self.n)])
        self.left = np.ones(self.n, dtype=bool)
        given = {} if self.weights is None else {"sample_weight": self.weights}
        if trained is not None:
            model = trained().fit(self.wrap(self.X), self.y, **given)
            self.make = lambda: make(FrozenEstimator(model))
        # A copy: rows are referred to, and these are corrected.
        self.unlearner = self.make().fit(
            self.wrap(self.X), self.y.copy(), ids=self.ids, groups=self.groups, **given
        )

    def run(self, n):
        """Ask `n` times, and compare after each; the greatest difference, of the outputs' size."""
        self.compare()
        for _ in range(n):
            act = str(self.rng.choice(ACTS))
            if self.left.sum() <= self.fewest:  # only what leaves all rows
                act = str(self.rng.choice(LEAVING))
            self.done.append(act)
            try:
                getattr(self, "do_" + act.replace(" ", "_"))()
                self.compare()
            except Exception as error:
                error.add_note(f"seed {self.seed}, after {self.done}")
                raise
        return self.drift

    def compare(self):
        """The model's outputs, those of a fresh fit, and what is known of the rows."""
        self.compare_outputs()
        assert np.array_equal(self.unlearner._record.retained, self.left)

    def compare_outputs(self):
        """What the model says of rows, beside what a fresh fit says."""
        shown = self.wrap(np.concatenate([self.X_test, self.X[self.left][:20]]))
        model, found = self.fit_fresh(), outputs(self.unlearner, shown)
        expected = outputs(model, shown)
        if found.shape != expected.shape:  # a class that nobody is left of
            assert set(model.classes_) < set(self.known)
            there = np.isin(self.unlearner.classes_, model.classes_)
            if self.is_net():  # it keeps the column, of which the fresh one does not speak
                shares = found[:, there] / found[:, there].sum(axis=1, keepdims=True)
                np.testing.assert_allclose(shares, expected, rtol=1e-5, atol=1e-6)
                return
            assert np.array_equal(self.unlearner.predict(shown), model.predict(shown))
            if hasattr(model, "predict_proba"):
                assert not found[:, ~there].any()
                found = found[:, there]
            else:
                found = expected
        size = np.maximum(1.0, np.abs(expected))
        self.drift = max(self.drift, float((np.abs(found - expected) / size).max()))

    def is_net(self):
        final = getattr(self.unlearner, "_final_estimator", self.unlearner)
        return is_net(unwrap(final.estimator))

    def fit_fresh(self):
        """A model of the rows that are left, as they are now."""
        left = self.left
        weights = None if self.weights is None else self.weights[left]
        rows = self.wrap(self.X[left])
        return self.fresh(rows, self.y[left], weights, self.ids[left], self.groups[left])

    # ------------------------------------------------------------------ deletions

    def some(self, most=3):
        left = np.flatnonzero(self.left)
        return self.rng.choice(left, min(len(left), self.rng.integers(1, most + 1)), False)

    def forget(self, gone, **named):
        gone = np.asarray(gone) & self.left
        before, log = self.left, len(self.unlearner.deletions_)
        self.left = before & ~gone
        try:
            self.unlearner.unlearn(**named)
        except (ValueError, UnlearningError) as error:
            known = BRING in str(error) or self.is_too_little()
            self.left = before
            assert len(self.unlearner.deletions_) == log
            if not known:
                raise
        else:
            self.check_classes(before)

    def check_classes(self, before):
        """The log names the classes that went with the request, wherever the rows were."""
        said = self.unlearner.deletions_[-1]["classes_forgotten"]
        if self.y.ndim == 1 and self.y.dtype.kind != "f":
            went = np.setdiff1d(self.y[before], self.y[self.left])
            assert sorted(said) == went.tolist(), (said, went)

    def is_too_little(self):
        """Whether there is no model of the rows that would be left, or none that answers."""
        try:
            outputs(self.fit_fresh(), self.wrap(self.X_test))
        except (ValueError, IndexError):  # the second from LDA of one class
            return True
        return False

    def at(self, rows):
        return np.isin(np.arange(self.n), rows)

    def do_indices(self):
        rows = self.some()
        self.forget(self.at(rows), indices=rows)

    def do_ids(self):
        rows = self.some()
        self.forget(self.at(rows), ids=self.ids[rows])

    def do_groups(self):
        names = np.unique(self.groups[self.some(1)])
        self.forget(np.isin(self.groups, names), groups=names)

    def equal(self, row, *, labels):
        same = ((self.X[row] == self.X) | (np.isnan(self.X[row]) & np.isnan(self.X))).all(axis=1)
        if labels:
            same &= (self.y == self.y[row]).reshape(self.n, -1).all(axis=1)
        return same & self.left

    def do_rows(self):
        row = self.some(1)[0]
        self.forget(self.equal(row, labels=False), X_forget=self.wrap(self.X[[row]]))

    def do_rows_with_labels(self):
        row = self.some(1)[0]
        gone = self.equal(row, labels=True)
        self.forget(gone, X_forget=self.wrap(self.X[[row]]), y_forget=self.y[[row]])

    def do_whole_class(self):
        """All rows of a class; in the end one class may be left."""
        if self.is_net():  # whose outputs stay, where a fresh one has fewer
            return
        if self.y.ndim > 1 or len(self.known) > FEW or self.rng.random() < 0.5:
            return
        if self.weights is not None:  # of a class that comes back by a row of none there is no log
            return
        gone = self.left & (self.y == self.y[self.some(1)[0]])
        if (self.left & ~gone).sum() >= self.fewest and self.can_be_fitted(self.left & ~gone):
            self.forget(gone, indices=np.flatnonzero(gone))

    def can_be_fitted(self, left):
        """Whether scikit-learn's own estimator has figures for these rows, none divided by 0."""
        before, self.left = self.left, left
        try:
            with np.errstate(all="raise"), warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                outputs(self.fit_fresh(), self.wrap(self.X_test))
        except (ArithmeticError, RuntimeWarning):
            return False
        except (IndexError, ValueError):
            return True  # a request for these is to be refused
        finally:
            self.left = before
        return True

    def do_brought(self):
        """The kept rows come with the request, as to one that holds none."""
        rows = self.some()
        left = np.flatnonzero(self.left & ~self.at(rows))
        brought = {"X_retain": self.wrap(self.X[left]), "y_retain": self.y[left]}
        self.forget(self.at(rows), ids=self.ids[rows], **brought)

    def do_away(self):
        """A request to one that holds no rows; all of them come along, and are given back."""
        row, shape = self.some(1)[0], self.rng.integers(2)
        gone = self.equal(row, labels=True)
        left = np.flatnonzero(self.left & ~gone)
        self.unlearner.detach()

        def given(rows):
            y = self.y[rows]
            return y[:, None] if shape and y.ndim == 1 else y  # a column is as good

        brought = {"X_retain": self.wrap(self.X[left]), "y_retain": given(left)}
        self.forget(gone, X_forget=self.wrap(self.X[[row]]), y_forget=given([row]), **brought)
        left = self.rng.permutation(np.flatnonzero(self.left))
        self.unlearner.attach(self.wrap(self.X[left]), given(left))

    # ------------------------------------------------------------------ corrections

    def new(self, k):
        """New values, now and then those of a row that there is, and labels that are known."""
        X, y = self.draw(self.rng, k)
        if self.rng.random() < 0.2:
            X[0] = self.X[self.some(1)[0]]
        if y.dtype.kind != "f":
            y = self.rng.choice(self.known, k)
        return X, y

    def put(self, rows, X_new, y_new, **named):
        which = self.rng.integers(3)
        X_new, y_new = (None if which == 1 else X_new), (None if which == 0 else y_new)
        y = self.y.copy()
        if y_new is not None:
            y[rows] = y_new
        wrapped = None if X_new is None else self.wrap(X_new)
        before = self.X.copy(), self.y
        self.y = y
        if X_new is not None:
            self.X[rows] = X_new
        try:
            self.unlearner.correct(X_new=wrapped, y_new=y_new, **named)
        except (ValueError, UnlearningError):
            known = self.is_too_little()
            self.X, self.y = before
            if not known:
                raise

    def do_correct_indices(self):
        rows = self.some()
        self.put(rows, *self.new(len(rows)), indices=rows)

    def do_correct_ids(self):
        rows = self.some()
        self.put(rows, *self.new(len(rows)), ids=self.ids[rows])

    def do_correct_rows(self):
        row = self.some(1)[0]
        self.put(self.equal(row, labels=False), *self.new(1), X_old=self.wrap(self.X[[row]]))

    # ------------------------------------------------------------------ what changes nothing

    def refused(self, error, **named):
        shown = self.wrap(self.X_test)
        before = outputs(self.unlearner, shown)
        log = len(self.unlearner.deletions_)
        try:
            self.unlearner.unlearn(**named)
        except error as caught:
            assert str(caught)
        else:
            raise AssertionError(f"{named} was not refused")
        assert len(self.unlearner.deletions_) == log
        assert np.array_equal(outputs(self.unlearner, shown), before)

    def do_gone(self):
        gone = np.flatnonzero(~self.left)
        if len(gone):
            row = self.rng.choice(gone)
            both = [row, self.some(1)[0]]
            self.refused(AlreadyForgottenError, indices=both)
            self.refused(AlreadyForgottenError, ids=self.ids[both])

    def do_stranger(self):
        self.refused(UnknownRowsError, indices=[self.n])
        self.refused(UnknownRowsError, ids=[self.ids[self.some(1)[0]], "nobody"])
        self.refused(UnknownRowsError, X_forget=self.wrap(self.draw(self.rng, 1)[0] + 0.125))

    def do_all(self):
        self.refused(ValueError, indices=np.flatnonzero(self.left))
        self.refused(ValueError, groups=np.unique(self.groups[self.left]))
        self.refused(ValueError, indices=[])
        row = self.some(1)[0]
        self.refused(ValueError, indices=[row, row])
        self.refused(ValueError, ids=[self.ids[row]] * 2)

    def do_pickle(self):
        self.unlearner = pickle.loads(pickle.dumps(self.unlearner))

    def do_copy(self):
        self.unlearner = copy.deepcopy(self.unlearner)

    def do_lend(self):
        """The rows are taken away, and given back in another order."""
        rows = self.rng.permutation(np.flatnonzero(self.left))
        self.unlearner.detach()
        self.unlearner.attach(self.wrap(self.X[rows]), self.y[rows])

    def do_save(self):
        """To a file and back, of those that can; the rows are given back in another order."""
        unlearner = self.unlearner
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model")
            try:
                unlearner.save(path)
            except TypeError as error:
                final = getattr(unlearner, "_final_estimator", unlearner)
                assert not is_net(final.estimator_), error
                return
            rows = self.rng.permutation(np.flatnonzero(self.left))
            self.unlearner = self.make().load(path).attach(self.wrap(self.X[rows]), self.y[rows])


def outputs(model, X):
    """What a model says of rows, in numbers: probabilities, scores or predictions."""
    for name in ("predict_proba", "decision_function", "predict"):
        if hasattr(model, name):
            if name != "predict" and len(model.classes_) == 1:  # estimators differ in their columns
                return np.asarray(model.predict(X) == model.classes_[0], dtype=float)[:, None]
            return np.asarray(getattr(model, name)(X), dtype=float)
    raise AssertionError(model)


def fresh_of(make):
    """`fresh` of a `Trial` whose oracle is an estimator of scikit-learn's."""

    def fresh(X, y, weights, ids, groups):
        given = {} if weights is None else {"sample_weight": weights}
        return make().fit(X, y, **given)

    return fresh


def fresh_again(make):
    """`fresh` of a `Trial` whose oracle is the unlearner itself, fitted on these rows only."""

    def fresh(X, y, weights, ids, groups):
        given = {} if weights is None else {"sample_weight": weights}
        return make().fit(X, y, ids=ids, groups=groups, **given)

    return fresh
