"""`reference="short"`: a reference trained for a share of the recipe's epochs."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from skorch.callbacks import LRScheduler

from skunlearn import FineTuneUnlearner, RetrainUnlearner, ShardedUnlearner, UnlearningPipeline
from skunlearn._recipe import training
from skunlearn.callbacks import LinearDecay
from skunlearn.evaluation import audit, deletion_stream
from skunlearn.exceptions import ClassForgottenWarning, NotForgottenWarning
from skunlearn.metrics import MIAScorer
from skunlearn.metrics._scorers.short_reference import train_short
from tests.instances import make_net, make_regressor_net

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{w.__module__}.{w.__name__}")
    for w in (ClassForgottenWarning, NotForgottenWarning)
]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


@pytest.fixture
def trained(digits):
    X, y = digits
    unlearner = FineTuneUnlearner(make_net(max_epochs=20), max_epochs=1, random_state=0)
    return unlearner.fit(X[:600], y[:600]).unlearn(indices=range(100))


def retained(unlearner):
    return unlearner._record.view(np.flatnonzero(unlearner._record.retained))


@pytest.mark.parametrize(("share", "epochs"), [(0.1, 2), (0.01, 1), (1.0, 20)])
def test_a_share_of_the_epochs_is_trained(trained, share, epochs):
    found = train_short(trained, retained(trained), share=share)
    assert found.kind == "short"
    assert found.note == f"{epochs} of 20 epochs"
    assert len(found.model.history) == epochs


def test_it_is_the_beginning_of_the_recipe(digits):
    """Under any schedule: its first epochs are those of the whole training, rates included."""
    X, y = digits
    for schedule in (
        LinearDecay(),
        LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=3, gamma=0.1),
    ):
        net = make_net(max_epochs=20, callbacks=[("rate", schedule)])
        unlearner = FineTuneUnlearner(net, max_epochs=1, random_state=0).fit(X[:300], y[:300])
        unlearner.unlearn(indices=range(50))
        rows = retained(unlearner)
        short = train_short(unlearner, rows).model
        whole = unlearner._train(rows)
        assert short.history[:, "train_loss"] == whole.history[:2, "train_loss"]


def test_the_scorer_takes_it_and_says_so(trained, digits, monkeypatch):
    X, y = digits
    epochs = []
    plain = training._train

    def counted(*work):
        model = plain(*work)
        epochs.append(len(model.history))
        return model

    monkeypatch.setattr(training, "_train", counted)
    scorer = MIAScorer(reference="short")
    result = scorer.measure(trained, X[600:], y[600:])
    assert result.reference_kind == "short"
    assert "short reference (2 of 20 epochs)" in str(result)
    assert scorer(trained, X[600:], y[600:]) == pytest.approx(result.score, abs=1e-12)
    assert epochs == [2]  # kept by the scorer
    other = MIAScorer(reference="short", short=0.25).measure(trained, X[600:], y[600:])
    assert other.reference_note == "5 of 20 epochs"
    assert epochs == [2, 5]
    full = MIAScorer(reference="retrain").measure(trained, X[600:], y[600:])
    assert full.reference_kind == "retrained"
    assert abs(full.reference_auc - result.reference_auc) < 0.1


@pytest.mark.parametrize("share", [0, -0.1, 1.5, np.nan, "a tenth", True])
def test_bad_shares_are_refused(trained, digits, share):
    X, y = digits
    scorer = MIAScorer(reference="short", short=share)
    with pytest.raises(ValueError, match="short must be a share"):
        scorer(trained, X[600:], y[600:])
    with pytest.raises(ValueError, match="short must be a share"):
        audit(trained, X[600:], y[600:], retrained="short", short=share)


def test_estimators_without_epochs_are_trained_in_full(digits):
    X, y = digits
    unlearner = RetrainUnlearner(DecisionTreeClassifier(), random_state=0).fit(X[:300], y[:300])
    unlearner.unlearn(indices=range(50))
    found = train_short(unlearner, retained(unlearner))
    assert found.kind == "retrained"
    assert found.note == "trained in full: DecisionTreeClassifier has no epochs to cut"
    report = audit(unlearner, X[600:], y[600:], retrained="short")
    assert "retrained" in report.wide.index
    assert any("DecisionTreeClassifier has no epochs to cut" in text for text in report.warnings)
    # A solver's iterations are no passes over the rows.
    linear = RetrainUnlearner(LogisticRegression(max_iter=300), random_state=0)
    linear.fit(X[:300], y[:300]).unlearn(indices=range(50))
    assert train_short(linear, retained(linear)).kind == "retrained"


def test_estimators_that_learn_by_epochs_are_cut(digits):
    X, y = digits
    net = MLPClassifier((16,), max_iter=30, random_state=0)
    unlearner = RetrainUnlearner(net, random_state=0)
    with pytest.warns(UserWarning, match="converged"):
        unlearner.fit(X[:300], y[:300]).unlearn(indices=range(50))
    found = train_short(unlearner, retained(unlearner))
    assert (found.model.n_iter_, found.note) == (3, "3 of 30 epochs")
    assert net.max_iter == 30


def test_methods_that_train_in_a_way_of_their_own_are_not_cut(digits):
    X, y = digits
    unlearner = ShardedUnlearner(make_net(max_epochs=5), n_shards=2, random_state=0)
    unlearner.fit(X[:200], y[:200]).unlearn(indices=range(20))
    found = train_short(unlearner, retained(unlearner))
    assert found.note == "trained in full: ShardedUnlearner has no epochs to cut"


def test_memory_keeps_short_and_full_trainings_apart(digits, tmp_path):
    X, y = digits
    net = make_net(max_epochs=10)
    unlearner = FineTuneUnlearner(net, max_epochs=1, random_state=0, memory=str(tmp_path))
    unlearner.fit(X[:300], y[:300]).unlearn(indices=range(50))
    rows = retained(unlearner)
    for share, epochs in ((0.1, 1), (0.5, 5), (0.1, 1)):
        assert len(train_short(unlearner, rows, share=share).model.history) == epochs
    assert len(unlearner._train(rows).history) == 10


def test_regression(digits):
    X, y = digits
    unlearner = FineTuneUnlearner(make_regressor_net(max_epochs=10), max_epochs=1, random_state=0)
    unlearner.fit(X[:300], y[:300].astype(float)).unlearn(indices=range(50))
    result = MIAScorer(reference="short").measure(unlearner, X[600:], y[600:].astype(float))
    assert result.reference_note == "1 of 10 epochs"


def test_audits_take_it(trained, digits):
    X, y = digits
    report = audit(trained, X[600:], y[600:], retrained="short", n_seeds=2)
    for text in (str(report), report.to_html()):
        assert "at most 0.035" in " ".join(text.split())  # how far such references were off
    assert report.roles["floor"] is None  # it would cost more than they do
    assert list(report.wide.index) == [
        "FineTuneUnlearner", "short reference", "short reference (2)"
    ]  # fmt: skip
    verdict = report.verdicts["FineTuneUnlearner"]
    assert "short reference (2 of 20 epochs) 0." in verdict.text
    # What a short training says of rows is no measure of the model's utility or distance.
    assert "ToW" not in report.wide
    assert "forget over null" not in report.wide
    assert not any("utility" in text or "No short" in text for text in report.warnings)


def test_a_kept_class_is_seen_by_a_short_reference_too(digits):
    X, y = digits
    unlearner = FineTuneUnlearner(make_net(max_epochs=20), lr=1e-9, random_state=0)
    unlearner.fit(X[:1200], y[:1200]).unlearn(indices=np.flatnonzero(y[:1200] == 3))
    verdict = audit(unlearner, X[1200:], y[1200:], retrained="short").verdicts["FineTuneUnlearner"]
    assert verdict.kind == "not forgotten"


def test_streams_take_it(trained, digits):
    X, y = digits
    (found,) = deletion_stream(trained, [range(100), [200, 201, 202]], X[600:], y[600:],
                               reference="short")  # fmt: skip
    assert found["retrained"] == "2 of 20 epochs"
    assert found["strongest"] in ("margin", "loss", "confidence", "entropy", "modified_entropy")
    assert found["distance"] >= abs(found["AUC"] - found["AUC retrained"]) - 1e-12
    with pytest.raises(ValueError, match="reference must be True, False or 'short'"):
        deletion_stream(trained, [[0]], X[600:], y[600:], reference="retrain")


def test_audits_of_pipelines_and_regressors_take_it(digits):
    X, y = digits
    net = FineTuneUnlearner(make_net(max_epochs=10), max_epochs=1, random_state=0)
    piped = UnlearningPipeline([("scale", StandardScaler()), ("net", net)])
    piped.fit(X[:600], y[:600]).unlearn(indices=range(100))
    report = audit(piped, X[600:], y[600:], retrained="short", n_seeds=2)
    assert list(report.wide.index)[1:] == ["short reference", "short reference (2)"]
    assert "short reference (1 of 10 epochs)" in report.verdicts["FineTuneUnlearner"].text
    values = FineTuneUnlearner(make_regressor_net(max_epochs=10), max_epochs=1, random_state=0)
    values.fit(X[:600], y[:600].astype(float)).unlearn(indices=range(100))
    report = audit(values, X[600:], y[600:].astype(float), retrained="short")
    assert "short reference (1 of 10 epochs)" in report.verdicts["FineTuneUnlearner"].text
    assert "AUC difference" in report.wide
