"""One row is forgotten by a fine-tuning, beside the hand-written loop; and requests by name."""

import argparse
import copy
import time
import warnings

import numpy as np
import torch
from _goals import goal
from _timing import machine
from bench_loop import CNN, MLP
from sklearn.linear_model import Ridge
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner, RidgeUnlearner
from skunlearn.exceptions import NotForgottenWarning

BATCH = 128


def spent(act):
    began = time.process_time()
    act()
    return time.process_time() - began


def by_hand(module, X, y, epochs):
    """The loop that a request amounts to, on rows that are tensors already."""
    model = copy.deepcopy(module)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    kept = torch.arange(len(y) - 1)
    for _ in range(epochs):
        for batch in kept[torch.randperm(len(kept))].split(BATCH):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(X[batch]), y[batch])
            loss.backward()
            optimizer.step()
            loss.item()


def one_row(module, shape, epochs, n, rounds):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, *shape)).astype(np.float32), rng.integers(0, 10, n)
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, lr=0.01, optimizer__momentum=0.9,
        max_epochs=epochs, batch_size=BATCH, iterator_train__shuffle=True, train_split=None,
        verbose=0,
    )  # fmt: skip
    unlearner = FineTuneUnlearner(net, random_state=0, max_epochs=epochs).fit(X, y)
    fresh = copy.copy(unlearner)  # a deep one is of another estimator, to be checked anew
    unlearner.unlearn(indices=[n - 1])
    tensors, rows = (torch.from_numpy(X), torch.from_numpy(y)), iter(range(n))
    acts = {
        "hand-written loop": lambda: by_hand(unlearner.estimator_.module_, *tensors, epochs),
        "the first request": lambda: copy.copy(fresh).unlearn(indices=[7]),
        "a later request": lambda: unlearner.unlearn(indices=[next(rows)]),
    }
    for act in acts.values():  # the first round is slower
        act()
    times = {name: [] for name in acts}
    for _ in range(rounds):
        for name, act in acts.items():
            times[name].append(spent(act))
    hand = times.pop("hand-written loop")
    print(f"\n{module.__name__}, {n:,} rows, {epochs} epochs: by hand {np.median(hand):.3f} s CPU")
    for name, seconds in times.items():
        ratio = np.median(np.array(seconds) / hand)
        goal(f"{name} / hand-written loop, {module.__name__}", ratio, at_most=1.15)


def by_name(n):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 10))
    y = X @ rng.normal(size=10)
    ids, groups = [f"user-{i}" for i in range(n)], np.arange(n) // 100
    unlearner = RidgeUnlearner(Ridge())
    both = {"plain": lambda: Ridge().fit(X, y), "bare": lambda: unlearner.fit(X, y)}
    rounds = [{name: spent(fit) for name, fit in both.items()} for _ in range(6)][1:]
    plain, bare = (float(np.median([r[name] for r in rounds])) for name in both)
    ratio = np.median([r["bare"] / r["plain"] for r in rounds])
    named = min(spent(lambda: unlearner.fit(X, y, ids=ids, groups=groups)) for _ in range(3))
    asked = {"ids": ["user-5"], "groups": [7]}
    first = {name: spent(lambda k=name: unlearner.unlearn(**{k: asked[k]})) for name in asked}
    print(f"\nRidge, {n:,} rows, CPU seconds")
    print(f"  Ridge.fit {plain:.3f}, RidgeUnlearner.fit {bare:.3f}, with names {named:.3f}")
    print("  the first request by " + ", by ".join(f"{k} {s:.3f}" for k, s in first.items()))
    goal(f"RidgeUnlearner.fit / Ridge.fit, {n:,} rows", ratio, at_most=1.5)
    goal(f"ids= and groups= of {n:,} rows, with a request by each, s",
         named - bare + sum(first.values()), at_most=0.5)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--named", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", NotForgottenWarning)
    print(machine())
    one_row(MLP, (64,), 3, options.rows, options.rounds)
    one_row(CNN, (1, 28, 28), 1, options.rows, options.rounds)
    by_name(options.named)


if __name__ == "__main__":
    main()
