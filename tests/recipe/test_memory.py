"""``memory=`` trains each base net once, and never hands out another one's."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn._recipe import training
from skunlearn._rows.containers import row_digests
from skunlearn._rows.views import Rows
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.interpreters import environment
from tests.small import FORGET, as_dataset, net, quiet


class Counted(Callback):
    trainings = 0

    def on_train_begin(self, net, **kwargs):
        Counted.trainings += 1


def counted(**kwargs):
    return net(callbacks=[("count", Counted())], **kwargs)


@quiet
def test_memory_trains_each_base_net_once(data, tmp_path):
    X, y = data
    unlearner = FineTuneUnlearner(
        counted(criterion__weight=torch.tensor([1.0, 2.0, 1.0])),
        memory=str(tmp_path),
        random_state=0,
        max_epochs=1,
    )
    Counted.trainings = 0
    mask = np.arange(60) < 6
    runs = [clone(unlearner).set_params(lr=lr).fit(X, y, forget=mask) for lr in (0.1, 0.2, 0.3)]
    assert Counted.trainings == 1 + 3
    plain = clone(unlearner).set_params(lr=0.3, memory=None).fit(X, y, forget=mask)
    assert same_parameters(parameters(runs[2].estimator_), parameters(plain.estimator_))
    Counted.trainings = 0
    for other in (
        {"random_state": 1},
        {"estimator__lr": 0.07},
        {"estimator__module__hidden": 9},
        {"estimator__criterion__weight": torch.tensor([1.0, 2.0, 2.0])},
    ):
        clone(unlearner).set_params(**other).fit(X, y)
    clone(unlearner).fit(X + 1, y)
    clone(unlearner).fit(X, np.roll(y, 1))
    assert Counted.trainings == 6


def test_memory_tells_other_rows_labels_and_shapes_apart(data, tmp_path):
    X, y = data
    one = RetrainUnlearner(LogisticRegression(), memory=str(tmp_path), random_state=0)
    first = clone(one).fit(X, np.array(["a", "b", "c"])[y])
    second = clone(one).fit(X, np.array(["x", "y", "z"])[y])
    assert set(first.predict(X)) <= set("abc")
    assert set(second.predict(X)) <= set("xyz")
    zeros = RetrainUnlearner(counted(max_epochs=1), memory=str(tmp_path), random_state=0)
    Counted.trainings = 0
    clone(zeros).fit(np.zeros((6, 4), np.float32), np.arange(6) % 3)
    clone(zeros).fit(np.zeros((6, 2, 2), np.float32), np.arange(6) % 3)
    clone(zeros).fit(np.zeros((6, 4), np.int32), np.arange(6) % 3)
    assert Counted.trainings == 3


def test_memory_knows_the_rows_that_come_with_a_request(data, tmp_path):
    """Two requests with other retained rows must not share a model."""
    X, y = data
    cached = RetrainUnlearner(net(), memory=str(tmp_path), random_state=0).fit(X, y)
    results = []
    for kept in (np.arange(6, 60), np.arange(20, 60)):
        plain = RetrainUnlearner(net(), random_state=0).fit(X, y)
        other = clone(cached).fit(X, y)
        for unlearner in (plain, other):
            unlearner.unlearn(indices=FORGET, X_retain=X[kept], y_retain=y[kept])
        assert same_parameters(parameters(plain.estimator_), parameters(other.estimator_))
        results.append(parameters(plain.estimator_))
    assert not same_parameters(*results)


def test_memory_is_not_used_for_datasets(data, tmp_path):
    X, y = data
    with pytest.warns(UserWarning, match="torch Dataset") as caught:
        RetrainUnlearner(net(), memory=str(tmp_path)).fit(as_dataset(X, y))
    assert caught[0].filename == __file__


SOURCE = """
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

SLOPE = 0.5
SIZES = [8, "M"]


def squash(X):
    return torch.tanh(SLOPE * X)


class Base(nn.Module):
    gain = 1.0

    def forward(self, X):
        return self.act(self.lin(X)) * self.gain


class Block(Base):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, SIZES[0])

    def act(self, X):
        return squash(X)


class Net(nn.Module):
    def __init__(self, block=None, path=None):
        super().__init__()
        self.block = (block or Block)()
        self.out = nn.Linear(8, 3)
        if path is not None:
            self.load_state_dict(torch.load(path, weights_only=True))

    def forward(self, X):
        return self.out(self.block(X))


class Loss(nn.CrossEntropyLoss):
    def forward(self, out, y):
        return super().forward(out, y) * 2


