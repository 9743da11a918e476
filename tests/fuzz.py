"""Random tasks and requests, and what has to hold whatever they are.

A `Task` is drawn as rows, labels, an unlearner and a sequence of acts. `live` performs it beside a
model of the record that is nothing but sets and comparisons of Python values.
"""

import json
import pickle
import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from torch.utils.data import Dataset, Subset, TensorDataset

from skunlearn import (
    CertifiedRemovalUnlearner,
    DescentToDeleteUnlearner,
    LangevinUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
)
from skunlearn._skorch import is_net
from skunlearn.exceptions import (
    AlreadyForgottenError,
    DataNotStoredError,
    UnknownRowsError,
    UnlearningError,
)
from skunlearn.utils import all_unlearners
from skunlearn.utils._check_tools import generators, parameters, same_parameters
from tests.instances import (
    FOR_REGRESSION,
    SETTINGS,
    make_binary_net,
    make_dict_net,
    make_net,
    make_regressor_net,
)

VALUES = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 100.0)
FLOATS = ("f2", "f4", "f8", ">f8", ">f4")
INTEGERS = ("i1", "u1", "i2", "i8", ">i4", "?")
CLEAR = (ValueError, TypeError, UnlearningError, DataNotStoredError)
# A request that names rows properly may not be refused by these.
NEVER_REFUSES = ("RetrainUnlearner", "FineTuneUnlearner", "ProximalUnlearner", "ShardedUnlearner")


