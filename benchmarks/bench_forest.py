"""How many trees does a request touch, what does it cost, and what does it leave behind?"""

import argparse
import copy
import time
import warnings

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from skunlearn import ForestUnlearner, RetrainUnlearner, ShardedUnlearner
from skunlearn.exact import expected_regrown_share
from skunlearn.metrics import membership_inference

N = 1200
REQUESTS = (1, 10, 120)


def task(seed, n=N):
    """Rows to train on and to test on; a tenth of the labels are wrong, to be known by heart."""
    X, y = make_classification(
        2 * n, 20, n_informative=8, flip_y=0.2, class_sep=0.8, random_state=seed
    )
    return X[:n], y[:n], X[n:], y[n:]


def timed(act):
    began = time.perf_counter()
    result = act()
    return result, time.perf_counter() - began


def touched(seeds, trees):
    """Shares of the trees, beside the formula."""
    print(f"{N} rows, {trees} trees, {seeds} seeds")
    print(f"{'':>10} {'accuracy':>8}", end="")
    print("".join(f" | {f'{k} rows: touched':>17} {'formula':>7}" for k in REQUESTS))
    for draws in (N, N // 2, N // 10):
        found = []
        for seed in range(seeds):
            X, y, *test = task(seed)
            forest = RandomForestClassifier(trees, max_samples=draws)
            fitted = ForestUnlearner(forest, random_state=seed).fit(X, y)
            rng = np.random.default_rng(seed)
            gone = [rng.choice(N, k, replace=False) for k in REQUESTS]
            found.append(
                [
                    fitted.score(*test),
                    *(fitted.count_touched(indices=rows) / trees for rows in gone),
                ]
            )
        score, *shares = np.mean(found, axis=0)
        print(f"{draws:4} draws {100 * score:8.1f}", end="")
        for k, share in zip(REQUESTS, shares):
            print(f" | {share:17.2f} {expected_regrown_share(N, draws, k):7.2f}", end="")
        print(flush=True)


def costs(n=20_000, trees=50):
    """Time of a request of one row, as a share of the fit."""
    X, y, *_ = task(0, n)
    print(f"\nOne row of {n}, {trees} trees: time / fit, expected share")
    for draws in (n, n // 2, n // 10):
        forest = RandomForestClassifier(trees, max_samples=draws)
        fitted, whole = timed(lambda f=forest: ForestUnlearner(f, random_state=0).fit(X, y))
        spent = [timed(lambda u=fitted, i=i: u.unlearn(indices=[i]))[1] for i in range(5)]
        share = expected_regrown_share(n, draws)
        print(f"{draws:6} draws {np.median(spent) / whole:5.2f} {share:5.2f}", flush=True)


def persons(seeds):
    """Requests of one person's ten rows, against shards."""
    print("\nTen rows of one person, who is a group: share trained again, accuracy")
    forest = RandomForestClassifier(200, max_samples=N // 10)
    for name, unlearner in (
        ("200 trees of n/10 draws", ForestUnlearner(forest)),
        ("10 shards, one tree each", ShardedUnlearner(DecisionTreeClassifier(), n_shards=10)),
        ("10 shards, 20 trees each", ShardedUnlearner(RandomForestClassifier(20), n_shards=10)),
    ):
        found = []
        for seed in range(seeds):
            X, y, *test = task(seed)
            unlearner.set_params(random_state=seed).fit(X, y, groups=np.arange(N) // 10)
            score = 100 * unlearner.score(*test)
            entry = unlearner.unlearn(groups=[seed]).deletions_[0]
            found.append([entry.get("share_regrown", entry.get("share_retrained")), score])
        share, score = np.mean(found, axis=0)
        print(f"{name:>26}: {share:.2f}  {score:.1f} %", flush=True)


def left(seeds, trees):
    """The matched attack on 120 forgotten rows."""
    gone, found = np.arange(REQUESTS[-1]), {}
    for seed in range(seeds):
        X, y, X_test, y_test = task(seed)
        forest = RandomForestClassifier(trees)
        models = {"before": ForestUnlearner(forest, random_state=seed).fit(X, y)}
        models["forgotten"] = copy.deepcopy(models["before"]).unlearn(indices=gone)
        retrained = RetrainUnlearner(forest, random_state=seed + 100).fit(X, y)
        models["retrained"] = retrained.unlearn(indices=gone)
        for name, model in models.items():
            sides = [np.log(model.predict_proba(rows) + 1e-9) for rows in (X[gone], X_test)]
            attack = membership_inference(sides[0], y[gone], sides[1], y_test, random_state=0)
            found.setdefault(name, []).append(attack.auc)
    print(f"\nAfter {len(gone)} rows: AUC of the matched attack, mean ± spread over seeds")
    for name, values in found.items():
        print(f"{name:>10}: {np.mean(values):.3f} ± {np.std(values):.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    touched(options.seeds, options.trees)
    persons(options.seeds)
    left(options.seeds, options.trees)
    costs()


if __name__ == "__main__":
    main()
