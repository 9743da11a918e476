"""Whatever remembers forgotten rows is never called exact.

Random labels are learnt by heart, forgotten, and asked for again, for every way to bring trained
state along (``carriers.py``) and every method.
"""

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skunlearn import RetrainUnlearner, ShardedUnlearner, UnlearningPipeline
from skunlearn.exceptions import UnlearningError
from skunlearn.utils import all_unlearners
from tests import carriers

# How methods judge themselves is not what is tested here.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

FORGET = np.arange(20)
KEPT = np.arange(20, carriers.N)
_KNOWN = 0.9  # share of forgotten random labels, of three, that says that they are remembered


@pytest.fixture
def data():
    """Rows without a pattern."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(carriers.N, 12)).astype(np.float32)
    return X, rng.integers(0, carriers.CLASSES, carriers.N)


def remembers(model, X, y):
    """Whether a model knows the labels of the rows that it should have forgotten."""
    return np.mean(model.predict(X[FORGET]) == y[FORGET]) > _KNOWN


def attack(unlearner, X, y):
    """ "refused", "forgotten" or "remembered"; fails where a certificate lies."""
    try:
        unlearner.fit(X, y).unlearn(indices=FORGET)
    except (TypeError, ValueError, UnlearningError) as error:
        return f"refused: {error}"
    if not remembers(unlearner, X, y):
        return "forgotten"
    certificate = json.loads(unlearner.certificate())
    assert certificate["guarantee"] == "none"
    assert not any(entry["exact"] for entry in certificate["deletions"])
    if isinstance(unlearner, UnlearningPipeline) or unlearner._make_promises().exact:
        assert certificate["notes"]
    return "remembered"


def exact_methods(estimator):
    """The methods that retrain, around an estimator that was or was not called trained."""
    return {
        "retrained": RetrainUnlearner(estimator, random_state=0),
        "one shard": ShardedUnlearner(estimator, n_shards=1, random_state=0),
        "shards": ShardedUnlearner(estimator, n_shards=3, random_state=0),
    }


@pytest.mark.parametrize("way", carriers.SKLEARN)
def test_estimators(data, way):
    X, y = data
    estimator = carriers.SKLEARN[way](X, y)
    assert remembers(clone(estimator).fit(X[KEPT], y[KEPT]), X, y)  # or there is no attack
    for name, unlearner in exact_methods(estimator).items():
        assert attack(unlearner, X, y) != "forgotten", name
    fitted = FrozenEstimator(clone(estimator).fit(X, y))
    assert attack(RetrainUnlearner(fitted, random_state=0), X, y) != "forgotten"
    steps = [("same", FunctionTransformer()), ("model", RetrainUnlearner(estimator))]
    assert attack(UnlearningPipeline(steps), X, y) != "forgotten"


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("way", carriers.STEPS)
def test_steps(data, way, refit):
    X, y = data
    last = LogisticRegression(C=1e3, max_iter=1000)
    steps = [("step", carriers.STEPS[way](X, y)), ("model", RetrainUnlearner(last))]
    assert attack(UnlearningPipeline(steps, refit_transformers=refit), X, y) == "remembered"


def nested(net):
    """The net inside other estimators."""
    same = FunctionTransformer()
    return {
        "pipeline": make_pipeline(same, net),
        "voting": VotingClassifier([("net", net)], voting="soft"),
        "two levels": VotingClassifier([("net", make_pipeline(same, net))], voting="soft"),
    }


@pytest.mark.parametrize("turn", [0, *(pytest.param(i, marks=pytest.mark.long) for i in (1, 2))])
@pytest.mark.parametrize("way", carriers.NETS)
def test_nets(data, way, turn, tmp_path):
    """Every exact method, and in a turn every third of the others; the next way the next ones."""
    X, y = data

    def carrier():
        return carriers.NETS[way](X, y, tmp_path)

    assert remembers(clone(carrier()).fit(X[KEPT], y[KEPT]), X, y)
    first = (turn + list(carriers.NETS).index(way)) % 3
    for name in list(all_unlearners(nets=True))[first::3]:
        attack(all_unlearners()[name](carrier()), X, y)  # many forget, none is exact
    for unlearner in exact_methods(carrier()).values():
        assert attack(unlearner, X, y) != "forgotten"
    for where, estimator in nested(carrier()).items():
        for unlearner in exact_methods(estimator).values():
            assert attack(unlearner, X, y) != "forgotten", where
    frozen = FrozenEstimator(carrier().fit(X, y))
    assert attack(RetrainUnlearner(frozen, random_state=0), X, y) != "forgotten"
    steps = [("same", FunctionTransformer()), ("model", RetrainUnlearner(carrier()))]
    assert attack(UnlearningPipeline(steps), X, y) != "forgotten"