class Plain(Dataset):
    """Rows without tensors of their own."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], self.y[i]


@dataclass
class Task:
    """What one case does."""

    values: np.ndarray  # rows as numbers, (n, d)
    X: object
    y: object
    labels: np.ndarray  # of y, as numbers or text, (n,) or (n, t)
    unlearner: object
    ids: list | None
    groups: list | None
    acts: list = field(default_factory=list)


# ---------------------------------------------------------------------- drawing


@st.composite
def tasks(draw, kinds=("net", "linear", "regression", "binary", "dict")):
    """A `Task` in which everything but some requests is as it should be."""
    kind = draw(st.sampled_from(kinds))
    n, d = draw(st.integers(3, 14)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.choice(VALUES, size=(n, d))
    if draw(st.booleans()):  # all different
        values = values + np.arange(n)[:, None]
    values, X = draw(containers(values, kind))
    labels, y = draw(targets(rng, n, kind))
    if isinstance(X, str):
        X = _dataset(X, values, labels, y)
        y = None if labels.dtype.kind in "iu" else y
    unlearner = draw(unlearners(kind))
    ids = draw(st.sampled_from([None, "text", "numbers", "tuples"]))
    ids = None if ids is None else [_name(ids, i) for i in range(n)]
    groups = rng.integers(0, 4, n).tolist() if draw(st.booleans()) else None
    acts = draw(st.lists(act(n), min_size=1, max_size=5))
    return Task(values, X, y, labels, unlearner, ids, groups, acts)


@st.composite
def containers(draw, values, kind):
    """``(values, X)``: the numbers after rounding to a dtype, and a container of them."""
    if kind == "dict":
        if values.shape[1] == 1:
            values = np.hstack([values, values])
        values = values.astype("f4").astype("f8")
        return values, {"a": values[:, :-1].astype("f4"), "b": values[:, -1].astype("f8")}
    if kind == "linear":
        form = draw(st.sampled_from(["array", "fortran", "reversed", "frame", "csr", "list"]))
    else:
        form = draw(
            st.sampled_from(
                ["array", "fortran", "reversed", "strided", "frame", "csr", "csc", "coo", "list"]
                + ["tensor", "tensor", "3d", "tensordataset", "plaindataset", "readonly"]
            )
        )
    dtype = draw(st.sampled_from(FLOATS + INTEGERS))
    if form in ("csr", "csc", "coo", "frame") and dtype in ("f2", ">f8", ">f4", ">i4"):
        dtype = "f4"
    with np.errstate(all="ignore"):
        typed = np.abs(values).astype(dtype) if dtype in ("u1", "?") else values.astype(dtype)
    values = typed.astype("f8")
    if form == "tensor":
        narrow = draw(st.sampled_from([torch.float32, torch.float64, torch.int64, torch.bfloat16]))
        X = torch.tensor(values).to(narrow)
        return X.double().numpy(), X
    if form.endswith("dataset"):
        return values.astype("f4").astype("f8"), form
    make = {
        "array": lambda a: a,
        "fortran": np.asfortranarray,
        "reversed": lambda a: a[::-1].copy()[::-1],
        "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
        "frame": lambda a: pd.DataFrame(a, columns=[f"c{i}" for i in range(a.shape[1])]),
        "csr": sparse.csr_matrix,
        "csc": sparse.csc_matrix,
        "coo": sparse.coo_matrix,
        "list": lambda a: a.tolist(),
        "3d": lambda a: a[:, None, :],
        "readonly": _read_only,
    }
    return values, make[form](typed)


def _read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


@st.composite
def targets(draw, rng, n, kind):
    """``(labels, y)``: an ndarray, and what is passed to fit."""
    if kind == "regression":
        dtype = draw(st.sampled_from(["f4", "f8", "i8", "u1", ">f8", ">i4"]))
        y = rng.integers(0, 5, n).astype(dtype)
        y[:2] = 0, 1  # R² of equal targets is undefined
        forms = [y, y.tolist()]
        if y.dtype.isnative:
            forms += [torch.from_numpy(y), pd.Series(y)]
        return y, draw(st.sampled_from(forms))
    n_classes = 2 if kind in ("binary", "dict") else draw(st.integers(2, 4))
    numbers = rng.integers(0, n_classes, n)
    numbers[:2] = 0, 1
    names = draw(
        st.sampled_from(
            [
                np.arange(4),
                np.array([-5, 3, 70, 1000]),
                np.array(["b", "a", "", "dé"]),
                np.array(["x", "y", "z", "w"], dtype=object),
                np.array([0.0, 1.0, 2.0, 7.0]),
                np.array([3, 2, 1, 0], dtype=np.uint8),
                np.array([True, False]) if n_classes == 2 else np.arange(4),
            ]
        )
    )
    y = names[numbers]
    forms = [y, y.tolist(), pd.Series(y)]
    if y.dtype.kind in "iuf":
        forms.append(torch.from_numpy(y))
    if y.dtype.kind in "Ui":
        forms.append(pd.Categorical(y))
    return y, draw(st.sampled_from(forms))


def _dataset(form, values, labels, y):
    X = torch.tensor(values, dtype=torch.float32)
    if form == "tensordataset" and labels.dtype.kind in "iu":
        return TensorDataset(X, torch.from_numpy(labels.astype(np.int64)))
    return Plain(X, labels.tolist())


@st.composite
def unlearners(draw, kind):
    """An unlearner with random settings that trains in a moment."""
    common = {"random_state": draw(st.integers(0, 3))}
    if kind == "linear":
        return draw(
            st.sampled_from(
                [
                    RetrainUnlearner(LogisticRegression(), **common),
                    RetrainUnlearner(DecisionTreeClassifier(), **common),
                    ShardedUnlearner(DecisionTreeClassifier(), n_shards=3, **common),
                    ShardedUnlearner(LogisticRegression(), n_shards=2, aggregate="vote", **common),
                    RidgeUnlearner(RidgeClassifier(), **common),
                    CertifiedRemovalUnlearner(LogisticRegression(), **common),
                    DescentToDeleteUnlearner(LogisticRegression(), **common),
                    LangevinUnlearner(LogisticRegression(), **common),
                ]
            )
        )
    if kind == "regression":
        if draw(st.integers(0, 3)) == 0:
            return draw(
                st.sampled_from(
                    [
                        RidgeUnlearner(Ridge(), **common),
                        RidgeUnlearner(LinearRegression(), **common),
                        ShardedUnlearner(DecisionTreeRegressor(), n_shards=2, **common),
                        RetrainUnlearner(LinearRegression(), **common),
                    ]
                )
            )
        names = FOR_REGRESSION
    else:
        names = [name for name in all_unlearners(nets=True) if name != "CTUnlearner"]
    cls = all_unlearners()[draw(st.sampled_from(sorted(names)))]
    make = {
        "net": make_net,
        "binary": make_binary_net,
        "dict": make_dict_net,
        "regression": make_regressor_net,
    }[kind]
    sizes = {
        "max_epochs": 1,
        "batch_size": draw(st.sampled_from([1, 2, 5, 64, -1])),
        "lr": 0.001,
    }
    if kind != "dict":
        sizes["module__hidden"] = 4
    if kind == "net":
        sizes["module__n_out"] = draw(st.integers(4, 6))
    if draw(st.booleans()):
        sizes["iterator_train__drop_last"] = True
    net = make(**sizes)
    own = {k: v for k, v in SETTINGS.get(cls.__name__, {}).items() if k != "max_epochs"}
    if cls is ShardedUnlearner:
        own |= {"n_shards": draw(st.integers(1, 3)), "n_slices": draw(st.integers(1, 2))}
    elif "max_epochs" in cls(net).get_params(deep=False):
        own["max_epochs"] = 1
    return cls(net, **own, **common)


@st.composite
def act(draw, n):
    """A request, proper or not, or something that a fitted estimator goes through."""
    verb = draw(
        st.sampled_from(
            ["indices"] * 3 + ["rows"] * 3 + ["ids", "groups", "pickle", "save", "attach", "with"]
        )
    )
    if verb in ("pickle", "save", "attach"):
        return (verb,)
    low, high = draw(st.sampled_from([(0, n - 1)] * 5 + [(-2, n + 1)]))
    chosen = draw(
        st.lists(st.integers(low, high), max_size=4, unique=draw(st.integers(0, 5)) > 0, min_size=0)
    )
    return verb, chosen, draw(st.integers(0, 5)), draw(st.booleans())


def _name(kind, i):
    return {"text": f"person {i}", "numbers": 10 * i - 3, "tuples": (i, "x")}[kind]


# ---------------------------------------------------------------------- living through it


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
        X = _take(self.task.X, chosen)
        if isinstance(self.task.X, Dataset):
            hits = [{i} for i in chosen]
            if twist == 0:
                X, chosen = torch.zeros(2, 2), None
        elif twist == 0 and chosen and not isinstance(X, dict):
            X, chosen = _elsewhere(X), [None]
            hits = [set()]
        else:
            hits = [self.equal(i, with_y) for i in chosen]
        named = {"X_forget": X}
        if with_y and not isinstance(self.task.X, Dataset):
            if chosen == [None]:
                with_y = False
            else:
                named["y_forget"] = _take(np.asarray(self.task.labels), chosen)
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
        if type(other).__name__ == "AmnesiacUnlearner":
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
        return _take(self.task.X, positions), _take(y, positions)

    def may_refuse_fit(self):
        # Scikit-learn's estimators have demands of their own: two classes in a shard, say.
        return not is_net(self.task.unlearner.estimator)

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
        return _bytes(task.X), _bytes(task.y), repr(task.ids), repr(task.groups), fitted, params

    def nothing_of_the_forgotten(self):
        """A pickle holds the retained rows and no others."""
        if isinstance(self.task.X, Dataset):
            return
        record = pickle.loads(pickle.dumps(self.unlearner))._record
        if self.unlearner._record.has_data:
            left = sorted(self.retained)
            assert len(record.view(left)) == len(left)
            mine = _take(self.unlearner._record._X, self.unlearner._record._slot[left])
            # numpy's pickles do not keep a foreign byte order.
            assert _bytes(record._X)[1:] == _bytes(_native(mine))[1:]
            assert len(record._y) == len(left)
        assert record._slot[sorted(set(range(self.n)) - self.retained)].max(initial=-1) == -1


def live(task, folder):
    """Perform `task`; AssertionError when something does not hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What a method says about its result on nonsense is its right.
        warnings.simplefilter("ignore", UserWarning)
        return Life(task, folder).run()


