"""After `unlearn` neither the object nor anything written from it holds what was forgotten."""

import gc
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from skorch.callbacks import EarlyStopping
from skorch.dataset import Dataset
from skorch.helper import predefined_split

from skunlearn import FineTuneUnlearner, ProximalUnlearner, RetrainUnlearner
from skunlearn.exceptions import AlreadyForgottenError, DataNotStoredError, UnknownRowsError
from skunlearn.utils import all_unlearners
from skunlearn.utils._check_tools import Snapshot, outcome, parameters, same_parameters
from tests.instances import ConvNet, make_net
from tests.interpreters import environment

# How well the methods forget on noise is not what is tested here.
pytestmark = [
    pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning"),
    pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning"),
]

FORGET = np.arange(8)
KEPT = np.arange(8, 60)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype(np.float32)
    return X, np.array(["a", "b", "c"])[rng.integers(0, 3, 60)]


def make(cls=FineTuneUnlearner, **kwargs):
    params = {} if cls is RetrainUnlearner else {"max_epochs": 3}
    net = make_net(module__n_out=3, max_epochs=10)
    return cls(net, random_state=0, **(params | kwargs))


def holds(data, rows):
    return [
        i
        for i, row in enumerate(rows)
        if any(row.astype(dtype).tobytes() in data for dtype in (np.float32, np.float64))
    ]


@pytest.mark.parametrize("cls", [RetrainUnlearner, FineTuneUnlearner, ProximalUnlearner])
@pytest.mark.parametrize("container", ["float32", "float64", "tensor", "list"])
def test_pickle_holds_no_forgotten_row(data, cls, container):
    X, y = data
    given = {
        "float32": X,
        "float64": X.astype(float),
        "tensor": torch.from_numpy(X),
        "list": X.tolist(),
    }[container]
    unlearner = make(cls).fit(given, y)
    assert holds(pickle.dumps(unlearner), X[FORGET])  # before, or the test could not fail
    unlearner.unlearn(indices=FORGET)
    written = pickle.dumps(unlearner)
    assert holds(written, X[FORGET]) == []
    assert len(holds(written, X[KEPT])) == len(KEPT)
    unlearner.store_data = False
    assert holds(pickle.dumps(unlearner), X) == []


def test_saved_file_holds_no_row_at_all(data, tmp_path):
    X, y = data
    unlearner = make().fit(X, y, ids=[f"user-{i}" for i in range(60)]).unlearn(indices=FORGET)
    unlearner.save(tmp_path / "model")
    written = (tmp_path / "model").read_bytes()
    assert holds(written, X) == []
    assert b"user-" not in written
    assert os.listdir(tmp_path) == ["model"]


def test_repr_history_and_log_hold_no_row(data):
    X, y = data
    unlearner = make().fit(X, y).unlearn(X[FORGET], y[FORGET])
    texts = [repr(unlearner), unlearner._repr_html_(), repr(unlearner.estimator_.history)]
    texts += [repr(unlearner.deletions_), unlearner.certificate()]
    for text in texts:
        for value in X[FORGET].ravel():
            assert f"{value:.6f}"[:-1] not in text


def weights_in(data, state):
    return [k for k, v in state.items() if v.size > 3 and v.tobytes() in data]


def every_tensor(root):
    """All tensors and arrays that can be reached from an object."""
    seen, stack, found = set(), [root], []
    while stack:
        item = stack.pop()
        if id(item) in seen or isinstance(item, type) or type(item).__name__ == "module":
            continue
        seen.add(id(item))
        if isinstance(item, torch.Tensor):
            found.append(item.detach().cpu().numpy())
        elif isinstance(item, np.ndarray):
            found.append(item)
        if not callable(item) or isinstance(item, torch.nn.Module):
            stack.extend(gc.get_referents(item))
    return found


