"""How much of a deleted row do two versions of a linear model give away?"""

import argparse
import copy
import warnings

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.preprocessing import Normalizer

import skunlearn as sk
from skunlearn.evaluation import reconstruction_attack

LOGISTIC = LogisticRegression(C=0.01, tol=1e-8, max_iter=5000)


def gaussian(n=3000, p=30):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p)) @ rng.normal(size=(p, p))
    return X, X @ rng.normal(size=p) + rng.normal(size=n)


def signs(n=6000):
    X, y = gaussian(n, 10)
    return Normalizer().fit_transform(X), (y > 0).astype(int)


def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


TASKS = {
    "Ridge, 30 features": (gaussian, sk.RidgeUnlearner(Ridge())),
    "Ridge, diabetes": (
        lambda: load_diabetes(return_X_y=True), sk.RidgeUnlearner(Ridge(alpha=0.1)),
    ),
    "RidgeClassifier, digits": (digits, sk.RidgeUnlearner(RidgeClassifier())),
    "logistic, digits": (digits, sk.RetrainUnlearner(LOGISTIC, random_state=0)),
    "logistic, 10 features": (signs, sk.RetrainUnlearner(LOGISTIC, random_state=0)),
    "certified removal": (signs, sk.CertifiedRemovalUnlearner(LOGISTIC, random_state=0)),
    "Descent-to-Delete": (signs, sk.DescentToDeleteUnlearner(LOGISTIC, random_state=0)),
    "Langevin": (signs, sk.LangevinUnlearner(LOGISTIC, random_state=0)),
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    print("Mean of the largest |cosine| with a deleted row, and with as many rows that stayed;")
    print(f"half of the rows are the attacker's, {options.repeats} requests of each size.")
    print(f"{'':>24} | " + " | ".join(f"{f'{k} deleted':>11} {'stayed':>6}" for k in (1, 5, 20)))
    for name, (make, unlearner) in TASKS.items():
        X, y = make()
        order = np.random.default_rng(1).permutation(len(y))
        train, public = order[: len(y) // 2], order[len(y) // 2 :]
        fitted, cells = unlearner.fit(X[train], y[train]), []
        for k in (1, 5, 20):
            rng, found = np.random.default_rng(0), []
            for _ in range(options.repeats):
                gone = rng.choice(len(train), k, replace=False)
                after = copy.deepcopy(fitted).unlearn(indices=gone)
                attack = reconstruction_attack(fitted, after, X[public])
                stay = rng.choice(np.setdiff1d(np.arange(len(train)), gone), k, replace=False)
                found.append([attack.similarity(X[train[rows]]).max() for rows in (gone, stay)])
            cells.append("{:11.2f} {:6.2f}".format(*np.mean(found, axis=0)))
        print(f"{name:>24} | " + " | ".join(cells), flush=True)


if __name__ == "__main__":
    main()
