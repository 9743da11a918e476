"""Trained state that code reaches by name, or that a container hides, is never called exact.

As in ``tests/carriers.py``: each way remembers rows that it is not fitted on. What only looks like
that stays exact.
"""

import base64
import collections
import contextvars
import functools
import json
import pickle
import threading
import types

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from joblib import load as read_it
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KDTree, KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skunlearn import RetrainUnlearner, UnlearningPipeline
from skunlearn._recipe.from_scratch import name_trained
from tests import carriers
from tests.carriers import Asks, Nearest, tree

# Models that are sure of what they say.
pytestmark = pytest.mark.filterwarnings("ignore:divide by zero")

# Set by the fixture: variables of this file, as those of a notebook are.
tree_of_all = table = labels = None
seen_by_all = {}
context, thread = contextvars.ContextVar("model"), threading.local()
users_file = types.ModuleType("tests.users_file")  # a file of the user's, with a model in it


@pytest.fixture(autouse=True)
def rows(unrelated):
    X, y = unrelated
    names = globals()
    names["tree_of_all"], names["table"] = tree(X, y), np.column_stack([X, y])
    names["labels"] = {row.tobytes(): int(label) for row, label in zip(X, y, strict=True)}
    users_file.tree = thread.model = tree_of_all
    context.set(tree_of_all)
    seen_by_all.clear()
    Remembers.seen.clear()
    return X, y


# ------------------------------------------------------------------ estimators


class UsesVariable(TransformerMixin, BaseEstimator):
    """Calls a model that is a variable of its file."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return 100 * tree_of_all.predict_proba(X)


class UsesModule(UsesVariable):
    """Calls one that is a variable of another file."""

    def transform(self, X):
        return 100 * users_file.tree.predict_proba(X)


def _row_by_row(X):
    return np.array([100 * tree_of_all.predict_proba(row[None])[0] for row in X])


@functools.lru_cache
def _load():
    return tree_of_all


def _through_a_cache(X):
    return 100 * _load().predict_proba(X)


class Slots:
    """Has no ``__dict__``."""

    __slots__ = ("model",)

    def __init__(self, model):
        self.model = model

    def __deepcopy__(self, memo):
        return self


class AsksHolder(Asks):
    """Asks what is in a holder."""

    def predict(self, X):
        return self.other.model.predict(X)


class AsksFirst(Asks):
    """Asks the first of several."""

    def predict(self, X):
        return self.other[0].predict(X)


class NearestOf(Nearest):
    """Its table is of another kind."""

    def predict(self, X):
        known = np.asarray(self.table)
        far = ((X[:, None] - known[None, :, :-1]) ** 2).sum(axis=2)
        return known[far.argmin(axis=1), -1].astype(int)


class LooksUp(Asks):
    """Knows labels by the bytes of rows."""

    def predict(self, X):
        return np.array([self.other.get(row.tobytes(), 0) for row in X])


class AsksTree(Asks):
    """Looks for the nearest row."""

    def predict(self, X):
        tree, y = self.other
        return y[tree.query(X, return_distance=False)[:, 0]]


class InProperty(Asks):
    """Has a model as a property."""

    @property
    def model(self):
        return tree_of_all

    def predict(self, X):
        return self.model.predict(X)


class InClassMethod(Asks):
    """Calls it in a method of the class."""

    @classmethod
    def ask(cls, X):
        return tree_of_all.predict(X)

    def predict(self, X):
        return self.ask(X)


class Remembers(Asks):
    """Writes what it has seen to its class."""

    seen = {}

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        for row, label in zip(X, y, strict=True):
            self.seen[row.tobytes()] = label
        return self

    def predict(self, X):
        return np.array([self.seen.get(row.tobytes(), 0) for row in X])


class RemembersElsewhere(Remembers):
    """Writes it to a variable of its file."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        for row, label in zip(X, y, strict=True):
            seen_by_all[row.tobytes()] = label
        return self

    def predict(self, X):
        return np.array([seen_by_all.get(row.tobytes(), 0) for row in X])


class Reads(Asks):
    """Reads a model from a file."""

    def predict(self, X):
        return joblib.load(self.other).predict(X)


