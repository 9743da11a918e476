"""Peak memory of `unlearn` beyond `fit`, against the size of the data set."""

import argparse
import resource
import subprocess
import sys

import numpy as np


def peak_mb():
    """Highest resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(rows, width):
    """Fit and unlearn in a fresh process and print the peaks."""
    import torch
    from skorch import NeuralNetClassifier
    from torch import nn

    from skunlearn import ProximalUnlearner

    class Net(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 10))

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    X = rng.random((rows, width), dtype=np.float32)
    y = rng.integers(0, 10, rows)
    net = NeuralNetClassifier(
        Net, criterion=nn.CrossEntropyLoss, lr=0.1, max_epochs=1, batch_size=500,
        iterator_train__shuffle=True, train_split=None,
    )  # fmt: skip
    with_data = peak_mb()
    unlearner = ProximalUnlearner(net, max_epochs=1, random_state=0).fit(X, y)
    fitted = peak_mb()
    unlearner.unlearn(indices=np.arange(rows // 10))
    print(X.nbytes / 2**20, with_data, fitted, peak_mb())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", type=int, nargs=2)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    print(f"{'data':>9} {'fit adds':>9} {'unlearn adds':>13}   (MB of peak memory)")
    for rows in (12_500, 50_000, 200_000):
        command = [sys.executable, __file__, "--child", str(rows), "768"]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        data, before, fitted, unlearned = map(float, out.split())
        print(f"{data:9.1f} {fitted - before:9.1f} {unlearned - fitted:13.1f}")


if __name__ == "__main__":
    main()
