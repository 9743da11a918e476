"""Small nets of many kinds, learnt well or hardly, and requests that forgot, or did not."""

import os
import warnings

import numpy as np
import torch
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_blobs,
    make_classification,
    make_friedman1,
    make_moons,
    make_multilabel_classification,
)
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn

from skunlearn import FineTuneUnlearner, NetUnlearner, RandomLabelUnlearner, SalUnUnlearner
from skunlearn._recipe import training
from skunlearn._torch.observation import observe
from skunlearn._torch.skorch_nets import copy_net
from skunlearn.datasets import load_faces
from skunlearn.exceptions import ModelDamagedWarning, NotForgottenWarning, UnlearningError

KINDS = [*3 * ["digits"], *3 * ["table"], "blobs", "moons", "real", "regression"]
# Asked for by name: few rows of a class, one to five rows to forget, several labels a row, one
# logit, and trainings that end when a part that is held out tells them to.
OTHER_KINDS = ["faces", "few", "handful", "labels", "binary", "stopped"]
_TRAINED = {
    "labels": NeuralNet,
    "binary": NeuralNetBinaryClassifier,
    "regression": NeuralNetRegressor,
}


class VariedMLP(nn.Sequential):
    def __init__(self, n_in=64, n_out=10, width=64, depth=1, norm=False, dropout=0.0):
        layers = []
        for _ in range(depth):
            layers += [nn.Linear(n_in, width), *norm * [nn.BatchNorm1d(width)], nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
            n_in = width
        super().__init__(*layers, nn.Linear(n_in, n_out))


class VariedCNN(nn.Sequential):
    def __init__(self, n_out=10, width=8, norm=False):
        super().__init__(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, width, 3, padding=1), *norm * [nn.BatchNorm2d(width)], nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            *norm * [nn.BatchNorm2d(2 * width)], nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * width, n_out),
        )  # fmt: skip


class Given(NetUnlearner):
    """Comes back with a net that was made elsewhere."""

    given = None

    def _unlearn(self, net, retain, forget):
        return copy_net(self.given)


def scaled(X):
    return ((X - X.mean(0)) / (X.std(0) + 1e-6)).astype(np.float32)


def draw_rows(kind, rng):
    seed = int(rng.integers(1e6))
    if kind == "digits":
        X, y = load_digits(return_X_y=True)
        X = (X / 16).astype(np.float32)
    elif kind == "faces":
        X, y = load_faces(os.environ["SKUNLEARN_DATA"], size=(28, 23), return_X_y=True)
        X = (X.astype(np.float32) - 127.5).reshape(400, -1) / 63.75
        # As many of each person among the first rows, which are those of the training.
        order = np.concatenate([rng.permutation(np.flatnonzero(y == k)) for k in range(40)])
        order = order.reshape(40, 10).T.ravel()
        return X[order], y[order]
    elif kind == "few":
        X, y = make_classification(
            600, 20, n_informative=15, n_redundant=0, n_classes=20, n_clusters_per_class=1,
            class_sep=float(rng.choice([1.0, 2.0])), flip_y=0, random_state=seed,
        )  # fmt: skip
    elif kind == "labels":
        X, y = make_multilabel_classification(
            2000, 20, n_classes=int(rng.choice([4, 8])), n_labels=2, random_state=seed
        )
        y = y.astype(np.float32)
    elif kind in ("table", "binary"):
        n_classes, width = int(rng.choice([2, 3, 5, 8])), int(rng.choice([10, 20, 40]))
        n_classes = 2 if kind == "binary" else n_classes
        X, y = make_classification(
            2000, width, n_informative=int(rng.integers(5, min(width, 15))), n_redundant=0,
            n_classes=n_classes, n_clusters_per_class=int(rng.choice([1, 2])),
            class_sep=float(rng.choice([0.5, 1.0, 2.0])), flip_y=0, random_state=seed,
        )  # fmt: skip
    elif kind == "blobs":
        spread = float(rng.choice([1.0, 2.5, 4.0]))
        X, y = make_blobs(
            2000, 8, centers=int(rng.choice([3, 6])), cluster_std=spread, random_state=seed
        )
    elif kind == "moons":
        X, y = make_moons(1500, noise=float(rng.choice([0.1, 0.3, 0.5])), random_state=seed)
    elif kind == "real":
        X, y = rng.choice([load_iris, load_wine, load_breast_cancer])(return_X_y=True)
    elif rng.random() < 0.5:
        X, y = load_diabetes(return_X_y=True)
    else:
        X, y = make_friedman1(1200, 10, noise=float(rng.choice([0.5, 3])), random_state=seed)
    if kind == "regression":
        y = ((y - y.mean()) / y.std()).astype(np.float32)[:, None]
    order = rng.permutation(len(y))
    return (X if kind == "digits" else scaled(X))[order], y[order]


