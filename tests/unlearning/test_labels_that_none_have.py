"""Labels that no row has: outputs of a module that are sure of them, and classes that have gone."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
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
