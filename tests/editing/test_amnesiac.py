"""Subtraction of recorded updates."""

import gc
import os
import pickle
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from skunlearn import AmnesiacUnlearner, RetrainUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.editing import _updates
from skunlearn.exceptions import (
    ModelDamagedWarning,
    NotForgottenWarning,
    UnlearningError,
    UnsuitableMethodWarning,
)
from skunlearn.nets import digits_classifier
from skunlearn.utils._check_tools import ctrl_c, parameters, same_parameters

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::skunlearn.exceptions.{kind.__name__}")
    for kind in (ModelDamagedWarning, NotForgottenWarning, UnsuitableMethodWarning)
]
FEW = np.arange(60) < 3


def linear(**kwargs):
    """Trained on 10 rows at a time, in the order of the rows."""
    params = {
        "module__in_features": 4, "module__out_features": 3, "module__bias": False,
        "criterion": nn.CrossEntropyLoss, "lr": 0.1, "max_epochs": 4, "batch_size": 10,
        "train_split": None,
    }  # fmt: skip
    return NeuralNetClassifier(nn.Linear, **(params | kwargs))


def weight(unlearner):
    return unlearner.estimator_.module_.weight.detach().numpy().astype(np.float64)


def files(unlearner):
    return set(os.listdir(unlearner._updates.folder.path))


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_recording_changes_nothing(data, optimizer):
    X, y = data
    net = linear(optimizer=optimizer, iterator_train__shuffle=True)
    ours = AmnesiacUnlearner(net, random_state=0).fit(X, y, sensitive=FEW)
    plain = RetrainUnlearner(net, random_state=0).fit(X, y)
    assert same_parameters(parameters(ours.estimator_), parameters(plain.estimator_))
    assert len(files(ours)) <= 4 * 3


def test_subtraction_is_its_formula(data):
    """What is left are the steps of the other batches, taken where they were taken."""
    X, y = data
    unlearner = AmnesiacUnlearner(linear(), max_epochs=0, random_state=0).fit(X, y)
    W = start = initial(unlearner)
    kept = np.zeros_like(W)
    for _ in range(4):
        for batch in range(6):
            i = np.arange(10 * batch, 10 * batch + 10)
            step = -0.1 * (softmax(X[i] @ W.T, axis=1) - np.eye(3)[y[i]]).T @ X[i] / 10
            W = W + step
            if batch not in (0, 2):
                kept += step
    assert weight(unlearner) == pytest.approx(W, abs=1e-5)
    unlearner.unlearn(indices=[4, 25])
    assert weight(unlearner) == pytest.approx(start + kept, abs=1e-5)
    # Row 28 was in batches that are gone already: they are not subtracted twice.
    before = weight(unlearner)
    assert len(files(unlearner)) == 4 * 4
    unlearner.unlearn(indices=[28])
    assert np.array_equal(weight(unlearner), before)
    unlearner.unlearn(indices=[10, 30, 40, 50])
    assert weight(unlearner) == pytest.approx(start, abs=1e-5)
    assert files(unlearner) == set()


def initial(unlearner):
    """The weights before the training: all updates taken back."""
    updates = [unlearner._updates.read(name)["weight"] for name in files(unlearner)]
    return weight(unlearner) - sum(u.numpy().astype(np.float64) for u in updates)


def test_mislabelled_rows_are_forgotten():
    """Nearer to a retrained net, and accurate."""
    X, y = (part[:400] for part in load_digits_images(return_X_y=True))
    bad = np.arange(len(X)) < 6
    y = np.where(bad, (y + 3) % 10, y)
    net = digits_classifier(
        max_epochs=30, criterion__label_smoothing=0.0, optimizer__weight_decay=0.0
    )
    unlearner = AmnesiacUnlearner(net, random_state=0).fit(X, y, sensitive=bad)
    assert unlearner.score(X[bad], y[bad]) > 0.7
    unlearner.unlearn(X[bad])
    never = RetrainUnlearner(net, random_state=0).fit(X[~bad], y[~bad])
    assert never.score(X[bad], y[bad]) < 0.2
    assert unlearner.score(X[bad], y[bad]) < 0.3
    assert unlearner.deletions_[0]["measured"]["forget_after"]["loss"] > 1
    assert unlearner.score(X[~bad], y[~bad]) > 0.97


def test_repair_is_recorded_too(data):
    X, y = data
    unlearner = AmnesiacUnlearner(linear(), max_epochs=2, random_state=0)
    unlearner.fit(X, y, sensitive=np.isin(np.arange(60), [5, 25]))
    assert len(files(unlearner)) == 4 + 4
    unlearner.unlearn(indices=[5])
    assert len(files(unlearner)) == 4 + 2
    assert unlearner._updates.steps == 24 + 12
    unlearner.unlearn(indices=[25])
    assert files(unlearner) == set()


def test_other_ways_of_declaring(data):
    X, y = data
    forget = np.arange(60) == 5
    same = [
        AmnesiacUnlearner(linear(), random_state=0).fit(X, y, forget=forget),
        AmnesiacUnlearner(linear(), random_state=0).fit(X, y, sensitive=forget, forget=forget),
        AmnesiacUnlearner(linear(), random_state=0).fit(X, y).unlearn(indices=[5]),
    ]
    for other in same[1:]:
        assert np.array_equal(weight(same[0]), weight(other))
    for bad, error in ((np.flatnonzero(forget), TypeError), (forget[:5], ValueError)):
        with pytest.raises(error, match="sensitive must"):
            AmnesiacUnlearner(linear()).fit(X, y, sensitive=bad)
    with pytest.raises(ValueError, match="sensitive marks no row"):
        AmnesiacUnlearner(linear()).fit(X, y, sensitive=forget & ~forget)
    with pytest.raises(ValueError, match="1 of the rows to forget were not declared"):
        AmnesiacUnlearner(linear()).fit(X, y, sensitive=forget, forget=np.arange(60) == 6)


