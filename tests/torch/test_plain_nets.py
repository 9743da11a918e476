"""skorch's plain NeuralNet: its criterion, or else its targets, say what it predicts."""

import copy
import functools
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import r2_score
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor

from skunlearn import (
    BadTeacherUnlearner,
    DELETEUnlearner,
    FineTuneUnlearner,
    InfluenceUnlearner,
    ProximalUnlearner,
    RetrainUnlearner,
    SCRUBUnlearner,
)
from skunlearn._torch.parts.tasks import Labels, task_of
from skunlearn.evaluation import audit
from skunlearn.forget_sets import high_loss_forget_set
from skunlearn.metrics import MIAScorer
from skunlearn.utils import all_unlearners
from tests.label_nets import FORGET, labelled, plain_net, valued
from tests.turns import in_turns

OF_NETS = {name: cls for name, cls in all_unlearners().items() if cls._promises.takes_nets}
OF_CLASSES = {
    "AMUNUnlearner",
    "BoundaryUnlearner",
    "DELETEUnlearner",
    "FCSUnlearner",
    "MUMisUnlearner",
    "PRMQUnlearner",
    "PotionUnlearner",
    "RUMUnlearner",
    "RandomLabelUnlearner",
    "SalUnUnlearner",
    "UNSIRUnlearner",
}
STILL = {"SSDUnlearner", "LFSSDUnlearner"}  # see test_multilabel


@pytest.fixture(autouse=True)
def quiet():
    """What methods warn of is not what is tested here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@pytest.mark.parametrize("name", in_turns(sorted(OF_NETS), 3))
def test_every_method_on_several_targets(name):
    X, y = valued()
    unlearner = OF_NETS[name](plain_net(torch.nn.MSELoss), random_state=0)
    if name in OF_CLASSES:  # said before anything is trained
        with pytest.raises(ValueError, match=r"classifiers.*; this is a regression"):
            unlearner.fit(X, y)
        assert not hasattr(unlearner, "estimator_")
        return
    unlearner.fit(X, y)
    assert is_regressor(unlearner)
    unlearner.unlearn(indices=FORGET)
    said = unlearner.predict(X)
    assert said.shape == y.shape
    assert np.isfinite(said).all()
    assert unlearner.score(X, y) == pytest.approx(r2_score(y, said))
    assert not hasattr(unlearner, "classes_")
    measured = unlearner.deletions_[-1]["measured"]
    if name not in STILL:
        assert measured["forget_after"]["loss"] > measured["forget_before"]["loss"]


@functools.cache
def retrained_says(width):
    """Values of a net that was trained without the forget rows."""
    X, y = valued()
    net = plain_net(torch.nn.MSELoss, module__n_outputs=width, max_epochs=150)
    retrained = RetrainUnlearner(net, random_state=0).fit(X, y[:, :width])
    return retrained.unlearn(indices=FORGET).predict(X).reshape(len(y), width)


@pytest.mark.parametrize(
    "method, lr, width",
    [
        (BadTeacherUnlearner, 0.001, 4),
        (SCRUBUnlearner, 0.03, 1),
        pytest.param(BadTeacherUnlearner, 0.001, 1, marks=pytest.mark.long),
        pytest.param(SCRUBUnlearner, 0.03, 4, marks=pytest.mark.long),
    ],
)
def test_distillation_of_values(method, lr, width):
    """Errors on forget rows come nearer to the retrained net's, those on others stay."""
    X, y = valued()
    y = y[:, :width]
    net = plain_net(torch.nn.MSELoss, module__n_outputs=width, max_epochs=150)
    model = method(net, lr=lr, random_state=0).fit(X, y)
    other = copy.deepcopy(model).unlearn(indices=FORGET + 20)
    before = model.predict(X).reshape(y.shape)
    model.unlearn(indices=FORGET)
    after, wanted = model.predict(X).reshape(y.shape), retrained_says(width)
    errors = [np.square(z - y).mean(axis=1) for z in (before, after, wanted)]
    was, now, goal = (e[FORGET].mean() for e in errors)
    assert abs(now - goal) < abs(was - goal)
    chance = np.var(y[len(FORGET) :], axis=0).mean()
    assert errors[1][len(FORGET) :].mean() < 0.2 * chance
    assert not np.allclose(other.predict(X).reshape(y.shape), after, atol=1e-3)


def test_distances_of_values_are_squared_errors():
    task, rng = task_of(None), np.random.default_rng(0)
    a, b = (torch.from_numpy(rng.normal(size=(5, 3))) for _ in range(2))
    expected = torch.nn.functional.mse_loss(a, b, reduction="none").mean(dim=1)
    assert torch.allclose(task.divergences(a, b).double(), expected, atol=1e-6)
    assert torch.equal(task.divergences(a, b), task.divergences(a, b, 4.0))


def test_scrub_rewinds_by_squared_errors():
    X, y = valued()
    unseen = valued(seed=1)
    net = plain_net(torch.nn.MSELoss, max_epochs=150)
    gaps = {}
    for rewind in (None, unseen):
        model = SCRUBUnlearner(net, lr=0.02, max_epochs=6, rewind=rewind, random_state=0)
        model.fit(X, y).unlearn(indices=FORGET)
        forgotten, others = (
            np.square(model.predict(rows) - values).mean()
            for rows, values in ((X[FORGET], y[FORGET]), unseen)
        )
        gaps[rewind is None] = abs(forgotten - others)
    assert gaps[False] <= gaps[True]
    assert gaps[False] != gaps[True]


