"""Interclass confusion, backdoors, the Gaussian unlearning score and relearn time."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from skorch import NeuralNetClassifier

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn.evaluation import input_gradients, relearn_time
from skunlearn.metrics import (
    backdoor_success_rate,
    gaussian_unlearning_score,
    interclass_confusion,
)
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.instances import make_net


def test_confusion_is_that_of_the_matrix():
    rng = np.random.default_rng(0)
    y, predicted = rng.integers(4, size=(2, 500))
    matrix = confusion_matrix(y, predicted)
    expected = (matrix[1, 3] + matrix[3, 1]) / (matrix[1].sum() + matrix[3].sum())
    found = interclass_confusion(y, predicted, (1, 3))
    assert found.estimate == pytest.approx(expected)
    names = np.array(["a", "b", "c", "d"])
    assert interclass_confusion(names[y], names[predicted], ("b", "d")) == found
    oracle = binomtest(
        int(matrix[1, 3] + matrix[3, 1]), int(matrix[1].sum() + matrix[3].sum())
    ).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == (oracle.low, oracle.high)
    with pytest.raises(ValueError, match="two different labels"):
        interclass_confusion(y, predicted, (1, 1))
    with pytest.raises(ValueError, match="no row of y_true"):
        interclass_confusion(y, predicted, (7, 8))


def test_rows_of_the_target_class_are_no_success():
    y = np.array([0] * 90 + [1] * 10)
    assert backdoor_success_rate(y, np.zeros(100, int), target=0).estimate == 1.0
    assert backdoor_success_rate(y, y, target=0).estimate == 0.0  # not 0.9
    with pytest.raises(ValueError, match="belongs to the target class"):
        backdoor_success_rate(y[:90], y[:90], target=0)
    with pytest.raises(ValueError, match="one label per row"):
        backdoor_success_rate(y, y[:5], target=0)


@pytest.mark.parametrize("which", ["true", "predicted", "named"])
def test_text_equals_no_number(which):
    """A backdoor that works on every row had a success rate of 0, as "0" is not 0."""
    given = {"true": np.array([1, 2, 1]), "predicted": np.zeros(3, int), "named": np.array([0, 1])}
    given[which] = given[which].astype(str)
    target, classes = given["named"][0], tuple(given["named"])
    with pytest.raises(TypeError, match=r"equal none: .*target of"):
        backdoor_success_rate(given["true"], given["predicted"], target)
    with pytest.raises(TypeError, match=r"equal none: .*classes of"):
        interclass_confusion(given["true"], given["predicted"], classes)
    texts = [given[name].astype(str) for name in ("true", "predicted", "named")]
    assert backdoor_success_rate(*texts[:2], texts[2][0]).estimate == 1
    objects = [text.astype(object) for text in texts]
    assert interclass_confusion(*objects[:2], tuple(objects[2])).estimate == 1


def test_planted_noise_is_found_in_the_model_that_saw_it():
    """And not in one that was trained on the clean rows; also not with other noise."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(150, 200)), rng.integers(2, size=150)
    noise = np.zeros_like(X)
    noise[:60] = 0.5 * rng.normal(size=(60, 200))

    def gradients(model):
        """Of the logistic loss by the input, in closed form."""
        p = model.predict_proba(X[:60])[:, 1]
        return (p - y[:60])[:, None] * model.coef_

    poisoned = LogisticRegression(C=0.01).fit(X + noise, y)
    clean = LogisticRegression(C=0.01).fit(X, y)
    found = gaussian_unlearning_score(gradients(poisoned), noise[:60])
    assert found.p_value < 1e-3
    assert found.mean.low > 0
    assert gaussian_unlearning_score(gradients(clean), noise[:60]).p_value > 0.01
    other = 0.5 * rng.normal(size=(60, 200))
    assert gaussian_unlearning_score(gradients(poisoned), other).p_value > 0.01
    # Of its sign and scale: twice the gradient is the same gradient.
    twice = gaussian_unlearning_score(2 * gradients(poisoned), noise[:60])
    assert twice.scores == pytest.approx(found.scores)


def test_the_gaussian_score_is_standard_normal_without_a_trace():
    rng = np.random.default_rng(0)
    found = gaussian_unlearning_score(
        rng.normal(size=(4000, 3, 5)), 0.1 * rng.normal(size=(4000, 3, 5)), scale=0.1
    )
    assert found.scores.std() == pytest.approx(1, abs=0.04)
    assert 0 in found.mean
    assert 0.01 in found.tpr_at_1pct
    assert "Lower is better" in str(found)


