"""Gradients of single rows, against batches' gradients and against rows taken one by one.

Squared gradients are what SSD and the Fisher information are made of; a whole SSD request and the
row gradients of influence functions stand beside them.
"""

import contextlib
import warnings

import numpy as np
import torch
from _goals import goal, paired
from _timing import medians, report, timed_rounds
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import SSDUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch import inference
from skunlearn._torch.batches.net_rows import make_reader
from skunlearn._torch.gradients import row_gradients
from skunlearn._torch.gradients.fisher import gradient_sizes
from skunlearn.influence._objective import Objective
from skunlearn.nets import Autocast

CLASSES = np.arange(10)
BATCH, ROWS = 64, 1000


class MLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


class CNN(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 49, 10),
        )  # fmt: skip


class NormalisedCNN(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 49, 10),
        )  # fmt: skip


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(100, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(32, 10)

    def forward(self, x):
        return self.out(self.encoder(self.embed(x)).mean(dim=1))


def narrow_cnn():
    """bfloat16, channels last."""
    return Autocast(CNN, channels_last=True)


# Goals in passes: what vmap(grad), or the hooks of linear layers, took by hand; for a request, how
# many times faster it became with them.
NETS = {
    "MLP": (MLP, (64,), 2.0, 14.6),
    "Transformer": (Transformer, (16,), 3.0, 5.2),
    "CNN": (CNN, (1, 28, 28), 1.5, 1.6),
    "CNN, batch normalisation": (NormalisedCNN, (1, 28, 28), None, None),
    "CNN, bfloat16, channels last": (narrow_cnn, (1, 28, 28), None, None),
}


@contextlib.contextmanager
def one_by_one():
    """Rows taken as they were before."""
    few, row_gradients._FEW_ROWS = row_gradients._FEW_ROWS, 10**9
    try:
        yield
    finally:
        row_gradients._FEW_ROWS = few


def apart(work):
    def run():
        with one_by_one():
            work()

    return run


def task(module, shape):
    """A net trained for an epoch, with rows that have something of a pattern."""
    rng = np.random.default_rng(0)
    y = np.arange(2 * ROWS) % 10
    if module is Transformer:
        X = rng.integers(0, 100, (len(y), *shape))
        X[:, 0] = y
    else:
        X = rng.normal(size=(len(y), *shape)).astype(np.float32)
        X[np.arange(len(y)), ..., y] += 2.0
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, lr=0.05, max_epochs=1, batch_size=BATCH,
        train_split=None, verbose=0,
    )  # fmt: skip
    return net, X, y


def measure(name, module, shape, most, least):
    torch.manual_seed(0)
    net, X, y = task(module, shape)
    unlearner = SSDUnlearner(net, random_state=0).fit(X, y)
    fitted = unlearner.estimator_
    rows = Rows(X, y, np.arange(ROWS))
    params = list(fitted.module_.parameters())

    def log_p(net, batch):
        return inference.log_likelihoods(net, batch, CLASSES).sum()

    def passes():
        data = make_reader(fitted, rows)
        with inference.evaluating(fitted):
            for i in range(0, ROWS, BATCH):
                batch = data.batch(np.arange(i, min(i + BATCH, ROWS)))
                torch.autograd.grad(log_p(fitted, batch), params)

    def squares():
        return gradient_sizes(fitted, rows, params, log_p)

    def request():
        unlearner._successor(np.flatnonzero(y == 3))

    few = rows.take(np.arange(200))
    objective = Objective(fitted, ROWS, batch_size=256, seed=0)
    contenders = {
        "forward and backward passes": passes,
        "squared gradients": squares,
        "squared gradients, one by one": apart(squares),
        "SSD request": request,
        "SSD request, one by one": apart(request),
        "200 row gradients": lambda: objective.row_gradients(few),
        "200 row gradients, one by one": lambda: [
            objective.gradient(few.take([i]), penalised=False) for i in range(len(few))
        ],
    }
    squares()  # the choice of a way, once a process
    found = squares()
    with one_by_one():
        expected = squares()
    apart_by = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected))
    times = timed_rounds(contenders, 5)
    report(
        f"{name}, {ROWS} rows; squares differ by {apart_by:.1g}", medians(times), next(iter(times))
    )
    one_pass, fast, slow, quick, long, taken, singly = times.values()
    ratio = paired(fast, one_pass)
    print(f"  squared gradients in passes: {ratio:.2f}, one by one {paired(slow, one_pass):.2f}")
    print(
        f"  request {paired(long, quick):.2f} ×, row gradients {paired(singly, taken):.2f} × faster"
    )
    if most is not None:
        goal(f"squared gradients by row / passes at batch {BATCH}, {name}", ratio, at_most=most)
        goal(f"SSD request one by one / now, {name}", paired(long, quick), at_least=least)


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name, settings in NETS.items():
        measure(name, *settings)


if __name__ == "__main__":
    main()
