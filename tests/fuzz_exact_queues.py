"""As `tests.fuzz_exact`, with requests that go through a queue, in batches, to a worker.

The worker dies between batches and is started again, with the rows as they are then, in another
order; requests name rows that others of the batch name too, rows that are gone, and nobody.
"""

import tempfile
from dataclasses import replace

import numpy as np
from scipy import sparse
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.preprocessing import StandardScaler

from skunlearn import RidgeUnlearner
from skunlearn.production import DeletionQueue, DeletionWorker
from tests import fuzz_exact_kinds as kinds
from tests.fuzz_exact import Trial
from tests.fuzz_exact_cases import (
    Case,
    classes,
    counts,
    piped,
    retrained,
    ridge,
    sharded,
    statistics,
    targets,
    tree,
    words,
)

REQUESTS = ("ids", "ids", "groups", "correct", "correct", "gone", "stranger")
TURNS = ("batch", "batch", "batch", "restart", "all")


class QueueTrial(Trial):
    """One worker, its queue, and the rows as a company's table has them."""

    def __init__(self, make, draw, fresh, seed, **kwargs):
        super().__init__(make, draw, fresh, seed, **kwargs)
        self.folder, self.number = tempfile.TemporaryDirectory(), 0
        self.open_queue()
        self.start(np.arange(self.n))

    def open_queue(self):
        self.queue = DeletionQueue(self.folder.name, batch_size=8)

    def start(self, rows):
        """A worker is given its rows, in this order."""
        X_test = self.wrap(self.X_test)
        y_test = np.resize(self.known, len(self.X_test))
        weights = None if self.weights is None else self.weights[rows]
        self.worker = DeletionWorker(self.queue, self.make(), X_test, y_test).start(
            self.wrap(self.X[rows]),
            self.y[rows].copy(),
            weights,
            ids=self.ids[rows],
            groups=self.groups[rows],
        )

    @property
    def unlearner(self):
        return self.worker.unlearner

    @unlearner.setter
    def unlearner(self, fitted):
        """The one that a plain trial asks is not needed."""

    def run(self, n):
        self.compare()
        for _ in range(n):
            turn = str(self.rng.choice(TURNS))
            self.done.append(turn)
            try:
                getattr(self, f"turn_{turn}")()
                self.compare()
            except Exception as error:
                error.add_note(f"seed {self.seed}, after {self.done}")
                raise
        self.folder.cleanup()
        return self.drift

    def compare(self):
        """As of a trial; a worker that was started anew holds the rows that are left only."""
        self.compare_outputs()
        retained = self.unlearner._record.retained
        assert int(retained.sum()) == int(self.left.sum())
        if len(retained) == self.n:
            assert np.array_equal(retained, self.left)

    # ------------------------------------------------------------------ what is asked

    def name(self):
        self.number += 1
        return f"ticket-{self.number}"

    def turn_batch(self):
        """A few requests at once; what is left is what all of them say together."""
        gone, new, expected, corrected = ~self.left, {}, {}, {}
        for _ in range(self.rng.integers(1, 4)):
            request, act = self.name(), str(self.rng.choice(REQUESTS))
            self.done.append(act)
            state = self.ask(request, act, gone, new, corrected)
            if state is not None:
                expected[request] = state
        if (~gone).sum() <= self.fewest:  # too little would be left
            for request in expected:
                self.queue.refuse(request, "too many")
            return
        for request, rows in corrected.items():  # what is gone needs no correction
            expected[request] = "refused" if gone[rows].all() else "applied"
        while self.worker.run_once(flush=True) is not None:
            pass
        found = {request: self.queue.status(request)["state"] for request in expected}
        assert found == expected, [self.queue.status(request) for request in expected]
        for row, (x, y) in new.items():
            if not gone[row]:
                self.X[row] = self.X[row] if x is None else x
                if y is not None:
                    self.y[row] = y
        self.left = ~gone

    def new(self, k):
        """New values; a worker that was started anew knows no class of which no row is left."""
        self.known = getattr(self.unlearner, "classes_", self.known)
        return super().new(k)

    def ask(self, request, act, gone, new, corrected):
        """Submit one request, note what it does, and return the state that it will have."""
        rows = self.some()
        if act == "groups":
            names = np.unique(self.groups[rows])
            self.queue.submit(request, groups=names)
            gone |= np.isin(self.groups, names)
        elif act == "gone":
            earlier = np.flatnonzero(~self.left)
            if not len(earlier):
                return None
            self.queue.submit(request, ids=self.ids[self.rng.choice(earlier, 1)])
        elif act == "stranger":
            self.queue.submit(request, ids=[self.ids[rows[0]], "nobody"])
            return "refused"
        elif act == "correct":
            X, y = self.new(len(rows))
            which = self.rng.integers(3)
            X, y = (None if which == 1 else X), (None if which == 0 else y)
            wrapped = None if X is None else self.wrap(X)
            self.queue.submit_correction(request, wrapped, y, ids=self.ids[rows])
            corrected[request] = rows
            for i, row in enumerate(rows):  # of two corrections the later counts, value by value
                x_was, y_was = new.get(row, (None, None))
                new[row] = (x_was if X is None else X[i]), (y_was if y is None else y[i])
        else:
            self.queue.submit(request, ids=self.ids[rows])
            gone[rows] = True
        return "applied"

    def turn_restart(self):
        """The process dies; the next one is given the rows of the table, in its own order."""
        self.open_queue()
        rows = np.flatnonzero(self.left)
        if self.rng.random() < 0.5:  # the table still has those that are gone
            rows = np.arange(self.n)
        self.start(self.rng.permutation(rows))

    def turn_all(self):
        """Nobody may ask for everything."""
        request = self.name()
        self.queue.submit(request, ids=self.ids)
        while self.worker.run_once(flush=True) is not None:
            pass
        found = self.queue.status(request)
        assert found["state"] == "delayed"
        assert "nothing would be left" in found["reason"]
        self.queue.refuse(request, "asked for by nobody who may")


def queued(case):
    """A case whose requests go through a queue."""
    return replace(case, trial_of=QueueTrial)


CASES = {
    "ridge": queued(ridge(Ridge, targets)),
    "ridge classifier, words, weights": queued(ridge(RidgeClassifier, words, weighted=True)),
    "Gaussian, frame": queued(statistics(GaussianNB, words, wrap=kinds.frame)),
    "multinomial, sparse": queued(statistics(MultinomialNB, counts, wrap=sparse.csr_matrix)),
    "retrained, rare": queued(Case(lambda: retrained(tree()), kinds.rare, tree)),
    "shards of trees": queued(Case(sharded(tree, n_shards=3), words)),
    "shards of boosted, holes": queued(
        Case(sharded(kinds.boosted(), n_shards=3), kinds.holes, wrap=kinds.frame)
    ),
    "columns inside shards of boosted": queued(
        Case(
            sharded(kinds.pipe(kinds.columns, kinds.boosted()), n_shards=2),
            kinds.holes,
            wrap=kinds.towns,
        )
    ),
    "columns": queued(
        piped(kinds.columns, kinds.logistic, end=retrained, draw=kinds.holes, wrap=kinds.towns)
    ),
    "scaler, Gaussian": queued(piped(StandardScaler, GaussianNB, end=retrained, draw=classes)),
    "backbone, ridge": queued(piped(kinds.backbone, Ridge, end=RidgeUnlearner, draw=targets)),
}