@pytest.mark.parametrize(
    ("g", "n", "message"),
    [
        (np.ones((4, 3)), np.ones((4, 2)), "same shape"),
        (np.ones(4), np.ones(4), "same shape"),
        (np.full((4, 3), np.nan), np.ones((4, 3)), "NaN or infinity"),
        (np.zeros((4, 3)), np.eye(4)[:, :3], "zero throughout"),
        (np.ones((4, 3)), np.zeros((4, 3)), "scale must be positive"),
    ],
)
def test_bad_gradients(g, n, message):
    with pytest.raises(ValueError, match=message):
        gaussian_unlearning_score(g, n)


def test_input_gradients_of_a_linear_net():
    """(p − one-hot) W in closed form, for labels of any type and any batch size."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 4)).astype(np.float32), rng.integers(3, size=30)
    net = NeuralNetClassifier(
        torch.nn.Linear, module__in_features=4, module__out_features=3,
        criterion=torch.nn.CrossEntropyLoss, max_epochs=3, train_split=None, verbose=0,
    )  # fmt: skip
    unlearner = RetrainUnlearner(net, random_state=0).fit(X, np.array(["a", "b", "c"])[y])
    before = parameters(unlearner.estimator_)
    p = unlearner.predict_proba(X)
    W = unlearner.estimator_.module_.weight.detach().numpy()
    expected = (p - np.eye(3)[y]) @ W
    for size in (7, 256):
        found = input_gradients(unlearner, X, np.array(["a", "b", "c"])[y], batch_size=size)
        assert found == pytest.approx(expected, abs=1e-6)
    assert same_parameters(parameters(unlearner.estimator_), before)
    with pytest.raises(ValueError, match="each among"):
        input_gradients(unlearner, X, y)
    with pytest.raises(TypeError, match="needs a skorch net"):
        input_gradients(LogisticRegression().fit(X, y), X, y)
    with pytest.raises(TypeError, match="array or tensor"):
        input_gradients(unlearner, X.tolist(), y)


# ------------------------------------------------------------------ relearn time


@pytest.fixture(scope="module")
def models():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 8)).astype(np.float32)
    y = rng.integers(3, size=120)
    net = make_net(module__n_out=3, module__hidden=128, max_epochs=60)
    unlearner = RetrainUnlearner(net, random_state=0).fit(X, y)
    found = {"original": unlearner.estimator_}
    found["hidden"] = copy.deepcopy(found["original"])
    torch.manual_seed(0)
    with torch.no_grad():  # a little noise on the weights: it only looks forgotten
        for p in found["hidden"].module_.parameters():
            p.add_(0.1 * torch.randn_like(p))
    found["retrained"] = unlearner.unlearn(indices=np.arange(30)).estimator_
    return found, X[:30], y[:30]


def test_what_is_only_hidden_comes_back_sooner(models):
    found, X, y = models
    before = {name: parameters(net) for name, net in found.items()}
    table = relearn_time(found, X, y, lr=[0.5, 1.0])
    assert table.loc[("original", 0.5), "steps"] == 0
    for rate in (0.5, 1.0):
        assert table.loc[("retrained", rate), "steps"] > 0
        assert table.loc[("hidden", rate), "ratio"] < 1
        assert table.loc[("retrained", rate), "ratio"] == 1
    assert table.loc["retrained", "steps"].nunique() == 2  # it depends on the rate
    assert all(same_parameters(parameters(net), before[name]) for name, net in found.items())
    again = relearn_time(found, X, y, lr=[0.5, 1.0])
    assert again.equals(table)


def test_giving_up_is_said(models):
    found, X, y = models
    table = relearn_time(found, X, y, lr=1e-6, max_epochs=1)
    assert table.loc[("retrained", 1e-6), "steps"] == np.inf


def test_unlearners_bring_their_labels(models):
    _, X, y = models
    names = np.array(["a", "b", "c"])
    net = make_net(module__n_out=3, max_epochs=3)
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X, names[y])
    table = relearn_time({"original": unlearner}, X, names[y], lr=1.0)
    assert "ratio" not in table
    with pytest.raises(ValueError, match="not among"):
        relearn_time({"original": unlearner}, X, y + 5)
    with pytest.raises(ValueError, match="holds no 'original'"):
        relearn_time({"retrained": unlearner}, X, names[y])
    with pytest.raises(TypeError, match="no skorch net"):
        relearn_time({"original": LogisticRegression().fit(X, y)}, X, y)
