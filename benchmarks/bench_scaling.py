"""How does the cost of a request grow with rows, parameters, requests and workers?

CPU seconds of ``unlearn`` (wall seconds where workers are compared) over two orders of magnitude or
more, and the exponent b of the fit seconds ~ size ** b over the upper half of the sizes.
"""

import argparse
import tempfile
import time
import warnings

import numpy as np
import torch
from _timing import machine
from sklearn.linear_model import Ridge, RidgeClassifier
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import (
    AutoUnlearner,
    FineTuneUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
)
from skunlearn.nets import DigitsNet
from skunlearn.production import DeletionQueue, DeletionWorker


class MLP(nn.Sequential):
    def __init__(self, hidden=128):
        super().__init__(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def recipe(hidden=128, epochs=1):
    return NeuralNetClassifier(
        MLP, module__hidden=hidden, criterion=nn.CrossEntropyLoss, lr=0.01, max_epochs=epochs,
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
    if len(sizes) < 2:
        return float("nan")
    upper = slice(min(len(sizes) // 2, len(sizes) - 2), None)
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


def by_requests(counts, unlearners, how):
    X, y = rows(2000)
    columns = {}
    for name, unlearner in unlearners.items():
        unlearner.fit(X, y)
        total, columns[name], done = 0.0, [], 0
        for count in counts:
            for i in range(done, count):
                total += spent(lambda i=i, u=unlearner: u.unlearn(indices=[i]))
            columns[name].append(total)
            done = count
    table(f"requests of one row each: 2,000 rows, {how}, all together", counts, columns)


def automatic(rows_of, widths, counts):
    """What `AutoUnlearner` costs beside a retraining, by rows, by parameters, by requests."""

    def compare(hidden, X, y):
        net = recipe(hidden, epochs=20)
        fitted, asked = request(AutoUnlearner(net, random_state=0), X, y)
        return fitted, asked, request(RetrainUnlearner(net, random_state=0), X, y)[1]

    names = "fit", "Auto", "Retrain"
    measured = zip(*(compare(128, *rows(n)) for n in rows_of))
    table("AutoUnlearner by rows: MLP of 9,610 parameters, 20 epochs, one row in 100 forgotten",
          rows_of, dict(zip(names, measured)))  # fmt: skip
    measured = zip(*(compare(width, *rows(2000)) for width in widths))
    table("AutoUnlearner by parameters: 2,000 rows, 20 epochs",
          [75 * width + 10 for width in widths], dict(zip(names, measured)))  # fmt: skip
    by_requests(counts, {"Auto": AutoUnlearner(recipe(epochs=20), random_state=0)}, "20 epochs")


def by_queue(rows_of, counts):
    """What a `DeletionQueue` and its worker cost, by requests of one row each, and by rows."""

    def serve(n, count):
        X, y = rows(n + 200)
        unlearner = RidgeUnlearner(RidgeClassifier(), random_state=0)
        asked = [{"request_id": str(i), "ids": [i]} for i in range(count)]
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            queue = DeletionQueue(one, batch_size=max(counts))
            singly = spent(lambda: [queue.submit(**request) for request in asked])
            queue = DeletionQueue(other, batch_size=max(counts))
            together = spent(lambda: queue.submit_many(asked))
            worker = DeletionWorker(queue, unlearner, X[n:], y[n:])
            started = spent(lambda: worker.start(X[:n], y[:n], ids=range(n)))
            applied = spent(lambda: worker.run_once(flush=True))
            if {queue.status(request["request_id"])["state"] for request in asked} != {"applied"}:
                raise RuntimeError("the queue did not apply every request")
        return singly, together, started, applied

    names = "submit", "submit_many", "start", "one batch"
    table("queue by requests of one row each: Ridge on 5,000 rows, CPU seconds",
          counts, dict(zip(names, zip(*(serve(5000, count) for count in counts)))))  # fmt: skip
    table("queue by rows: Ridge, a batch of 100 requests", rows_of,
          dict(zip(names, zip(*(serve(n, 100) for n in rows_of)))))  # fmt: skip


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
    parser.add_argument("--auto-requests", type=int, nargs="+", default=[1, 3, 10, 30])
    parser.add_argument("--queue", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    request(FineTuneUnlearner(recipe(), random_state=0), *rows(500))  # the first call is slower
    print(machine())
    by_rows(options.rows)
    by_parameters(options.widths)
    unlearners = {
        "Ridge": RidgeUnlearner(Ridge(), random_state=0),
        "FineTune": FineTuneUnlearner(recipe(), random_state=0),
    }
    by_requests(options.requests, unlearners, "one epoch")
    automatic(options.rows, options.widths, options.auto_requests)
    by_queue(options.rows, options.queue)
    by_workers(options.workers, 10_000)


if __name__ == "__main__":
    main()
