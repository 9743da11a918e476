"""A thousand deletions, one by one and a hundred at a time, beside retraining for each request."""

import argparse
import pickle
import warnings

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from skorch import NeuralNetClassifier
from torch import nn

import skunlearn as sk
from skunlearn.datasets import fetch_cifar10
from skunlearn.evaluation import deletion_stream
from skunlearn.utils import all_unlearners

SIDE = 4  # pixels to which images are averaged


class MLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(3 * SIDE * SIDE, 64), nn.ReLU(), nn.Linear(64, 10))


class CNN(nn.Sequential):
    """For the method that needs convolutions."""

    def __init__(self):
        super().__init__(
            nn.Unflatten(1, (3, SIDE, SIDE)), nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(16 * (SIDE - 2) ** 2, 10),
        )  # fmt: skip


def load(rows):
    """Small images as rows of length about 1, the same scaling for each."""
    data = fetch_cifar10()
    chosen = np.sort(np.random.default_rng(0).permutation(len(data.y_train))[:rows])
    sides = (data.X_train[chosen], data.X_test)
    X, X_test = (_shrink(torch.from_numpy(x.astype(np.float32) / 255 - 0.5)) for x in sides)
    return X, data.y_train[chosen], X_test, data.y_test


def _shrink(X):
    pooled = nn.functional.avg_pool2d(X, X.shape[-1] // SIDE).flatten(1)
    return (pooled / (0.25 * pooled.shape[1] ** 0.5)).numpy()


def recipe(module, **params):
    return NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, lr=0.5, optimizer__momentum=0.9, max_epochs=10,
        batch_size=100, iterator_train__shuffle=True, train_split=None, verbose=0, **params,
    )  # fmt: skip


def at_a_time(options):
    """Every method that takes trained nets, and retraining for the usual budget of one."""
    yield (
        "retrained 2/10 epochs",
        sk.RetrainUnlearner(recipe(MLP), max_epochs=2, random_state=0),
    )
    for name, cls in all_unlearners(nets=True, watches_training=False).items():
        yield name, cls(recipe(CNN if name == "CTUnlearner" else MLP), random_state=0)


def one_by_one(options):
    """Methods with a promise, and fine-tuning."""
    logistic = LogisticRegression(C=0.1, max_iter=1000)
    budget = {"epsilon": options.epsilon, "random_state": 0}
    yield "Ridge", sk.RidgeUnlearner(RidgeClassifier(), random_state=0)
    yield "CertifiedRemoval", sk.CertifiedRemovalUnlearner(logistic, **budget)
    yield "DescentToDelete", sk.DescentToDeleteUnlearner(logistic, **budget)
    yield "Langevin", sk.LangevinUnlearner(logistic, **budget)
    yield "Sharded, logistic, S=20", sk.ShardedUnlearner(logistic, n_shards=20, random_state=0)
    yield (
        "Sharded, MLP, S=10, R=5",
        sk.ShardedUnlearner(recipe(MLP), n_shards=10, n_slices=5, random_state=0),
    )
    yield "FineTune, MLP", sk.FineTuneUnlearner(recipe(MLP), random_state=0)


def follow(unlearner, requests, X_test, y_test, every):
    """Audits of the whole stream; the process "restarts" from a pickle in the middle."""
    audits, half = [], len(requests) // 2
    for part in (requests[:half], requests):
        stream = deletion_stream(unlearner, part, X_test, y_test, every=every)
        audits += list(stream)
        X, y = unlearner._record.view(np.flatnonzero(unlearner._record.retained)).arrays()
        labels = unlearner.classes_[y]
        unlearner = pickle.loads(pickle.dumps(unlearner.detach())).attach(X, labels)
    return pd.DataFrame(audits)


def line(name, frame):
    last = frame.iloc[-1]
    distance = (frame["AUC"] - frame["AUC retrained"]).abs().max()
    drop = (frame["score retrained"] - frame["score"]).max()
    # The clock of retraining starts anew after the restart.
    ends = frame["seconds retraining"].diff(-1).fillna(1) > 0
    share = last["seconds"] / frame.loc[ends, "seconds retraining"].sum()
    return (
        f"| {name} | {last['requests']:.0f} | {last['seconds']:.1f} | {share:.3f} "
        f"| {100 * last['score']:.1f} | {100 * last['score retrained']:.1f} | {100 * drop:.1f} "
        f"| {100 * last['score forgotten']:.1f} | {100 * last['score forgotten retrained']:.1f} "
        f"| {distance:.3f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000, help="training rows")
    parser.add_argument("--deletions", type=int, default=1000)
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--modes", nargs="+", default=["one by one", "at a time"])
    parser.add_argument("--methods", nargs="+", help="all of them by default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    X, y, X_test, y_test = load(options.rows)
    gone = np.random.default_rng(1).permutation(len(y))[: options.deletions]
    for mode in options.modes:
        single = mode == "one by one"
        requests = list(gone.reshape(-1, 1)) if single else np.array_split(gone, 10)
        print(
            f"\n{len(gone)} of {len(y)} rows, {mode if single else f'{len(requests[0])} {mode}'}\n"
        )
        print("| | requests | seconds | of retraining each time | test | retrained | worst drop "
              "| forgotten | retrained | worst AUC distance |")  # fmt: skip
        print("|---" * 10 + "|")
        for name, unlearner in (one_by_one if single else at_a_time)(options):
            if options.methods and name not in options.methods:
                continue
            try:
                unlearner.fit(X, y)
                every = max(1, len(requests) // 10)
                print(line(name, follow(unlearner, requests, X_test, y_test, every)), flush=True)
            except ValueError as error:
                print(f"| {name} | {str(error).split('. ')[0]} |", flush=True)


if __name__ == "__main__":
    main()
