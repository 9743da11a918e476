"""Samplers and collate functions see labels and items, never row numbers."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from torch import nn
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler, default_collate

from skunlearn import BadTeacherUnlearner, FineTuneUnlearner, RetrainUnlearner
from skunlearn.exceptions import UnlearningError
from skunlearn.utils import all_unlearners
from tests.batch_tools import (
    Plain,
    last_quarter,
    net,
    other_methods,
    some_methods,
    task,
    third_quarter,
    unlearner,
)
from tests.turns import in_turns

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Balanced(DataLoader):
    """Draws every class as often as any other."""

    seen = []

    def __init__(self, dataset, batch_size):
        labels = [label for _, label in dataset]
        assert np.array_equal(labels, dataset.y)
        assert set(labels) <= {0, 1, 2}
        counts = {label: labels.count(label) for label in set(labels)}  # by hash, too
        weights = [1 / counts[label] for label in labels]
        sampler = WeightedRandomSampler(weights, len(labels))
        super().__init__(dataset, batch_size=batch_size, sampler=sampler, collate_fn=self.note)

    @staticmethod
    def note(items):
        Balanced.seen += [int(label) for _, label in items]
        return default_collate(items)


# Of these the labels in training are not those of the rows, or one class is trained on alone.
RELABELLED = ("RandomLabelUnlearner", "SalUnUnlearner", "RUMUnlearner")


@some_methods
def test_a_sampler_made_from_the_data_set(name):
    X, _ = task(240)
    y = np.repeat([0, 0, 0, 0, 0, 0, 1, 2], 30)  # six rows of class 0 for one of the others
    Balanced.seen.clear()
    fitted = unlearner(name, net(iterator_train=Balanced, max_epochs=3)).fit(X, y)
    shares = np.bincount(Balanced.seen, minlength=3) / len(Balanced.seen)
    assert np.abs(shares - 1 / 3).max() < 0.08
    Balanced.seen.clear()
    fitted.unlearn(indices=np.arange(0, 240, 6))
    assert set(Balanced.seen) <= {0, 1, 2}
    if len(Balanced.seen) > 300 and name not in RELABELLED:
        shares = np.bincount(Balanced.seen, minlength=3) / len(Balanced.seen)
        assert np.abs(shares - 1 / 3).max() < 0.08


def mixup(items):
    """Rows mixed with others of their batch, with one-hot targets mixed alike."""
    x, y = default_collate(items)
    share, other = torch.rand(1), torch.randperm(len(y))
    y = nn.functional.one_hot(y, 3).float()
    return share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]


# They judge or teach single rows, whose labels are mixed here.
SINGLE_ROWS = (
    "BadTeacherUnlearner",
    "BoundaryUnlearner",
    "DELETEUnlearner",
    "GradientAscentUnlearner",
    "MUMisUnlearner",
    "NegGradPlusUnlearner",
    "OracleMatchingUnlearner",
    "SCRUBUnlearner",
    "SFRonUnlearner",
    "UAMUnlearner",
)


@last_quarter
def test_mixup(name):
    X, y = task(80)
    fitted = unlearner(name, net(iterator_train__collate_fn=mixup))
    if name == "OracleMatchingUnlearner":  # which otherwise trains anew in so short a recipe
        fitted.set_params(oracle=FrozenEstimator(net().fit(X, y)))
    fitted.fit(X, y)
    if name in SINGLE_ROWS:
        before = fitted.predict_proba(X)
        with pytest.raises(UnlearningError, match=f"{name} must know the rows .* mixes them"):
            fitted.unlearn(indices=np.arange(15))
        assert np.array_equal(fitted.predict_proba(X), before)
        return
    fitted.unlearn(indices=np.arange(15))
    assert np.isfinite(fitted.predict_proba(X)).all()


def sort(items):
    """Rows in another order than they were drawn in."""
    return default_collate(sorted(items, key=lambda item: float(item[0][0])))


def jitter(items):
    """The rows that were drawn, moved a little, with one-hot targets."""
    x, y = default_collate(items)
    return x + 0.01 * torch.randn_like(x), nn.functional.one_hot(y, 3).float()


def test_who_needs_to_know_rows_is_told_when_they_are_not_where_they_were():
    X, y = task(80)
    with pytest.raises(UnlearningError, match="another order"):
        BadTeacherUnlearner(net(iterator_train__collate_fn=sort), random_state=0).fit(X, y).unlearn(
            indices=np.arange(15)
        )
    kept = BadTeacherUnlearner(net(iterator_train__collate_fn=jitter), random_state=0).fit(X, y)
    kept.unlearn(indices=np.arange(15))


class Threaded:
    """Reads everything at once: nobody can tell what is in a batch."""

    def __init__(self, dataset, batch_size):
        self.dataset, self.batch_size = dataset, batch_size

    def __iter__(self):
        items = [self.dataset[i] for i in range(len(self.dataset))]
        for i in range(0, len(items), self.batch_size):
            yield default_collate(items[i : i + self.batch_size])


class ByHand(Threaded):
    """Reads what is in a batch, one item after the other."""

    def __iter__(self):
        n = len(self.dataset)
        for i in range(0, n, self.batch_size):
            yield default_collate([self.dataset[j] for j in range(i, min(n, i + self.batch_size))])


@pytest.mark.parametrize("name", ["BadTeacherUnlearner", "AmnesiacUnlearner"])
def test_iterators_of_the_users_own(name):
    X, y = task(50)
    told = unlearner(name, net(iterator_train=ByHand, batch_size=8)).fit(X, y)
    told.unlearn(indices=np.arange(5))
    with pytest.raises(UnlearningError, match=r"which rows are in a batch.*does not tell"):
        unlearner(name, net(iterator_train=Threaded, batch_size=8)).fit(X, y).unlearn(
            indices=np.arange(5)
        )


@pytest.mark.parametrize("name", in_turns(sorted(all_unlearners(nets=True)), 2))
def test_workers(name):
    """Batches that other processes make hold the same rows as without them."""
    X, y = task(40)
    loader = {"iterator_train__collate_fn": default_collate}
    workers = {"iterator_train__num_workers": 1, "iterator_train__persistent_workers": True}
    probabilities = [
        unlearner(name, net(max_epochs=1, batch_size=16, **params))
        .fit(X, y)
        .unlearn(indices=np.arange(8))
        .predict_proba(X)
        for params in (loader, workers)
    ]
    np.testing.assert_allclose(*probabilities, atol=1e-6)


# ------------------------------------------------------------------ items and their labels


class Texts(Dataset):
    """Items in the style of Hugging Face, tokens of different lengths."""

    def __init__(self, n, label="labels"):
        rng = np.random.default_rng(0)
        self.y = rng.integers(0, 3, n)
        self.tokens = [rng.integers(1, 30, 2 + i % 5) for i in range(n)]
        self.label = label

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return {"tokens": self.tokens[i].tolist(), self.label: "abc"[self.y[i]]}


def collate_texts(items):
    """A batch with padding and mask, and the labels inside."""
    assert all(isinstance(item["tokens"], list) for item in items)
    longest = max(len(item["tokens"]) for item in items)
    tokens = [item["tokens"] + [0] * (longest - len(item["tokens"])) for item in items]
    tokens = torch.tensor(tokens)
    batch = {"tokens": tokens, "mask": tokens > 0}
    key = "label" if "label" in items[0] else "labels"
    if key in items[0]:
        labels = [item[key] for item in items]
        assert all(type(label) is int for label in labels)  # for collators that look at the type
        batch["labels"] = torch.tensor(labels)
    return batch


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 8)
        self.out = nn.Linear(8, 3)

    def forward(self, tokens, mask):
        return self.out((self.embed(tokens) * mask[..., None]).sum(1))


# Of rows that are tokens there is no step along a gradient.
NEEDS_FLOATS = (
    *("AMUNUnlearner", "BoundaryUnlearner", "CoUnUnlearner"),
    *("JiTUnlearner", "MUMisUnlearner", "UNSIRUnlearner"),
)


@other_methods
def test_text_with_labels_inside(name):
    rows = Texts(60, "label" if name < "M" else "labels")
    model = net(
        module=Bag, lr=0.5, max_epochs=15, batch_size=8,
        iterator_train__collate_fn=collate_texts, iterator_valid__collate_fn=collate_texts,
    )  # fmt: skip
    if name == "CTUnlearner":  # it says so before the training
        with pytest.raises(ValueError, match="square kernels"):
            unlearner(name, model).fit(rows)
        return
    if name in NEEDS_FLOATS:
        with pytest.raises(ValueError, match="one tensor"):
            unlearner(name, model).fit(rows)
        return
    fitted = unlearner(name, model).fit(rows)
    assert fitted.classes_.tolist() == ["a", "b", "c"]
    assert fitted.score(rows) == np.mean(fitted.predict(rows) == np.array(list("abc"))[rows.y])
    fitted.unlearn(indices=np.arange(9))
    assert np.isfinite(fitted.predict_proba(rows)).all()


def end_to_end(items):
    """Tokens of all rows in one long vector, and where each row begins."""
    tokens = [torch.tensor(item["tokens"]) for item in items]
    begins = torch.tensor([0, *map(len, tokens[:-1])]).cumsum(0)
    labels = torch.tensor([item["label"] for item in items])
    return {"tokens": torch.cat(tokens), "begins": begins, "label": labels}


class LongBag(Bag):
    """`Bag` on such rows; an nn.EmbeddingBag has no second derivative."""

    def forward(self, tokens, begins):
        row = torch.searchsorted(begins, torch.arange(len(tokens)), right=True) - 1
        sums = torch.zeros(len(begins), 8).index_add(0, row, self.embed(tokens))
        return self.out(sums)


@some_methods
def test_batches_that_are_no_stack_of_rows(name):
    """The same as with padding: no batch is cut into what are not its rows."""
    if name in (*NEEDS_FLOATS, "CTUnlearner"):  # which wants square kernels
        return
    rows, results = Texts(60, "label"), []
    for module, collate in ((Bag, collate_texts), (LongBag, end_to_end)):
        model = net(
            module=module, lr=0.2, max_epochs=5, batch_size=8,
            iterator_train__collate_fn=collate, iterator_valid__collate_fn=collate,
        )  # fmt: skip
        fitted = unlearner(name, model, norm="fisher", importance_rows=60).fit(rows)
        results.append(fitted.unlearn(indices=np.arange(9)).predict_proba(rows))
    np.testing.assert_allclose(*results, atol=1e-3)


def test_items_without_labels_say_so():
    rows = Texts(20, label="topic")
    model = RetrainUnlearner(net(module=Bag, iterator_train__collate_fn=collate_texts))
    with pytest.raises(ValueError, match=r"without a label: it holds \['tokens', 'topic'\]"):
        model.fit(rows)

    class Triples(Texts):
        def __getitem__(self, i):
            return self.tokens[i], 1, 2

    with pytest.raises(
        TypeError, match=r"a tuple of 3, .* a pair \(x, y\).* 'right': \.\.\.}, y\)"
    ):
        model.fit(Triples(20))


class Read(Dataset):
    """Counts the items that are read."""

    def __init__(self, X, y):
        self.X, self.y, self.count = X, y, 0

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        self.count += 1
        return self.X[i], self.y[i]


def test_given_labels_spare_the_reading():
    X, y = task(40)
    counts = {}
    for given in (None, y):
        rows = Read(X, y)
        FineTuneUnlearner(net(max_epochs=1), random_state=0).fit(rows, given)
        counts[given is None] = rows.count
    assert counts[True] == counts[False] + 40


def test_torchvision_says_its_labels(tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")

    class Pictures(datasets.VisionDataset):
        def __init__(self, **kwargs):
            super().__init__(tmp_path, **kwargs)
            X, self.targets = task(40)
            self.images = X

        def __len__(self):
            return len(self.targets)

    def read(self, i):
        Pictures.count += 1
        label = int(self.targets[i])
        return self.images[i], label if self.target_transform is None else 2 - label

    def labels(**kwargs):
        Pictures.count = 0
        rows = Pictures(**kwargs)
        model = RetrainUnlearner(net(max_epochs=0), random_state=0).fit(rows)
        return Pictures.count, model._record._y, rows.targets

    Pictures.__getitem__ = read
    reading = labels()[0]
    assert reading >= 40  # a class of the user's own may change what `targets` says
    Pictures.__module__ = "torchvision.datasets.pictures"
    count, found, targets = labels()
    assert count <= reading - 40
    assert np.array_equal(found, targets)
    count, found, targets = labels(target_transform=lambda label: 2 - label)
    assert count >= 40
    assert np.array_equal(found, 2 - targets)


def test_image_folders_say_their_labels(tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    image = pytest.importorskip("PIL.Image")
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(30):
            image.new("L", (4, 3)).save(tmp_path / label / f"{i}.png")
    opened = []

    def load(path):
        opened.append(path)
        return np.asarray(image.open(path).convert("L"), dtype=np.float32).reshape(12)

    folder = datasets.ImageFolder(tmp_path, loader=load)
    folder.samples[0] = (folder.samples[0][0], 1)  # its items say so, `targets` do not
    fitted = RetrainUnlearner(net(max_epochs=0), random_state=0).fit(folder)
    assert len(set(opened)) < 20  # a few are looked at, for what is random in them
    assert fitted._record._y.tolist() == [1] + 29 * [0] + 30 * [1]


# ------------------------------------------------------------------ reading rows by themselves


class Shifted(Plain):
    """Only right about rows that were collated."""

    def forward(self, X):
        assert X.dtype == torch.float32
        assert (X[:, 0] == 7).all(), "rows came without the collate function"
        return super().forward(X)


def mark(items):
    x, y = default_collate(items)
    x = x.clone()
    x[:, 0] = 7
    return x, y


class Marking(DataLoader):
    def __init__(self, dataset, **kwargs):
        super().__init__(dataset, collate_fn=mark, **kwargs)


@third_quarter
@pytest.mark.parametrize(
    "params",
    [
        {"iterator_train__collate_fn": mark, "iterator_valid__collate_fn": mark},
        {"iterator_train": Marking, "iterator_valid": Marking},
    ],
    ids=["parameter", "class"],
)
def test_every_read_goes_through_the_collate_function(name, params):
    X, y = task(60)
    quick = {"norm": "fisher", "fisher_rows": 10}
    fitted = unlearner(name, net(module=Shifted, max_epochs=1, **params), **quick).fit(X, y)
    own_rows = ("AMUNUnlearner", "BoundaryUnlearner", "CoUnUnlearner", "JiTUnlearner")
    if name in (*own_rows, "MUMisUnlearner", "UNSIRUnlearner"):
        return  # they ask the module about rows of their own making
    fitted.unlearn(indices=np.arange(10))
