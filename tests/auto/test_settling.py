"""What a short training leaves undone: how sure a net is, and what it says of classes gone."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.datasets import make_classification
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn

from skunlearn import AutoUnlearner, RetrainUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.parts.net_state import weights
from skunlearn._torch.parts.tasks import Labels
from skunlearn.auto._settling import Confidence, said_of, silence
from skunlearn.exceptions import ClassForgottenWarning
from skunlearn.utils._check_tools import same_parameters
from tests.auto.digits import MLP, digits, net

CLASSES, NONE = np.arange(10), np.array([], dtype=int)


class HeadFirst(nn.Module):
    """Its layers stand in another order than they are used in, and there is one more."""

    def __init__(self):
        super().__init__()
        self.head, self.first = nn.Linear(64, 10), nn.Linear(64, 64)
        self.unused = nn.Linear(10, 10)

    def forward(self, X):
        return self.head(torch.relu(self.first(X)))


class Squared(nn.Module):
    """Of its outputs no layer is the last."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(64, 10)

    def forward(self, X):
        return self.first(X) ** 2


class Autocast(nn.Module):
    """Of its outputs each is rounded to 8 bits."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, X):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.last(torch.relu(self.first(X)))


class Tied(nn.Module):
    """What is scaled at its end is scaled at its beginning too."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 64, bias=False), nn.Linear(64, 64)
        self.last.weight = self.first.weight

    def forward(self, X):
        return self.last(torch.tanh(self.first(X)))[:, :10]


def trained(epochs, **changed):
    X, y, X_unseen, y_unseen, _ = digits()
    torch.manual_seed(0)
    model = net(**({"module__hidden": 64} if "module" not in changed else {}) | changed)
    model.set_params(max_epochs=epochs).fit(X[:500], y[:500])
    return model, Rows(X_unseen, y_unseen, np.arange(len(y_unseen)))


def masses(model, rows, gone):
    return softmax(said_of(model, rows, CLASSES), axis=1)[:, gone].sum(axis=1)


def mean_mass(model, rows, gone):
    return masses(model, rows, gone).mean()


def least_mass(model, others, gone):
    """That a class is left, where `others` have as much."""
    return max(1e-4, np.median(masses(model, others, gone)))


def entropies(logits):
    return -(softmax(logits, axis=1) * log_softmax(logits, axis=1)).sum(axis=1)


@pytest.mark.parametrize("module", [None, HeadFirst])
def test_a_short_training_becomes_as_sure_as_a_long_one(module):
    given = {} if module is None else {"module": module}
    (long, unseen), (short, _) = trained(40, **given), trained(4, **given)
    confidence = Confidence(long, unseen, CLASSES, NONE)
    before = said_of(short, unseen, CLASSES)
    factor = confidence.match(short)
    after = said_of(short, unseen, CLASSES)
    assert factor > 1.2
    np.testing.assert_allclose(after, factor * before, rtol=1e-4, atol=1e-4)
    rows = confidence.rows
    target = entropies(said_of(long, rows, CLASSES))
    found = entropies(said_of(short, rows, CLASSES)) - target
    # Up to what chance explains, and not beyond.
    assert found.mean() == pytest.approx(found.std(ddof=1) / np.sqrt(len(found)), rel=0.02)
    assert confidence.match(short) is None
    assert (entropies(before).mean() - target.mean()) > 5 * found.mean()


def test_wrong_labels_known_by_heart_are_no_reason_to_doubt_other_rows():
    """An original that knows some is unsure of unseen rows, which no retrained net is.

    As sure as of these it was 3.5 times as far from retrained nets as they from each other.
    """
    table = {"n_informative": 12, "n_classes": 5, "class_sep": 2.0, "flip_y": 0}
    X, y = make_classification(1400, 20, random_state=0, **table)
    X, rng = X.astype(np.float32), np.random.default_rng(0)
    forget = rng.choice(500, 60, replace=False)
    y[forget[:40]] = (y[forget[:40]] + rng.integers(1, 5, 40)) % 5
    recipe = NeuralNetClassifier(
        MLP, module__n_in=20, module__n_out=5, module__hidden=128, criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam, lr=0.003, max_epochs=40, batch_size=32, train_split=None,
        iterator_train__shuffle=True, verbose=0,
    )  # fmt: skip
    kept = np.setdiff1d(np.arange(500), forget)
    retrained = [
        np.sqrt(RetrainUnlearner(recipe, random_state=seed).fit(X[kept], y[kept]).predict_proba(X))
        for seed in (1, 2)
    ]
    auto = AutoUnlearner(recipe, random_state=0).fit(X[:500], y[:500])
    auto.unlearn(indices=forget, X_val=X[500:], y_val=y[500:])
    ours, done = np.sqrt(auto.predict_proba(X)), auto.deletions_[0]["auto"]
    assert done["odd"] > 0.3
    assert done["confidence"] > 1.1

    def distance(a, b):
        return np.sqrt(np.clip(1 - (a * b)[forget].sum(axis=1), 0, None)).mean()

    assert np.mean([distance(ours, root) for root in retrained]) < 2.6 * distance(*retrained)