# The plain net, and skorch's net of the same task.
PAIRS = {
    "classes": (torch.nn.CrossEntropyLoss, NeuralNetClassifier, {"module__n_outputs": 3}),
    "binary": (
        torch.nn.BCEWithLogitsLoss,
        NeuralNetBinaryClassifier,
        {"module__n_outputs": 1, "module__flat": True},
    ),
    "values": (torch.nn.MSELoss, NeuralNetRegressor, {}),
    "value": (torch.nn.MSELoss, NeuralNetRegressor, {"module__n_outputs": 1}),
    "flat value": (
        torch.nn.MSELoss,
        NeuralNetRegressor,
        {"module__n_outputs": 1, "module__flat": True},
    ),
}


def task(kind):
    """Rows and targets of one of the pairs."""
    X, y = valued()
    if kind == "classes":
        return X, np.array(["a", "b", "c"])[y[:, :3].argmax(axis=1)]
    if kind == "binary":
        return X, (y[:, 0] > 0).astype(int)
    return (X, y) if kind == "values" else (X, y[:, 0])


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("method", [RetrainUnlearner, ProximalUnlearner, InfluenceUnlearner])
def test_a_plain_net_is_that_of_its_task(kind, method):
    criterion, told, params = PAIRS[kind]
    X, y = task(kind)
    pair = [
        method(plain_net(criterion, cls=cls, max_epochs=5, **params), random_state=0)
        .fit(X, y)
        .unlearn(indices=FORGET)
        for cls in (type(plain_net()), told)
    ]
    assert np.array_equal(*(u.predict(X) for u in pair))
    assert pair[0].score(X, y) == pair[1].score(X, y)
    assert pair[0].deletions_[0]["measured"] == pair[1].deletions_[0]["measured"]
    assert is_classifier(pair[0]) == is_classifier(pair[1])
    if is_classifier(pair[0]):
        assert np.allclose(*(u.predict_proba(X) for u in pair), atol=1e-6)
        assert np.array_equal(pair[0].classes_, pair[1].classes_)


def test_log_probabilities_of_a_plain_net():
    """NLLLoss is what torch says it is: skorch's classifiers alone take probabilities."""
    X, y = task("classes")
    net = plain_net(torch.nn.NLLLoss, module=LogSoftmax, max_epochs=5)
    for method in (RetrainUnlearner, InfluenceUnlearner, DELETEUnlearner):
        unlearner = method(net, random_state=0).fit(X, y)
        same = method(
            plain_net(torch.nn.CrossEntropyLoss, module__n_outputs=3, max_epochs=5), random_state=0
        ).fit(X, y)
        pair = [u.unlearn(indices=FORGET).predict_proba(X) for u in (unlearner, same)]
        assert np.allclose(pair[0].sum(axis=1), 1, atol=1e-5)
        assert np.allclose(*pair, atol=1e-3)


class LogSoftmax(plain_net().module):
    """Three classes, by the logarithms of their probabilities."""

    def __init__(self):
        super().__init__(3)

    def forward(self, x):
        """Log-probabilities."""
        return torch.log_softmax(super().forward(x), dim=1)


class Focal(torch.nn.Module):
    """A criterion of one's own, of logits of labels."""

    def forward(self, z, y):
        """Mean loss."""
        bce = torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="none")
        return ((1 - torch.exp(-bce)) ** 2 * bce).mean()


class Own(torch.nn.Module):
    """A criterion of one's own, of values."""

    def forward(self, out, y):
        """Mean loss."""
        return torch.log(torch.cosh(out - y)).mean()


def test_a_criterion_of_ones_own_takes_the_task_from_the_targets():
    X, y = labelled()
    unlearner = FineTuneUnlearner(plain_net(Focal), random_state=0).fit(X, y)
    assert unlearner._classes == Labels(4)
    assert is_classifier(unlearner)
    assert unlearner.unlearn(indices=FORGET).predict(X).shape == y.shape
    X, y = valued()
    unlearner = FineTuneUnlearner(plain_net(Own), random_state=0).fit(X, y)
    assert is_regressor(unlearner)
    assert unlearner.unlearn(indices=FORGET).score(X, y) > 0.3


def test_figures_of_several_targets():
    X, y = valued()
    X_new, y_new = valued(seed=1)
    lazy = FineTuneUnlearner(plain_net(torch.nn.MSELoss), lr=1e-9, random_state=0).fit(X, y)
    lazy.unlearn(indices=FORGET)
    known = MIAScorer().measure(lazy, X_new, y_new)
    assert known.attack == "squared error"
    assert known.auc > 0.7
    report = audit(lazy, X_new, y_new)
    assert report.verdicts["FineTuneUnlearner"].kind == "not forgotten"


def test_plain_nets_that_skorch_has_trained_are_asked():
    X, y = labelled()
    net = plain_net().fit(X, y.astype(np.float32))
    rows = high_loss_forget_set(net, X, y, size=10)
    said = torch.nn.functional.binary_cross_entropy_with_logits(
        net.forward(X), torch.tensor(y).float(), reduction="none"
    )
    assert np.isin(np.argsort(-said.mean(1).numpy())[:10], rows.indices).all()


def test_whole_numbers_may_be_values():
    X, y = valued()
    y = np.round(3 * y[:, 0]).astype(int)
    net = plain_net(torch.nn.MSELoss, module__n_outputs=1)
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X, y)
    assert is_regressor(unlearner)
    assert unlearner.unlearn(X[:5], y[:5]).deletions_[0]["rows"] == 5
    assert unlearner.predict(X).dtype == np.float32