@pytest.mark.parametrize("cls", [RetrainUnlearner, FineTuneUnlearner, ProximalUnlearner])
@pytest.mark.parametrize("frozen", [False, True])
def test_original_weights_are_gone(data, cls, frozen, tmp_path):
    X, y = data
    valid = Dataset(X[:6], np.arange(6) % 3)
    net = make_net(
        module__n_out=3,
        max_epochs=10,
        train_split=predefined_split(valid),
        callbacks=[EarlyStopping(patience=30, load_best=True)],
    )
    codes = np.unique(y, return_inverse=True)[1]
    unlearner = cls(net, random_state=0).fit(X, codes)
    if frozen:
        trained = unlearner.estimator_
        unlearner = cls(FrozenEstimator(trained), random_state=0).fit(X, codes)
    original = parameters(unlearner.estimator_)
    best = parameters(unlearner.estimator_)
    assert weights_in(pickle.dumps(unlearner), original)  # or the test could not fail
    unlearner.unlearn(indices=FORGET)
    written = pickle.dumps(unlearner)
    assert weights_in(written, original) == []
    assert weights_in(written, best) == []
    unlearner.save(tmp_path / "model")
    assert weights_in((tmp_path / "model").read_bytes(), original) == []
    reachable = every_tensor(unlearner)
    assert len(reachable) > 4
    for old in original.values():
        assert not any(
            old.size > 3 and old.shape == now.shape and np.array_equal(old, now)
            for now in reachable
        )


@pytest.mark.parametrize("name", sorted(all_unlearners(nets=True, watches_training=False)))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_neither_gradients_nor_momentum_stay(data, name):
    """They are sums over rows; those of one batch of a linear layer are nearly the rows."""
    X, y = data
    net = make_net(max_epochs=2)
    if name == "CTUnlearner":
        net.set_params(module=ConvNet)
    unlearner = all_unlearners()[name](net, random_state=0).fit(X, y)
    for model in (unlearner.estimator_, unlearner.unlearn(indices=FORGET).estimator_):
        assert all(p.grad is None for p in model.module_.parameters())
        assert not model.optimizer_.state
        model.partial_fit(X[:8], np.arange(8) % 3)  # it can be trained further
        assert model.optimizer_.state


def test_frozen_original_stays_in_the_pickle_until_something_is_forgotten(data):
    X, y = data
    codes = np.unique(y, return_inverse=True)[1]
    trained = make().fit(X, codes).estimator_
    unlearner = FineTuneUnlearner(FrozenEstimator(trained), random_state=0).fit(X, codes)
    again = pickle.loads(pickle.dumps(unlearner))
    assert np.array_equal(outcome(again, X), outcome(unlearner, X))
    unlearner.unlearn(indices=FORGET)
    assert unlearner.estimator.estimator is unlearner.estimator_
    again = pickle.loads(pickle.dumps(unlearner)).unlearn(indices=[9])
    assert [entry["rows"] for entry in again.deletions_] == [8, 1]


def test_a_fitted_net_passed_in_leaves_its_weights_out_of_the_pickle(data):
    X, y = data
    codes = np.unique(y, return_inverse=True)[1]
    trained = make().fit(X, codes).estimator_
    unlearner = FineTuneUnlearner(trained, max_epochs=3, random_state=0).fit(X, codes)
    unlearner.unlearn(indices=FORGET)
    assert weights_in(pickle.dumps(unlearner), parameters(trained)) == []