def test_a_net_that_is_surer_already_is_left():
    """Made less sure, nets for a small table ended three times as far from retrained ones."""
    (long, unseen), (short, _) = trained(40), trained(4)
    before = weights(long)
    assert Confidence(short, unseen, CLASSES, NONE).match(long) is None
    assert same_parameters(weights(long), before)


def test_a_net_becomes_no_surer_than_its_errors_allow():
    """What it says of unseen rows would be farther from their labels than what the original did."""
    (long, unseen), (short, _) = trained(40), trained(4)
    confidence = Confidence(long, unseen, CLASSES, NONE)
    free = copy.deepcopy(short)
    assert confidence.match(free) > 1.3
    rows = confidence.rows

    def loss(model):
        return -log_softmax(said_of(model, rows, CLASSES), axis=1)[np.arange(500), rows.y].mean()

    assert confidence.loss == pytest.approx(loss(long))
    confidence.loss = (loss(short) + loss(free)) / 2
    assert confidence.loss > loss(short)
    held = copy.deepcopy(short)
    assert confidence.match(held) > 1
    assert loss(held) == pytest.approx(confidence.loss, rel=1e-4)
    confidence.loss = loss(short) - 0.01
    assert confidence.match(short) is None


def test_a_net_becomes_twice_as_sure_at_most():
    """Four times as sure, a net for bags of likes had half as much more loss on unseen rows."""
    X, y, *_ = digits()
    (long, _), (short, _) = trained(60, lr=0.2), trained(1, lr=0.02)
    rows = Rows(X, y, np.arange(500))
    assert Confidence(long, rows, CLASSES, NONE, trained=True).match(short) == pytest.approx(2)


def test_nets_agree_where_they_name_the_same_of_the_classes_that_stay():
    (long, unseen), (short, _) = trained(40), trained(4)
    confidence = Confidence(long, unseen, CLASSES, NONE)
    assert confidence.agrees(long)
    assert not confidence.agrees(short)  # 40 epochs know wrong labels by heart
    stays = unseen.take(np.flatnonzero(unseen.y != 3))
    other = copy.deepcopy(long)
    with torch.no_grad():
        other.module_.last.bias[3] += 30  # all are of the class that goes
    assert Confidence(long, stays, CLASSES, np.array([3])).agrees(other)
    assert not Confidence(long, unseen.take(np.arange(9)), CLASSES, NONE).agrees(long)


@pytest.mark.parametrize("why", ["frozen", "no layer", "tied", "few rows", "nothing to do"])
def test_where_nothing_can_be_done_nothing_is(why):
    given = {"no layer": {"module": Squared, "lr": 0.01}, "tied": {"module": Tied}}.get(why, {})
    (long, unseen), (short, _) = trained(40, **given), trained(4, **given)
    if why == "frozen":
        for p in short.module_.parameters():
            p.requires_grad_(False)
    if why == "few rows":
        unseen = unseen.take(np.arange(9))
    if why == "nothing to do":
        long = short
    before = weights(short)
    assert Confidence(long, unseen, CLASSES, NONE).match(short) is None
    assert same_parameters(weights(short), before)


def test_outputs_that_are_rounded_are_matched_as_well():
    (long, unseen), (short, _) = (trained(n, module=Autocast) for n in (40, 4))
    before = said_of(short, unseen, CLASSES)
    factor = Confidence(long, unseen, CLASSES, NONE).match(short)
    assert factor > 1.2
    after = said_of(short, unseen, CLASSES)
    np.testing.assert_allclose(after, factor * before, atol=2.0**-6 * abs(after).max())
    gone = unseen.take(np.flatnonzero(unseen.y == 3))
    others = unseen.take(np.flatnonzero(unseen.y != 3)[:500])
    least = least_mass(short, others, [3])
    assert silence(short, gone, others, CLASSES)[0] > 1
    assert mean_mass(short, gone, [3]) == pytest.approx(least, rel=0.1)


