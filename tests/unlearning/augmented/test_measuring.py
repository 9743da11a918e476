"""Figures of augmented rows in audits, files and reports."""

import json

import numpy as np
import pytest
from sklearn.base import clone

from skunlearn import FineTuneUnlearner, RetrainUnlearner, ShardedUnlearner
from skunlearn._torch.observation import observe
from skunlearn.evaluation import audit, compare, deletion_stream
from skunlearn.exceptions import AugmentedRowsWarning
from skunlearn.metrics import MIAScorer
from skunlearn.plotting import LossHistogramDisplay, MIACurveDisplay
from skunlearn.robustness import robustness_report
from skunlearn.shadow import ShadowModels
from tests.small import FORGET, net, quiet
from tests.unlearning.augmented.datasets import Augmented, Jitter, N, augmenting, fitted


@quiet
def test_verdicts_without_a_reference_of_the_same_kind_are_refused(rows):
    X, y, X_test, y_test = rows
    data, test = Augmented(X, y, Jitter()), Augmented(X_test, y_test)
    unlearner = fitted(data).unlearn(indices=FORGET)
    assert unlearner._evidence.noisy
    assert "random augmentation" in json.loads(unlearner.certificate())["notes"][0]
    for ask in (
        lambda: MIAScorer()(unlearner, test),
        lambda: MIAScorer().measure(unlearner, test),
        lambda: audit(unlearner, test, y_test, retrained=None),
        lambda: MIACurveDisplay.from_estimator(unlearner, test, y_test),
        lambda: LossHistogramDisplay.from_estimator(unlearner, test, y_test),
    ):
        with pytest.raises(ValueError, match=r"measure the augmentation.*measure_on="):
            ask()
    scorer = MIAScorer(reference="retrain")
    assert scorer(unlearner, test) == scorer(unlearner, test)
    assert audit(unlearner, test, y_test).verdicts
    stream = deletion_stream(unlearner, [FORGET, [9], [10]], test, y_test, reference=False)
    assert np.isnan(next(stream)["AUC"])


@quiet
def test_two_looks_at_the_same_rows_draw_alike(rows):
    """Otherwise a request that changes nothing would seem to change the loss."""
    data = Augmented(*rows[:2], Jitter())
    unlearner = fitted(data)
    view = unlearner._record.view(FORGET)
    first, second = (observe(unlearner.estimator_, view, unlearner._classes) for _ in range(2))
    assert np.array_equal(first.logits, second.logits)


@quiet
def test_files_say_that_rows_were_augmented(rows, tmp_path):
    X, y, *_ = rows
    data = Augmented(X, y, Jitter())
    unlearner = fitted(data, measure_on=data.transform).unlearn(indices=FORGET)
    unlearner.save(tmp_path / "model")
    loaded = FineTuneUnlearner(net(max_epochs=3)).load(tmp_path / "model")
    assert "random augmentation" in loaded.certificate()
    with pytest.warns(AugmentedRowsWarning):
        loaded.attach(data)
    loaded.attach(data, measure_on=data.transform)
    assert "random augmentation" not in loaded.certificate()
    assert loaded.score(data) == loaded.score(X, y)


@quiet
def test_compare(rows):
    X, y, X_test, y_test = rows
    data, test = Augmented(X, y, Jitter()), Augmented(X_test, y_test)
    forget = np.isin(np.arange(N), FORGET)
    methods = [
        FineTuneUnlearner(net(max_epochs=3)),
        ShardedUnlearner(net(max_epochs=3), n_shards=2),
    ]
    given = {"forget": forget, "X_test": test, "y_test": y_test}
    report = compare(methods, data, y, measure_on=data.transform, **given)
    again = compare(methods, data, y, measure_on=Augmented(X, y), **given)
    figures = ["forget train", "retained train", "AUC"]
    assert np.array_equal(report.wide[figures], again.wide[figures])
    assert compare(methods[:1], data, y, **given).verdicts  # all through the augmentation


@quiet
def test_shadow_models(rows):
    X, y, *_ = rows
    data = Augmented(X, y, Jitter())
    shadows = ShadowModels(net(max_epochs=1), n_models=4, random_state=0)
    one = shadows.fit(data, y, measure_on=data.transform).margins_
    two = clone(shadows).fit(data, y, measure_on=Augmented(X, y)).margins_
    assert np.array_equal(one, two)
    assert not np.array_equal(one, clone(shadows).fit(data, y).margins_)


@quiet
def test_robustness_report(rows):
    X, y, X_test, y_test = rows
    jitter = Jitter()
    forget = np.isin(np.arange(N), FORGET)
    given = {"forget_sets": {"some": forget}, "conditions": []}
    methods = [FineTuneUnlearner(net())]
    frame = robustness_report(methods, augmenting(jitter), *rows, measure_on=jitter, **given)
    model = RetrainUnlearner(augmenting(jitter), random_state=0).fit(X, y, measure_on=jitter)
    value = frame.query("model == 'original' and metric == 'retained accuracy'")["value"]
    assert value.item() == model.score(X_test, y_test)
    with pytest.raises(TypeError, match="transform to leave out"):
        robustness_report(methods, net(), *rows, measure_on=Augmented(X, y), **given)
