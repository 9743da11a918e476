"""Linear models: one request against a refit on the kept rows, in seconds, weights and accuracy."""

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

ROWS, ROUNDS = 20_000, 5


def requests(rows):
    """Rows for one request after the other."""
    return (np.arange(i, i + rows) for i in itertools.count(step=rows))


def ridge():
    """RidgeUnlearner against Ridge."""
    print(
        f"\nRidge, {ROWS} rows: seconds of one request over those of Ridge().fit on the kept rows"
    )
    print(f"{'features':>9} {'rows gone':>10} {'refit, s':>9} {'ratio':>7} {'distance':>9}")
    rng = np.random.default_rng(0)
    for features, rows in ((20, 1), (100, 1), (100, 100), (500, 1)):
        X = rng.normal(size=(ROWS, features))
        y = X @ rng.normal(size=features) + rng.normal(size=ROWS)
        unlearner = RidgeUnlearner(Ridge()).fit(X, y)
        todo = requests(rows)
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
        ratio = times["unlearn"][0] / times["refit"][0]
        print(f"{features:9d} {rows:10d} {times['refit'][0]:9.4f} {ratio:7.3f} {distance:9.1e}")


def logistic(classes, C):
    """The certified methods against LogisticRegression."""
    features = 50
    X, y = make_classification(
        ROWS + 5000, features, n_informative=20, n_classes=classes, random_state=0
    )
    X = Normalizer().fit_transform(X)
    X, y, X_test, y_test = X[:ROWS], y[:ROWS], X[ROWS:], y[ROWS:]
    recipe = LogisticRegression(C=C, fit_intercept=False)
    print(
        f"\n{classes} classes, {ROWS} rows of {features} features, C = {C}, ε = 1, δ = 1e-5, one "
        "row a request"
    )
    print(
        f"{'':<10} {'sigma':>6} {'seconds':>8} {'ratio':>6} {'steps':>6} {'ε proved':>9} "
        f"{'distance':>9} {'accuracy':>9}"
    )
    settings = (
        (CertifiedRemovalUnlearner, 5.0),
        (DescentToDeleteUnlearner, 0.1),
        (LangevinUnlearner, 0.01),
    )
    unlearners = {
        cls.__name__: cls(recipe, sigma=sigma, random_state=0).fit(X, y) for cls, sigma in settings
    }
    contenders = {
        name: lambda u=unlearner, t=requests(1): u.unlearn(indices=next(t))
        for name, unlearner in unlearners.items()
    }
    kept = slice(ROUNDS + 1, None)
    contenders["refit"] = lambda: LogisticRegression(C=C, fit_intercept=False).fit(X[kept], y[kept])
    times = interleave(contenders, ROUNDS)
    exact = LogisticRegression(C=C, fit_intercept=False, tol=1e-8, max_iter=10_000)
    exact.fit(X[kept], y[kept])
    print(
        f"{'refit':<10} {'':>6} {times['refit'][0]:8.4f} {1:6.2f} {'':>6} {'':>9} {'':>9} "
        f"{100 * exact.score(X_test, y_test):9.1f}"
    )
    for name, unlearner in unlearners.items():
        coef = unlearner.estimator_.coef_
        same = coef.shape == exact.coef_.shape and (
            classes == 2 or not unlearner.estimator_.one_vs_rest_
        )
        away = np.linalg.norm(coef - exact.coef_) / np.linalg.norm(exact.coef_)
        proved = unlearner.deletions_[-1]["proved"]
        print(
            f"{name[:9]:<10} {unlearner.sigma:6.3g} {times[name][0]:8.4f} "
            f"{times[name][0] / times['refit'][0]:6.2f} {proved.get('steps', 1):6d} "
            f"{proved['epsilon']:9.3f} {f'{away:.3f}' if same else '':>9} "
            f"{100 * unlearner.score(X_test, y_test):9.1f}"
        )


def main():
    """All tables."""
    warnings.simplefilter("error")
    print(machine())
    ridge()
    logistic(2, 0.05)
    logistic(5, 0.05)


if __name__ == "__main__":
    main()
