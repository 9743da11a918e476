"""Random tasks: rows, labels, an unlearner, and a sequence of acts."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from hypothesis import strategies as st
from scipy import sparse
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import BernoulliNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from torch.utils.data import Dataset, TensorDataset

from skunlearn import (
    CertifiedRemovalUnlearner,
    DescentToDeleteUnlearner,
    ForestUnlearner,
    LangevinUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    SufficientStatisticsUnlearner,
)
from skunlearn.utils import all_unlearners
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
                    ForestUnlearner(RandomForestClassifier(4), **common),
                    ForestUnlearner(BaggingClassifier(n_estimators=3), **common),
                    SufficientStatisticsUnlearner(BernoulliNB(), **common),
                    SufficientStatisticsUnlearner(LinearDiscriminantAnalysis(), **common),
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
                        ForestUnlearner(RandomForestRegressor(3), **common),
                        SufficientStatisticsUnlearner(KNeighborsRegressor(1), **common),
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
