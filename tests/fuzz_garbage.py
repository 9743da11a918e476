"""Arguments of any kind to every public verb: a clear error that changes nothing, or a result."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB

from skunlearn import (
    AmnesiacUnlearner,
    FineTuneUnlearner,
    ForestUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    SufficientStatisticsUnlearner,
)
from skunlearn._torch.skorch_nets import is_net
from skunlearn.exceptions import DataNotStoredError, UnlearningError
from skunlearn.utils._check_tools import generators, parameters, same_parameters
from tests.instances import make_net

# MemoryError and OverflowError are Python's clear words for numbers of absurd size.
CLEAR = (ValueError, TypeError, UnlearningError, DataNotStoredError, MemoryError, OverflowError)
_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(12, 3)).astype(np.float32)
Y = np.arange(12) % 3
_SMALL = {"max_epochs": 1, "module__n_out": 3, "module__hidden": 4, "batch_size": 5, "lr": 0.01}
MODELS = (
    FineTuneUnlearner(make_net(**_SMALL), max_epochs=1, random_state=0),
    AmnesiacUnlearner(make_net(**_SMALL), max_epochs=1, random_state=0),
    ShardedUnlearner(make_net(**_SMALL), n_shards=2, random_state=0),
    RetrainUnlearner(LogisticRegression(), random_state=0),
    RidgeUnlearner(Ridge(), random_state=0),
    ForestUnlearner(RandomForestClassifier(3), random_state=0),
    SufficientStatisticsUnlearner(GaussianNB(), random_state=0),
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.sampled_from(
        [Ellipsis, object(), len, int, np.float32(2), np.int8(3), np.datetime64("NaT")]
    ),
)
shapes = npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=13)
# Objects that cannot even be compared with themselves are left out.
arrays = npst.arrays(npst.scalar_dtypes(), shapes) | npst.arrays(object, shapes, elements=scalars)


def near(a):
    """Things close to a proper array: one that passes, or is off by a little."""
    forms = _forms(a)  # by number: not all of them can be hashed
    return st.integers(0, len(forms) - 1).map(lambda i: _forms(a)[i])


def _forms(a):
    return [
        a,
        a[:-1],
        a[:1],
        a[:0],
        a.tolist(),
        a[::-1],
        a.astype(object),
        a.astype("f8") + 1e-12,
        a.astype("f2"),
        a.astype("U8"),
        a.astype("S8"),
        a.astype("c8"),
        a.astype("g"),
        np.ma.masked_array(a, mask=np.zeros(a.shape, bool)),
        np.where(np.arange(12).reshape(12, *[1] * (a.ndim - 1)) == 3, np.nan, a.astype("f4")),
        torch.from_numpy(a.copy()),
        torch.from_numpy(a.copy()).to(torch.bfloat16),
        torch.from_numpy(a.copy()).to_sparse(),
        pd.DataFrame(a.reshape(12, -1)),
        pd.Series(a.reshape(12, -1)[:, 0]),
        pd.Series(a.reshape(12, -1)[:, 0]).astype("category"),
        sparse.csr_matrix(a.reshape(12, -1)),
        sparse.csr_array(a.reshape(12, -1)),
        {"x": a},
        {},
        [],
        [[]],
        [[1, 2], [3]],
        tuple(map(tuple, a.reshape(12, -1))),
        set(a.ravel().tolist()),
        iter(a),
        (row for row in a),
        range(12),
        np.broadcast_to(a[:1], a.shape),
        a[..., None],
        np.stack([a, a]),
    ]


def values(proper):
    """A proper array, nearly one, or anything."""
    return st.one_of(near(proper), near(proper), arrays, scalars, st.lists(scalars, max_size=3))


@st.composite
def calls(draw):
    """``(model, verb, arguments)``."""
    model = draw(st.integers(0, len(MODELS) - 1))
    names = near(np.arange(12))
    verb = draw(st.sampled_from(["fit", "unlearn", "predict", "score", "attach"]))
    if verb == "predict":
        return model, verb, (draw(values(X)),), {}
    if verb in ("score", "attach"):
        return model, verb, (draw(values(X)), draw(values(Y))), {}
    if verb == "fit":
        named = {"forget": values(Y == 1), "ids": names | values(Y), "groups": values(Y)}
        chosen = draw(st.lists(st.sampled_from(sorted(named)), unique=True, max_size=2))
        first = X if draw(st.booleans()) else draw(values(X))
        second = Y if draw(st.booleans()) else draw(values(Y))
        return model, verb, (first, second), {k: draw(named[k]) for k in chosen}
    named = {
        "X_forget": values(X),
        "y_forget": values(Y),
        "ids": names | values(Y),
        "indices": names | values(np.arange(12)),
        "groups": values(Y),
        "X_retain": values(X),
        "y_retain": values(Y),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(named)), unique=True, min_size=1, max_size=3))
    return model, "unlearn", (), {k: draw(named[k]) for k in chosen}


_FITTED = {}


def fitted(model):
    """A fitted clone, made once."""
    if model not in _FITTED:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            new = clone(MODELS[model])
            _FITTED[model] = new.fit(X, Y, ids=range(12), groups=Y).unlearn(indices=[1])
    return _FITTED[model]


def survive(call):
    """Perform a call; AssertionError when an error is unclear or leaves something changed."""
    model, verb, args, named = call
    unlearner = fitted(model)
    act = partial(getattr(unlearner, verb), *args, **named)
    before, state = dict(vars(unlearner)), generators()
    weights = parameters(unlearner.estimator_)
    log = repr(unlearner.deletions_)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            act()
    except CLEAR as error:
        assert str(error), f"an error without a message: {error!r}"
        assert vars(unlearner).keys() == before.keys()
        changed = [k for k, v in vars(unlearner).items() if v is not before[k]]
        assert not changed, f"{error!r} changed {changed}"
        assert repr(unlearner.deletions_) == log
        assert same_parameters(parameters(unlearner.estimator_), weights)
    else:
        if is_net(unlearner.estimator_) and verb in ("fit", "unlearn"):
            assert all(np.isfinite(w).all() for w in parameters(unlearner.estimator_).values())
    finally:
        vars(unlearner).clear()
        vars(unlearner).update(before)
    assert generators() == state, "a global generator was changed"
