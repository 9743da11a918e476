"""Peak memory of `unlearn` beyond `fit`, against the data set and against the net."""

import argparse
import resource
import subprocess
import sys
import warnings

import numpy as np
from _goals import goal


def peak_mb():
    """Highest resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(method, rows, hidden):
    """Fit and unlearn in a fresh process and print the peaks."""
    import torch
    from skorch import NeuralNetClassifier
    from torch import nn

    from skunlearn.utils import all_unlearners

    class Net(nn.Sequential):
        def __init__(self):
            super().__init__(
                nn.Unflatten(1, (3, 16, 16)), nn.Conv2d(3, 3, 3, padding=1), nn.Flatten(),
                nn.Linear(768, hidden), nn.ReLU(), nn.Linear(hidden, 10),
            )  # fmt: skip

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    X = rng.random((rows, 768), dtype=np.float32)
    y = rng.integers(0, 10, rows)
    net = NeuralNetClassifier(
        Net, criterion=nn.CrossEntropyLoss, lr=0.01, max_epochs=1, batch_size=100,
        optimizer__momentum=0.9, iterator_train__shuffle=True, train_split=None,
    )  # fmt: skip
    unlearner = all_unlearners()[method](net, random_state=0)
    with_data = peak_mb()
    unlearner.fit(X, y)
    fitted = peak_mb()
    forget = y == 1 if unlearner._promises.class_only else np.arange(rows) < rows // 10
    unlearner.unlearn(indices=np.flatnonzero(forget))
    model = getattr(unlearner.estimator_, "members", [unlearner.estimator_])[0]
    size = sum(p.nbytes for p in model.module_.parameters())
    print(X.nbytes / 2**20, size / 2**20, with_data, fitted, peak_mb())


def measure(*args):
    command = [sys.executable, __file__, "--child", *map(str, args)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return map(float, out.split())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=3)
    options = parser.parse_args()
    if options.child:
        method, rows, hidden = options.child
        child(method, int(rows), int(hidden))
        return
    print("ProximalUnlearner, MB of peak memory")
    print(f"{'data':>9} {'fit adds':>9} {'unlearn adds':>13}")
    for rows in (12_500, 50_000, 200_000):
        data, _, before, fitted, unlearned = measure("ProximalUnlearner", rows, 64)
        print(f"{data:9.1f} {fitted - before:9.1f} {unlearned - fitted:13.1f}")
    # Nothing of the data is copied: what is left is digests and a batch.
    goal("memory that unlearn adds / data set", (unlearned - fitted) / data, at_most=0.05)
    from skunlearn.utils import all_unlearners

    print("\nEvery method, in sizes of its net (1,000 rows of 768, batch 100)")
    print(f"{'':<28} {'fit adds':>9} {'unlearn adds':>13}")
    for method in all_unlearners(nets=True):
        _, net, before, fitted, unlearned = measure(method, 1_000, 20_000)
        print(f"{method:<28} {(fitted - before) / net:9.2f} {(unlearned - fitted) / net:13.2f}")
        goal(f"memory that unlearn adds / net, {method}", (unlearned - fitted) / net, at_most=2.0)


if __name__ == "__main__":
    main()
