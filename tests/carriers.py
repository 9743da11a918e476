"""Ways to bring trained state along, each as an estimator that remembers rows it is not fitted on.

Each takes random labels ``(X, y)`` and a folder. What it returns names the labels of all of them
correctly after a ``fit`` of a clone on some of them: that is what must never be called exact.
"""

import functools
import json

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, Checkpoint, LoadInitState
from skorch.dataset import Dataset
from torch import nn

N, CLASSES, HIDDEN = 60, 3, 64
FORGET = np.arange(20)


def attack(unlearner, X, y):
    """Fails where rows that a model remembers are certified as forgotten."""
    try:
        unlearner.fit(X, y)
    except TypeError:  # refused: no certificate at all
        return
    unlearner.unlearn(indices=FORGET)
    assert np.mean(unlearner.predict(X[FORGET]) == y[FORGET]) > 0.9
    certificate = json.loads(unlearner.certificate())
    assert certificate["guarantee"] == "none"
    assert certificate["notes"]


def check_exact(unlearner, X, y):
    """Fails where something is said to have been trained before."""
    certificate = json.loads(unlearner.fit(X, y).unlearn(indices=FORGET).certificate())
    assert (certificate["guarantee"], certificate["notes"]) == ("retrained without the rows", [])


# ------------------------------------------------------------------ scikit-learn


def tree(X, y):
    """Knows its rows by heart."""
    return DecisionTreeClassifier(random_state=0).fit(X, y)


class Votes(TransformerMixin, BaseEstimator):
    """Shows what a model inside it says of the rows, beside the rows."""

    def __init__(self, model=None):
        self.model = model

    def fit(self, X, y=None):
        self.model_ = self.model.fit(X, y)
        return self

    def transform(self, X):
        return 100 * self.model_.predict_proba(X)


class KeepsItself(ClassifierMixin, BaseEstimator):
    """Is its own clone, as FrozenEstimator is."""

    def fit(self, X, y):
        if not hasattr(self, "model_"):
            self.model_, self.classes_ = tree(X, y), np.unique(y)
        return self

    def predict(self, X):
        return self.model_.predict(X)

    def predict_proba(self, X):
        return self.model_.predict_proba(X)

    def __sklearn_clone__(self):
        return self


class Oracle:
    """A model that is no scikit-learn estimator."""

    def __init__(self, model):
        self.model = model

    def predict(self, X):
        return self.model.predict(X)


class Asks(ClassifierMixin, BaseEstimator):
    """Answers with what somebody else says."""

    def __init__(self, other=None):
        self.other = other

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.asarray(self.other.predict(X))

    def predict_proba(self, X):
        return np.eye(len(self.classes_))[self.predict(X)]


class Nearest(ClassifierMixin, BaseEstimator):
    """Answers with the label of the nearest row of a table."""

    def __init__(self, table=None):
        self.table = table

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        far = ((X[:, None] - self.table[None, :, :-1]) ** 2).sum(axis=2)
        return self.table[far.argmin(axis=1), -1].astype(int)

    def predict_proba(self, X):
        return np.eye(len(self.classes_))[self.predict(X)]


def _votes(X, model=None):
    return 100 * model.predict_proba(X)


def _behind(step):
    return make_pipeline(step, LogisticRegression(C=1e3, max_iter=1000))


def _with_closure(X, y):
    model = tree(X, y)
    return _behind(FunctionTransformer(lambda rows: 100 * model.predict_proba(rows)))


def _class_attribute(X, y):
    class Held(Asks):
        other_ = tree(X, y)

        def predict(self, X):
            return self.other_.predict(X)

    return Held()