class ReadsInHelper(Asks):
    """Reads it in a method that predict calls."""

    def _model(self):
        return read_it(self.other)

    def predict(self, X):
        return self._model().predict(X)


class ReadsTable(Nearest):
    """Reads rows from a file."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.table_ = np.load(self.table)
        return self

    def predict(self, X):
        far = ((X[:, None] - self.table_[None, :, :-1]) ** 2).sum(axis=2)
        return self.table_[far.argmin(axis=1), -1].astype(int)


class Unpacks(Asks):
    """Is given a model as a text, and what unpacks it."""

    def predict(self, X):
        text, unpack = self.other
        return unpack(text).predict(X)


class ByFirstNumber(Asks):
    """Knows labels by the first number of a row."""

    def predict(self, X):
        return np.array([self.other[float(row[0])] for row in X])


class InContext(Asks):
    """Asks a variable of the context."""

    def predict(self, X):
        return context.get().predict(X)


class InThread(Asks):
    """Asks a variable of the thread."""

    def predict(self, X):
        return thread.model.predict(X)


class Meta(type(Asks)):
    """Has a model."""

    @property
    def model(cls):
        return tree_of_all


class ByMeta(Asks, metaclass=Meta):
    """Asks its class's class."""

    def predict(self, X):
        return type(self).model.predict(X)


class ByText(Asks):
    """Names nothing."""

    def predict(self, X):
        return globals()["tree_of_all"].predict(X)


def _saved(folder):
    np.save(folder / "rows.npy", table)
    return str(folder / "rows.npy")


def _packed():
    return base64.b64encode(pickle.dumps(tree_of_all)).decode()


def _unpack(text):
    return pickle.loads(base64.b64decode(text))


class Metric:
    """Rows are near of which a model says the same."""

    def __call__(self, one, other):
        return abs(np.subtract(*tree_of_all.predict(np.float32([one, other]))))


def _in_class(model):
    class Held(AsksFirst):
        models = [model]

        def predict(self, X):
            return self.models[0].predict(X)

    return Held()


def _partial_method(model):
    class Held(Asks):
        def _ask(self, X, model):
            return model.predict(X)

        ask = functools.partialmethod(_ask, model=model)

        def predict(self, X):
            return self.ask(X)

    return Held()


def _before(step):
    return make_pipeline(step, LogisticRegression(C=1e3, max_iter=1000))


def _file(folder):
    joblib.dump(tree_of_all, folder / "model.joblib")
    return str(folder / "model.joblib")


def _objects(model):
    objects = np.empty(2, dtype=object)
    objects[0] = model
    return objects


ESTIMATORS = {
    "variable": lambda folder: _before(UsesVariable()),
    "variable of a module": lambda folder: _before(UsesModule()),
    "comprehension": lambda folder: _before(FunctionTransformer(_row_by_row)),
    "cached function": lambda folder: _before(FunctionTransformer(_through_a_cache)),
    "slots": lambda folder: AsksHolder(Slots(tree_of_all)),
    "namespace": lambda folder: AsksHolder(types.SimpleNamespace(model=tree_of_all)),
    "deque": lambda folder: AsksFirst(collections.deque([tree_of_all])),
    "array of objects": lambda folder: AsksFirst(_objects(tree_of_all)),
    "dict of rows": lambda folder: LooksUp(labels),
    "frame of rows": lambda folder: NearestOf(pd.DataFrame(table)),
    "list of rows": lambda folder: NearestOf(table.tolist()),
    "tree of rows": lambda folder: AsksTree((KDTree(table[:, :-1]), table[:, -1].astype(int))),
    "property": lambda folder: InProperty(),
    "class method": lambda folder: InClassMethod(),
    "list of the class": lambda folder: _in_class(tree_of_all),
    "partial method": lambda folder: _partial_method(tree_of_all),
    "metric": lambda folder: KNeighborsClassifier(1, metric=Metric()),
    "file": lambda folder: Reads(_file(folder)),
    "file, in a helper": lambda folder: ReadsInHelper(_file(folder)),
    "file of rows": lambda folder: ReadsTable(_saved(folder)),
    "text": lambda folder: Unpacks((_packed(), _unpack)),
    "dict of numbers": lambda folder: ByFirstNumber({float(row[0]): int(row[-1]) for row in table}),
    "context": lambda folder: InContext(),
    "thread": lambda folder: InThread(),
    "metaclass": lambda folder: ByMeta(),
    "globals()": lambda folder: ByText(),
    "what the class has seen": lambda folder: Remembers(),
    "what a variable has seen": lambda folder: RemembersElsewhere(),
}


