"""Augmented rows in nets, searches, pipelines and workers."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.preprocessing import StandardScaler

from skunlearn import FineTuneUnlearner, UnlearningPipeline
from skunlearn.metrics import MIAScorer
from skunlearn.model_selection import ForgetSplit
from skunlearn.production import DeletionQueue, DeletionWorker
from tests.small import FORGET, net, quiet
from tests.unlearning.augmented.datasets import WAYS, Augmented, Jitter, N, augmenting, says


@quiet
@pytest.mark.parametrize("kind", ["array", "list", "tensor"])
def test_arrays_in_a_net_that_augments_them(rows, kind):
    X, y, X_test, y_test = rows
    given = {"array": X, "list": X.tolist(), "tensor": torch.from_numpy(X)}[kind]
    jitter = Jitter()
    unlearner = FineTuneUnlearner(augmenting(jitter), random_state=0)
    unlearner.fit(given, y, measure_on=jitter)
    assert unlearner.score(X, y) == unlearner.score(X, y)
    for request in (FORGET, [10, 11]):  # of a list the record holds a copy, and cuts it down
        unlearner.unlearn(indices=request)
        np.testing.assert_allclose(
            unlearner._evidence.logits, says(unlearner, X[request], y[request]), rtol=1e-5
        )
    # Unseen rows go the same way.
    assert MIAScorer()(unlearner, X_test, y_test) == MIAScorer()(unlearner, X_test, y_test)
    again = pickle.loads(pickle.dumps(unlearner))
    assert not again._evidence.noisy
    assert MIAScorer()(again, X_test, y_test) <= 0
    assert "augmentation" in again.certificate()  # what is measured from now on
    kept = again._record.retained
    again.attach(X[kept], y[kept], measure_on=jitter).unlearn(indices=[20])
    assert "augmentation" not in again.certificate()


@quiet
def test_a_dataset_of_the_rows_of_an_array(rows):
    X, y, *_ = rows
    unlearner = FineTuneUnlearner(augmenting(Jitter()), random_state=0)
    unlearner.fit(X, y, measure_on=Augmented(X, y))
    assert unlearner.score(X, y) == unlearner.score(X, y)
    unlearner.unlearn(indices=FORGET)
    np.testing.assert_array_equal(unlearner._evidence.logits, says(unlearner, X[FORGET], y[FORGET]))
    as_list = FineTuneUnlearner(augmenting(Jitter()), random_state=0)
    as_list.fit(X.tolist(), y, measure_on=Augmented(X, y)).unlearn(indices=FORGET)
    as_list.unlearn(indices=[9])
    np.testing.assert_allclose(as_list._evidence.logits, says(as_list, X[[9]], y[[9]]), rtol=1e-5)


@quiet
@pytest.mark.parametrize("search", [True, False])
def test_searches_copy_the_transform_and_find_it(rows, search):
    X, y, *_ = rows
    jitter, forget = Jitter(), np.isin(np.arange(N), FORGET)
    unlearner = FineTuneUnlearner(augmenting(jitter), random_state=0)
    options = {
        "cv": ForgetSplit(2, forget=forget, random_state=0),
        "scoring": MIAScorer(match=None),
    }
    given = {"forget": forget, "measure_on": jitter}
    if search:
        found = GridSearchCV(unlearner, {"max_epochs": [1, 2]}, **options).fit(X, y, **given)
        scores = found.cv_results_["mean_test_score"]
    else:
        scores = cross_validate(unlearner, X, y, params=given, **options)["test_score"]
    assert np.isfinite(scores).all()
    with pytest.raises(ValueError, match="would measure the augmentation"):
        cross_validate(unlearner, X, y, params={"forget": forget}, error_score="raise", **options)


@quiet
def test_a_pipeline(rows):
    X, y, X_test, y_test = rows
    jitter = Jitter()
    steps = [("scale", StandardScaler()), ("model", FineTuneUnlearner(augmenting(jitter)))]
    for refit in (True, False):
        pipeline = UnlearningPipeline(steps, refit_transformers=refit)
        pipeline.fit(X, y, measure_on=jitter).unlearn(indices=FORGET)
        final = pipeline.steps[-1][1]
        scaled = pipeline[:-1].transform(X[FORGET])
        np.testing.assert_allclose(
            final._evidence.logits, says(final, scaled, y[FORGET]), rtol=1e-4
        )
        assert pipeline.score(X, y) == pipeline.score(X, y)
        assert MIAScorer(match=None)(pipeline, X_test, y_test) <= 0
        assert "augmentation" not in pipeline.certificate()
        kept = pipeline._record.retained
        pipeline.detach().attach(X[kept], y[kept], measure_on=jitter).unlearn(indices=[10])
        assert not final._evidence.noisy
    with pytest.raises(TypeError, match="transform to leave out"):
        pipeline.fit(X, y, measure_on=Augmented(X, y))


@quiet
@pytest.mark.parametrize("how", ["a transform", "a Dataset"])
def test_workers(rows, tmp_path, how):
    X, y, X_test, y_test = rows
    data = Augmented(X, y, Jitter())
    measure_on = WAYS[how](data)

    def start():
        worker = DeletionWorker(
            DeletionQueue(tmp_path, batch_size=1),
            FineTuneUnlearner(net(max_epochs=2), random_state=0),
            Augmented(X_test, y_test),
            y_test,
        )
        return worker.start(data, y, ids=range(N), measure_on=measure_on)

    worker = start()
    worker.queue.submit("a", ids=[0, 1, 2, 3])
    assert worker.run_once()["audit"]["AUC"] is not None
    again = start()
    again.queue.submit("b", ids=[4, 5, 6, 7])
    assert again.run_once()["audit"]["AUC"] is not None
