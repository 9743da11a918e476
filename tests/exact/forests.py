"""Forests and the law of their draws."""

import copy
import itertools

import numpy as np
import sklearn
from scipy import stats
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.fixes import parse_version

from skunlearn.exact._frozen_forest import _is_grown_on

LIKELY = 1e-4  # p-values below are no chance

RECENT = parse_version(sklearn.__version__) >= parse_version("1.9")

# Six rows, of which none can be told apart by a tree of one leaf: only the draws count.
SIX = np.arange(6.0)[:, None], np.array([0, 1, 0, 1, 0, 1])


def stumps(cls=RandomForestClassifier, n=200, **params):
    base = {"estimator": DecisionTreeClassifier(max_depth=1)} if cls is BaggingClassifier else {}
    base = base or {"max_depth": 1}
    return cls(n_estimators=n, **(base | params))


def patterns(unlearner, rows):
    """How many members hold each set of rows."""
    held = np.array([unlearner._draws.holds(k, rows) for k in range(len(unlearner.estimator_))])
    codes = held @ (1 << np.arange(len(rows)))
    return np.bincount(codes, minlength=1 << len(rows))


def law(n, m, replace, weights=None):
    """Probability that a draw of m out of n rows holds exactly each set of them."""
    p, weights = np.zeros(1 << n), np.ones(n) if weights is None else np.asarray(weights)
    draws = itertools.product(range(n), repeat=m)
    draws = draws if replace else itertools.permutations(range(n), m)
    for drawn in draws:
        p[sum(1 << i for i in set(drawn))] += weights[list(drawn)].prod()
    return p / p.sum()


def p_value(counts, p):
    assert counts[p == 0].sum() == 0
    return stats.chisquare(counts[p > 0], counts.sum() * p[p > 0]).pvalue


def assert_truthful(unlearner, X, y):
    """The trees were grown on what the table of draws says."""
    rows = np.arange(len(X))
    model = unlearner.estimator_
    columns = getattr(model, "estimators_features_", [slice(None)] * len(model.estimators_))
    for number, tree in enumerate(model.estimators_):
        drawn = rows[unlearner._draws.holds(number, rows)]
        # The table does not hold repeats, which only weigh.
        tree = copy.copy(tree).set_params(criterion="absolute_error") if y.dtype == float else tree
        assert _is_grown_on(tree, X[:, columns[number]].astype(np.float32), y, drawn)