def test_detached_and_attached(data):
    X, y = data
    unlearner = make().fit(X, y).unlearn(indices=FORGET).detach()
    before = outcome(unlearner, X)
    with pytest.raises(DataNotStoredError, match="attach"):
        unlearner.unlearn(indices=[10])
    state = Snapshot(unlearner, X)
    with pytest.raises(AlreadyForgottenError, match="8 rows"):
        unlearner.attach(X, y)
    with pytest.raises(UnknownRowsError, match="not among"):
        unlearner.attach(np.vstack([X[KEPT], X[:1] + 1]), np.append(y[KEPT], "a"))
    with pytest.raises(ValueError, match="missing"):
        unlearner.attach(X[KEPT[1:]], y[KEPT[1:]])
    with pytest.raises(UnknownRowsError, match="labels"):
        unlearner.attach(X[KEPT], np.roll(y[KEPT], 1))
    with pytest.raises(ValueError, match="y"):
        unlearner.attach(X[KEPT])
    state.check("a refused attach")
    order = np.random.default_rng(1).permutation(KEPT)
    unlearner.attach(X[order], y[order])
    assert np.array_equal(outcome(unlearner, X), before)
    unlearner.unlearn(X[[10]])
    assert np.flatnonzero(~unlearner._record.retained).tolist() == [*FORGET, 10]
    expected = make().fit(X, y).unlearn(indices=FORGET).unlearn(indices=[10])
    assert np.array_equal(outcome(unlearner, X), outcome(expected, X))


def test_save_and_load(data, tmp_path):
    X, y = data
    ids = [f"user-{i}" for i in range(60)]
    unlearner = make(ProximalUnlearner).fit(X, y, ids=ids).unlearn(ids=ids[:8])
    unlearner.save(tmp_path / "model")
    loaded = make(ProximalUnlearner).load(tmp_path / "model")
    assert same_parameters(parameters(loaded.estimator_), parameters(unlearner.estimator_))
    assert np.array_equal(loaded.predict(X), unlearner.predict(X))
    assert loaded.deletions_ == unlearner.deletions_
    assert loaded.certificate() == unlearner.certificate()
    with pytest.raises(AlreadyForgottenError):
        loaded.unlearn(ids=["user-3"])
    with pytest.raises(DataNotStoredError):
        loaded.unlearn(ids=["user-9"])
    loaded.attach(X[KEPT], y[KEPT]).unlearn(ids=["user-9"])
    unlearner.unlearn(ids=["user-9"])
    assert np.array_equal(outcome(loaded, X), outcome(unlearner, X))


def test_loaded_estimator_forgets_with_retained_rows_alone(data, tmp_path):
    """The rows of the person who left need not be brought back to forget them."""
    X, y = data
    ids = [f"user-{i}" for i in range(60)]
    unlearner = make().fit(X, y, ids=ids)
    unlearner.save(tmp_path / "model")
    loaded = make().load(tmp_path / "model")
    loaded.unlearn(ids=ids[:8], X_retain=X[KEPT], y_retain=y[KEPT])
    unlearner.unlearn(ids=ids[:8])
    assert np.array_equal(outcome(loaded, X), outcome(unlearner, X))
    measured = loaded.deletions_[0]["measured"]
    assert measured["forget_after"] == {"loss": None, "score": None}
    assert measured["retain_after"] == unlearner.deletions_[0]["measured"]["retain_after"]


def test_given_retained_rows_are_checked(data):
    X, y = data
    unlearner = make().fit(X, y)
    state = Snapshot(unlearner, X)
    for error, given, message in (
        (AlreadyForgottenError, (X, y), "forget set"),
        (UnknownRowsError, (X[KEPT] + 1, y[KEPT]), "never seen"),
        (UnknownRowsError, (X[KEPT], np.roll(y[KEPT], 1)), "never seen"),
        (ValueError, (X[KEPT], None), "come together"),
        (ValueError, (None, y[KEPT]), "come together"),
        (ValueError, (X[:0], y[:0]), "empty"),
        (ValueError, (X[KEPT], y[KEPT][:-1]), "entries"),
    ):
        with pytest.raises(error, match=message):
            unlearner.unlearn(indices=FORGET, X_retain=given[0], y_retain=given[1])
        state.check(message)
    unlearner.unlearn(indices=FORGET, X_retain=X[KEPT], y_retain=y[KEPT])
    with pytest.raises(AlreadyForgottenError):
        unlearner.unlearn(indices=[20], X_retain=X[:19], y_retain=y[:19])


