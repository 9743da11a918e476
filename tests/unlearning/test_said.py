"""What is said after a request, of a few nets of many kinds; tests/long has more of them."""

import pytest
from sklearn.datasets import make_classification
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner, InfluenceUnlearner
from skunlearn._unlearning.change import STEADY
from skunlearn._unlearning.traces import measure_weights
from skunlearn.exceptions import NotForgottenWarning
from tests.varied_nets import Case, VariedMLP, count_accused, count_silent, scaled


def test_nets_trained_anew_are_hardly_ever_accused():
    """Of memory, or of damage: some of these nets were still learning when their training ended."""
    said, n = count_accused(range(3000, 3010))
    assert n >= 15
    assert max(said) == 0


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nets_that_know_the_rows_as_before_are():
    silent, n = count_silent(range(3000, 3004))
    assert n >= 15
    assert max(silent) <= 2


@pytest.mark.parametrize(
    "seed",
    [
        5027,  # as good as before on unseen rows
        4021,  # 0.2 of R² worse, of 0.27, which another seed makes of 108 rows
    ],
)
def test_a_regression_that_another_seed_makes_as_bad_is_not_accused(seed):
    case = Case(seed, kind="regression")
    forget = case.requests["rows"]
    assert case.hear(case.train_anew(forget), forget, True) == []


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("seed", "kind", "how"),
    [
        (5032, "few", "unchanged"),  # but for running statistics
        (5033, "handful", "labels"),  # three rows, moved by a fortieth, that neighbours do not name
    ],
)
def test_a_net_that_has_hardly_changed_is_told_of(seed, kind, how):
    case = Case(seed, by_heart=True, kind=kind)
    forget = case.requests["rows"]
    assert case.hear(case.hardly_change(forget)[how], forget, False)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("seed", "kind", "how", "unseen"),
    [
        (4000, None, "unchanged", True),  # known hardly better than unseen rows
        (4001, "handful", "fine-tuned", False),  # of two rows the loss rose by a twentieth
        (4014, "regression", "unchanged", False),  # by half, by running statistics alone
    ],
)
def test_weights_that_are_as_they_were_tell_where_losses_do_not(seed, kind, how, unseen):
    case = Case(seed, by_heart=True, kind=kind)
    forget = case.requests["rows"]
    (said,) = case.hear(case.hardly_change(forget)[how], forget, unseen)
    assert "moved the weights by 0" in said


def test_a_short_step_that_is_right_is_none_that_failed():
    """Of a net of one layer, or where it was computed, weights hardly move."""
    X, y = make_classification(
        1500, 20, n_informative=10, n_classes=3, class_sep=2.0, random_state=0
    )
    X, unseen = scaled(X), {"X_val": scaled(X)[400:], "y_val": y[400:]}
    how = {"criterion": nn.CrossEntropyLoss, "train_split": None, "verbose": 0, "lr": 0.1}
    linear = NeuralNetClassifier(nn.Linear, module__in_features=20, module__out_features=3, **how)
    wide = NeuralNetClassifier(
        VariedMLP, module__n_in=20, module__n_out=3, module__width=256, **how
    )
    tuned, computed = FineTuneUnlearner(linear, lr=1e-3), InfluenceUnlearner(wide, step=0.5)
    for one, n in ((tuned, 20), (computed, 1)):
        one.set_params(random_state=0).fit(X[:400], y[:400])
        old = one.estimator_
        one.unlearn(indices=range(n), **unseen)  # warnings are errors
        assert 0 < measure_weights(old, one.estimator_) < STEADY
    tuned.set_params(estimator=wide).fit(X[:400], y[:400])
    with pytest.warns(NotForgottenWarning, match=r"moved the weights by 0.0\d+ %"):
        tuned.unlearn(indices=range(20), **unseen)