class Own(NeuralNetClassifier):
    def get_loss(self, out, y, **kwargs):
        return super().get_loss(out, y, **kwargs) * 3


class Slows(Callback):
    calls = 0

    def on_epoch_begin(self, net, **kwargs):
        Slows.calls += 1
        net.lr = net.lr * 0.9


class Step(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X * 5
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A function that imports the source above, with some text replaced."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(old="", new=""):
        assert old in SOURCE
        (tmp_path / "written.py").write_text(SOURCE.replace(old, new))
        sys.modules.pop("written", None)
        importlib.invalidate_caches()
        return importlib.import_module("written")

    yield load
    sys.modules.pop("written", None)


def recipes(written, folder):
    """Nets and other estimators that are made of the source."""
    params = {"max_epochs": 1, "train_split": None, "verbose": 0}
    torch.manual_seed(0)
    path = folder / "weights.pt"
    if not path.exists():
        torch.save(written.Net().state_dict(), path)
    own = written.Own(
        written.Net, criterion=written.Loss, callbacks=[("slows", written.Slows())], **params
    )
    given = NeuralNetClassifier(
        written.Net, module__block=written.Block, module__path=str(path), **params
    )
    return {
        "own": own,
        "given": given,
        "pipeline": make_pipeline(written.Step(), clone(own)),
        "steps": make_pipeline(written.Step(), LogisticRegression()),
    }


def keys(written, folder, data):
    X, y = data
    rows = Rows(X, y, np.arange(60), row_digests(X))
    return {
        name: training.key(recipe, rows, 0, np.arange(3))
        for name, recipe in recipes(written, folder).items()
    }


NETS = {"own", "given", "pipeline"}


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("return squash(X)", "return squash(X + 1)", NETS),  # of a block inside
        ("* self.gain", "+ self.gain", NETS),  # of a block's base
        ("gain = 1.0", "gain = 2.0", NETS),
        ("tanh(", "sigmoid(", NETS),  # of a function that a block calls
        ("SLOPE = 0.5", "SLOPE = 0.7", NETS),
        ('[8, "M"]', '[8, "N"]', NETS),
        ("self.out(self.block(X))", "self.out(self.block(-X))", NETS),
        ("forward(out, y) * 2", "forward(out, y) * 4", {"own", "pipeline"}),
        ("**kwargs) * 3", "**kwargs) * 4", {"own", "pipeline"}),
        ("net.lr * 0.9", "net.lr * 0.8", {"own", "pipeline"}),
        ("X * 5", "X * 6", {"pipeline", "steps"}),
        ("\n\nclass Net", "\n\n\n# A comment changes nothing.\nclass Net", set()),
        ("class Base", "def unused():\n    return 1\n\n\nclass Base", set()),
    ],
)
def test_memory_knows_the_code_of_every_part(data, tmp_path, source, old, new, changed):
    before = keys(source(), tmp_path, data)
    assert keys(source(), tmp_path, data) == before
    after = keys(source(old, new), tmp_path, data)
    assert {name for name in before if before[name] != after[name]} == changed


def test_memory_does_not_bring_back_a_net_of_other_code(data, tmp_path, source):
    X, y = data

    def fitted(written):
        recipe = recipes(written, tmp_path)["own"].set_params(lr=0.1, max_epochs=3)
        cached = RetrainUnlearner(recipe, memory=str(tmp_path / "cache"), random_state=0)
        plain = clone(cached).set_params(memory=None)
        return [u.fit(X, y).predict_proba(X) for u in (cached, plain)]

    for change in ((), ("return squash(X)", "return 10 * squash(X)"), ()):
        from_cache, anew = fitted(source(*change))
        assert np.array_equal(from_cache, anew)


def test_memory_knows_the_weights_that_a_module_loads(data, tmp_path, source):
    before = keys(source(), tmp_path, data)
    torch.manual_seed(1)
    torch.save(source().Net().state_dict(), tmp_path / "weights.pt")
    after = keys(source(), tmp_path, data)
    assert {name for name in before if before[name] != after[name]} == {"given"}


@pytest.mark.long  # of parameters test_parameter_texts.py asks it in every run
def test_memory_keys_do_not_depend_on_the_process(data, tmp_path, source):
    here = keys(source(), tmp_path, data)
    script = (
        "import numpy as np, pathlib, written\n"
        "from tests.recipe.test_memory import keys\n"
        "rng = np.random.default_rng(0)\n"
        "data = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 3, 60)\n"
        f"print(keys(written, pathlib.Path({str(tmp_path)!r}), data))\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment(tmp_path, PYTHONHASHSEED="7"),
    )
    assert run.stdout.strip() == str(here)