def test_load_refuses_other_files(data, tmp_path):
    X, y = data
    make().fit(X, y).save(tmp_path / "model")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="FineTuneUnlearner"):
        make(ProximalUnlearner).load(tmp_path / "model")
    with pytest.raises(ValueError, match="safetensors"):
        make().load(tmp_path / "text")
    other = FineTuneUnlearner(make_net(module__hidden=7))
    with pytest.raises(ValueError, match="does not fit"):
        other.load(tmp_path / "model")
    assert not hasattr(other, "estimator_")
    with pytest.raises(FileNotFoundError):
        make().load(tmp_path / "nothing")
    with pytest.raises(TypeError, match="Pickle"):
        RetrainUnlearner(LogisticRegression()).fit(X, y).save(tmp_path / "sklearn")


def test_loading_replaces_an_earlier_fit(data, tmp_path):
    X, y = data
    make().fit(X, y).unlearn(indices=FORGET).save(tmp_path / "model")
    codes = np.unique(y, return_inverse=True)[1]
    trained = make().fit(X, codes).estimator_
    loaded = FineTuneUnlearner(FrozenEstimator(trained)).fit(X, codes).load(tmp_path / "model")
    assert loaded.classes_.tolist() == ["a", "b", "c"]
    assert weights_in(pickle.dumps(loaded), parameters(trained)) == []


def test_failed_save_leaves_the_old_file(data, tmp_path, monkeypatch):
    X, y = data
    unlearner = make().fit(X, y)
    unlearner.save(tmp_path / "model")
    old = (tmp_path / "model").read_bytes()
    unlearner.unlearn(indices=FORGET)

    def half(tensors, path, metadata):
        with open(path, "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("skunlearn._files.tensor_files.save_file", half)
        with pytest.raises(KeyboardInterrupt):
            unlearner.save(tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == old
    assert os.listdir(tmp_path) == ["model"]


KILL = """
import os, signal, sys
import numpy as np
from skunlearn import RetrainUnlearner
from skunlearn._files import tensor_files as _files
from skunlearn.utils import all_unlearners
from tests.instances import ConvNet, make_net
X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
unlearner = RetrainUnlearner(make_net(max_epochs=1), random_state=1).fit(X, np.arange(20) % 2)
def die(tensors, path, metadata):
    open(path, "wb").write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
_files.save_file = die
unlearner.save(sys.argv[1])
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_kill_in_the_middle_of_save_leaves_the_old_file(data, tmp_path):
    X, y = data
    make().fit(X, y).save(tmp_path / "model")
    old = (tmp_path / "model").read_bytes()
    command = [sys.executable, "-c", KILL, str(tmp_path / "model")]
    run = subprocess.run(command, check=False, env=environment())
    assert run.returncode == -signal.SIGKILL
    assert (tmp_path / "model").read_bytes() == old
    make().load(tmp_path / "model")


def test_save_of_other_label_types(data, tmp_path):
    X, _ = data
    for labels in (np.arange(1, 61) % 3 + 1, np.arange(60) % 3 * 2.0, (np.arange(60) % 2) == 0):
        unlearner = make().fit(X, labels)
        unlearner.save(tmp_path / "model")
        loaded = make().load(tmp_path / "model")
        assert loaded.predict(X).dtype == unlearner.predict(X).dtype
        assert np.array_equal(loaded.predict(X), unlearner.predict(X))
    objects = np.array(["x", "y"], dtype=object)[np.arange(60) % 2]
    make().fit(X, objects).save(tmp_path / "model")
    assert set(make().load(tmp_path / "model").predict(X)) <= {"x", "y"}


def test_certificate_points_at_the_cache(data, tmp_path):
    X, y = data
    unlearner = make(memory=str(tmp_path)).fit(X, y).unlearn(indices=FORGET)
    assert "cache" in unlearner.certificate()
    assert "cache" not in make().fit(X, y).unlearn(indices=FORGET).certificate()


def test_clone_of_a_forgetful_estimator_knows_nothing(data):
    X, y = data
    unlearner = make().fit(X, y).unlearn(indices=FORGET)
    assert holds(pickle.dumps(clone(unlearner)), X) == []