def test_undeclared_rows_are_refused(data):
    X, y = data
    unlearner = AmnesiacUnlearner(linear(), random_state=0).fit(X, y, sensitive=FEW)
    before, listed = weight(unlearner), files(unlearner)
    with pytest.raises(ValueError, match="2 of the rows to forget were not declared sensitive"):
        unlearner.unlearn(indices=[0, 7, 8])
    assert np.array_equal(weight(unlearner), before)
    assert files(unlearner) == listed
    assert unlearner.deletions_ == []


class Stop(Callback):
    """Interrupts a training that is armed, at its last step."""

    at = None

    def on_batch_end(self, net, **kwargs):
        if Stop.at is not None:
            Stop.at -= 1
            if Stop.at == 0:
                signal.raise_signal(signal.SIGINT)


def test_an_interrupt_loses_no_update(data):
    X, y = data
    net = linear(callbacks=[("stop", Stop())])
    given = {"max_epochs": 1, "random_state": 0}
    unlearner = AmnesiacUnlearner(net, **given).fit(X, y, sensitive=FEW)
    expected = AmnesiacUnlearner(net, **given).fit(X, y, sensitive=FEW).unlearn(indices=[0])
    listed = files(unlearner)
    Stop.at = 5
    with ctrl_c(), pytest.raises(KeyboardInterrupt):
        unlearner.unlearn(indices=[0])
    Stop.at = None
    assert listed <= files(unlearner)
    unlearner.unlearn(indices=[0])
    assert np.array_equal(weight(unlearner), weight(expected))
    # What the interrupted repair had written is gone as well.
    assert files(unlearner) == set(unlearner._updates.batches)


def test_copies_have_their_own_files(data):
    X, y = data
    unlearner = AmnesiacUnlearner(linear(), max_epochs=0, random_state=0).fit(X, y, sensitive=FEW)
    copy = pickle.loads(pickle.dumps(unlearner))
    unlearner.unlearn(indices=[0])
    assert len(files(copy)) == 4
    assert np.array_equal(weight(copy.unlearn(indices=[0])), weight(unlearner))
    folders = [u._updates.folder.path for u in (unlearner, copy)]
    del unlearner, copy
    gc.collect()
    assert not any(os.path.exists(folder) for folder in folders)


def test_a_folder_outlives_the_process(data, tmp_path):
    X, y = data
    given = {"folder": tmp_path / "new", "max_epochs": 0, "random_state": 0}
    unlearner = AmnesiacUnlearner(linear(), **given).fit(X, y, sensitive=FEW)
    stored = pickle.dumps(unlearner)
    expected = weight(AmnesiacUnlearner(linear(), **given).fit(X, y).unlearn(indices=[0]))
    del unlearner
    gc.collect()
    copy = pickle.loads(stored).unlearn(indices=[0])
    assert np.array_equal(weight(copy), expected)
    again = pickle.loads(stored)  # the batch's updates are subtracted and deleted by now
    with pytest.raises(UnlearningError, match="recorded updates are gone"):
        again.unlearn(indices=[0])


def test_a_saved_file_holds_no_updates(data, tmp_path):
    X, y = data
    unlearner = AmnesiacUnlearner(linear(), random_state=0).fit(X, y, sensitive=FEW)
    unlearner.save(tmp_path / "model")
    loaded = AmnesiacUnlearner(linear(), random_state=0).fit(X, y).load(tmp_path / "model")
    with pytest.raises(UnlearningError, match="not part of a saved file"):
        loaded.attach(X, y).unlearn(indices=[0])


def test_frozen_nets_and_full_disks(data, monkeypatch):
    X, y = data
    trained = linear().fit(X, y)
    with pytest.raises(TypeError, match="must watch the training"):
        AmnesiacUnlearner(FrozenEstimator(trained)).fit(X, y)
    free = SimpleNamespace(free=100)
    monkeypatch.setattr(_updates.shutil, "disk_usage", lambda path: free)
    with pytest.raises(UnlearningError, match="GiB are free"):
        AmnesiacUnlearner(linear()).fit(X, y)
    free.free = 4 * 6 * 48 / 0.9 + 1  # four epochs of six batches of twelve weights
    AmnesiacUnlearner(linear()).fit(X, y)
    free.free = 4 * 1 * 48 / 0.9 + 1
    AmnesiacUnlearner(linear()).fit(X, y, sensitive=np.arange(60) == 1)


def test_rows_of_a_dataset(data):
    X, y = data
    rows = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(y))
    given = {"max_epochs": 0, "random_state": 0}
    ours = AmnesiacUnlearner(linear(), **given).fit(rows, y, sensitive=FEW)
    plain = AmnesiacUnlearner(linear(), **given).fit(X, y, sensitive=FEW)
    for request in ([0], [2]):
        ours.unlearn(torch.utils.data.Subset(rows, request))
        plain.unlearn(indices=request)
        assert weight(ours) == pytest.approx(weight(plain), abs=1e-6)
    assert files(ours) == set(ours._updates.batches)
    with pytest.raises(ValueError, match="not declared"):
        ours.unlearn(indices=[30])


def test_little_left_is_announced(data):
    X, y = data
    unlearner = AmnesiacUnlearner(linear(), random_state=0).fit(X, y)
    with pytest.warns(UnsuitableMethodWarning, match="24 of the 24 steps"):
        unlearner.unlearn(indices=np.arange(0, 60, 10))