@pytest.mark.parametrize("way", ESTIMATORS)
def test_estimators(rows, way, tmp_path):
    carriers.attack(RetrainUnlearner(ESTIMATORS[way](tmp_path), random_state=0), *rows)


def test_steps_of_pipelines(rows):
    steps = [("uses", UsesVariable()), ("model", RetrainUnlearner(LogisticRegression(C=1e3)))]
    carriers.attack(UnlearningPipeline(steps), *rows)


# ------------------------------------------------------------------ what only looks like that


class Configured(Asks):
    """Settings in the class, and a method with a name that a variable has."""

    grid = {"C": [0.1, 1.0, 10.0], "tol": [1e-3, 1e-4]}
    text = "A row is what was measured of a house. " * 50
    betas = ((0.9, 0.999), (0.5, 0.9))
    names = ["one", "two", "three"] * 10

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.width_ = X.shape[1] + len(table) + table.shape[0]
        self.inner_ = LogisticRegression().fit(X, y)
        self.settings_ = json.loads(f"[{torch.zeros(1).item() + np.pi}]")
        return self

    def encoder(self, X):
        return self.inner_.predict(X)

    def predict(self, X):
        return self.encoder(X)


def _scaled(X, how=np.tanh):
    tree_of_all = X.mean()
    return how(X) + 0 * np.array([tree_of_all for _ in X])[:, None]


ANCHORS = np.array([(10.0, 13.0), (16.0, 30.0), (33.0, 23.0), (30.0, 61.0)])
STEPS = [(0.5, 1 / 3, n) for n in (1, 2, 3, 4, 5, 6, 7, 8)]  # not as it is below
SIZES = [(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.5), (5, 0.5), (6, 1 / 3), (7, 0.5), (8, -1.0)]
users_file.costs = torch.tensor([[0.0, 1.0, 2.5], [1.0, 0.0, 1.0], [2.5, 1.0, 0.0]])


class WrittenOut(Configured):
    """Its tables stand in the code."""

    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 1.0
    per_class = {"one": [[0.1, 0.2], [0.3, 0.4]]}

    def predict(self, X):
        weight = users_file.costs.sum() + ANCHORS.mean() + len(str(SIZES)) + self.kernel.sum()
        return self.encoder(X * float(weight) / float(weight))


class Computed(Configured):
    """Its table does not, or not as it is."""

    def predict(self, X):
        return self.encoder(X) if np.asarray(STEPS).sum() else None


def test_tables_that_stand_in_the_code_are_no_rows(rows):
    assert name_trained(WrittenOut()) == []
    assert len(name_trained(Computed())) == 1
    users_file.costs = users_file.costs + 1e-3
    assert "users_file.costs" in name_trained(WrittenOut())[0]
    assert len(name_trained(Asks(_packed()))) == 1


def test_a_search_may_score_on_rows_of_its_own(rows):
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, scoring=_score_elsewhere)
    assert name_trained(search) == []


def _score_elsewhere(estimator, X, y):
    return estimator.score(table[:, :-1], table[:, -1])


def test_the_certificate_says_what_can_be_done(rows):
    X, y = rows
    unlearner = RetrainUnlearner(Computed(), random_state=0).fit(X, y).unlearn(indices=[0])
    notes = json.loads(unlearner.certificate())["notes"]
    assert any("not named where the module computes it in its __init__" in note for note in notes)


@functools.lru_cache
def _power(n):
    return 2.0**n


@pytest.mark.parametrize(
    "clean",
    [
        lambda: Configured(),
        lambda: _before(FunctionTransformer(_scaled)),
        lambda: _before(FunctionTransformer(lambda X: X * _power(2))),
        lambda: KNeighborsClassifier(1, metric=lambda one, other: abs(one - other).max()),
    ],
)
def test_clean_ones_stay_exact(rows, clean):
    carriers.check_exact(RetrainUnlearner(clean(), random_state=0), *rows)
