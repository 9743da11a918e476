"""Training sets that augment at random: what is measured is measured on rows as they are."""

import json

import numpy as np
import pytest
import torch
from torch.utils.data import Subset, TensorDataset
from torchvision.transforms import v2

from skunlearn import FineTuneUnlearner, RetrainUnlearner, ShardedUnlearner
from skunlearn.evaluation import audit
from skunlearn.exceptions import AugmentedRowsWarning
from skunlearn.metrics import MIAScorer
from skunlearn.utils import all_unlearners
from tests.instances import make_regressor_net
from tests.small import FORGET, net, quiet
from tests.turns import in_turns
from tests.unlearning.augmented.datasets import (
    WAYS,
    Augmented,
    AugmentedArrays,
    Doubled,
    Jitter,
    augmenting,
    fitted,
    says,
)


@quiet
def test_a_row_that_is_read_twice_and_differs_is_noticed(rows):
    X, y, *_ = rows
    with pytest.warns(AugmentedRowsWarning, match="measure_on= to fit") as caught:
        fitted(Augmented(X, y, Jitter()))
    assert caught[0].filename == fitted.__code__.co_filename  # where the user called fit
    for rare in (v2.RandomHorizontalFlip(0.3), v2.RandomErasing(0.5), v2.RandomCrop(2, padding=1)):
        images = Augmented(X.reshape(-1, 1, 2, 2), y, rare)
        with pytest.warns(AugmentedRowsWarning):
            fitted(images)
    own = RetrainUnlearner(augmenting(Jitter()), random_state=0)
    with pytest.warns(AugmentedRowsWarning):
        own.fit(X, y)


@pytest.mark.filterwarnings("error::skunlearn.exceptions.AugmentedRowsWarning")
@quiet
def test_rows_that_are_the_same_each_time_are_left_alone(rows):
    X, y, *_ = rows
    for given in (
        Augmented(X, y),
        Augmented(X, y, Doubled()),
        TensorDataset(torch.as_tensor(X), torch.as_tensor(y)),
        Subset(Augmented(X, y), range(30)),
    ):
        assert fitted(given)._reader is None
    plain = net(max_epochs=1, dataset=AugmentedArrays)
    assert RetrainUnlearner(plain, random_state=0).fit(X, y)._reader is None


@quiet
def test_looking_at_rows_leaves_the_generators_and_the_training_alone(rows):
    """Weights are those of a training that was never looked at."""
    X, y, *_ = rows
    data = Augmented(X, y, Jitter())
    one = fitted(data, cls=RetrainUnlearner)
    two = fitted(data, cls=RetrainUnlearner, measure_on=data.transform)
    assert np.array_equal(says(one, X, y), says(two, X, y))


@quiet
@pytest.mark.parametrize("way", WAYS)
def test_everything_is_measured_on_rows_as_they_are(rows, way):
    X, y, X_test, y_test = rows
    data = Augmented(X, y, Jitter())
    test = Augmented(X_test, y_test)
    unlearner = fitted(data, measure_on=WAYS[way](data))
    assert unlearner.score(data) == unlearner.score(data) == unlearner.score(X, y)
    assert np.array_equal(unlearner.predict(data), unlearner.predict(X))
    assert np.array_equal(
        unlearner.predict_proba(Subset(data, [3, 5])), unlearner.predict_proba(X[[3, 5]])
    )
    before = unlearner.score(X[FORGET], y[FORGET])
    unlearner.unlearn(indices=FORGET)
    measured = unlearner.deletions_[-1]["measured"]
    assert measured["forget_before"]["score"] == before
    assert measured["forget_after"]["score"] == unlearner.score(X[FORGET], y[FORGET])
    assert measured["retain_after"]["score"] == unlearner.score(X[6:], y[6:])
    np.testing.assert_array_equal(unlearner._evidence.logits, says(unlearner, X[FORGET], y[FORGET]))
    assert not unlearner._evidence.noisy
    assert "augmentation" not in str(json.loads(unlearner.certificate())["notes"])
    result = MIAScorer(reference="retrain").measure(unlearner, test)
    plain = FineTuneUnlearner(net(max_epochs=3), random_state=0).fit(X, y)
    plain._change(model=unlearner.estimator_, evidence=unlearner._evidence)
    assert MIAScorer()(unlearner, test) == MIAScorer()(plain, X_test, y_test)
    assert result.reference_kind == "retrained"
    report = audit(unlearner, test, y_test)
    accuracy = report.wide.loc["FineTuneUnlearner"]
    assert accuracy["forget train"] == unlearner.score(X[FORGET], y[FORGET])
    assert accuracy["retained train"] == unlearner.score(X[6:], y[6:])


