"""A random task lived through, and what has to hold whatever it is.

`live` performs a `Task` beside a model of the record that is nothing but sets and comparisons of
Python values.
"""

import json
import pickle
import warnings

import numpy as np
import torch
from torch.utils.data import Dataset

from skunlearn._torch.skorch_nets import is_net
from skunlearn.exceptions import (
    AlreadyForgottenError,
    DataNotStoredError,
    UnknownRowsError,
    UnlearningError,
)
from skunlearn.utils._check_tools import generators, parameters, same_parameters
from tests.fuzz_rows import as_bytes, elsewhere, native, take_rows

CLEAR = (ValueError, TypeError, UnlearningError, DataNotStoredError)
# A request that names rows properly may not be refused by these.
NEVER_REFUSES = ("RetrainUnlearner", "FineTuneUnlearner", "ProximalUnlearner", "ShardedUnlearner")
# They move rows, or the outputs at them, and say at fit that they need one tensor of floats.
MOVE_ROWS = (
    "AMUNUnlearner",
    "BoundaryUnlearner",
    "CoUnUnlearner",
    "JiTUnlearner",
    "MUMisUnlearner",
)
MOVE_ROWS += ("UNSIRUnlearner",)


class Life:
    """A fitted unlearner beside a model of its record.

    Raises AssertionError for whatever does not hold.
    """

    def __init__(self, task, folder):
        self.task, self.folder = task, folder
        self.n = len(task.values)
        self.retained = set(range(self.n))
        self.requests, self.refusals, self.stored = [], 0, True

    def run(self):
        """Fit, perform all acts, and check after each."""
        task = self.task
        before = self.fingerprint()
        state = generators()
        try:
            task.unlearner.fit(task.X, task.y, ids=task.ids, groups=task.groups)
        except CLEAR as error:
            assert str(error), "an error without a message"
            assert self.may_refuse_fit(), f"fit refused a proper task: {error!r}"
            self.refusals += 1
            assert not hasattr(task.unlearner, "estimator_")
            return self
        self.unlearner = task.unlearner
        assert generators() == state, "fit changed a global generator"
        self.check()
        for act in task.acts:
            state = generators()
            getattr(self, "do_" + act[0])(*act[1:])
            assert generators() == state, f"{act} changed a global generator"
            self.check()
            assert self.fingerprint() == before, f"{act} changed what the user owns"
        self.nothing_of_the_forgotten()
        return self

    # ------------------------------------------------------------------ acts

    def do_indices(self, chosen, _, as_array):
        expected = self.expected([{i} if 0 <= i < self.n else set() for i in chosen])
        if len(set(chosen)) < len(chosen) and expected is not UnknownRowsError:
            expected = ValueError
        self.request(expected, indices=np.array(chosen, int) if as_array else chosen)

    def do_rows(self, chosen, twist, with_y):
        chosen = [i % self.n for i in chosen]
        X = take_rows(self.task.X, chosen)
        if isinstance(self.task.X, Dataset):
            hits = [{i} for i in chosen]
            if twist == 0:
                X, chosen = torch.zeros(2, 2), None
        elif twist == 0 and chosen and not isinstance(X, dict):
            X, chosen = elsewhere(X), [None]
            hits = [set()]
        else:
            hits = [self.equal(i, with_y) for i in chosen]
        named = {"X_forget": X}
        if with_y and not isinstance(self.task.X, Dataset):
            if chosen == [None]:
                with_y = False
            else:
                named["y_forget"] = take_rows(np.asarray(self.task.labels), chosen)
        expected = TypeError if chosen is None else self.expected(hits)
        if isinstance(self.task.X, Dataset) and chosen and len(set(chosen)) < len(chosen):
            expected = ValueError
        self.request(expected, **named)

    def do_ids(self, chosen, twist, one):
        if self.task.ids is None:
            self.request(ValueError, ids=[1])
            return
        chosen = [i % self.n for i in chosen]
        ids = [self.task.ids[i] for i in chosen]
        hits = [{i} for i in chosen]
        if twist == 0:
            ids, hits = [*ids, "nobody"], [*hits, set()]
        expected = self.expected(hits)
        if len(set(chosen)) < len(chosen):
            expected = ValueError
        self.request(expected, ids=ids)

    def do_groups(self, chosen, twist, one):
        if self.task.groups is None:
            self.request(ValueError, groups=[1])
            return
        names = sorted({i % 5 for i in chosen})
        hits = [{i for i, g in enumerate(self.task.groups) if g == name} for name in names]
        if one and len(names) == 1:
            names = names[0]
        self.request(self.expected(hits), groups=names)

    def do_with(self, chosen, twist, _):
        """A request that brings its retained rows along."""
        chosen = sorted({i % self.n for i in chosen} & self.retained)
        kept = sorted(self.retained - set(chosen))
        if not chosen or not kept or isinstance(self.task.X, Dataset):
            return
        # Equal rows with equal labels cannot be told apart.
        kept = [i for i in kept if not self.equal(i, True) & set(chosen)]
        if not kept:
            return
        X, y = self.rows(kept)
        self.request(set(chosen), indices=chosen, X_retain=X, y_retain=y)

    def do_pickle(self):
        self.unlearner = pickle.loads(pickle.dumps(self.unlearner))
        if isinstance(self.task.X, Dataset):
            self.stored = False

    def do_save(self):
        if not is_net(self.unlearner.estimator_):
            return
        path = self.folder / "model.safetensors"
        self.unlearner.save(path)
        other = type(self.unlearner)(**self.unlearner.get_params(deep=False))
        before = parameters(self.unlearner.estimator_)
        self.unlearner = other.load(path)
        assert same_parameters(parameters(self.unlearner.estimator_), before)
        self.stored = False
        if type(other).__name__ in ("AmnesiacUnlearner", "RewindUnlearner"):
            self.task.acts.clear()
        self.do_attach()

    def do_attach(self):
        if self.stored and len(self.task.acts) % 2:
            self.unlearner.detach()
            self.stored = False
        if isinstance(self.task.X, Dataset):
            self.unlearner.attach(self.task.X, self.task.y)
        else:
            self.unlearner.attach(*self.rows(sorted(self.retained)))
        self.stored = True

    def request(self, expected, **named):
        """Ask for it; `expected` is a set of positions or the error that must come."""
        before, weights = dict(vars(self.unlearner)), parameters(self.unlearner.estimator_)
        if isinstance(expected, set) and not self.stored:
            expected = CLEAR
        try:
            self.unlearner.unlearn(**named)
        except CLEAR as error:
            assert str(error), "an error without a message"
            if isinstance(expected, set):
                assert self.may_refuse("X_retain" in named), (
                    f"refused a proper request {named}: {error!r}"
                )
                self.refusals += 1
            else:
                assert isinstance(error, expected), f"{named}: {error!r}, not {expected}"
            now = vars(self.unlearner)
            assert now.keys() == before.keys()
            changed = [key for key in now if now[key] is not before[key]]
            assert not changed, f"a refused request changed {changed}"
            assert same_parameters(parameters(self.unlearner.estimator_), weights)
            return
        assert isinstance(expected, set), f"{named} was not refused ({expected})"
        self.retained -= expected
        self.requests.append(len(expected))

    # ------------------------------------------------------------------ the model of the record

    def equal(self, i, with_y):
        """Rows with the content (and label) of row i."""
        same = (self.task.values == self.task.values[i]).all(axis=1)
        if with_y:
            same &= self.task.labels == self.task.labels[i]
        return set(np.flatnonzero(same).tolist())

    def expected(self, hits):
        """Positions that such a request forgets, or its error."""
        if any(not hit for hit in hits):
            return UnknownRowsError
        if any(not hit & self.retained for hit in hits):
            return AlreadyForgottenError
        named = set().union(*hits) & self.retained
        return named if named and named != self.retained else ValueError

    def rows(self, positions):
        y = self.task.labels if self.task.y is None else self.task.y
        return take_rows(self.task.X, positions), take_rows(y, positions)

    def may_refuse_fit(self):
        # Scikit-learn's estimators have demands of their own: two classes in a shard, say.
        task, name = self.task, type(self.task.unlearner).__name__
        if name in MOVE_ROWS and (isinstance(task.X, dict) or len(np.unique(task.labels)) < 2):
            return True
        return not is_net(task.unlearner.estimator)

    def may_refuse(self, brings_rows):
        name = type(self.unlearner).__name__
        if name == "ShardedUnlearner" and brings_rows:
            return True  # it goes back to its own shards
        return name not in NEVER_REFUSES or not is_net(self.unlearner.estimator)

    # ------------------------------------------------------------------ what always holds

    def check(self):
        """The record, the log, the certificate and the predictions agree with the model."""
        unlearner, record = self.unlearner, self.unlearner._record
        assert set(np.flatnonzero(record.retained).tolist()) == self.retained
        assert len(record) == self.n
        assert [entry["rows"] for entry in unlearner.deletions_] == self.requests
        told = json.loads(unlearner.certificate())
        assert told["forgotten_rows"] == sum(self.requests)
        assert told["retained_rows"] == len(self.retained)
        assert record.has_data == self.stored
        X = self.task.X
        y = unlearner.predict(X)
        assert y.shape == (self.n,)
        if hasattr(unlearner, "classes_"):
            assert list(unlearner.classes_) == sorted(set(self.task.labels.tolist()))
            assert set(y.tolist()) <= set(unlearner.classes_.tolist())
        if hasattr(unlearner, "predict_proba"):
            p = unlearner.predict_proba(X)
            assert p.shape == (self.n, len(unlearner.classes_))
            assert np.isfinite(p).all()
            assert np.allclose(p.sum(axis=1), 1, atol=1e-3)
        repr(unlearner)

    def fingerprint(self):
        """What the user passed in, as comparable bytes."""
        task = self.task
        inner = task.unlearner.estimator
        fitted = sorted(k for k in vars(inner) if k.endswith("_"))
        params = repr(sorted(inner.get_params(deep=False).items(), key=lambda item: item[0]))
        return as_bytes(task.X), as_bytes(task.y), repr(task.ids), repr(task.groups), fitted, params

    def nothing_of_the_forgotten(self):
        """A pickle holds the retained rows and no others."""
        if isinstance(self.task.X, Dataset):
            return
        record = pickle.loads(pickle.dumps(self.unlearner))._record
        if self.unlearner._record.has_data:
            left = sorted(self.retained)
            assert len(record.view(left)) == len(left)
            mine = take_rows(self.unlearner._record._X, self.unlearner._record._slot[left])
            # numpy's pickles do not keep a foreign byte order.
            assert as_bytes(record._X)[1:] == as_bytes(native(mine))[1:]
            assert len(record._y) == len(left)
        assert record._slot[sorted(set(range(self.n)) - self.retained)].max(initial=-1) == -1


def live(task, folder):
    """Perform `task`; AssertionError when something does not hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What a method says about its result on nonsense is its right.
        warnings.simplefilter("ignore", UserWarning)
        return Life(task, folder).run()