def _elsewhere(X):
    """Rows that no task holds, in the form of `X`."""
    if isinstance(X, list):
        return [[77] * len(X[0])]
    if isinstance(X, pd.DataFrame):
        return X.iloc[:1] * 0 + 77
    if sparse.issparse(X):
        return sparse.csr_matrix(np.full((1, X.shape[1]), 77).astype("f4"))
    full = torch.full if isinstance(X, torch.Tensor) else np.full
    return full((1, *X.shape[1:]), 77)


def _native(X):
    return X.astype(X.dtype.newbyteorder("=")) if isinstance(X, np.ndarray) else X


def _take(X, rows):
    if isinstance(X, dict):
        return {key: value[rows] for key, value in X.items()}
    if isinstance(X, list):
        return [X[i] for i in rows]
    if isinstance(X, pd.DataFrame | pd.Series):
        return X.iloc[rows]
    if isinstance(X, Dataset):
        return Subset(X, rows)
    return (X.tocsr() if sparse.issparse(X) else X)[rows]


def _bytes(X):
    if isinstance(X, dict):
        return [_bytes(X[key]) for key in sorted(X)]
    if sparse.issparse(X):
        return X.format, X.dtype.str, X.toarray().tobytes()
    if isinstance(X, torch.Tensor):
        return str(X.dtype), X.double().numpy().tobytes()
    if isinstance(X, TensorDataset):
        return [_bytes(t) for t in X.tensors]
    if isinstance(X, Plain):
        return _bytes(X.X), repr(X.y)
    if isinstance(X, np.ndarray) and X.dtype != object:
        return X.dtype.str, X.tobytes()
    if isinstance(X, pd.DataFrame | pd.Series):
        return repr(X.to_numpy().tolist())
    return repr(X.tolist() if hasattr(X, "tolist") else X)
