"""Nets with several labels per row: every method, what is measured, and what is refused."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from scipy.special import expit
from sklearn.base import is_classifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch.utils.data import TensorDataset

from skunlearn import (
    FineTuneUnlearner,
    GradientAscentUnlearner,
    ProximalUnlearner,
    RetrainUnlearner,
    RUMUnlearner,
    ShardedUnlearner,
    SSDUnlearner,
    UnlearningPipeline,
)
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.tasks import Classes, Labels, task_of
from skunlearn.evaluation import audit, audit_logits, compare, input_gradients, retention_curve
from skunlearn.exceptions import ClassForgottenWarning, UnlearningError, UntrainedNetWarning
from skunlearn.metrics import (
    MIAScorer,
    RetainedScorer,
    margin,
    membership_inference,
    membership_scores,
)
from skunlearn.metrics._label_logits import match_scores
from skunlearn.model_selection import ForgetSplit
from skunlearn.plotting import LossHistogramDisplay, MIACurveDisplay
from skunlearn.relabelling.random_label import RandomSets
from skunlearn.utils import all_unlearners
from tests.label_nets import FORGET, labelled, plain_net
from tests.turns import in_turns

ONE_CLASS = {
    "AMUNUnlearner",
    "BoundaryUnlearner",
    "DELETEUnlearner",
    "FCSUnlearner",
    "MUMisUnlearner",
    "PotionUnlearner",
    "PRMQUnlearner",
    "UNSIRUnlearner",
}
OF_NETS = {name: cls for name, cls in all_unlearners().items() if cls._promises.takes_nets}
# Single rows hardly matter to the weights that these two look for; see their warnings.
STILL = {"SSDUnlearner", "LFSSDUnlearner"}


@pytest.fixture(scope="module")
def data():
    return labelled()


@pytest.fixture(autouse=True)
def quiet():
    """What methods warn of is not what is tested here, where nothing else is said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@pytest.mark.parametrize("name", in_turns(sorted(OF_NETS), 2))
def test_every_method_works_or_says_why_not(data, name):
    X, y = data
    unlearner = OF_NETS[name](plain_net(), random_state=0)
    if name in ONE_CLASS:  # said before anything is trained
        with pytest.raises(ValueError, match=f"{name} .* one class per row; .* multi-label"):
            unlearner.fit(X, y)
        assert not hasattr(unlearner, "estimator_")
        return
    unlearner.fit(X, y).unlearn(indices=FORGET)
    p, named = unlearner.predict_proba(X), unlearner.predict(X)
    assert p.shape == named.shape == y.shape
    assert ((p >= 0) & (p <= 1)).all()
    assert np.array_equal(named, p > 0.5)
    assert named.dtype == np.int64
    assert unlearner.score(X, y) == accuracy_score(y, named)
    measured = unlearner.deletions_[-1]["measured"]
    before, after = (measured[key]["loss"] for key in ("forget_before", "forget_after"))
    if name not in STILL:
        assert after > before + 0.01, "towards the retrained net, which does not know the rows"


def test_what_is_measured_is_what_scikit_learn_measures(data):
    X, y = data
    unlearner = RetrainUnlearner(plain_net(), random_state=0).fit(X, y)
    assert unlearner.classes_.tolist() == [0, 1, 2, 3]
    assert is_classifier(unlearner)
    logits = unlearner.estimator_.forward(X)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor(y).float())
    unlearner.unlearn(indices=FORGET)
    assert np.allclose(unlearner.predict_proba(X), expit(unlearner.estimator_.forward(X).numpy()))
    seen = unlearner._evidence
    said = log_loss(y[FORGET].ravel(), expit(seen.logits.astype(float)).ravel())
    assert seen.losses().mean() == pytest.approx(said, rel=1e-5)
    assert unlearner.deletions_[0]["measured"]["forget_before"]["loss"] < float(loss) + 0.5
    assert unlearner.deletions_[0]["classes_forgotten"] == []


