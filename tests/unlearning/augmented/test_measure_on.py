"""Where the transform is found, and what measure_on cannot be."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn
from torch.utils.data import Dataset
from torchvision.transforms import Compose, v2

from skunlearn._rows.leave_out import leave_out
from tests.small import FORGET, quiet
from tests.unlearning.augmented.datasets import Augmented, Doubled, Jitter, fitted


class Tensors:
    def __call__(self, x):
        return torch.as_tensor(x)


class Numbers(Dataset):
    """Rows are plain lists, and the transform makes tensors of them."""

    def __init__(self, X, y, transform):
        self.X, self.y, self.transform = X.tolist(), y, transform

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.transform(self.X[i]), int(self.y[i])


REFUSED = {
    "another length": (lambda d: Augmented(d.X[:9], d.y[:9]), ValueError, "9 rows, but X has 40"),
    "another order": (
        lambda d: Augmented(d.X, d.y[::-1]),
        ValueError,
        "same rows in the same order",
    ),
    "still random": (lambda d: Augmented(d.X, d.y, Jitter(0.1)), ValueError, "still differs"),
    "one of two": (lambda d: d.transform.transforms[0], ValueError, "still differs"),
    "not there": (lambda d: Doubled(), ValueError, "was not found in Augmented"),
    "no transform": (lambda d: "transform", TypeError, "a torch Dataset or a transform"),
    "a stream": (lambda d: Endless(), TypeError, "measure_on is an IterableDataset"),
}


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())


@quiet
@pytest.mark.parametrize("kind", REFUSED)
def test_what_measure_on_cannot_be(rows, kind):
    X, y, *_ = rows
    make, error, message = REFUSED[kind]
    data = Augmented(X, y, Compose([Jitter(), Jitter(2.0)]))
    with pytest.raises(error, match=message):
        fitted(data, measure_on=make(data))


@quiet
def test_transforms_without_which_nothing_can_be_read(rows):
    X, y, *_ = rows
    whole = Compose([Tensors(), Jitter()])
    data = Numbers(X, y, whole)
    with pytest.raises(ValueError, match="of the kind list, where the net takes Tensor"):
        fitted(data, measure_on=whole)
    unlearner = fitted(data, measure_on=whole.transforms[1])
    assert unlearner.score(data) == unlearner.score(X, y)


def test_arrays_are_not_augmented(rows):
    X, y, *_ = rows
    with pytest.raises(TypeError, match="nothing is augmented"):
        fitted(X, y, measure_on=Jitter())


class Holder:
    def __init__(self, **parts):
        vars(self).update(parts)


def test_a_transform_is_found_wherever_it_is_held():
    jitter = Jitter()
    x = torch.zeros(3)
    for holder, reach in (
        (Holder(t=jitter), lambda h: h.t),
        (Holder(ts=[Doubled(), jitter]), lambda h: h.ts[1]),
        (Holder(ts=(Doubled(), jitter)), lambda h: h.ts[1]),
        (Holder(by={"train": jitter}), lambda h: h.by["train"]),
        (
            Holder(dataset=Holder(transform=Compose([jitter]))),
            lambda h: h.dataset.transform.transforms[0],
        ),
        (Holder(t=nn.Sequential(nn.Identity(), Module(jitter))), lambda h: h.t[1].inner),
    ):
        kept = reach(holder)
        new = leave_out(holder, jitter)
        assert reach(holder) is kept is jitter
        assert torch.equal(reach(new)(x), x)
        assert leave_out(holder, Holder()) is None
    again = leave_out(Holder(t=clone(jitter, safe=False)), jitter)
    assert torch.equal(again.t(x), x)
    assert leave_out(Holder(t=Jitter(2.0)), jitter) is None
    ring = Holder()
    ring.ring = ring
    assert leave_out(ring, jitter) is None


class Module(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner


def test_joint_transforms_of_rows_and_labels():
    class Joint(v2.Transform):
        def forward(self, x, y):
            return x + torch.randn(x.shape), y

    joint = Joint()
    new = leave_out(Holder(transforms=joint), joint)
    x, y = new.transforms(torch.zeros(2), 1)
    assert torch.equal(x, torch.zeros(2))
    assert y == 1


class Dictionaries(Augmented):
    """In the style of Hugging Face."""

    def __getitem__(self, i):
        x, y = super().__getitem__(i)
        return {"X": x, "labels": y}


@quiet
def test_items_that_are_dictionaries(rows):
    X, y, *_ = rows
    given = Dictionaries(X, y, Jitter())
    for way in (Dictionaries(X, y), given.transform):
        unlearner = fitted(given, measure_on=way)
        unlearner.unlearn(indices=FORGET)
        assert unlearner.score(given) == np.mean(unlearner.predict(Dictionaries(X, y)) == y)
    with pytest.raises(ValueError, match="same rows in the same order"):
        fitted(given, measure_on=Dictionaries(X, y[::-1]))
