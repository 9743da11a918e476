"""Weights fit many nets: load says where the net is another one, and where the file has changed."""

import warnings

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner, UnlearningPipeline
from skunlearn.exceptions import IncompleteFileWarning

Y = np.arange(60) % 3
X = (np.random.default_rng(0).normal(size=(60, 4)) + np.eye(4)[Y]).astype(np.float32)


class Net(nn.Module):
    def __init__(self, act="relu", slope=0.0, dropout=0.5, dtype=torch.float32):
        super().__init__()
        self.first, self.norm, self.out = nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Linear(16, 3)
        self.dropout, self.act, self.slope = nn.Dropout(dropout), act, slope
        self.to(dtype)

    def forward(self, X):
        z = self.norm(self.first(X.to(self.out.weight.dtype)))
        z = torch.tanh(z) if self.act == "tanh" else nn.functional.leaky_relu(z, self.slope)
        return self.out(self.dropout(z)).float()


class Turned(Net):
    """The same module after its code was edited."""

    def forward(self, X):
        return -super().forward(X)


class Drawing(Net):
    """It answers another thing at each call."""

    def forward(self, X):
        return super().forward(X) + torch.randn(len(X), 3)


class Reading(nn.Module):
    """Whole numbers go in."""

    def __init__(self, turned=False):
        super().__init__()
        self.words, self.out, self.turned = nn.Embedding(9, 8), nn.Linear(8, 3), turned

    def forward(self, X):
        out = self.out(self.words(X).mean(dim=1))
        return -out if self.turned else out


def unlearner(module=Net, **kwargs):
    how = {"max_epochs": 2, "lr": 0.1, "train_split": None, "iterator_train__shuffle": True}
    net = NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, **(how | kwargs))
    return FineTuneUnlearner(net, random_state=0, max_epochs=1)


def saved(path, *args, rows=X, **kwargs):
    fitted = unlearner(*args, **kwargs).fit(rows, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted.unlearn(indices=range(3)).save(path)
    return fitted


OTHERS = {
    "activation": (Net, {"module__act": "tanh"}),
    "slope": (Net, {"module__slope": 0.3}),
    "code": (Turned, {}),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize("piped", [False, True], ids=["unlearner", "pipeline"])
def test_another_net_is_told_of(other, piped, tmp_path):
    module, kwargs = other

    def around(model):
        return UnlearningPipeline([("model", model)]) if piped else model

    path = tmp_path / "model"
    fitted = around(unlearner()).fit(X, Y)
    fitted.save(path)
    with pytest.warns(IncompleteFileWarning, match="gives other answers than the one that was"):
        loaded = around(unlearner(module, **kwargs)).load(path)
    assert not np.allclose(loaded.predict_proba(X), fitted.predict_proba(X), atol=0.01)


SAME = {
    "the very net": ({}, {}),
    "what a training may have otherwise": (
        {},
        {"lr": 0.5, "max_epochs": 7, "module__dropout": 0.1, "batch_size": 5},
    ),
    "bfloat16": ({"module__dtype": torch.bfloat16}, {"module__dtype": torch.bfloat16}),
    "double": ({"module__dtype": torch.float64}, {"module__dtype": torch.float64}),
    "in double what was single": ({}, {"module__dtype": torch.float64}),
    "draws": ({"module": Drawing}, {"module": Drawing, "module__act": "tanh"}),
}


@pytest.mark.parametrize(("given", "again"), SAME.values(), ids=SAME.keys())
def test_the_same_net_is_not(given, again, tmp_path, recwarn):
    path = tmp_path / "model"
    saved(path, **({"module": Net} | given))
    with warnings.catch_warnings():
        warnings.simplefilter("error", IncompleteFileWarning)
        unlearner(**({"module": Net} | again)).load(path)


def test_rows_of_whole_numbers(tmp_path):
    words, path = np.random.default_rng(0).integers(9, size=(60, 5)), tmp_path / "model"
    fitted = saved(path, Reading, rows=words)
    with pytest.warns(IncompleteFileWarning, match="gives other answers"):
        unlearner(Reading, module__turned=True).load(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", IncompleteFileWarning)
        loaded = unlearner(Reading).load(path)
    assert np.array_equal(loaded.predict_proba(words), fitted.predict_proba(words))


def test_saving_leaves_no_trace_in_the_net(tmp_path):
    """Made-up rows are read by a copy: one that counts its calls, say, goes on as it was."""

    class Counting(Net):
        calls = 0

        def forward(self, X):
            self.calls += 1
            return super().forward(X)

    fitted = unlearner(Counting).fit(X, Y)
    module = fitted.estimator_.module_
    before = module.calls, module.training
    fitted.save(tmp_path / "model")
    assert (module.calls, module.training) == before


def test_a_file_that_has_changed_is_refused(tmp_path):
    """One bit of the weights, of the table of rows that are left, or of the log."""
    path = tmp_path / "model"
    saved(path)
    whole = path.read_bytes()
    for place in (len(whole) // 2, len(whole) - 1, whole.index(b"deletions") + 30):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"its checksum differs|not a safetensors file"):
            unlearner().load(path)
    path.write_bytes(whole)
    unlearner().load(path)


def test_a_file_of_before_has_no_checksum(tmp_path):
    from safetensors.torch import load_file, safe_open, save_file

    path = tmp_path / "model"
    fitted = saved(path)
    with safe_open(path, framework="pt") as file:
        text = file.metadata()["skunlearn"]
    tensors = load_file(path)
    del tensors["answers"]
    save_file(tensors, path, metadata={"skunlearn": text})
    loaded = unlearner().load(path)
    assert np.array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
