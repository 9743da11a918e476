"""References never start from weights that were trained before."""

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    Normalizer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeClassifier

from skunlearn import (
    BadTeacherUnlearner,
    FineTuneUnlearner,
    RetrainUnlearner,
    RUMUnlearner,
    UnlearningPipeline,
)
from skunlearn.evaluation import audit, compare, deletion_stream, retention_curve
from skunlearn.exceptions import NotForgottenWarning
from skunlearn.metrics import MIAScorer
from skunlearn.robustness import robustness_report
from skunlearn.shadow import ShadowModels
from tests import carriers
from tests.carriers import N, net, trained, tree

FORGET = np.arange(20)


quiet = pytest.mark.filterwarnings("ignore::UserWarning")


def certified(unlearner):
    return json.loads(unlearner.certificate())


# ------------------------------------------------------------------ references


def original(X, y):
    """A net built from a trained instance, initialised, and called trained."""
    return FrozenEstimator(net(trained(X, y), max_epochs=2).initialize())


def from_instance(cls, X, y, **kwargs):
    settings = {"max_epochs": 2, "lr": 1e-9} if cls is FineTuneUnlearner else {}
    return cls(original(X, y), random_state=0, **settings, **kwargs).fit(X, y)


INSTANCE = "module is a module instance"


@quiet
def test_references_never_start_from_trained_weights(unrelated):
    X, y = unrelated
    new = np.random.default_rng(1).normal(size=X.shape).astype(np.float32), y
    unlearner = from_instance(FineTuneUnlearner, X, y).unlearn(indices=FORGET)
    mask = np.isin(np.arange(N), FORGET)
    recipe = {"a": FineTuneUnlearner(original(X, y))}
    for act in (
        lambda: MIAScorer(reference="retrain")(unlearner, *new),
        lambda: MIAScorer(reference="retrain").measure(unlearner, *new),
        lambda: MIAScorer(reference="short")(unlearner, *new),
        lambda: audit(unlearner, *new),
        lambda: audit(unlearner, *new, retrained="short"),
        lambda: deletion_stream(unlearner, [{"indices": [30]}], *new, reference="short"),
        lambda: compare(recipe, X, y, forget=mask, X_test=new[0], y_test=y),
        lambda: deletion_stream(unlearner, [{"indices": [30]}], *new),
        lambda: retention_curve(unlearner, [{"indices": [30]}], *new, reference=True),
        lambda: ShadowModels(original(X, y).estimator, n_models=4).fit(X, y),
        lambda: robustness_report(
            recipe, original(X, y).estimator, X, y, *new, forget_sets=mask, conditions=[]
        ),
    ):
        with pytest.raises(TypeError, match=INSTANCE):
            act()
    assert len(unlearner.deletions_) == 1  # the streams had not begun
    assert np.isfinite(MIAScorer()(unlearner, *new))
    for cls in (BadTeacherUnlearner, RetrainUnlearner):
        with pytest.raises(TypeError, match=INSTANCE):
            from_instance(cls, X, y)
    with pytest.raises(TypeError, match=INSTANCE):
        from_instance(RUMUnlearner, X, y, memorisation="retrain")
    from_instance(RUMUnlearner, X, y)


@quiet
def test_references_around_frozen_parts_are_refused(unrelated):
    X, y = unrelated
    new = np.random.default_rng(1).normal(size=X.shape).astype(np.float32), y
    frozen = CalibratedClassifierCV(FrozenEstimator(tree(X, y)))
    unlearner = RetrainUnlearner(frozen, random_state=0).fit(X, y).unlearn(indices=FORGET)
    mask = np.isin(np.arange(N), FORGET)
    for act, way_out in (
        (lambda: MIAScorer(reference="retrain")(unlearner, *new), "Pass a fitted reference="),
        (lambda: MIAScorer(reference="short")(unlearner, *new), "Pass a fitted reference="),
        (lambda: audit(unlearner, *new), "retrained="),
        (lambda: audit(unlearner, *new, retrained="short"), "retrained="),
        (
            lambda: compare([RetrainUnlearner(frozen)], X, y, forget=mask, X_test=new[0], y_test=y),
            "audit_logits",
        ),
        (lambda: deletion_stream(unlearner, [[30]], *new), "reference=False"),
        (lambda: ShadowModels(frozen, n_models=4).fit(X, y), "on their own rows alone"),
    ):
        with pytest.raises(TypeError, match=f"a FrozenEstimator of .*{way_out}"):
            act()
    assert audit(unlearner, *new, retrained=tree(X[20:], y[20:])).verdicts