@quiet
@pytest.mark.parametrize(
    "name", in_turns([n for n in all_unlearners(nets=True) if n != "CTUnlearner"], 0)
)
def test_every_method(rows, name):
    X, y, *_ = rows
    data = Augmented(X, y, Jitter())
    unlearner = all_unlearners()[name](net(max_epochs=2), random_state=0)
    unlearner.fit(data, measure_on=data.transform)
    assert unlearner.score(data) == unlearner.score(X, y)
    forget = np.flatnonzero(y == 2) if name == "UNSIRUnlearner" else FORGET
    unlearner.unlearn(indices=forget)
    expected = says(unlearner, X[forget], y[forget])
    np.testing.assert_allclose(unlearner._evidence.logits, expected, rtol=1e-4, atol=1e-5)


@quiet
@pytest.mark.parametrize("cls", [RetrainUnlearner, ShardedUnlearner])
def test_other_kinds_of_models(rows, cls):
    X, y, *_ = rows
    data = Augmented(X, y, Jitter())
    for measure_on in (data.transform, Augmented(X, y)):
        unlearner = fitted(data, cls=cls, measure_on=measure_on).unlearn(indices=FORGET)
        np.testing.assert_allclose(
            unlearner._evidence.logits, says(unlearner, X[FORGET], y[FORGET]), rtol=1e-5
        )
        assert unlearner.score(data) == unlearner.score(data)
    jitter = Jitter()
    unlearner = cls(augmenting(jitter), random_state=0).fit(X, y, measure_on=jitter)
    assert unlearner.unlearn(indices=FORGET).score(X, y) == unlearner.score(X, y)
    np.testing.assert_allclose(
        unlearner._evidence.logits, says(unlearner, X[FORGET], y[FORGET]), rtol=1e-5
    )


@quiet
def test_regression(rows):
    X, y, X_test, y_test = rows
    y, y_test = (side.astype(np.float32) for side in (y, y_test))
    data = Augmented(X, y, Jitter())
    model = make_regressor_net(max_epochs=3)
    unlearner = FineTuneUnlearner(model, random_state=0).fit(data, y, measure_on=data.transform)
    assert unlearner.score(data, y) == unlearner.score(X, y)
    unlearner.unlearn(indices=FORGET)
    assert MIAScorer()(unlearner, X_test, y_test) == MIAScorer()(unlearner, X_test, y_test)
    said = unlearner.predict(torch.as_tensor(X[FORGET]))
    np.testing.assert_allclose(unlearner._evidence.predicted, said, rtol=1e-5)


@quiet
def test_guards_look_at_rows_as_they_are(rows):
    """Through noise of this size a request that changes nothing could seem to cost a lot."""
    X, y, *_ = rows
    data = Augmented(X, y, Jitter(30.0))
    unlearner = fitted(data, measure_on=data.transform)
    before = unlearner.score(X[6:], y[6:])
    unlearner.set_params(lr=1e-9, max_epochs=1).unlearn(indices=FORGET, max_accuracy_drop=0.0)
    assert unlearner.deletions_[-1]["measured"]["retain_before"]["score"] == before
    assert unlearner.deletions_[-1]["measured"]["retain_after"]["score"] == before


@quiet
def test_a_subset_of_an_augmented_dataset(rows):
    X, y, *_ = rows
    data = Augmented(X, y, Jitter())
    part = Subset(data, list(range(5, 35)))
    for measure_on in (data.transform, Subset(Augmented(X, y), list(range(5, 35)))):
        unlearner = fitted(part, measure_on=measure_on)
        assert unlearner.score(part) == unlearner.score(X[5:35], y[5:35])
        inner = Subset(part, [0, 3])
        assert np.array_equal(unlearner.predict(inner), unlearner.predict(X[[5, 8]]))
        unlearner.unlearn(Subset(part, [0, 3]))
        np.testing.assert_array_equal(
            unlearner._evidence.logits, says(unlearner, X[[5, 8]], y[[5, 8]])
        )
