"""Is LightGBM's ``refit(decay_rate=0)`` on the kept rows an unlearning?

It keeps the structure of every tree, which all rows have chosen, and fills the leaves anew. Needs
``pip install lightgbm``, which the package itself does not.
"""

import argparse
import sys

import numpy as np
from sklearn.datasets import make_classification

from skunlearn import ShardedUnlearner
from skunlearn.metrics import membership_inference

try:
    import lightgbm
except ImportError:
    sys.exit("This comparison needs LightGBM: pip install lightgbm")

N, GONE = 1200, 120


def logits(p):
    return np.log(np.column_stack([1 - p, p]) + 1e-9)


def figures(predict, X, y, X_test, y_test):
    """Accuracy on unseen rows, and the AUC of the matched attack on the forgotten ones."""
    ours, theirs = predict(X[:GONE]), predict(X_test)
    attack = membership_inference(logits(ours), y[:GONE], logits(theirs), y_test, random_state=0)
    return np.mean((theirs > 0.5) == y_test), attack.auc


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    found = {}
    for seed in range(options.seeds):
        X, y = make_classification(
            2 * N, 20, n_informative=8, flip_y=0.2, class_sep=0.8, random_state=seed
        )
        X, X_test, y, y_test = X[:N], X[N:], y[:N], y[N:]
        kept = slice(GONE, None)
        settings = {
            "objective": "binary", "verbosity": -1, "seed": seed, "num_threads": 1,
            "deterministic": True,
        }  # fmt: skip
        original = lightgbm.train(settings, lightgbm.Dataset(X, y), 200)
        models = {
            "original": original.predict,
            "refit(decay_rate=0)": original.refit(X[kept], y[kept], decay_rate=0.0).predict,
            "refit(decay_rate=0.9)": original.refit(X[kept], y[kept], decay_rate=0.9).predict,
            "retrained": lightgbm.train(settings, lightgbm.Dataset(X[kept], y[kept]), 200).predict,
        }
        booster = lightgbm.LGBMClassifier(
            n_estimators=200, verbosity=-1, n_jobs=1, random_state=seed
        )
        shards = ShardedUnlearner(booster, n_shards=5, random_state=seed)
        shards.fit(X, y).unlearn(indices=np.arange(GONE))
        models["5 shards"] = lambda rows, shards=shards: shards.predict_proba(rows)[:, 1]
        for name, predict in models.items():
            found.setdefault(name, []).append(figures(predict, X, y, X_test, y_test))
    print(f"LightGBM {lightgbm.__version__}, {N} rows, {GONE} of them forgotten, {options.seeds} "
          "seeds; mean ± spread")  # fmt: skip
    print(f"{'':>22} {'accuracy, unseen':>17} {'AUC, forgotten':>15}")
    for name, values in found.items():
        (accuracy, auc), (a, b) = np.mean(values, axis=0), np.std(values, axis=0)
        print(f"{name:>22} {accuracy:9.3f} ± {a:.3f} {auc:7.3f} ± {b:.3f}")


if __name__ == "__main__":
    main()
