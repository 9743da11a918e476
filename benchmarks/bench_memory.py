"""Peak memory of `unlearn` beyond `fit`, against the data set and against the net.

    python benchmarks/bench_memory.py [--heap] [Method ...]

glibc gives freed tensors back at once where they are large, and learns from them what is large, up
to 32 MB: smaller ones then stay in its heap, in holes that the next need not fit. So the figures of
a net's size depend on the order of its allocations more than on what is held. Here all that is
larger than 64 kB is given back at once, as tensors above 32 MB always are; ``--heap`` leaves it as
it is.
"""

import multiprocessing
import os
import resource
import sys
import warnings

import numpy as np
import torch
from _goals import goal
from sklearn.base import clone
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn.utils import all_unlearners

# A copy of a tenth of the data, the rows to forget, is twice the goal; what does not grow with the
# data (a batch, 4 MB of rows that are hashed) is less than half of it.
SIZES = (20_000, 80_000)


class Net(nn.Sequential):
    def __init__(self, hidden):
        super().__init__(
            nn.Unflatten(1, (3, 16, 16)), nn.Conv2d(3, 3, 3, padding=1), nn.Flatten(),
            nn.Linear(768, hidden), nn.ReLU(), nn.Linear(hidden, 10),
        )  # fmt: skip


def peak_mb():
    """Highest resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fit_and_unlearn(method, rows, hidden):
    """MB of the data and of the net, and the peaks before fit, after it, and after unlearn."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    X = rng.random((rows, 768), dtype=np.float32)
    y = rng.integers(0, 10, rows)
    net = NeuralNetClassifier(
        Net, module__hidden=hidden, criterion=nn.CrossEntropyLoss, lr=0.01, max_epochs=1,
        batch_size=100, optimizer__momentum=0.9, iterator_train__shuffle=True, train_split=None,
        verbose=0,
    )  # fmt: skip
    unlearner = all_unlearners()[method](net, random_state=0)
    forget = y == 1 if unlearner._promises.class_only else np.arange(rows) < rows // 10
    few = slice(min(rows, 300))
    small = clone(unlearner).set_params(estimator__module__hidden=16)  # imports what it needs
    small.fit(X[few], y[few]).unlearn(indices=np.flatnonzero(forget[few])[:30])
    del small
    with_data = peak_mb()
    unlearner.fit(X, y)
    fitted = peak_mb()
    unlearner.unlearn(indices=np.flatnonzero(forget))
    model = getattr(unlearner.estimator_, "members", [unlearner.estimator_])[0]
    size = sum(p.nbytes for p in model.module_.parameters())
    return X.nbytes / 2**20, size / 2**20, with_data, fitted, peak_mb()


def measure(*args):
    """`fit_and_unlearn` in a process of its own, as peaks never fall; it has imported all."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=lambda: theirs.send(fit_and_unlearn(*args)))
    child.start()
    theirs.close()
    found = ours.recv()
    child.join()
    return found


def main(names):
    if names:
        measure_nets(names)
        return
    print("ProximalUnlearner, MB of peak memory")
    print(f"{'data':>9} {'fit adds':>9} {'unlearn adds':>13}")
    for rows in SIZES:
        data, _, before, fitted, unlearned = measure("ProximalUnlearner", rows, 64)
        print(f"{data:9.1f} {fitted - before:9.1f} {unlearned - fitted:13.1f}")
    # Nothing of the data is copied: what is left is digests and a batch.
    goal("memory that unlearn adds / data set", (unlearned - fitted) / data, at_most=0.05)
    measure_nets(all_unlearners(nets=True))


def measure_nets(names):
    print("\nEvery method, in sizes of its net (300 rows of 768, batch 100)")
    print(f"{'':<28} {'fit adds':>9} {'unlearn adds':>13}")
    for method in names:
        _, net, before, fitted, unlearned = measure(method, 300, 8_000)
        print(f"{method:<28} {(fitted - before) / net:9.2f} {(unlearned - fitted) / net:13.2f}")
        goal(f"memory that unlearn adds / net, {method}", (unlearned - fitted) / net, at_most=2.0)


if __name__ == "__main__":
    given = sys.argv[1:]
    if "--heap" not in given and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        known = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
        os.execve(sys.executable, [sys.executable, *sys.argv], known)
    main([name for name in given if name != "--heap"])
