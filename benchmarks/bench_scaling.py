"""How does the cost of a request grow with rows, parameters, requests and workers?

CPU seconds of ``unlearn`` (wall seconds where workers are compared) over two orders of magnitude or
more, and the exponent b of the fit seconds ~ size ** b over the upper half of the sizes.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from _timing import machine
from sklearn.linear_model import Ridge
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner, RetrainUnlearner, RidgeUnlearner, ShardedUnlearner
from skunlearn.nets import DigitsNet


class MLP(nn.Sequential):
    def __init__(self, hidden=128):
        super().__init__(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def recipe(hidden=128):
    return NeuralNetClassifier(
        MLP, module__hidden=hidden, criterion=nn.CrossEntropyLoss, lr=0.01, max_epochs=1,
        batch_size=128, iterator_train__shuffle=True, train_split=None, verbose=0,
    )  # fmt: skip


def rows(n):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 64)).astype(np.float32)
    return X, rng.integers(0, 10, n)


def spent(act, clock=time.process_time):
    began = clock()
    act()
    return clock() - began


def request(unlearner, X, y, share=100):
    """Seconds of ``fit``, and of forgetting one row in a hundred."""
    fitted = spent(lambda: unlearner.fit(X, y))
    return fitted, spent(lambda: unlearner.unlearn(indices=np.arange(0, len(y), share)))


def exponent(sizes, seconds):
    upper = slice(len(sizes) // 2, None)
    return np.polyfit(np.log(sizes[upper]), np.log(seconds[upper]), 1)[0]


def table(title, sizes, columns):
    print(f"\n{title}")
    print(" " * 12 + "".join(f"{name:>16}" for name in columns))
    for i, size in enumerate(sizes):
        print(f"{size:>12,}" + "".join(f"{column[i]:16.4f}" for column in columns.values()))
    exponents = (exponent(np.array(sizes), np.array(c)) for c in columns.values())
    print(f"{'exponent':>12}" + "".join(f"{b:16.2f}" for b in exponents), flush=True)


def by_rows(sizes):
    columns = {"fit": [], "FineTune": [], "Retrain": [], "Ridge": [], "Sharded, 1 row": []}
    for n in sizes:
        X, y = rows(n)
        fitted, tuned = request(FineTuneUnlearner(recipe(), random_state=0), X, y)
        columns["fit"].append(fitted)
        columns["FineTune"].append(tuned)
        columns["Retrain"].append(request(RetrainUnlearner(recipe(), random_state=0), X, y)[1])
        columns["Ridge"].append(request(RidgeUnlearner(Ridge(), random_state=0), X, y)[1])
        sharded = ShardedUnlearner(recipe(), n_shards=10, random_state=0)
        columns["Sharded, 1 row"].append(request(sharded, X, y, len(y))[1])
    table("rows: 64 features, MLP of 9,610 parameters, one epoch, one row in 100 forgotten",
          sizes, columns)  # fmt: skip


def by_parameters(widths):
    X, y = rows(2000)
    sizes = [75 * width + 10 for width in widths]
    columns = {"fit": [], "FineTune": []}
    for width in widths:
        fitted, tuned = request(FineTuneUnlearner(recipe(width), random_state=0), X, y)
        columns["fit"].append(fitted)
        columns["FineTune"].append(tuned)
    table("parameters: 2,000 rows, one epoch", sizes, columns)


def by_requests(counts):
    X, y = rows(2000)
    columns = {}
    for name, unlearner in (
        ("Ridge", RidgeUnlearner(Ridge(), random_state=0)),
        ("FineTune", FineTuneUnlearner(recipe(), random_state=0)),
    ):
        unlearner.fit(X, y)
        total, columns[name], done = 0.0, [], 0
        for count in counts:
            for i in range(done, count):
                total += spent(lambda i=i, u=unlearner: u.unlearn(indices=[i]))
            columns[name].append(total)
            done = count
    table("requests of one row each: 2,000 rows, all requests together", counts, columns)


def by_workers(counts, n):
    X, y = rows(n)
    X = X.reshape(n, 1, 8, 8)
    # A worker imports the class of the module: it cannot be one of this script.
    net = NeuralNetClassifier(
        DigitsNet, criterion=nn.CrossEntropyLoss, lr=0.01, max_epochs=20, batch_size=128,
        iterator_train__shuffle=True, train_split=None, verbose=0,
    )  # fmt: skip
    seconds = []
    for count in counts:
        sharded = ShardedUnlearner(net, n_shards=8, n_jobs=count, random_state=0)
        sharded.fit(X[:500], y[:500])  # the workers are there
        seconds.append(spent(lambda s=sharded: s.fit(X, y), time.perf_counter))
    print(f"\nworkers (loky): 8 shards of {n:,} rows in all, DigitsNet, 20 epochs, wall seconds")
    for count, took in zip(counts, seconds):
        print(f"{count:>12} {took:8.2f} s {seconds[0] / took:6.2f} × faster")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 5000, 20_000, 100_000])
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 64, 256, 1024, 4096])
    parser.add_argument("--requests", type=int, nargs="+", default=[1, 3, 10, 30, 100])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    request(FineTuneUnlearner(recipe(), random_state=0), *rows(500))  # the first call is slower
    print(machine())
    by_rows(options.rows)
    by_parameters(options.widths)
    by_requests(options.requests)
    by_workers(options.workers, 10_000)


if __name__ == "__main__":
    main()