def draw_net(kind, n_in, n_out, n, by_heart, rng):
    params, norm = {"optimizer__momentum": 0.9}, bool(rng.random() < 0.3)
    if kind == "digits" and rng.random() < 0.4:
        module, widths = VariedCNN, ([8, 16] if by_heart else [4, 8, 16])
    else:
        module, widths = VariedMLP, ([128, 256] if by_heart else [16, 64, 256, 512])
        params |= {"module__n_in": n_in, "module__depth": int(rng.choice([1, 1, 2]))}
        params["module__dropout"] = 0.0 if by_heart else float(rng.choice([0, 0, 0.3]))
    lr = float(rng.choice([0.05, 0.1] if by_heart else [0.01, 0.03, 0.1]))
    if rng.random() < 0.3:
        lr, params["optimizer"] = float(rng.choice([1e-3, 3e-3])), torch.optim.Adam
        params.pop("optimizer__momentum")
    elif kind == "regression":
        lr /= 3
    epochs = [40, 60] if by_heart else [1, 2, 3, 5, 10, 20, 40, 60]
    cls = _TRAINED.get(kind, NeuralNetClassifier)
    if cls is not NeuralNetRegressor:
        by_label = kind in ("labels", "binary")
        params["criterion"] = nn.BCEWithLogitsLoss if by_label else nn.CrossEntropyLoss
    decay = 0.0 if by_heart else float(rng.choice([0, 0, 5e-4, 3e-3]))
    return cls(
        module, lr=lr, max_epochs=int(rng.choice(epochs)), optimizer__weight_decay=decay,
        batch_size=int(rng.choice([16, 32, 64, 128] if n > 200 else [16, 32])),
        module__n_out=n_out, module__width=int(rng.choice(widths)), module__norm=norm,
        iterator_train__shuffle=True, train_split=None, verbose=0, **params,
    )  # fmt: skip