def test_the_task_is_that_of_torch():
    rng = np.random.default_rng(0)
    z, t = (torch.tensor(rng.normal(size=(9, 4))) for _ in range(2))
    y, task = torch.tensor(rng.integers(2, size=(9, 4)).astype(bool)), Labels(4)
    each = torch.nn.functional.binary_cross_entropy_with_logits(z, y.double(), reduction="none")
    torch.testing.assert_close(task.losses(z, y), each.mean(1))
    torch.testing.assert_close(task.log_likelihoods(z, y), -each.sum(1))
    torch.testing.assert_close(task.log_p(z)[..., 1], torch.nn.functional.logsigmoid(z))
    p, q = torch.sigmoid(t / 2), torch.sigmoid(z / 2)
    kl = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(
        task.divergences(t, z, 2.0), 4 * kl.mean(1).float(), rtol=1e-4, atol=1e-6
    )
    rare = np.zeros((100, 2), bool)
    rare[:10] = True
    assert task.chance(rare) == pytest.approx(-0.1 * np.log(0.1) - 0.9 * np.log(0.9))
    assert task_of(task) is task


def test_probabilities_instead_of_logits_make_no_difference(data):
    X, y = data
    nets = plain_net(), plain_net(torch.nn.BCELoss, module__last="sigmoid")
    for method in (FineTuneUnlearner, GradientAscentUnlearner):
        pair = [
            method(net, random_state=0).fit(X, y).unlearn(indices=FORGET).predict_proba(X)
            for net in nets
        ]
        assert np.abs(pair[0] - pair[1]).max() < 0.05


# ------------------------------------------------------------------ attacks and reports


