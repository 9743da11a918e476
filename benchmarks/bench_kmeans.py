"""Deletions from k-means: iterations run again from what they were, beside a training anew."""

import time

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs

from skunlearn.exact import SteadyKMeans
from skunlearn.exact.steady_kmeans import ClusterStatistic

REQUESTS = 6


def tasks():
    yield "digits", load_digits(return_X_y=True)[0], 10
    for k, spread in ((20, 5), (50, 3)):
        X, _ = make_blobs(100_000, 30, centers=2 * k, cluster_std=spread, random_state=0)
        yield f"blobs of {2 * k}, k = {k}", X, k
    yield "no clusters", np.random.default_rng(0).normal(size=(20_000, 20)), 20


def clock(work, *args):
    begun = time.perf_counter()
    return work(*args), time.perf_counter() - begun


def fit(X, k, seed=0):
    return SteadyKMeans(k, random_state=seed).fit(X)


def ask(fitted, kept, X, k, m):
    """What requests for m rows cost, over a training anew, and how far they are from it.

    The training is that of SteadyKMeans, and of scikit-learn's KMeans from the same start.
    """
    rng, shares, ratios, worst = np.random.default_rng(m), [], [], 0.0
    for _ in range(REQUESTS):
        gone = rng.choice(len(X), m, replace=False)
        left = np.delete(X, gone, axis=0)
        again, refit = clock(fit, left, k)
        found, repair = clock(kept.without, fitted, X[gone], left)
        _, usual = clock(KMeans(k, init=again.start_, n_init=1).fit, left)
        cost = repair + (0 if found else refit)
        ratios.append((cost / refit, cost / usual))
        if found:
            shares.append(found[1].compared_)
            worst = max(worst, np.abs(found[1].cluster_centers_ - again.cluster_centers_).max())
    return shares, *np.median(ratios, axis=0), worst


def main():
    print(
        "task                 rows  repaired  compared  of a refit  of KMeans  "
        "largest difference  inertia"
    )
    for name, X, k in tasks():
        fitted, _ = clock(fit, X, k)
        usual = np.mean([KMeans(k, n_init=1, random_state=s).fit(X).inertia_ for s in range(3)])
        inertia = np.mean([fit(X, k, seed).inertia_ for seed in range(3)]) / usual
        kept = ClusterStatistic.of(fitted, X)
        for m in (1, 10):
            shares, ratio, usual_ratio, worst = ask(fitted, kept, X, k, m)
            print(
                f"{name:20s} {m:4d}  {len(shares)} of {REQUESTS}    "
                f"{np.mean(shares) if shares else np.nan:7.4f}  {ratio:10.2f}  {usual_ratio:9.2f}  "
                f"{worst:18.1e}  {inertia:7.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
