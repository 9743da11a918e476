"""Training sets that augment at random."""

import numpy as np
import torch
from skorch.dataset import Dataset as SkorchDataset
from torch.utils.data import Dataset, TensorDataset

from skunlearn import FineTuneUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.observation import observe
from tests.small import net

N = 40  # training rows of the sixty


class Jitter:
    """Noise that nobody could learn."""

    def __init__(self, scale=3.0):
        self.scale = scale

    def __call__(self, x):
        return x + self.scale * torch.randn(x.shape)


class Doubled:
    """A transform that is always the same, and belongs to the rows."""

    def __call__(self, x):
        return 2 * x


class Augmented(Dataset):
    """As most people write them."""

    def __init__(self, X, y, transform=None):
        self.X, self.y, self.transform = X, y, transform

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        x = torch.as_tensor(self.X[i])
        return (x if self.transform is None else self.transform(x)), int(self.y[i])


class AugmentedArrays(SkorchDataset):
    """A net's own class of data sets."""

    def __init__(self, X, y=None, transform=None):
        super().__init__(X, y)
        self.augment = transform

    def transform(self, X, y):
        X, y = super().transform(X, y)
        return (X if self.augment is None else self.augment(torch.as_tensor(X))), y


def fitted(given, y=None, cls=FineTuneUnlearner, **kwargs):
    return cls(net(max_epochs=3), random_state=0).fit(given, y, **kwargs)


def says(unlearner, X, y):
    """Logits of the model on rows as they are."""
    y = unlearner._encode(np.asarray(y))
    items = TensorDataset(torch.as_tensor(np.asarray(X, np.float32)), torch.as_tensor(y))
    plain = Rows(items, y, np.arange(len(y)))
    return observe(unlearner.estimator_, plain, unlearner._classes).logits


WAYS = {
    "a Dataset": lambda data: Augmented(data.X, data.y),
    "tensors": lambda data: TensorDataset(torch.as_tensor(data.X), torch.as_tensor(data.y)),
    "rows without labels": lambda data: Unlabelled(data.X),
    "a transform": lambda data: data.transform,
}


class Unlabelled(Dataset):
    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return torch.as_tensor(self.X[i]), 0 * torch.zeros(1)


def augmenting(transform, **params):
    return net(max_epochs=3, dataset=AugmentedArrays, dataset__transform=transform, **params)