class Case:
    """A fitted net, and which rows it is to forget, by kind of request.

    Parameters
    ----------
    seed : int
    by_heart : bool, default=False
        Whether some labels are wrong, and the net learns them by heart.
    kind : one of `KINDS` and `OTHER_KINDS`, or None for that of the seed
    """

    def __init__(self, seed, by_heart=False, kind=None):
        rng, asked = np.random.default_rng(seed), kind
        if kind in (None, "handful", "stopped"):
            kind = KINDS[seed % len(KINDS)]
            if by_heart and kind in ("blobs", "moons", "real"):
                kind = "digits" if seed % 2 else "table"
        X, y = draw_rows(kind, rng)
        noise = float(rng.choice([0.1, 0.2, 0.4] if by_heart else [0, 0, 0.1, 0.2, 0.4]))
        n_out = 1 if kind == "regression" else int(y.max()) + 1
        if kind == "labels":
            n_out, y = y.shape[1], np.where(rng.random(y.shape) < noise, 1 - y, y)
        elif n_out > 1:
            wrong = rng.random(len(y)) < noise
            y = np.where(wrong, (y + rng.integers(1, n_out, len(y))) % n_out, y)
        n = int(min(0.6 * len(y), rng.choice([120, 250, 500])))
        n = {"faces": 240, "few": 120}.get(kind, n)
        one_class = n_out > 1 and kind != "labels"
        self.net = draw_net(kind, X.shape[1], 1 if kind == "binary" else n_out, n, by_heart, rng)
        if asked == "stopped":
            patience = int(rng.choice([2, 5, 10]))
            split = ValidSplit(5, stratified=one_class)
            self.net.set_params(train_split=split, callbacks=[EarlyStopping(patience=patience)])
        self.seed, self.n, self.rows = seed, n, (X[:n], y[:n])
        self.unseen = {"X_val": X[n : n + 1000], "y_val": y[n : n + 1000]}
        sizes = [n // 20, n // 10, n // 5]
        size = int(rng.choice(sizes if by_heart else [1, 5, max(5, n // 50), *sizes]))
        if asked == "handful":
            size = int(rng.integers(1, 6))
        self.requests = {"rows": rng.choice(n, size, replace=False)}
        if one_class and not by_heart:
            inside = np.flatnonzero(y[:n] == rng.choice(y[:n]))
            if n_out > 2 and len(inside) < n / 2:
                self.requests["class"] = inside
            if seed % 3 == 0 and len(inside) >= 8:
                self.requests["of one class"] = rng.choice(inside, len(inside) // 3, replace=False)
        self.fitted = Given(self.net, random_state=seed).fit(*self.rows)
        own = self.fitted.get_params(deep=False)
        self.state = {k: v for k, v in vars(self.fitted).items() if k not in own}

    def has_learnt(self):
        """Whether there is something to be remembered: losses are below a fifth of chance."""
        record, net = self.fitted._record, self.fitted.estimator_
        said = observe(net, record.view(np.arange(self.n)), self.fitted._classes)
        return said.losses().mean() < 0.2 * said.task.chance(said.y)

    def train_anew(self, forget):
        """A net that has never seen these rows."""
        record = self.fitted._record
        kept = record.view(np.setdiff1d(np.arange(self.n), forget))
        return training.train(self.net, kept, self.fitted._classes, self.seed + 1)

    def hardly_change(self, forget):
        """Nets that know them as before, or nearly, by name."""
        found = {"unchanged": self.fitted.estimator_}
        makers = {"fine-tuned": (FineTuneUnlearner, 0.01)}
        if isinstance(self.net, NeuralNetClassifier | NeuralNetBinaryClassifier):
            makers |= {"labels": (RandomLabelUnlearner, 0.01), "SalUn": (SalUnUnlearner, 0.02)}
        for name, (cls, share) in makers.items():
            one = cls(self.net, lr=share * self.net.lr, max_epochs=2, random_state=self.seed)
            vars(one).update(self.state)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = one.unlearn(indices=forget).estimator_
        return found

    def hear(self, given, forget, unseen):
        """What is said of forgetting, and of damage, where `given` is the net afterwards."""
        one = Given(self.net, random_state=0)
        vars(one).update(self.state, given=given)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            one.unlearn(indices=forget, **(self.unseen if unseen else {}))
        kinds = NotForgottenWarning, ModelDamagedWarning
        return [str(w.message) for w in caught if issubclass(w.category, kinds)]


def make_cases(seeds, **how):
    """Those whose training does not diverge."""
    for seed in seeds:
        try:
            case = Case(seed, **how)
        except UnlearningError:
            continue
        yield case


def count_accused(seeds, kind=None):
    """Requests to nets trained anew of which something was said, without unseen rows and with."""
    said, n = np.zeros(2, dtype=int), 0
    for case in make_cases(seeds, kind=kind):
        for forget in case.requests.values():
            anew, n = case.train_anew(forget), n + 1
            said += [bool(case.hear(anew, forget, unseen)) for unseen in (False, True)]
    return said, n


def count_silent(seeds, kind=None, learnt=False):
    """The same of nets that know the rows as before, of which nothing was said.

    `learnt` leaves out those that had hardly learnt their rows.
    """
    silent, n = np.zeros(2, dtype=int), 0
    for case in make_cases(seeds, by_heart=True, kind=kind):
        forget = case.requests["rows"]
        for given in case.hardly_change(forget).values() if case.has_learnt() or not learnt else ():
            n += 1
            silent += [not case.hear(given, forget, unseen) for unseen in (False, True)]
    return silent, n
