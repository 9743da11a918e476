"""A net trained in plain PyTorch, as people have it: a loop, a loader, an augmenting data set."""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from skunlearn.datasets import load_digits_images

EPOCHS = 6


class Net(nn.Module):
    """A small convolutional net with batch normalisation and dropout."""

    def __init__(self, width=8, n_out=10):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width)
        self.drop, self.out = nn.Dropout(0.1), nn.Linear(16 * width, n_out)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.norm(self.conv(x))), 2)
        return self.out(self.drop(x.flatten(1)))


class Digits(Dataset):
    """Digits with labels, shifted at random where `transform` says so."""

    def __init__(self, rows, transform=None):
        X, y = load_digits_images(return_X_y=True)
        self.X, self.y, self.transform = torch.as_tensor(X[rows]), y[rows], transform

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        x = self.X[i] if self.transform is None else self.transform(self.X[i])
        return x, int(self.y[i])


def shift(x):
    """One column to the left, to the right, or none."""
    return torch.roll(x, int(torch.randint(-1, 2, ())), dims=2)


def run(model, loader, criterion, optimizer, scheduler=None, epochs=EPOCHS):
    """The loop; the scheduler steps with the epochs."""
    model.train()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return model.eval()


def trained(rows=slice(0, 300), transform=shift, **options):
    """What is left of such a training: what `from_torch` takes."""
    torch.manual_seed(0)
    data, model = Digits(rows, transform), Net(8)
    parts = {
        "module": model,
        "loader": DataLoader(data, **({"batch_size": 32, "shuffle": True} | options)),
        "criterion": nn.CrossEntropyLoss(label_smoothing=0.01),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        "max_epochs": EPOCHS,
    }
    parts["scheduler"] = torch.optim.lr_scheduler.CosineAnnealingLR(parts["optimizer"], EPOCHS)
    run(model, *[parts[name] for name in ("loader", "criterion", "optimizer", "scheduler")])
    return parts
