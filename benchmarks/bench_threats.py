"""What do relearning, malicious and slow requests do to each method? (digits)"""

import argparse
import copy
import sys
import time
import warnings

import numpy as np
import pandas as pd
import torch
from _timing import plus_minus
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

import skunlearn as sk
from skunlearn.datasets import load_digits_images
from skunlearn.evaluation import over_unlearning, relearning_attack
from skunlearn.exceptions import AccuracyDropError
from skunlearn.forget_sets import costly_forget_set, damaging_forget_set, mislabelled_forget_set
from skunlearn.nets import digits_classifier

METHODS = {
    "fine-tuned": sk.FineTuneUnlearner,
    "proximal": sk.ProximalUnlearner,
    "NoT": sk.NoTUnlearner,
    "NegGrad+": sk.NegGradPlusUnlearner,
    "random labels": sk.RandomLabelUnlearner,
    "SalUn": sk.SalUnUnlearner,
    "SCRUB": sk.SCRUBUnlearner,
    "SSD": sk.SSDUnlearner,
    "retrained": sk.RetrainUnlearner,
}


def load(seed):
    X, y = load_digits_images(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    return X[order[:900]], y[order[:900]], X[order[900:]], y[order[900:]]


def forgotten(original, X, y, rows, **guard):
    """The original after the same request to every method; None where the guard undid it."""
    found = {}
    for name, cls in METHODS.items():
        if cls is sk.RetrainUnlearner:
            unlearner = copy.deepcopy(original)
        else:
            unlearner = cls(FrozenEstimator(original.estimator_), random_state=0).fit(X, y)
        try:
            found[name] = unlearner.unlearn(indices=rows, **guard)
        except AccuracyDropError:
            found[name] = None
    return found


def relearning(seed):
    """Fifty rows with wrong labels, which only memory knows."""
    X, y, X_test, y_test = load(seed)
    wrong = mislabelled_forget_set(y, size=50, random_state=seed)
    labels, rows = wrong.y, wrong.indices
    net = digits_classifier(verbose=0, lr=0.1, optimizer__weight_decay=0.0, max_epochs=60)
    original = sk.RetrainUnlearner(net, random_state=seed).fit(X, labels)
    models = {"original": original} | forgotten(original, X, labels, rows)
    table = relearning_attack(
        models, X[rows], labels[rows], k=[5, 20], X_others=X_test[:200], y_others=y_test[:200]
    )
    flat = table[["before", "excess"]].unstack("k").loc[list(models)]
    return pd.DataFrame(
        {
            "before": 100 * flat["before", 5],
            "excess, k = 5": 100 * flat["excess", 5],
            "excess, k = 20": 100 * flat["excess", 20],
        }
    )


def malicious(seed):
    """Sixty eights chosen to hurt unseen eights, against sixty eights at random."""
    X, y, X_test, y_test = load(seed)
    net = digits_classifier(verbose=0)
    original = sk.RetrainUnlearner(net, random_state=seed).fit(X, y)
    target = X_test[y_test == 8], y_test[y_test == 8]
    others = X_test[y_test != 8], y_test[y_test != 8]
    own = y == 8
    chosen = damaging_forget_set(original, *target, size=60, candidates=own).indices
    drawn = np.random.default_rng(seed).choice(np.flatnonzero(own), 60, replace=False)
    columns = {}
    for name, rows in (("chosen", chosen), ("drawn", drawn)):
        models = forgotten(original, X, y, rows)
        columns[f"eights lost, {name}"] = pd.Series(
            {n: 100 * (original.score(*target) - m.score(*target)) for n, m in models.items()}
        )
        beyond = over_unlearning(
            models, *others, X_forget=X[rows], y_forget=y[rows], retrained="retrained"
        )
        columns[f"others' near damage, {name}"] = 100 * beyond["near damage"].astype(float)
    guarded = forgotten(
        original, X, y, chosen, max_accuracy_drop=0.1, X_val=target[0], y_val=target[1]
    )
    columns["undone at 10 points, %"] = pd.Series(
        {name: 100.0 * (model is None) for name, model in guarded.items()}
    )
    return pd.DataFrame(columns)


def slow(seed):
    """Rows that cost most, against rows at random."""
    X, y, *_ = load(seed)
    rng, rows = np.random.default_rng(seed), {}
    sharded = sk.ShardedUnlearner(
        digits_classifier(verbose=0, max_epochs=6), n_shards=10, n_slices=3, random_state=seed
    )
    for name, choose in (
        ("chosen", lambda u: costly_forget_set(u, size=10).indices),
        ("drawn", lambda u: rng.choice(900, 10, replace=False)),
    ):
        unlearner = copy.deepcopy(sharded).fit(X, y)
        entry = unlearner.unlearn(indices=choose(unlearner)).deletions_[0]
        rows[f"Sharded, 10 rows {name}, share of a training"] = entry["share_retrained"]
    flat = X.reshape(len(X), -1)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    for name, choose in (
        ("chosen", lambda u: costly_forget_set(u, size=1).indices),
        ("drawn", lambda u: rng.choice(np.flatnonzero(u._record.retained), 1)),
    ):
        unlearner = sk.CertifiedRemovalUnlearner(
            LogisticRegression(C=0.1), sigma=1.0, random_state=seed
        ).fit(flat, y == 8)
        for _ in range(200):
            entry = unlearner.unlearn(indices=choose(unlearner)).deletions_[-1]
            if entry["proved"]["retrained"]:
                break
        rows[f"CertifiedRemoval, rows {name}, requests until it trains anew"] = len(
            unlearner.deletions_
        )
    return pd.DataFrame({"": rows})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for part in (relearning, malicious, slow):
        found = []
        for seed in options.seeds:
            began = time.perf_counter()
            found.append(part(seed))
            took = time.perf_counter() - began
            print(f"{part.__name__}, seed {seed}: {took:.0f} s", file=sys.stderr, flush=True)
        whole = pd.concat(found, keys=options.seeds)
        mean, spread = (f(whole.groupby(level=1, sort=False)) for f in (
            lambda g: g.mean(), lambda g: g.std()))  # fmt: skip
        print(f"\n{part.__doc__} Seeds {options.seeds}.\n")
        print("| | " + " | ".join(mean.columns) + " |")
        print("|---" * (1 + len(mean.columns)) + "|")
        for name in mean.index:
            cells = map(plus_minus, mean.loc[name], spread.loc[name])
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
