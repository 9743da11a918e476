"""Labels that no row has: outputs of a module that are sure of them, and classes that have gone."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, NuSVC
from torch import nn

from skunlearn import RetrainUnlearner, ShardedUnlearner
from skunlearn._torch.inference import share_out
from tests.instances import make_net
from tests.small import quiet


class Elsewhere(nn.Linear):
    """Sure of the last of five outputs, as a net that was driven too far may be."""

    def __init__(self):
        super().__init__(4, 5)

    def forward(self, X):
        z = super().forward(X)
        return z + z.new_tensor([0.0, 0.0, 0.0, 0.0, 1e4])


@pytest.mark.parametrize("cls", [RetrainUnlearner, ShardedUnlearner])
def test_a_net_that_is_sure_of_none_of_the_labels(data, cls):
    X, y = data
    net = make_net(max_epochs=1).set_params(module=Elsewhere)
    unlearner = cls(net, random_state=0).fit(X, y).unlearn(indices=[0])
    p = unlearner.predict_proba(X)
    assert p.shape == (60, 3)
    assert p == pytest.approx(1 / 3)
    assert set(unlearner.predict(X)) <= set(y)


def test_what_is_shared_out():
    p = np.array([[0.2, 0.2], [0.0, 0.0], [np.nan, 0.1]], dtype=np.float32)
    found = share_out(p)
    assert found.dtype == np.float32
    assert found[:2].tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert np.isnan(found[2]).all()  # a net without an answer is not given one


ONE = [  # of these a training on rows of one class is possible; the first two give two columns
    HistGradientBoostingClassifier(max_iter=2),
    MLPClassifier(max_iter=2),
    LinearDiscriminantAnalysis(),
    GaussianNB(),
]


@quiet
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer", "ignore:invalid value encountered")
@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("model", ONE, ids=lambda model: type(model).__name__)
def test_one_class_is_left(data, model):
    X, _ = data
    y = np.array(["bee", "ant", "wasp"])[np.arange(60) % 3]
    unlearner = RetrainUnlearner(model, random_state=0).fit(X, y)
    unlearner.unlearn(indices=np.flatnonzero(y != "bee"))
    assert unlearner.predict_proba(X).tolist() == [[0.0, 1.0, 0.0]] * 60
    assert set(unlearner.predict(X)) == {"bee"}


@quiet
def test_decisions_name_the_class_that_is_left(data):
    X, _ = data
    y = np.array(["ant", "bee", "wasp"])[np.arange(60) % 3]
    left = np.flatnonzero(y != "ant")
    model = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X, y)
    scores = model.unlearn(indices=np.flatnonzero(y == "ant")).decision_function(X)
    alone = LogisticRegression().fit(X[left], y[left])
    assert scores.shape == (60, 3)
    assert np.array_equal(model.classes_[scores.argmax(axis=1)], alone.predict(X))
    for gone, sign in (("ant", 1), ("bee", -1)):
        two = RetrainUnlearner(RidgeClassifier(), random_state=0).fit(X[:40], y[:40] == "bee")
        two.unlearn(indices=np.flatnonzero((y[:40] == "bee") == (gone == "bee")))
        assert (np.sign(two.decision_function(X)) == sign).all()


def _ovo(kind=SVC, **kwargs):
    return kind(decision_function_shape="ovo", **kwargs)


PAIRWISE = {
    "SVC": _ovo,
    "NuSVC": lambda: _ovo(NuSVC, nu=0.1),
    "pipeline": lambda: make_pipeline(StandardScaler(), _ovo()),
    "search": lambda: GridSearchCV(SVC(), {"decision_function_shape": ["ovo"]}, cv=2),
    "bagging": lambda: BaggingClassifier(_ovo(), 3, random_state=0),
}


@quiet
@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize("gone", [[0], [2], [0, 2], [1, 2]], ids=str)
@pytest.mark.parametrize("k", [3, 4])
def test_decisions_by_pairs_of_classes_that_are_left(name, gone, k):
    if len(gone) + 2 > k:
        return
    rng = np.random.default_rng(0)
    y = np.arange(160) % k
    X = rng.normal(size=(160, 3)) + 4 * np.eye(4, 3)[y]
    model = RetrainUnlearner(PAIRWISE[name](), random_state=0).fit(X, y)
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    assert model.decision_function(X).shape == (160, len(pairs))
    model.unlearn(indices=np.flatnonzero(np.isin(y, gone)))
    scores = model.decision_function(X)
    assert scores.shape == (160, len(pairs))
    left = np.setdiff1d(np.arange(k), gone)
    ours = model.estimator_.decision_function(X).reshape(160, -1)
    ours = iter((ours if len(left) > 2 else -ours).T)
    for column, (i, j) in zip(scores.T, pairs):
        if i in left and j in left:
            assert np.array_equal(column, next(ours))
        else:
            wins = (i in left) * 1 - (j in left) * 1
            assert (column == (wins * np.inf if wins else 0)).all()
    votes = np.zeros((160, k))
    for column, (i, j) in zip(scores.T, pairs):
        votes[:, i] += column > 0
        votes[:, j] += column < 0
    assert set(votes.argmax(axis=1)) <= set(left)


@quiet
@pytest.mark.parametrize("k", [3, 5])
def test_pairs_of_classes_are_no_classes_in_the_log(k):
    rng = np.random.default_rng(0)
    y = np.arange(150) % k
    X = rng.normal(size=(150, 4)) + 2 * np.eye(5, 4)[y]
    gone, logs = np.arange(0, 30), []
    for shape in ("ovo", "ovr"):
        model = RetrainUnlearner(SVC(decision_function_shape=shape), random_state=0).fit(X, y)
        logs.append(model.unlearn(indices=gone).deletions_[0]["measured"])
    for side, said in logs[1].items():
        assert logs[0][side] == pytest.approx(said), side
