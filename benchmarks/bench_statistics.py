"""What does a request to models that follow from sums cost against a refit; how far is it off?"""

import argparse
import statistics
import time

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.preprocessing import StandardScaler

from skunlearn import SufficientStatisticsUnlearner
from skunlearn.exact._scaling import STATISTICS


def timed(act):
    began = time.perf_counter()
    result = act()
    return result, time.perf_counter() - began


def distance(ours, theirs):
    """Largest difference of what the two have learnt, relative to its size."""
    worst = 0.0
    for name in ("theta_", "var_", "feature_log_prob_", "coef_", "mean_", "scale_", "components_"):
        if getattr(theirs, name, None) is not None:
            value = getattr(theirs, name)
            worst = max(worst, np.abs(getattr(ours, name) - value).max() / np.abs(value).max())
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--requests", type=int, default=10)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    X = rng.gamma(2, 2, size=(options.rows, options.features))
    y = rng.integers(0, 10, options.rows)
    X[:, :10] += np.eye(10)[y]
    print(f"{options.rows} rows of {options.features} features; one row a request")
    print(f"{'':>28} {'request / refit':>15} {'difference':>10} {'fit / plain fit':>15}")
    for recipe in (GaussianNB(), MultinomialNB(), LinearDiscriminantAnalysis()):
        _, plain = timed(lambda r=recipe: clone(r).fit(X, y))
        unlearner, fitted = timed(lambda r=recipe: SufficientStatisticsUnlearner(r).fit(X, y))
        spent = [timed(lambda u=unlearner, i=i: u.unlearn(indices=[i]))[1]
                 for i in range(options.requests)]  # fmt: skip
        kept = slice(options.requests, None)
        again, refit = timed(lambda r=recipe, k=kept: clone(r).fit(X[k], y[k]))
        line(recipe, statistics.median(spent) / refit,
             distance(unlearner.estimator_, again), fitted / plain)  # fmt: skip
    for recipe in (StandardScaler(), PCA(10)):
        step, plain = timed(lambda r=recipe: clone(r).fit(X))
        statistic, summed = timed(lambda s=step: STATISTICS[type(s)].of(s, X))
        spent = []
        for i in range(options.requests):
            found, seconds = timed(lambda s=statistic, o=step, i=i: s.without(o, X[[i]]))
            statistic, new = found
            spent.append(seconds)
        again, refit = timed(lambda r=recipe: clone(r).fit(X[options.requests :]))
        line(recipe, statistics.median(spent) / refit, distance(new, again), 1 + summed / plain)


def line(recipe, request, difference, fit):
    name = type(recipe).__name__
    print(f"{name:>28} {request:15.4f} {difference:10.1e} {fit:15.2f}", flush=True)


if __name__ == "__main__":
    main()