SKLEARN = {
    "calibrated": lambda X, y: CalibratedClassifierCV(FrozenEstimator(tree(X, y))),
    "voting": lambda X, y: VotingClassifier([("a", FrozenEstimator(tree(X, y)))]),
    "stacking": lambda X, y: StackingClassifier(
        [("a", FrozenEstimator(tree(X, y)))], LogisticRegression(C=1e3)
    ),
    "bagging": lambda X, y: BaggingClassifier(FrozenEstimator(tree(X, y)), 3),
    "pipeline": lambda X, y: make_pipeline(FunctionTransformer(), FrozenEstimator(tree(X, y))),
    "search": lambda X, y: GridSearchCV(Asks(FrozenEstimator(tree(X, y))), {}, cv=2),
    "one against the rest": lambda X, y: make_pipeline(
        Votes(FrozenEstimator(tree(X, y))), OneVsRestClassifier(LogisticRegression(C=1e3))
    ),
    "three levels": lambda X, y: VotingClassifier(
        [("a", _behind(Votes(CalibratedClassifierCV(FrozenEstimator(tree(X, y))))))]
    ),
    "union": lambda X, y: _behind(FeatureUnion([("a", Votes(FrozenEstimator(tree(X, y))))])),
    "frozen pipeline": lambda X, y: make_pipeline(Asks(FrozenEstimator(make_pipeline(tree(X, y))))),
    "closure": _with_closure,
    "bound method": lambda X, y: _behind(FunctionTransformer(tree(X, y).predict_proba)),
    "partial": lambda X, y: _behind(
        FunctionTransformer(functools.partial(_votes, model=tree(X, y)))
    ),
    "its own clone": lambda X, y: VotingClassifier([("a", KeepsItself().fit(X, y))]),
    "no estimator": lambda X, y: Asks(Oracle(tree(X, y))),
    "class attribute": _class_attribute,
    "table": lambda X, y: Nearest(np.column_stack([X, y])),
}


# ------------------------------------------------------------------ what stands before a model

STEPS = {
    "frozen": lambda X, y: Votes(FrozenEstimator(tree(X, y))),
    "frozen in a union": lambda X, y: FeatureUnion([("a", Votes(FrozenEstimator(tree(X, y))))]),
    "closure": lambda X, y: _with_closure(X, y)[0],
    "bound method": lambda X, y: FunctionTransformer(tree(X, y).predict_proba),
}


# ------------------------------------------------------------------ nets


class Net(nn.Module):
    """A small MLP."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(12, HIDDEN), nn.Linear(HIDDEN, CLASSES)

    def forward(self, X):
        return self.two(torch.relu(self.one(X)))


class Around(nn.Module):
    """A module around parts that were built elsewhere."""

    def __init__(self, enc):
        super().__init__()
        parts = enc.values() if isinstance(enc, dict) else enc
        self.enc = nn.Sequential(*parts) if isinstance(parts, list | type({}.values())) else enc

    def forward(self, X):
        return self.enc(X)


class Loading(Net):
    """Starts from weights that it is given, or that lie in a file."""

    def __init__(self, state=None, path=None, tensors=None):
        super().__init__()
        if tensors is not None:
            state = dict(zip(self.state_dict(), tensors, strict=True))
        self.load_state_dict(torch.load(path, weights_only=True) if state is None else state)


class Encoded(Dataset):
    """Shows what a trained module makes of the rows."""

    def __init__(self, X, y=None, encoder=None):
        with torch.no_grad():
            X = encoder(torch.as_tensor(np.asarray(X))).softmax(dim=1).numpy()
        super().__init__(10 * X, y)


class Head(nn.Module):
    """Hands on what it is given, but for a scale that learns."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, X):
        return self.scale * X


class Identity(Head):
    """Hands on the rows, behind three columns that say nothing."""

    def forward(self, X):
        return torch.cat([self.scale * torch.zeros(len(X), CLASSES), X], dim=1)


def _ask(model, out):
    return torch.as_tensor(model.predict_proba(out[:, CLASSES:].numpy(force=True)))


class Factory:
    """Hands out a module."""

    def __init__(self, enc):
        self.enc = enc

    def __call__(self):
        return self.enc


class LoadsFile(Callback):
    """Reads weights when a training begins."""

    def __init__(self, path):
        self.path = path

    def on_train_begin(self, net, **kwargs):
        net.load_params(f_params=self.path)


class Puts(Callback):
    """Puts weights where the net has its own."""

    def __init__(self, module):
        self.module = module

    def on_train_begin(self, net, **kwargs):
        net.module_.load_state_dict(self.module.state_dict())


class Warm(NeuralNetClassifier):
    """Loads weights whenever it is initialised."""

    path = None

    def initialize(self):
        super().initialize()
        self.load_params(f_params=self.path)
        return self


class Accustomed(NeuralNetClassifier):
    """Has a loading callback without being told."""

    path = None

    @property
    def _default_callbacks(self):
        return [("warm", LoadsFile(self.path))]


SHARED = []


def build_shared():
    """A module from a variable of this file."""
    return Around(SHARED[0])


def never(net):
    """When a Checkpoint shall write."""
    return False


