"""Rows of tokens, which have no gradient: methods that move rows say what they take."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from skorch.callbacks import EpochScoring
from torch import nn

from skunlearn import (
    AMUNUnlearner,
    BoundaryUnlearner,
    CoUnUnlearner,
    FineTuneUnlearner,
    JiTUnlearner,
    MUMisUnlearner,
    UNSIRUnlearner,
)
from skunlearn.exceptions import UnlearningError
from tests.small import quiet

N, PAD = 90, 0


class Bag(nn.Module):
    """The mean of the embeddings of tokens that are there, and a linear layer; or embeddings."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 8, padding_idx=PAD)
        self.hidden, self.out = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, tokens, mask=None):
        mask = tokens != PAD if mask is None else mask.bool()
        words = self.embedding(tokens) * mask[..., None]
        return self.out(torch.relu(self.hidden(words.sum(1) / mask.sum(1, keepdim=True))))


class Embedded(Bag):
    """The same for words that are embedded already."""

    def forward(self, X):
        return self.out(torch.relu(self.hidden(X.mean(1))))


def masked(x):
    """A view in which one word in five is missing."""
    if isinstance(x, dict):
        return {**x, "mask": x["mask"] * (torch.rand(x["mask"].shape) < 0.8) | (x["tokens"] < 4)}
    return torch.where((torch.rand(x.shape) < 0.8) | (x < 4), x, PAD)


@pytest.fixture(params=["tokens", "with a mask"])
def rows(request):
    """Tokens of three classes, the first of which tells the class."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, N)
    tokens = rng.integers(4, 20, (N, 6))
    tokens[:, 0] = 1 + y
    if request.param == "tokens":
        return tokens, y
    mask = np.ones_like(tokens)
    mask[:, 4:] = rng.integers(0, 2, (N, 1))
    return {"tokens": tokens, "mask": mask}, y


def net(module=Bag):
    return NeuralNetClassifier(
        module,
        criterion=nn.CrossEntropyLoss,
        lr=0.5,
        max_epochs=5,
        batch_size=20,
        train_split=None,
        verbose=0,
    )


@quiet
@pytest.mark.parametrize(
    "cls, words",
    [
        (BoundaryUnlearner, "tokens to their embeddings.*kind='expand'"),
        (AMUNUnlearner, "tokens to their embeddings.*RandomLabelUnlearner"),
        (UNSIRUnlearner, "tokens to their embeddings"),
        (JiTUnlearner, "moves rows a little.*tokens to their embeddings"),
        (MUMisUnlearner, "gradients by the rows.*tokens to their embeddings"),
        (CoUnUnlearner, "makes views of rows by noise.*Pass augment="),
    ],
)
def test_methods_that_move_rows_say_which_they_take(rows, cls, words):
    trained = []
    model = net().set_params(
        callbacks=[EpochScoring(lambda *given: trained.append(1) or 0.0, on_train=True)]
    )
    with pytest.raises(ValueError, match=words):
        cls(model, random_state=0).fit(*rows)
    assert not trained  # for nothing
    with pytest.raises(ValueError, match=words):
        cls(FrozenEstimator(net().fit(*rows)), random_state=0).fit(*rows)


class Casts(Bag):
    """Tokens that may be numbers of any kind."""

    def forward(self, tokens):
        return super().forward(tokens.long().clamp(0, 19))


@quiet
def test_whole_numbers_that_a_module_takes_as_others_too_are_no_tokens():
    """scikit-learn's own checks fit every estimator to such."""
    X = np.random.default_rng(0).integers(4, 20, (N, 6))
    y = X[:, 0] % 3
    CoUnUnlearner(net(Casts), random_state=0).fit(X, y).unlearn(indices=range(5))
    for cls in (AMUNUnlearner, JiTUnlearner, MUMisUnlearner, UNSIRUnlearner):
        unlearner = cls(net(Casts), random_state=0).fit(X, y)
        with pytest.raises(UnlearningError, match="images to float32"):
            unlearner.unlearn(indices=np.flatnonzero(y == 1))


@quiet
@pytest.mark.parametrize(
    "cls, settings",
    [(BoundaryUnlearner, {"kind": "expand"}), (CoUnUnlearner, {"augment": masked})],
)
def test_the_way_that_the_error_names_is_open(rows, cls, settings):
    unlearner = cls(net(), random_state=0, **settings).fit(*rows).unlearn(indices=range(5))
    assert unlearner.deletions_[0]["rows"] == 5


@quiet
@pytest.mark.parametrize("cls", [AMUNUnlearner, BoundaryUnlearner, UNSIRUnlearner, CoUnUnlearner])
def test_embeddings_are_taken(cls):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 6, 8)).astype(np.float32), rng.integers(0, 3, N)
    unlearner = cls(net(Embedded), random_state=0).fit(X, y).unlearn(indices=np.flatnonzero(y == 1))
    assert unlearner.deletions_[0]["classes_forgotten"] == [1]


@quiet
def test_an_error_of_the_users_own_stays_its_own(rows):
    def augment(x):
        raise RuntimeError("mine")

    unlearner = CoUnUnlearner(net(), augment=augment, random_state=0).fit(*rows)
    with pytest.raises(RuntimeError, match="mine"):
        unlearner.unlearn(indices=range(5))


class Two(nn.Module):
    """Features and logits, in one order or the other."""

    def __init__(self, first="features"):
        super().__init__()
        self.hidden, self.out, self.first = nn.Linear(20, 16), nn.Linear(16, 3), first

    def forward(self, X):
        features = torch.relu(self.hidden(X))
        both = features, self.out(features)
        return both if self.first == "features" else both[::-1]


class OfLogits(nn.Module):
    def forward(self, said, y):
        logits = next(out for out in said if out.shape[1] == 3)
        return nn.functional.cross_entropy(logits, y)


def test_a_prediction_that_is_not_the_first_output_is_told():
    """Sixteen features would pass for logits of three classes, of which the first three count."""
    X, y = np.random.default_rng(0).normal(size=(N, 20)).astype(np.float32), np.arange(N) % 3
    recipe = net(Two).set_params(criterion=OfLogits)
    with pytest.raises(ValueError, match=r"it has 16 columns.*Output 2 has 3: return it first"):
        FineTuneUnlearner(recipe).fit(X, y)
    recipe.set_params(module__first="logits")
    unlearner = FineTuneUnlearner(recipe, random_state=0).fit(X, y)
    assert unlearner.predict_proba(X).shape == (N, 3)
