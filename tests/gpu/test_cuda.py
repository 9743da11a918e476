"""On CUDA: right devices and dtypes, one wait an epoch, pickles for machines without a card."""

import gc
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.utils.data import TensorDataset

from skunlearn import AutoUnlearner, FineTuneUnlearner, RetrainUnlearner
from skunlearn._torch.batches.net_rows import NetRows
from skunlearn._torch.loop import epoch_loop
from skunlearn.nets import Autocast, BatchLoader
from skunlearn.utils import all_unlearners
from tests.device_checks import check_attacks
from tests.gpu.nets import Net
from tests.instances import SETTINGS
from tests.small import quiet

if not torch.cuda.is_available():
    pytest.skip("no CUDA device on this machine", allow_module_level=True)

pytestmark = quiet
N = 96
METHODS = all_unlearners(nets=True)
OPTIONS = {
    "float32": {},
    "channels last, bfloat16": {"module": Autocast, "module__channels_last": True},
    "float16": {"module": Autocast, "module__dtype": torch.float16},
    "compiled": {"compile": True},
}


def make_net(**kwargs):
    params = {
        "module": Net, "criterion": nn.CrossEntropyLoss, "lr": 0.05, "optimizer__momentum": 0.9,
        "max_epochs": 3, "batch_size": 16, "iterator_train__shuffle": True, "train_split": None,
        "verbose": 0, "device": "cuda",
    } | kwargs  # fmt: skip
    if params["module"] is Autocast:
        params["module__module"] = Net
    return NeuralNetClassifier(params.pop("module"), **params)


@pytest.fixture
def rows():
    """96 images of 3 x 9 x 9 in three classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 3, 9, 9)).astype(np.float32), np.arange(N) % 3


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", METHODS)
def test_methods(rows, name, option):
    X, y = rows
    unlearner = METHODS[name](make_net(**OPTIONS[option]), random_state=0, **SETTINGS.get(name, {}))
    if "max_epochs" in unlearner.get_params(deep=False):
        unlearner.set_params(max_epochs=2)
    declared = {"forget": np.arange(N) < 6} if name == "AmnesiacUnlearner" else {}
    unlearner.fit(X, y, **declared)
    if not declared:
        unlearner.unlearn(X[:6], y[:6])
    assert np.isfinite(unlearner.predict_proba(X)).all()
    assert len(unlearner.deletions_) == 1
    if name != "ShardedUnlearner":
        weights = list(unlearner.estimator_.module_.parameters())
        assert {w.device.type for w in weights} == {"cuda"}
        assert {w.dtype for w in weights} == {torch.float32}


WITHOUT_WAITING = (
    *("FineTuneUnlearner", "ProximalUnlearner", "L1SparseUnlearner"),
    *("BadTeacherUnlearner", "RandomLabelUnlearner", "SalUnUnlearner", "NoTUnlearner"),
    *("NoisyFineTuneUnlearner", "ShrinkPerturbUnlearner", "RetrainUnlearner"),
)


@pytest.mark.parametrize("name", WITHOUT_WAITING)
def test_no_step_of_a_training_waits_for_the_device(rows, name, monkeypatch):
    X, y = rows
    net = make_net(iterator_train=BatchLoader, iterator_train__resident=True)
    unlearner = METHODS[name](net, max_epochs=2, random_state=0).fit(X, y)
    plain, move, seen = epoch_loop._record, NetRows.move, []

    def allowed(prefix, losses):
        torch.cuda.set_sync_debug_mode("default")  # the one wait of an epoch
        seen.append(len(losses))
        plain(prefix, losses)

    def moved(rows, wanted):
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("default")  # before the first epoch
        try:
            return move(rows, wanted)
        finally:
            torch.cuda.set_sync_debug_mode(before)

    def watched(net, iterator, prefix):
        torch.cuda.set_sync_debug_mode("error")
        try:
            epoch(net, iterator, prefix)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    epoch = epoch_loop._epoch
    monkeypatch.setattr(NetRows, "move", moved)
    monkeypatch.setattr(epoch_loop, "_record", allowed)
    monkeypatch.setattr(epoch_loop, "_epoch", watched)
    unlearner.unlearn(X[:6], y[:6])
    assert max(seen) > 1  # batches are waited for together


def test_a_pickle_and_a_file_are_read_where_there_is_no_card(rows, tmp_path):
    X, y = rows
    unlearner = FineTuneUnlearner(make_net(), random_state=0).fit(X, y).unlearn(X[:6], y[:6])
    expected = unlearner.predict_proba(X)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(unlearner))
    np.savez(tmp_path / "rows.npz", X=X, expected=expected)
    code = (
        "import pickle, sys, warnings, numpy as np; warnings.simplefilter('ignore');"
        "u = pickle.load(open(sys.argv[1] + '/model.pkl', 'rb'));"
        "d = np.load(sys.argv[1] + '/rows.npz');"
        "u.estimator_.set_params(device='cpu');"
        "assert np.allclose(u.predict_proba(d['X']), d['expected'], atol=1e-4)"
    )
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=hidden)
    unlearner.save(tmp_path / "model")
    read = FineTuneUnlearner(make_net(device="cpu")).load(tmp_path / "model")
    assert np.allclose(read.predict_proba(X), expected, atol=1e-4)


def test_rows_that_lie_on_the_device(rows):
    X, y = (torch.from_numpy(part).cuda() for part in rows)
    unlearner = RetrainUnlearner(make_net(), random_state=0).fit(TensorDataset(X, y))
    unlearner.unlearn(indices=range(6))
    assert len(unlearner.predict(TensorDataset(X, y))) == N


def test_attacks_audits_shadow_models_and_influence(rows):
    check_attacks(AutoUnlearner(make_net(), budget=1.0, random_state=0), make_net(), *rows, 60)


def test_memory_goes_back(rows):
    X, y = rows
    unlearner = FineTuneUnlearner(make_net(), random_state=0).fit(X, y)
    unlearner.unlearn(indices=[0])
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for i in range(1, 6):
        unlearner.unlearn(indices=[i])
    gc.collect()
    assert torch.cuda.memory_allocated() <= 1.1 * before