@functools.cache
def _memorise(X, y):
    torch.manual_seed(0)
    module = Net()
    X, y = torch.tensor(X), torch.tensor(y)
    optimizer = torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(X), y).backward()
        optimizer.step()
    return module


def trained(X, y):
    """A module that knows the rows by heart."""
    module = Net()
    known = _memorise(tuple(map(tuple, X.tolist())), tuple(y.tolist()))
    module.load_state_dict(known.state_dict())
    return module


def net(module=Net, cls=NeuralNetClassifier, **kwargs):
    """A net whose training moves nothing, so that it stays what it starts from."""
    params = {"criterion": nn.CrossEntropyLoss, "lr": 1e-9, "max_epochs": 1, "batch_size": 32}
    return cls(module, **(params | {"train_split": None, "verbose": 0} | kwargs))


def _fitted_before(X, y):
    enc = trained(X, y)
    return net(Around, module__enc=enc).fit(X, y)


def _closure(X, y):
    enc = trained(X, y)
    return net(lambda: Around(enc))


def _default(X, y):
    def build(enc=trained(X, y)):  # noqa: B008
        return Around(enc)

    return net(build)


def _attribute(X, y):
    class Held(nn.Module):
        enc = trained(X, y)

        def __init__(self):
            super().__init__()
            self.mine = self.enc

        def forward(self, X):
            return self.mine(X)

    return net(Held)


def _global(X, y):
    SHARED[:] = [trained(X, y)]
    return net(build_shared)


def _file(X, y, folder):
    path = folder / "weights.pt"
    torch.save(trained(X, y).state_dict(), path)
    return str(path)


def _checkpoint(X, y, folder):
    written = Checkpoint(monitor=None, dirname=str(folder))
    net(trained(X, y), callbacks=[written]).fit(X, y)
    return written


def _elsewhere(X, y, folder):
    path = _file(X, y, folder)
    others = dict.fromkeys(("f_optimizer", "f_criterion", "f_history"))
    return Checkpoint(monitor=never, f_params=path, load_best=True, event_name=None, **others)


NETS = {
    "module instance": lambda X, y, folder: net(trained(X, y)),
    "module parameter": lambda X, y, folder: net(Around, module__enc=trained(X, y)),
    "fitted before": lambda X, y, folder: _fitted_before(X, y),
    "list of modules": lambda X, y, folder: net(Around, module__enc=[trained(X, y)]),
    "dict of modules": lambda X, y, folder: net(Around, module__enc={"a": trained(X, y)}),
    "partial": lambda X, y, folder: net(functools.partial(Around, enc=trained(X, y))),
    "closure": lambda X, y, folder: _closure(X, y),
    "default argument": lambda X, y, folder: _default(X, y),
    "factory": lambda X, y, folder: net(Factory(trained(X, y))),
    "class attribute": lambda X, y, folder: _attribute(X, y),
    "global variable": lambda X, y, folder: _global(X, y),
    "state_dict": lambda X, y, folder: net(Loading, module__state=trained(X, y).state_dict()),
    "tensors": lambda X, y, folder: net(
        Loading, module__tensors=[p.detach() for p in trained(X, y).parameters()]
    ),
    "parameters": lambda X, y, folder: net(
        Loading, module__tensors=list(trained(X, y).parameters())
    ),
    "file": lambda X, y, folder: net(Loading, module__path=_file(X, y, folder)),
    "initialize": lambda X, y, folder: net(
        cls=type("Warm", (Warm,), {"path": _file(X, y, folder)})
    ),
    "default callback": lambda X, y, folder: net(
        cls=type("Accustomed", (Accustomed,), {"path": _file(X, y, folder)})
    ),
    "data set": lambda X, y, folder: net(
        Head, dataset=functools.partial(Encoded, encoder=trained(X, y))
    ),
    "nonlinearity": lambda X, y, folder: net(
        Identity, predict_nonlinearity=functools.partial(_ask, tree(X, y))
    ),
    "LoadInitState": lambda X, y, folder: net(callbacks=[LoadInitState(_checkpoint(X, y, folder))]),
    "checkpoint elsewhere": lambda X, y, folder: net(callbacks=[_elsewhere(X, y, folder)]),
    "callback with a file": lambda X, y, folder: net(
        callbacks=[("load", LoadsFile(_file(X, y, folder)))]
    ),
    "callback with a module": lambda X, y, folder: net(callbacks=[Puts(trained(X, y))]),
}
