"""What does knowing a million rows again cost: beside a Ridge, and beside a training's cache?"""

import argparse
import tempfile
import time

import joblib
import numpy as np
from _goals import goal
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import Ridge

from skunlearn import RetrainUnlearner, RidgeUnlearner


def spent(act, times=5):
    """CPU seconds, the fewest of several."""
    seconds = []
    for _ in range(times):
        began = time.process_time()
        act()
        seconds.append(time.process_time() - began)
    return min(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    n = parser.parse_args().rows
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 10))
    y = X @ rng.normal(size=10)
    ids, groups = [f"user-{i}" for i in range(n)], np.arange(n) // 100

    plain = spent(lambda: Ridge().fit(X, y))
    bare = spent(lambda: RidgeUnlearner(Ridge()).fit(X, y))
    named = spent(lambda: RidgeUnlearner(Ridge()).fit(X, y, ids=ids, groups=groups), 2)
    fitted = RidgeUnlearner(Ridge()).fit(X, y)
    by_index = spent(lambda: fitted.unlearn(indices=[len(fitted.deletions_)]))
    first = spent(lambda: fitted.unlearn(X[-1:], y[-1:]), 1)
    second = spent(lambda: fitted.unlearn(X[-2:-1], y[-2:-1]), 1)
    print(f"{n:,} rows of 10 floats; CPU time in units of Ridge().fit ({plain:.3f} s)")
    print(f"  ids= and groups=, beside the fit    {(named - bare) / plain:8.2f}")
    print(f"  a request by index                  {by_index / plain:8.2f}")
    print(f"  the first by content                {first / plain:8.2f}")
    print(f"  the second                          {second / plain:8.2f}")
    goal(f"RidgeUnlearner.fit / Ridge.fit, {n:,} rows", bare / plain, at_most=1.5)

    labels = (y > 0).astype(int)
    with tempfile.TemporaryDirectory() as folder:
        cached = RetrainUnlearner(DummyClassifier(), memory=folder, random_state=0).fit(X, labels)
        hit = spent(lambda: cached.fit(X, labels), 3)
    hashed = spent(lambda: joblib.hash(X), 3)
    goal("fit that memory= answers / joblib.hash(X)", hit / hashed, at_most=2.0)


if __name__ == "__main__":
    main()
