"""What do deletions from a sharded model save, against the paper's formula, and at what price?"""

import argparse
import time

import numpy as np
import torch
from _goals import goal
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import train_test_split

from skunlearn import RetrainUnlearner, ShardedUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.exact import expected_retraining_share
from skunlearn.nets import digits_classifier

SETTINGS = [(1, 1), (1, 5), (5, 1), (5, 5), (10, 1), (10, 5), (20, 1)]
BATCHES = (1, 10, 100)


def timed(act):
    began = time.perf_counter()
    result = act()
    return result, time.perf_counter() - began


def one_of_a_million():
    """What a request costs beside the training, in units of the set difference it once took."""
    n = 1_000_000
    X, y = np.zeros((n, 1), np.float32), np.arange(n) % 2
    sharded = ShardedUnlearner(DummyClassifier(), n_shards=10, random_state=0).fit(X, y)
    kept, ratios = np.arange(n) != 7, []
    for i in range(4):
        _, difference = timed(lambda: np.setdiff1d(np.arange(n), np.flatnonzero(kept)))
        _, asked = timed(lambda i=i: sharded.unlearn(indices=[i]))
        ratios.append(asked / difference)
    return float(np.median(ratios[1:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=10, help="batches of each size")
    options = parser.parse_args()
    torch.set_num_threads(1)
    X, y = load_digits_images(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, random_state=0, stratify=y)
    net = digits_classifier(max_epochs=options.epochs)
    RetrainUnlearner(net, random_state=0).fit(X[:100], y[:100])  # the first call is slower
    whole, base = timed(lambda: RetrainUnlearner(net, random_state=0).fit(X, y))
    print(f"{len(y)} rows, {options.epochs} epochs; one thread. Whole: {base:.2f} s, accuracy "
          f"{100 * whole.score(X_test, y_test):.1f} %")  # fmt: skip
    print("A request's mean cost, as a share of the sharded training.")
    print(f"{'S':>3} {'R':>2} {'accuracy':>8} {'fit':>6}", end="")
    print("".join(f" | {f'{n} rows: time':>14} {'row-epochs':>10} {'formula':>7}" for n in BATCHES))
    rng = np.random.default_rng(0)
    for n_shards, n_slices in SETTINGS:
        sharded = ShardedUnlearner(net, n_shards=n_shards, n_slices=n_slices, random_state=0)
        _, fitted = timed(lambda sharded=sharded: sharded.fit(X, y))
        line = f"{n_shards:3} {n_slices:2} {100 * sharded.score(X_test, y_test):8.1f} "
        line += f"{fitted / base:5.2f}×"
        for rows in BATCHES:
            seconds, shares = [], []
            for _ in range(max(1, min(options.repeats, len(y) // (20 * rows)))):
                left = np.flatnonzero(sharded._record.retained)
                gone = rng.choice(left, rows, replace=False)
                _, spent = timed(lambda gone=gone, s=sharded: s.unlearn(indices=gone))
                seconds.append(spent)
                shares.append(sharded.deletions_[-1]["share_retrained"])
            formula = expected_retraining_share(n_shards, n_slices, rows)
            if (n_shards, n_slices, rows) == (10, 5, 1):
                asked = np.mean(seconds) / fitted / formula
            line += f" | {np.mean(seconds) / fitted:14.3f} {np.mean(shares):10.3f} {formula:7.3f}"
            sharded.fit(X, y)
        print(line, flush=True)
    goal("a request to S=10, R=5 / the paper's expected share", asked, at_most=1.2)
    goal("one row of a million / np.setdiff1d of them", one_of_a_million(), at_most=0.1)


if __name__ == "__main__":
    main()