@pytest.fixture(scope="module")
def attacked():
    """A net that knows random labels by heart, the one without them, and unseen rows alike."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        X, y = labelled()
        unseen = labelled(100, seed=1, random=slice(None))
        base = RetrainUnlearner(plain_net(max_epochs=80), random_state=0).fit(X, y)
        original = base.estimator_
        return X, y, *unseen, base.unlearn(indices=FORGET), original


def test_memorised_labels_are_seen_by_the_attack_and_gone_after_it(attacked):
    X, y, X_new, y_new, retrained, original = attacked
    scorer = MIAScorer()
    clean = scorer.measure(retrained, X_new, y_new)
    lazy = FineTuneUnlearner(plain_net(max_epochs=80), lr=1e-9, max_epochs=1, random_state=0)
    lazy.fit(X, y).unlearn(indices=FORGET)
    known = scorer.measure(lazy, X_new, y_new)
    assert known.auc > clean.auc + 0.25
    assert known.matched
    assert scorer(lazy, X_new, y_new) == pytest.approx(-abs(known.auc - 0.5))
    assert set(MIAScorer(per_class=True).measure(lazy, X_new, y_new).per_class) <= set(range(4))
    for attack in ("loss", "confidence", "entropy", "modified_entropy"):
        assert np.isfinite(MIAScorer(attack, match=None)(lazy, X_new, y_new))
    assert np.isfinite(MIAScorer(reference="retrain")(lazy, X_new, y_new))
    assert 0 <= scorer.blind_baseline(lazy, X_new, y_new).auc <= 1
    report = audit(lazy, X_new, y_new, original=original, retrained=retrained)
    assert report.verdicts["FineTuneUnlearner"].kind == "not forgotten"
    figures = report.frame.set_index(["model", "metric"])["value"]
    assert figures["original", "AUC"] > figures["retrained", "AUC"] + 0.25
    assert figures["retrained", "forget loss"] > 3 * figures["original", "forget loss"]
    assert figures["original", "forget agreement"] < 0.7
    again = audit(retrained, X_new, y_new, original=original, retrained=retrained)
    assert again.verdicts["RetrainUnlearner"].kind == "indistinguishable"
    MIACurveDisplay.from_estimator(lazy, X_new, y_new)
    LossHistogramDisplay.from_estimator(lazy, X_new, y_new)


def test_compare_and_logits_from_anywhere(attacked):
    X, y, X_new, y_new, retrained, _ = attacked
    mask = np.isin(np.arange(len(X)), FORGET)
    methods = [FineTuneUnlearner(plain_net(), random_state=0)]
    report = compare(methods, X, y, forget=mask, X_test=X_new, y_test=y_new)
    models = ["original", "FineTuneUnlearner", report.roles["floor"], "retrained"]
    assert list(report.wide.index) == models
    net = retrained.estimator_
    z = {"forget": net.forward(X[FORGET]).numpy(), "unseen": net.forward(X_new).numpy()}
    labels = {"forget": y[FORGET], "unseen": y_new}
    report = audit_logits({"mine": z, "retrained": z}, labels)
    assert report.verdicts["mine"].kind == "indistinguishable"
    with pytest.raises(ValueError, match="must hold 0 and 1"):
        audit_logits({"mine": z}, labels | {"unseen": y_new + 1}, retrained=None)
    with pytest.raises(ValueError, match="all be classes, or all indicators"):
        audit_logits({"mine": z}, labels | {"unseen": y_new[:, 0]}, retrained=None)


def test_margins_are_by_label():
    z, y = np.array([[3.0, -1.0], [0.5, 2.0]]), np.array([[1, 0], [0, 1]])
    assert margin(z, y).tolist() == [[3.0, 1.0], [-0.5, 2.0]]
    assert membership_scores(z, y).tolist() == [2.0, 0.75]
    assert np.allclose(membership_scores(z, y, "loss"), np.log(expit(margin(z, y))).mean(1))
    with pytest.raises(ValueError, match=r"y has shape \(2, 1\), and logits \(2, 2\)"):
        margin(z, y[:, :1])
    with pytest.raises(ValueError, match="NaN or infinity"):
        margin(z * np.nan, y)


def test_a_rare_label_does_not_look_forgotten():
    """Rows with the label have lower margins, seen or not, and more forget rows have it."""
    rng = np.random.default_rng(0)
    sides = []
    for share in (0.8, 0.1):
        y = rng.random((400, 3)) < [share, 0.5, 0.5]
        m = rng.normal(size=(400, 3)) - 6 * y * [1, 0, 0]
        sides += [np.where(y, m, -m), y]
    assert membership_inference(*sides, match=None, random_state=0).auc < 0.3
    matched = membership_inference(*sides, per_class=True, random_state=0)
    assert abs(matched.auc - 0.5) < 0.05
    assert all(abs(i.estimate - 0.5) < 0.1 for i in matched.per_class.values())
    with pytest.raises(ValueError, match="No unseen row has a label of forget row 0"):
        match_scores(
            np.ones((2, 1)), np.ones((2, 1), bool), np.ones((3, 1)), np.zeros((3, 1), bool)
        )


# ------------------------------------------------------------------ forgetting a label


def test_all_rows_with_a_label_are_a_request(data):
    X, y = data
    rows = np.flatnonzero(y[:, 2])
    with pytest.warns(ClassForgottenWarning, match=r"\[2\]"):
        unlearner = RetrainUnlearner(plain_net(), random_state=0).fit(X, y).unlearn(indices=rows)
    assert unlearner.deletions_[0]["classes_forgotten"] == [2]
    assert unlearner.predict(X[rows])[:, 2].mean() < 0.2
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "SSDUnlearner is made for whole classes")
        SSDUnlearner(plain_net(), random_state=0).fit(X, y).unlearn(indices=rows)
    task = Labels(4)
    seen = observe(unlearner.estimator_, unlearner._forgotten, task)
    assert task.covers(np.delete(y, rows, 0) > 0, y[rows] > 0)
    assert task.still_named(seen, [2]) == pytest.approx(unlearner.predict(X[rows])[:, 2].mean())
    with pytest.raises(ValueError, match="one class per row"):
        RetainedScorer()(unlearner, X, y)


# ------------------------------------------------------------------ the rest of the contract


def test_rows_are_named_in_every_way_and_nothing_is_lost(data, tmp_path):
    X, y = data
    net = plain_net()
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X, y, ids=np.arange(len(X)))
    unlearner.unlearn(X[:5], y[:5]).unlearn(ids=[7]).unlearn(X[8:9], sparse.csr_matrix(y[8:9]))
    assert [e["rows"] for e in unlearner.deletions_] == [5, 1, 1]
    p = unlearner.predict_proba(X)
    back = pickle.loads(pickle.dumps(unlearner))
    assert np.array_equal(back.predict_proba(X), p)
    back.unlearn(indices=[10])
    unlearner.save(tmp_path / "net")
    loaded = FineTuneUnlearner(net).load(tmp_path / "net")
    assert np.array_equal(loaded.predict_proba(X), p)
    assert loaded._classes == Labels(4)
    assert loaded.predict(X).shape == y.shape
    kept = np.r_[5:7, 9 : len(X)]
    loaded.attach(X[kept], y[kept]).unlearn(indices=[11])
    with pytest.raises(ValueError, match="a column for each label"):
        loaded.unlearn(X[12:13], y[12:13, :2])


def test_labels_come_in_every_form(data):
    X, y = data
    wanted = RetrainUnlearner(plain_net(max_epochs=2), random_state=0).fit(X, y).predict_proba(X)
    forms = [
        y.astype(bool),
        y.astype(np.float32),
        sparse.csr_matrix(y),
        torch.tensor(y),
        y.tolist(),
    ]
    for form in forms:
        found = RetrainUnlearner(plain_net(max_epochs=2), random_state=0).fit(X, form)
        assert np.array_equal(found.predict_proba(X), wanted)
    rows = TensorDataset(torch.tensor(X), torch.tensor(y))
    found = RetrainUnlearner(plain_net(max_epochs=2), random_state=0).fit(rows)
    assert np.array_equal(found._record.retained_y, y)
    assert found.unlearn(indices=FORGET).predict_proba(X).shape == y.shape
    weights = np.ones(len(X))
    weighted = RetrainUnlearner(plain_net(max_epochs=2), random_state=0)
    weighted.fit(X, y, sample_weight=weights)
    assert np.allclose(weighted.predict_proba(X), wanted, atol=1e-5)


@pytest.mark.parametrize("aggregate", ["mean", "vote"])
def test_shards(data, aggregate):
    X, y = data
    unlearner = ShardedUnlearner(plain_net(), n_shards=3, aggregate=aggregate, random_state=0)
    unlearner.fit(X, y).unlearn(indices=FORGET[:2])
    p = unlearner.predict_proba(X)
    each = [expit(m.forward(X).numpy()) for m in unlearner.estimator_.members]
    each = [m > 0.5 for m in each] if aggregate == "vote" else each
    assert np.allclose(p, np.mean(each, axis=0), atol=1e-6)
    assert np.array_equal(unlearner.predict(X), p > 0.5)
    assert unlearner.score(X, y) > 0.3


def test_rum_parts_and_searches_and_pipelines(data):
    X, y = data
    parts = [FineTuneUnlearner(None), GradientAscentUnlearner(None)]
    rum = RUMUnlearner(plain_net(), unlearners=parts, random_state=0).fit(X, y)
    assert rum.unlearn(indices=FORGET).deletions_[0]["rows"] == len(FORGET)
    mask = np.isin(np.arange(len(X)), FORGET)
    search = GridSearchCV(
        ProximalUnlearner(plain_net(max_epochs=5), random_state=0),
        {"penalty": [0.0, 0.01]},
        cv=ForgetSplit(2, forget=mask, random_state=0),
        scoring={"accuracy": "accuracy", "mia": MIAScorer(match=None), "auc": "roc_auc"},
        refit="accuracy",
        error_score="raise",
    ).fit(X, y, forget=mask)
    assert np.isfinite(search.cv_results_["mean_test_mia"]).all()
    assert search.predict(X).shape == y.shape
    pipe = UnlearningPipeline(
        [("scale", StandardScaler()), ("net", FineTuneUnlearner(plain_net(), random_state=0))]
    ).fit(X, y)
    pipe.unlearn(indices=FORGET)
    assert roc_auc_score(y, pipe.predict_proba(X)) > 0.7


@pytest.mark.parametrize("softening", ["label_smoothing", "confidence"])
def test_softening_and_early_stopping(data, softening):
    X, y = data
    unlearner = ProximalUnlearner(plain_net(), softening=softening, norm="fisher", random_state=0)
    hard = ProximalUnlearner(plain_net(), norm="fisher", random_state=0)
    sure = [
        np.abs(u.fit(X, y).unlearn(indices=FORGET).predict_proba(X) - 0.5).mean()
        for u in (unlearner, hard)
    ]
    assert sure[0] < sure[1]
    stopped = FineTuneUnlearner(plain_net(), early_stopping=True, random_state=0).fit(X, y)
    assert "held_out_loss" in stopped.unlearn(indices=FORGET).estimator_.history[-1]


def test_random_sets_are_those_of_other_rows():
    rng = np.random.default_rng(0)
    others = rng.random((200, 3)) < [0.9, 0.5, 0.05]
    own = np.repeat([[True, False, False]], 500, axis=0)
    drawn = RandomSets(own, others, True, 0)()
    known = {tuple(row) for row in others.tolist()}
    assert {tuple(row) for row in drawn.tolist()} <= known - {(True, False, False)}
    free = np.concatenate([RandomSets(own, others, False, seed)() for seed in range(20)])
    assert np.allclose(free.mean(axis=0), others.mean(axis=0), atol=0.02)
    with pytest.raises(UnlearningError, match="no others to draw"):
        RandomSets(own, own[:5], True, 0)


# ------------------------------------------------------------------ what is refused


def test_what_needs_one_class_says_so(attacked):
    X, y, X_new, y_new, unlearner, _ = attacked
    fresh = RetrainUnlearner(plain_net(max_epochs=1), random_state=0).fit(X, y)
    for call in (
        lambda: input_gradients(unlearner, X, y),
        lambda: retention_curve(fresh, [{"indices": [1]}], X_new, y_new),
    ):
        with pytest.raises((ValueError, TypeError), match="one class per row"):
            call()


@pytest.mark.parametrize("method", [RetrainUnlearner, ShardedUnlearner])
@pytest.mark.parametrize(
    "estimator",
    [
        MultiOutputClassifier(LogisticRegression()),
        ClassifierChain(LogisticRegression()),
        KNeighborsClassifier(),
        RandomForestClassifier(5),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_scikit_learns_own_are_taken_or_refused_in_words(data, method, estimator):
    X, y = data
    chained = isinstance(estimator, ClassifierChain)
    for labels in (y, y[:, :2] + y[:, 2:], y.tolist(), pd.DataFrame(y)):
        unlearner = method(estimator, random_state=0)
        if method is RetrainUnlearner and not chained:
            unlearner.fit(X, labels).unlearn(indices=FORGET[:2])
            assert unlearner.predict(X).shape == np.shape(labels)
            continue
        told = r"y should be .* UnlearningPipeline .*" if chained else "takes one class per row.*"
        with pytest.raises(ValueError, match=f"{told} for each column"):
            unlearner.fit(X, labels)
    column = method(estimator, random_state=0)
    if not isinstance(estimator, MultiOutputClassifier | ClassifierChain):
        assert column.fit(X, y[:, 0]).unlearn(indices=FORGET[:2]).predict(X).shape == (len(X),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y * 2, "must hold 0 and 1 alone.*row"),
        (lambda y: np.where(y, np.nan, 0), "NaN"),
        (lambda y: y[:, :3], r"must return shape \(n, 3\)"),
        (lambda y: y[:-1], "inconsistent"),
    ],
)
def test_bad_labels(data, change, message):
    X, y = data
    with pytest.raises(ValueError, match=message):
        FineTuneUnlearner(plain_net(), random_state=0).fit(X, change(y))


def test_a_classifier_with_several_labels_is_told_of_the_plain_net(data):
    X, y = data
    for net in (plain_net(cls=NeuralNetClassifier), plain_net(torch.nn.CrossEntropyLoss)):
        with pytest.raises(ValueError, match=r"use skorch's NeuralNet with .*BCEWithLogitsLoss"):
            RetrainUnlearner(net).fit(X, y)


def test_a_frozen_net_of_random_weights_is_named(data):
    X, y = data
    torch.manual_seed(0)
    net = plain_net().initialize()
    with pytest.warns(UntrainedNetWarning, match="frequencies of the labels"):
        FineTuneUnlearner(FrozenEstimator(net)).fit(X, y)
    net.fit(X, y.astype(np.float32))
    trained = FineTuneUnlearner(FrozenEstimator(net), random_state=0).fit(X, y)
    assert np.array_equal(trained.predict(X), net.forward(X).numpy() > 0)


def test_classes_keep_their_task():
    assert isinstance(task_of(np.arange(3)), Classes)
    assert Labels(3) == Labels(3) != Labels(4)
    assert len({Labels(3), Labels(3)}) == 1
