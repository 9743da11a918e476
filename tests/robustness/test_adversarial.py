"""Adversarial rows: as strong as the library's own attacks, and within their bounds."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import RetrainUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.nets import digits_classifier
from skunlearn.nets._inputs import as_float
from skunlearn.robustness import ATTACKS, Adversarial, adversarial_rows, robustness_report
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.instances import make_binary_net, make_net, make_regressor_net

REASON = "needs adversarial-robustness-toolbox"


@pytest.fixture(scope="module")
def art():
    pytest.importorskip("multiprocess", reason="adversarial-robustness-toolbox needs multiprocess")
    return pytest.importorskip("art", reason=REASON)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits_images(return_X_y=True)
    unlearner = RetrainUnlearner(digits_classifier(max_epochs=10), random_state=0)
    return unlearner.fit(X[:800], y[:800]), X[800:960], y[800:960]


def test_one_step_in_closed_form(art, digits):
    unlearner, X, y = digits
    x = torch.tensor(X, requires_grad=True)
    module = unlearner.estimator_.module_.eval()
    nn.functional.cross_entropy(module(x), torch.tensor(y)).backward()
    expected = np.clip(X + 0.1 * np.sign(x.grad.numpy()), 0, 1)
    found = adversarial_rows(unlearner, X, y, "fgsm", eps=0.1)
    assert found == pytest.approx(expected, abs=1e-6)
    towards = adversarial_rows(unlearner, X, y, "fgsm", eps=0.1, targeted=True)
    assert towards == pytest.approx(np.clip(X - 0.1 * np.sign(x.grad.numpy()), 0, 1), abs=1e-6)


def test_as_strong_as_the_librarys_own(art, digits):
    """The library called by hand on the undefended module, with the same budget."""
    from art.attacks.evasion import AutoProjectedGradientDescent, ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    unlearner, X, y = digits
    module = unlearner.estimator_.module_.eval()
    classifier = PyTorchClassifier(
        module,
        loss=nn.CrossEntropyLoss(),
        input_shape=X.shape[1:],
        nb_classes=10,
        clip_values=(0, 1),
        device_type="cpu",
    )
    common = {"eps": 0.1, "batch_size": 256, "verbose": False}
    by_hand = {
        "pgd": ProjectedGradientDescent(
            classifier, eps_step=0.0125, max_iter=20, num_random_init=1, **common
        ),
        "autoattack": AutoProjectedGradientDescent(
            classifier, eps_step=0.2, max_iter=100, nb_random_init=1, **common
        ),
    }
    accuracy = {"clean": unlearner.score(X, y)}
    for name, attack in by_hand.items():
        moved = adversarial_rows(unlearner, X, y, name, eps=0.1, n_queries=20, random_state=0)
        accuracy[name] = unlearner.score(moved, y)
        theirs = unlearner.score(attack.generate(X, np.eye(10, dtype=np.float32)[y]), y)
        assert accuracy[name] <= theirs + 0.02  # another random start
        if name == "pgd":
            assert accuracy[name] >= theirs - 0.02
        assert np.abs(moved - X).max() <= 0.1 + 1e-6
        assert moved.min() >= 0
        assert moved.max() <= 1
        assert moved.dtype == X.dtype
    accuracy["fgsm"] = unlearner.score(adversarial_rows(unlearner, X, y, "fgsm", eps=0.1), y)
    order = [accuracy[name] for name in ("autoattack", "pgd", "fgsm", "clean")]
    assert order == sorted(order)
    assert accuracy["fgsm"] < accuracy["clean"] - 0.1


def test_farther_is_stronger_and_seeds_repeat(art, digits):
    unlearner, X, y = digits
    accuracy = [
        unlearner.score(adversarial_rows(unlearner, X, y, eps=eps, random_state=0), y)
        for eps in (0.02, 0.1, 0.2)
    ]
    assert (np.diff(accuracy) < 0).all()
    state, drawn = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    a, b, c = (adversarial_rows(unlearner, X[:20], y[:20], eps=0.1, random_state=s)
               for s in (0, 0, 1))  # fmt: skip
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == drawn  # noqa: NPY002


def test_the_model_is_only_read(art, digits):
    unlearner, X, y = digits
    module = unlearner.estimator_.module_
    before = parameters(unlearner.estimator_)
    for mode in (True, False):
        module.train(mode)
        for attack in ATTACKS:
            adversarial_rows(unlearner, X[:8], y[:8], attack, n_queries=2, n_iter=2)
        assert module.training is mode
        assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert same_parameters(parameters(unlearner.estimator_), before)
    assert not module._forward_hooks


class Bytes(nn.Sequential):
    """Takes uint8 images, as the nets for CIFAR do."""

    def __init__(self, centred=True):
        super().__init__(nn.Flatten(), nn.Linear(64, 10))
        self.centred = centred

    def forward(self, x):
        if self.centred:
            return super().forward(as_float(x))
        return super().forward(x.float() / 255 if x.dtype == torch.uint8 else x * 3 + 1)


def test_bytes(art):
    X, y = load_digits_images(return_X_y=True)
    X = np.rint(255 * X[:300]).astype(np.uint8)
    net = NeuralNetClassifier(
        Bytes, criterion=nn.CrossEntropyLoss, lr=0.05, max_epochs=10, batch_size=32,
        train_split=None, verbose=0,
    )  # fmt: skip
    unlearner = RetrainUnlearner(net, random_state=0).fit(X, y[:300])
    moved = adversarial_rows(unlearner, X[:100], y[:100], eps=0.1, random_state=0)
    assert moved.dtype == np.uint8
    assert np.abs(moved.astype(int) - X[:100]).max() <= 26  # 25.5, rounded
    assert unlearner.score(moved, y[:100]) < unlearner.score(X[:100], y[:100]) - 0.15
    other = RetrainUnlearner(net.set_params(module__centred=False), random_state=0)
    other.fit(X, y[:300])
    with pytest.raises(ValueError, match="Pass to_float="):
        adversarial_rows(other, X[:100], y[:100])
    given = adversarial_rows(
        other, X[:100], y[:100], eps=0.1, to_float=lambda x: (x / 255 - 1) / 3, random_state=0
    )
    assert other.score(given, y[:100]) < other.score(X[:100], y[:100]) - 0.15


def test_flat_rows_names_and_two_classes(art):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6)).astype(np.float32)
    y = np.where(X[:, 0] + X[:, 1] > 0, "yes", "no")
    for net in (make_binary_net(max_epochs=15), make_net(module__n_out=2, max_epochs=15)):
        unlearner = RetrainUnlearner(net, random_state=0).fit(X, y)
        for attack in ATTACKS:
            moved = adversarial_rows(unlearner, X, y, attack, eps=0.1, random_state=0)
            assert unlearner.score(moved, y) < unlearner.score(X, y) - 0.1
            assert np.abs(moved - X).max() <= 0.1 * np.ptp(X) + 1e-5


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        ({"attack": "cw"}, ValueError, "attack must be one of fgsm, pgd, autoattack"),
        ({"eps": 0}, ValueError, "eps"),
        ({"eps": 1.5}, ValueError, "eps"),
        ({"n_iter": 0}, ValueError, "n_iter"),
        ({"n_queries": 0}, ValueError, "n_queries"),
        ({"value_range": (1, 0)}, ValueError, "rising numbers"),
        ({"X": [[1.0]]}, TypeError, "array or a tensor"),
    ],
)
def test_bad_input(digits, bad, error, match):
    unlearner, X, y = digits
    with pytest.raises(error, match=match):
        adversarial_rows(unlearner, **({"X": X, "y": y} | bad))


def test_only_nets_of_classifiers(data):
    X, y = data
    with pytest.raises(TypeError, match="needs a skorch classifier"):
        adversarial_rows(LogisticRegression().fit(X, y), X, y)
    net = RetrainUnlearner(make_regressor_net(max_epochs=1), random_state=0).fit(X, X[:, 0])
    with pytest.raises(TypeError, match="needs a skorch classifier"):
        adversarial_rows(net, X, X[:, 0])


def test_without_the_library(monkeypatch, digits):
    import sys

    unlearner, X, y = digits
    monkeypatch.setitem(sys.modules, "art", None)
    monkeypatch.setitem(sys.modules, "multiprocess", None)
    with pytest.raises(ImportError, match=r'pip install "skunlearn\[robustness\]"'):
        adversarial_rows(unlearner, X, y)
    net = digits_classifier()
    with pytest.raises(ImportError, match="Adversarial Robustness Toolbox"):
        robustness_report(
            [RetrainUnlearner(net)], net, X[:80], y[:80], X[80:], y[80:],
            forget_sets=np.arange(80) < 8, conditions="pgd",
        )  # fmt: skip


def test_report_under_attack(art):
    """Each model is attacked for itself; residual knowledge is about the same rows for all."""
    X, y = load_digits_images(return_X_y=True)
    X, y, X_test, y_test = X[:300], y[:300], X[300:500], y[300:500]
    net = digits_classifier(max_epochs=8)
    mask = np.arange(300) % 6 == 0
    frame = robustness_report(
        {"again": RetrainUnlearner(net)}, net, X, y, X_test, y_test, forget_sets=mask,
        conditions=Adversarial("pgd", eps=0.1, max_rows=40), n_seeds=2,
    )  # fmt: skip
    table = frame[frame["condition"] == "pgd 0.1"]
    table = table.pivot(index="model", columns="metric", values="value")
    # The same weights, the same rows, the same attack: the same figures.
    assert table.loc["again"].equals(table.loc["retrained"])
    assert table.loc["retrained", "residual knowledge"] == 0
    assert table.loc["retrained (2)", "residual knowledge"] > 0
    original = RetrainUnlearner(net, random_state=0).fit(X, y)
    clean = original.score(X_test, y_test)
    assert table.loc["original", "retained accuracy"] < clean - 0.1
    # Forget rows are led towards their labels.
    before = frame.query("condition == 'clean' and metric == 'forget accuracy'")
    before = before.set_index("model")["value"]
    assert (table["forget accuracy"] >= before[table.index]).all()
    by_hand = adversarial_rows(original, X_test, y_test, eps=0.1, random_state=0)
    assert table.loc["original", "retained accuracy"] == pytest.approx(
        original.score(by_hand, y_test), abs=0.15
    )
