"""Rows that tests change, and ways to name them."""

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from skunlearn import RetrainUnlearner

N = 300


ROUTES = {
    "ids": {"ids": [f"user-{i}" for i in range(10)]},
    "indices": {"indices": range(10)},
    "groups": {"groups": "leaving"},
}


def knn():
    return RetrainUnlearner(KNeighborsClassifier(1), random_state=0)


def named():
    return {
        "ids": [f"user-{i}" for i in range(N)],
        "groups": np.where(np.arange(N) < 10, "leaving", "staying"),
    }