def test_references_that_start_from_a_file_warn(unrelated, tmp_path):
    """Public weights in a module's __init__ are allowed; the reference has them too."""
    X, y = unrelated
    new = np.random.default_rng(1).normal(size=X.shape).astype(np.float32), y
    start = carriers.NETS["file"](X, y, tmp_path)
    unlearner = RetrainUnlearner(start, random_state=0).fit(X, y).unlearn(indices=FORGET)
    with pytest.warns(UserWarning, match=r"starts from estimator \(weights that are the same"):
        MIAScorer(reference="retrain")(unlearner, *new)
    with pytest.warns(UserWarning, match="starts from"):
        audit(unlearner, *new)
    teacher = BadTeacherUnlearner(start, random_state=0, max_epochs=1).fit(X, y)
    with pytest.warns(NotForgottenWarning), pytest.warns(match="The untrained teacher starts from"):
        teacher.unlearn(indices=FORGET)


# ------------------------------------------------------------------ pipelines and caches


def test_a_plain_pipeline_is_named(unrelated):
    X, y = unrelated
    for steps, named in (
        ([("scale", StandardScaler())], "Steps scale (StandardScaler) of a Pipeline in front"),
        ([("a", make_pipeline(PCA(3)))], "a__pca (PCA)"),
    ):
        model = RetrainUnlearner(LogisticRegression(), random_state=0)
        pipe = Pipeline([*steps, ("model", model)]).fit(X, y)
        pipe[-1].unlearn(indices=FORGET)
        found = certified(pipe[-1])
        assert found["guarantee"] == "none"
        assert found["deletions"][0]["exact"] is False
        assert any(named in note and "the model behind" in note for note in found["notes"])
        alone = RetrainUnlearner(LogisticRegression(), random_state=0)
        alone.fit(pipe[:-1].transform(X), y).unlearn(indices=FORGET)
        assert certified(alone)["guarantee"] == "retrained without the rows"
        assert np.array_equal(alone.predict(pipe[:-1].transform(X)), pipe.predict(X))
        assert "no part of it" in certified(alone)["scope"]
    outer = Pipeline([("scale", StandardScaler()), ("inner", clone(pipe))]).fit(X, y)
    outer[-1][-1].unlearn(indices=FORGET)
    assert "scale (StandardScaler), a__pca (PCA)" in outer[-1][-1].certificate()


def test_steps_that_hold_the_labels(unrelated):
    """The rows' own numbers, encoded by their labels: the model behind learns the code alone."""
    _, y = unrelated
    X = np.column_stack([np.arange(N), np.zeros(N)])
    encoder = TargetEncoder(cv=2, smooth=1e-9)
    pipe = Pipeline([("code", encoder), ("model", RetrainUnlearner(DecisionTreeClassifier()))])
    pipe.fit(X, y)
    pipe[-1].unlearn(indices=FORGET)
    assert certified(pipe[-1])["guarantee"] == "none"


def test_steps_without_memory_take_nothing_away(unrelated):
    X, y = unrelated
    pipe = make_pipeline(Normalizer(), RetrainUnlearner(LogisticRegression())).fit(X, y)
    pipe[-1].unlearn(indices=FORGET)
    assert certified(pipe[-1])["guarantee"] == "retrained without the rows"
    for steps in (
        [("scale", StandardScaler()), ("model", RetrainUnlearner(LogisticRegression()))],
        [("model", RetrainUnlearner(make_pipeline(StandardScaler(), LogisticRegression())))],
    ):
        whole = UnlearningPipeline(steps).fit(X, y).unlearn(indices=FORGET)
        assert certified(whole)["guarantee"] == "retrained without the rows"
    around = Pipeline([("pca", PCA(3)), ("whole", clone(whole))]).fit(X, y)
    around[-1].unlearn(indices=FORGET)
    assert certified(around[-1])["guarantee"] == "none"
    assert "pca (PCA)" in certified(around[-1])["notes"][0]


def test_what_stood_before_survives_files(unrelated, tmp_path):
    X, y = unrelated
    pipe = make_pipeline(
        FunctionTransformer(), FrozenEstimator(PCA(12).fit(X)), FineTuneUnlearner(net())
    )
    fitted = pipe.fit(X, y)[-1]
    fitted.save(tmp_path / "model")
    loaded = FineTuneUnlearner(net()).load(tmp_path / "model")
    for unlearner in (fitted, loaded):
        assert "frozenestimator (PCA) of a Pipeline in front" in certified(unlearner)["notes"][0]
    assert certified(clone(loaded).fit(X, y))["notes"] == []


def test_caches_inside_are_named(unrelated, tmp_path):
    X, y = unrelated
    cached = Pipeline([("pca", PCA(3)), ("m", LogisticRegression())], memory=str(tmp_path))
    unlearner = RetrainUnlearner(cached, random_state=0).fit(X, y).unlearn(indices=FORGET)
    assert ["estimator__memory" in note for note in certified(unlearner)["notes"]] == [True]
