"""Nets as people have them under methods of every family: they work, or refuse in words.

Here a kind meets one method of every sixth family, the next kind those of others, and a kind
those methods at which it failed once; tests/long has them all.
"""

import warnings

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import EpochScoring
from torch import nn

from skunlearn import FineTuneUnlearner, RetrainUnlearner, ShardedUnlearner
from skunlearn._torch.loop.run_guards import telling_torch_errors
from skunlearn.exceptions import UnlearningError
from skunlearn.utils import all_unlearners
from skunlearn.utils._check_tools import parameters
from tests.crossing import cross, starts_from_a_trained_net
from tests.kinds import EVERY, KINDS
from tests.kinds.outputs import Focal
from tests.kinds.registry import classifier, rows
from tests.kinds.training import valid

FAILED_ONCE = [
    ("Adafactor", "NoisyFineTune"),
    ("autocast", "PUMA"),
    ("backbone under no_grad", "Boundary"),
    ("batches of one row", "FineTune"),
    ("batches of one row", "ShrinkPerturb"),
    ("callbacks that look at the rows", "Retrain"),
    ("early stopping", "ShrinkPerturb"),
    ("embedding bag", "Influence"),
    ("get_loss that records", "Influence"),
    ("get_loss that records", "UNSIR"),
    ("own criterion", "Sharded"),
    ("reentrant checkpoints", "SSD"),
    ("scores and logs", "GradientAscent"),
    ("scripted", "FineTune"),
    ("sparse embedding", "CoUn"),
    ("sparse embedding", "Influence"),
    ("sparse embedding", "L1Sparse"),
    ("tuple", "Influence"),
]
FAMILIES = {}
for method in EVERY:
    FAMILIES.setdefault(all_unlearners()[method].__module__.split(".")[1], []).append(method)
CASES = [
    (kind, methods[i // 6 % len(methods)])
    for i, kind in enumerate(KINDS)
    for j, methods in enumerate(FAMILIES.values())
    if (i + j) % 6 == 0
]
CASES += sorted({(kind, f"{name}Unlearner") for kind, name in FAILED_ONCE} - set(CASES))


def test_every_method_and_every_kind_is_met():
    assert {method for _, method in CASES} == set(EVERY)
    assert {kind for kind, _ in CASES} == set(KINDS)
    assert all(set(make.refused) <= set(EVERY) for make in KINDS.values())


@pytest.mark.parametrize("kind, method", CASES)
def test_works_or_refuses_in_words(kind, method, tmp_path):
    frozen = starts_from_a_trained_net(method) and len(method) % 2 == 0
    cross(kind, method, tmp_path, frozen=frozen)


# ---------------------------------------------------------------------- faults, one by one


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scores_that_cannot_be_computed_are_nan():
    """An ROC AUC, when the rows that stay lack a class; what is wrong at once `fit` says."""
    X, y = rows()
    auc = EpochScoring("roc_auc_ovr", lower_is_better=False, on_train=True, name="auc")
    unlearner = RetrainUnlearner(classifier(callbacks=[auc]), random_state=0).fit(X, y)
    assert np.isfinite(unlearner.estimator_.history[:, "auc"]).all()
    with pytest.warns(UndefinedMetricWarning, match="scores 'auc' failed .* NaN: ValueError: Num"):
        unlearner.unlearn(indices=np.flatnonzero(y == 2))
    assert np.isnan(unlearner.estimator_.history[:, "auc"]).all()
    wrong = classifier(callbacks=[EpochScoring(_fail, name="mine")], train_split=valid())
    with pytest.raises(ValueError, match="no score"):
        RetrainUnlearner(wrong, random_state=0).fit(X, y)


def _fail(net, X, y):
    raise ValueError("no score")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_shards_with_a_criterion_of_the_users_own():
    """skorch's ``predict_proba`` then gives logits, of which no mean of shares can be taken."""
    X, y = rows()
    fitted = ShardedUnlearner(classifier(criterion=Focal), n_shards=2, random_state=0).fit(X, y)
    expected = [softmax(net.predict_proba(X), axis=1) for net in fitted.estimator_.members]
    np.testing.assert_allclose(fitted.predict_proba(X), np.mean(expected, axis=0), rtol=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_statistics_that_batches_of_one_row_never_move_stay_as_they_were():
    X, y = rows()
    net = classifier(module__normed=True)
    trained = RetrainUnlearner(net, random_state=0).fit(X, y).estimator_
    before = parameters(trained)
    trained.batch_size = 1
    new = FineTuneUnlearner(FrozenEstimator(trained), random_state=0).fit(X, y)
    new.unlearn(indices=[0])
    after = parameters(new.estimator_)
    for key in before:
        assert np.array_equal(before[key], after[key]) == ("running" in key or "tracked" in key)
    assert new.deletions_[0]["statistics_kept"] == ["module.norm"]


def test_l1_reaches_rows_of_a_sparse_embedding_that_no_batch_reads():
    net, X, y = KINDS["sparse embedding"](None)
    X = np.where(X == 7, 8, X)
    sparse = all_unlearners()["L1SparseUnlearner"](net, gamma=0.1, schedule="constant")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sparse.set_params(random_state=0).fit(X, y)
        before = sparse.estimator_.module_.embed.weight[7].abs().sum()
        assert sparse.unlearn(indices=[0]).estimator_.module_.embed.weight[7].abs().sum() < before


def test_what_pytorch_says_and_what_others_say():
    for is_exact, words in (
        (False, r"PyTorch says: mat1 .*\n.*RetrainUnlearner only"),
        (True, "mat1"),
    ):
        with (
            pytest.raises(UnlearningError, match=words) as told,
            telling_torch_errors("X", is_exact),
        ):
            nn.Linear(2, 3)(torch.ones(1, 4))
        assert isinstance(told.value.__cause__, RuntimeError)
    several = (torch.ones(1, 3), torch.ones(1))
    for call, words in (
        (nn.CrossEntropyLoss(), "the module returns a tuple. Let it return the logits"),
        (lambda rows, _: nn.Linear(3, 3)(rows), "X asks for something"),
    ):
        with (
            pytest.raises(UnlearningError, match=words),
            telling_torch_errors("X", False),
        ):
            call(several, torch.ones(1))
    with pytest.raises(ValueError, match="of my own"), telling_torch_errors("X", False):
        raise ValueError("of my own")
    with pytest.raises(torch.OutOfMemoryError), telling_torch_errors("X", False):
        raise torch.OutOfMemoryError("too little")
