"""A net's own ``get_loss`` gets what skorch gives it, in every method."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner, InfluenceUnlearner, RetrainUnlearner
from skunlearn._torch.row_losses import row_losses
from skunlearn.evaluation import audit
from skunlearn.influence import InverseCurvature
from skunlearn.influence._functional import FunctionalNet
from tests.batch_tools import Plain, last_quarter, net, some_methods, task, third_quarter, unlearner
from tests.instances import make_regressor_net

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Twofold(Plain):
    """Returns logits, and what it has made of the rows."""

    def forward(self, X):
        X = torch.relu(self.conv(X.float().reshape(-1, 1, 3, 4)).flatten(1))
        return self.out(X), X


class Checked(NeuralNetClassifier):
    """Refuses anything but what skorch gives a ``get_loss``."""

    trained = 0

    def get_loss(self, y_pred, y_true, X=None, training=False):
        logits, features = y_pred
        assert isinstance(y_pred, tuple)
        assert len(logits) == len(features) == len(y_true) == len(X)
        assert X.shape[1:] == (12,)
        assert y_true.dtype == torch.int64
        Checked.trained += training
        return super().get_loss(logits, y_true, X, training) + 1e-3 * features.square().mean()


@third_quarter
def test_whole_output_and_rows(name):
    X, y = task(80)
    Checked.trained = 0
    fitted = unlearner(name, net(cls=Checked, module=Twofold)).fit(X, y)
    assert Checked.trained >= 6
    fitted.unlearn(indices=np.arange(15))
    assert np.isfinite(fitted.predict_proba(X)).all()


class Weighted(NeuralNetClassifier):
    """skorch's recipe for sample weights: they come as an entry of X."""

    def __init__(self, *args, criterion__reduction="none", **kwargs):
        super().__init__(*args, criterion__reduction=criterion__reduction, **kwargs)

    def get_loss(self, y_pred, y_true, X, *args, **kwargs):
        loss = super().get_loss(y_pred, y_true, X, *args, **kwargs)
        return (X["sample_weight"] * loss).mean()


class TakesWeights(Plain):
    def forward(self, X, sample_weight=None):
        return super().forward(X)


# They make rows by a gradient, or views of them, and say that they need one tensor for that.
ONE_TENSOR = (
    "AMUNUnlearner",
    "BoundaryUnlearner",
    "CoUnUnlearner",
    "JiTUnlearner",
    "MUMisUnlearner",
    "UNSIRUnlearner",
)


@last_quarter
def test_weights_in_X(name):
    X, y = task(80)
    rows = {"X": X, "sample_weight": np.linspace(0, 1, 80, dtype=np.float32)}
    new = unlearner(name, net(cls=Weighted, module=TakesWeights))
    if name in ONE_TENSOR:
        with pytest.raises(ValueError, match="one tensor"):
            new.fit(rows, y)
        return
    fitted = new.fit(rows, y)
    fitted.unlearn(indices=np.arange(15))
    assert np.isfinite(fitted.predict_proba(rows)).all()


class Named(Twofold):
    """Returns a mapping, as Hugging Face's models do."""

    def forward(self, X):
        logits, features = super().forward(X)
        return {"loss": features.mean(), "logits": logits}


class OfMapping(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, X=None, training=False):
        return super().get_loss(y_pred["logits"], y_true, X, training) + 1e-3 * y_pred["loss"]


@some_methods
def test_mappings(name):
    X, y = task(80)
    fitted = unlearner(name, net(cls=OfMapping, module=Named)).fit(X, y)
    fitted.unlearn(indices=np.arange(15))
    assert fitted.predict_proba(X).shape == (80, 3)


class Penalised(NeuralNetClassifier):
    """The same loss as without it, by the rows and by both outputs."""

    def get_loss(self, y_pred, y_true, X=None, training=False):
        logits, features = y_pred
        doubled = super().get_loss(logits + 0 * features.sum(1, keepdim=True), y_true)
        return doubled + 0 * X.sum()


@pytest.mark.parametrize("solver", ["cg", "exact", pytest.param("ekfac", marks=pytest.mark.long)])
def test_curvature_of_several_outputs(solver):
    """Equals that of the one output that the loss depends on."""
    X, y = task(100)
    results, inverse = [], InverseCurvature(solver=solver)
    for cls, module in ((NeuralNetClassifier, Plain), (Penalised, Twofold)):
        model = InfluenceUnlearner(net(cls=cls, module=module), inverse=inverse, random_state=0)
        results.append(model.fit(X, y).unlearn(indices=[0, 1]).predict_proba(X))
    # Kronecker factors are made with random signs, one for each output.
    np.testing.assert_allclose(*results, atol=0.02 if solver == "ekfac" else 1e-4)


def test_outputs_side_by_side():
    X, y = task(6)
    fitted = RetrainUnlearner(net(cls=Penalised, module=Twofold), random_state=0).fit(X, y)
    f = FunctionalNet(fitted.estimator_)
    x, y = torch.from_numpy(X), torch.from_numpy(y)
    out = f.outputs({}, x)
    assert out.shape == (6, 3 + 48)
    assert torch.equal(f.main(out), out[:, :3])
    expected = nn.functional.cross_entropy(out[:, :3], y, reduction="none")
    torch.testing.assert_close(f.row_losses(out, y, x), expected)
    torch.testing.assert_close(f.loss(out, y, x), expected.sum())


def test_a_regression_is_judged_by_what_it_predicts():
    """Counts of a net that says their logarithm, which `predict_nonlinearity` takes back."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 4)).astype(np.float32)
    y = rng.poisson(np.exp(X[:, :1])).astype(np.float32)
    net = make_regressor_net(
        criterion=torch.nn.PoissonNLLLoss, predict_nonlinearity=torch.exp, lr=0.02, max_epochs=30
    )
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X[:100], y[:100])
    before = unlearner.score(X[100:], y[100:])
    unlearner.unlearn(indices=range(20), X_val=X[100:], y_val=y[100:])
    measured = unlearner.deletions_[0]["measured"]
    assert measured["unseen_before"]["score"] == pytest.approx(before, rel=1e-4)
    assert measured["forget_after"]["score"] == pytest.approx(
        unlearner.score(X[:20], y[:20]), rel=1e-4
    )
    figures = audit(unlearner, X[100:], y[100:]).frame.set_index(["model", "metric"])["value"]
    error = np.mean((unlearner.predict(X[:20]) - y[:20]) ** 2)
    assert figures["FineTuneUnlearner", "forget train MSE"] == pytest.approx(error, rel=1e-4)


def test_forget_rows_are_pushed_away_by_what_a_regression_predicts():
    """Not by the logarithm that its module returns, of which no target is one."""
    net = make_regressor_net(predict_nonlinearity=torch.exp).initialize()
    out, y = torch.zeros(3, 1), torch.tensor([[1.0], [2.0], [0.0]])
    assert row_losses(net, out, y, None).tolist() == [0.0, 1.0, 1.0]
    assert row_losses(make_regressor_net().initialize(), out, y, None).tolist() == [1.0, 4.0, 0.0]
