"""Linear models: one request against a refit on the kept rows, in CPU time, weights, accuracy."""

import itertools
import warnings

import numpy as np
from _timing import interleave, machine
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import Normalizer

from skunlearn import (
    CertifiedRemovalUnlearner,
    DescentToDeleteUnlearner,
    LangevinUnlearner,
    RidgeUnlearner,
)

ROUNDS = 5
CASES = (  # rows, features, rows gone
    (20_000, 20, 1),
    (200_000, 20, 1),
    (100_000, 100, 1),
    (100_000, 100, 100),
    (20_000, 500, 1),
)
SETTINGS = (  # methods and sigma
    (CertifiedRemovalUnlearner, 5.0),
    (DescentToDeleteUnlearner, 0.1),
    (LangevinUnlearner, 0.01),
)


def requests(rows):
    """Rows for one request after the other."""
    return (np.arange(i, i + rows) for i in itertools.count(step=rows))


def ridge():
    """RidgeUnlearner against Ridge."""
    print("\nOne request of RidgeUnlearner over Ridge().fit on the kept rows, CPU seconds")
    print(f"{'rows':>8} {'features':>9} {'gone':>5} {'refit, s':>9} {'ratio':>6} {'distance':>9}")
    rng = np.random.default_rng(0)
    for n, features, rows in CASES:
        X = rng.normal(size=(n, features))
        y = X @ rng.normal(size=features) + rng.normal(size=n)
        unlearner, todo = RidgeUnlearner(Ridge()).fit(X, y), requests(rows)
        kept = slice(rows * (ROUNDS + 1), None)
        times = interleave(
            {
                "unlearn": lambda u=unlearner, t=todo: u.unlearn(indices=next(t)),
                "refit": lambda X=X[kept], y=y[kept]: Ridge().fit(X, y),
            },
            ROUNDS,
        )
        again = Ridge().fit(X[kept], y[kept]).coef_
        distance = np.abs(unlearner.estimator_.coef_ - again).max() / np.abs(again).max()
        refit = times["refit"][1]
        ratio = times["unlearn"][1] / refit
        print(f"{n:8d} {features:9d} {rows:5d} {refit:9.4f} {ratio:6.2f} {distance:9.1e}")


def logistic(classes, C, rows=20_000, features=50):
    """The certified methods against LogisticRegression."""
    X, y = make_classification(
        rows + 5000, features, n_informative=20, n_classes=classes, random_state=0
    )
    X = Normalizer().fit_transform(X)
    X, y, X_test, y_test = X[:rows], y[:rows], X[rows:], y[rows:]
    recipe = LogisticRegression(C=C, fit_intercept=False)
    print(
        f"\n{classes} classes, {rows} rows, {features} features, C={C}, ε=1, δ=1e-5, one row gone"
    )
    print(
        f"{'':<26} {'sigma':>6} {'CPU, s':>8} {'ratio':>6} {'steps':>6} {'ε proved':>9} "
        f"{'distance':>9} {'accuracy':>9}"
    )
    unlearners = {
        cls.__name__: cls(recipe, sigma=sigma, random_state=0).fit(X, y) for cls, sigma in SETTINGS
    }
    todo = {name: requests(1) for name in unlearners}
    contenders = {
        name: lambda name=name: unlearners[name].unlearn(indices=next(todo[name]))
        for name in unlearners
    }
    kept = slice(ROUNDS + 1, None)
    contenders["refit"] = lambda: LogisticRegression(C=C, fit_intercept=False).fit(X[kept], y[kept])
    times = {name: cpu for name, (_, cpu) in interleave(contenders, ROUNDS).items()}
    exact = LogisticRegression(C=C, fit_intercept=False, tol=1e-8, max_iter=10_000)
    exact.fit(X[kept], y[kept])
    accuracy = 100 * exact.score(X_test, y_test)
    print(
        f"{'refit':<26} {'':>6} {times['refit']:8.4f} {1:6.2f} {'':>6} {'':>9} {'':>9} "
        f"{accuracy:9.1f}"
    )
    for name, unlearner in unlearners.items():
        coef, distance = unlearner.estimator_.coef_, ""
        if classes == 2 or not unlearner.estimator_.one_vs_rest_:
            away = np.linalg.norm(coef - exact.coef_) / np.linalg.norm(exact.coef_)
            distance = f"{away:.3f}"
        proved = unlearner.deletions_[-1]["proved"]
        print(
            f"{name:<26} {unlearner.sigma:6.3g} {times[name]:8.4f} "
            f"{times[name] / times['refit']:6.2f} {proved.get('steps', 1):6d} "
            f"{proved['epsilon']:9.3f} {distance:>9} {100 * unlearner.score(X_test, y_test):9.1f}"
        )


def main():
    """All tables."""
    warnings.simplefilter("error")
    print(machine())
    ridge()
    for classes, C in ((2, 0.1), (2, 0.01), (5, 0.01)):
        logistic(classes, C)


if __name__ == "__main__":
    main()