def test_labels_are_matched_one_by_one():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 64)).astype(np.float32)
    y = (X[:, :3] + rng.normal(size=(600, 3)) > 0).astype(np.float32)
    unseen = Rows(X, y > 0, np.arange(300, 600))
    nets = []
    for epochs in (30, 2):
        torch.manual_seed(0)
        model = net(NeuralNet, criterion=nn.BCEWithLogitsLoss, module__n_out=3, max_epochs=epochs)
        nets.append(model.fit(X[:300], y[:300]))
    before = said_of(nets[1], unseen, Labels(3))
    factor = Confidence(nets[0], unseen, Labels(3), NONE).match(nets[1])
    assert factor > 1.5
    np.testing.assert_allclose(said_of(nets[1], unseen, Labels(3)), factor * before, rtol=1e-3)


def test_a_class_that_is_gone_is_no_part_of_how_sure_a_net_is():
    (long, unseen), (short, _) = trained(40), trained(4)
    stays = unseen.take(np.flatnonzero(unseen.y != 3))
    factor = Confidence(long, stays, CLASSES, np.array([3])).match(short)
    with torch.no_grad():
        short.module_.last.bias[3] -= 30  # what it says of that class does not matter
    assert Confidence(long, stays, CLASSES, np.array([3])).match(short) is None
    assert factor > 1.2


@pytest.mark.parametrize("bias", [True, False])
def test_classes_that_are_gone_fall_silent(bias):
    model, unseen = trained(4)
    if not bias:
        model.module_.last.bias = None
    gone = unseen.take(np.flatnonzero(np.isin(unseen.y, [3, 7])))
    before = said_of(model, unseen, CLASSES)
    kept = weights(model)
    others = unseen.take(np.flatnonzero(~np.isin(unseen.y, [3, 7]))[:500])
    least = least_mass(model, others, [3, 7])
    lowered, named = silence(model, gone, others, CLASSES)
    assert named == pytest.approx(np.mean(before[np.isin(unseen.y, [3, 7])].argmax(1) == gone.y))
    if not bias:
        assert lowered is None
        assert same_parameters(weights(model), kept)
        return
    after = said_of(model, unseen, CLASSES)
    assert lowered > 1
    expected = before - lowered * np.isin(CLASSES, [3, 7])
    np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-4)
    assert mean_mass(model, gone, [3, 7]) == pytest.approx(least, rel=0.01)
    assert silence(model, gone, others, CLASSES)[1] < 0.05 < named


def test_smoothed_labels_leave_a_share_to_classes_that_are_gone():
    """Lowered to 1e-4, rows of two classes were farther from retrained nets than the floor's."""
    X, y, *_ = digits()
    stay = y != 3
    rows = [Rows(X, y, np.flatnonzero(which)) for which in (~stay, stay)]
    found = []
    for smoothing in (0.0, 0.2):
        given = {"module__hidden": 64, "criterion__label_smoothing": smoothing}
        model = net(max_epochs=20, **given)
        auto = AutoUnlearner(model, random_state=0).fit(X, y)
        with pytest.warns(ClassForgottenWarning):
            auto.unlearn(indices=np.flatnonzero(~stay))
        torch.manual_seed(1)
        retrained = net(max_epochs=20, module__n_out=10, **given).fit(X[stay], y[stay])
        found.append([mean_mass(one, rows[0], [3]) for one in (auto.estimator_, retrained)])
    assert found[0][0] < 2e-3
    assert 1e-3 < 0.2 * found[1][1] < found[1][0] < 2 * found[1][1]


def test_a_net_that_becomes_surer_says_no_more_of_a_class_that_is_gone():
    (long, unseen), (short, _) = trained(40), trained(4)
    gone = unseen.take(np.flatnonzero(unseen.y == 3))
    stays = unseen.take(np.flatnonzero(unseen.y != 3)[:500])
    confidence = Confidence(long, stays, CLASSES, np.array([3]))
    surer = copy.deepcopy(short)
    confidence.match(surer)
    auto = AutoUnlearner(short)
    auto._auto = {}
    auto._fitted = SimpleNamespace(row_reader=SimpleNamespace(classes=CLASSES))
    auto._settle(short, stays, gone, True, confidence)
    assert auto._auto["confidence"] > 1.2
    least = least_mass(surer, stays, [3])
    assert mean_mass(short, gone, [3]) == pytest.approx(least, rel=0.01)
