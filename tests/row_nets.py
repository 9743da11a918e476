"""Modules of many kinds, each with rows to ask about, for gradients row by row."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

from skunlearn.nets import Autocast


def images(n=70, channels=1, size=8):
    """Rows of shape (n, channels, size, size)."""
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(0))


def vectors(n=70, width=6):
    """Rows of shape (n, width)."""
    return torch.randn(n, width, generator=torch.Generator().manual_seed(0))


def tokens(n=70, length=7):
    """Rows of shape (n, length) of numbers below 20."""
    return torch.randint(0, 20, (n, length), generator=torch.Generator().manual_seed(0))


class MLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


class InPlace(nn.Module):
    """Overwrites what came in and what layers gave."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        h = F.relu(self.first(x.mul_(2.0)), inplace=True)
        out = self.last(h)
        out += 1.0
        return out


class CNN(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.GroupNorm(2, 6), nn.ReLU(),
            nn.Flatten(), nn.Linear(96, 8), nn.ReLU(), nn.Linear(8, 3),
        )  # fmt: skip


class Normalised(nn.Sequential):
    def __init__(self, **kwargs):
        super().__init__(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4, **kwargs), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3),
        )  # fmt: skip


class BatchStatistics(Normalised):
    """Normalises by the batch, in evaluation mode too: a row by itself."""

    def __init__(self):
        super().__init__(track_running_stats=False)


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.norm(self.encoder(self.embed(x))).mean(1))


class Tied(nn.Module):
    """A linear layer whose weights are the embedding's too."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.back = nn.Linear(8, 20, bias=False)
        self.back.weight = self.embed.weight
        self.out = nn.Linear(20, 3)

    def forward(self, x):
        return self.out(torch.tanh(self.back(self.embed(x).mean(1))))


class Borrowed(nn.Module):
    """A linear layer whose weights are used without it as well."""

    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(torch.tanh(F.linear(self.first(x), self.first.weight)))


class Twice(nn.Module):
    """A layer that is called twice, and one on two inputs."""

    def __init__(self):
        super().__init__()
        self.own, self.out = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(torch.tanh(self.own(torch.tanh(self.own(x))))) + self.out(x)


class Pieces(nn.Module):
    """Linear layers on several vectors of a row, and a convolution over them."""

    def __init__(self):
        super().__init__()
        self.each, self.conv, self.out = nn.Linear(2, 4), nn.Conv1d(4, 5, 2), nn.Linear(10, 3)

    def forward(self, x):
        h = torch.tanh(self.each(x.reshape(len(x), 3, 2)))
        return self.out(self.conv(h.mT).flatten(1))


class Parametrised(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.out = weight_norm(nn.Linear(6, 8)), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(torch.relu(self.first(x)))


class Pruned(MLP):
    """A layer whose weight is made before each call, of a parameter of another name."""

    def __init__(self):
        super().__init__()
        prune.l1_unstructured(self[2], "weight", 0.5)


class Gained(MLP):
    """A layer with a parameter more, which a hook uses."""

    def __init__(self):
        super().__init__()
        self[2].gain = nn.Parameter(torch.full((8,), 1.5))
        self[2].register_forward_hook(lambda module, given, out: module.gain * out)


class Hooked(MLP):
    """A hook of the user's changes what a layer gives."""

    def __init__(self):
        super().__init__()
        self[2].register_forward_hook(lambda module, given, out: 2 * out)


class Scaled(MLP):
    """A parameter that is a number, and a hook that closes over the module and writes to it."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))
        self[2].register_forward_hook(lambda module, given, out: setattr(self, "kept", out))

    def forward(self, x):
        super().forward(x)
        return self[4](self.kept) * self.scale


class HalfFrozen(MLP):
    def __init__(self):
        super().__init__()
        self[0].requires_grad_(False)
        self[2].weight.requires_grad_(False)


class Remembering(MLP):
    """Keeps what it saw last."""

    def forward(self, x):
        self.seen = super().forward(x)
        return self.seen


class Several(MLP):
    def forward(self, x):
        return super().forward(x), x


class Named(MLP):
    """Of rows with two named parts."""

    def forward(self, left, right):
        return super().forward(torch.cat([left, right], 1))


class Writing(nn.Module):
    """Fills a tensor that knows nothing of rows."""

    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        h = torch.zeros(len(x), 8)
        h[:, :] = torch.tanh(self.first(x))
        return self.out(h)


class Branching(nn.Module):
    """Takes one of two layers, by the values of all rows of a batch."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x):
        return self.left(x) if x.sum() > 0 else self.right(x)


class Meeting(MLP):
    """Scales rows by the largest of the batch."""

    def forward(self, x):
        return super().forward(x / x.abs().max())


class Halved(torch.autograd.Function):
    """A function with a gradient of its own."""

    @staticmethod
    def forward(ctx, x):
        return 0.5 * x

    @staticmethod
    def backward(ctx, grad):
        return 0.25 * grad


class Custom(MLP):
    def forward(self, x):
        return super().forward(Halved.apply(self[0](x)) @ self[0].weight)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTM(2, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x):
        h, _ = self.cell(x.reshape(len(x), 3, 2))
        return self.out(h[:, -1])


class Noisy(MLP):
    """Draws in evaluation mode too."""

    def forward(self, x):
        return super().forward(x) + 0.0 * torch.randn(len(x), 3)


class ChannelsLast(CNN):
    def __init__(self):
        super().__init__()
        self.to(memory_format=torch.channels_last)

    def forward(self, x):
        return super().forward(x.contiguous(memory_format=torch.channels_last))


def narrow_cnn():
    """bfloat16 and channels last."""
    return Autocast(CNN, channels_last=True)


def narrow_mlp():
    """bfloat16 between float32 weights."""
    return Autocast(MLP)


# Module, rows, whether many rows are taken at a time; None where versions of torch differ.
NETS = {
    "MLP": (MLP, vectors(), True),
    "in place": (InPlace, vectors(), True),
    "CNN": (CNN, images(), True),
    "batch normalisation": (Normalised, images(), True),
    "statistics of the batch": (BatchStatistics, images(), True),
    "Transformer": (Transformer, tokens(), True),
    "tied": (Tied, tokens(), True),
    "borrowed": (Borrowed, vectors(), True),
    "twice": (Twice, vectors(), True),
    "pieces": (Pieces, vectors(), True),
    "parametrised": (Parametrised, vectors(), True),
    "pruned": (Pruned, vectors(), True),
    "gained": (Gained, vectors(), True),
    "hooked": (Hooked, vectors(), True),
    "scaled": (Scaled, vectors(), True),
    "half frozen": (HalfFrozen, vectors(), True),
    "remembering": (Remembering, vectors(), True),
    "several outputs": (Several, vectors(), True),
    "named parts": (Named, {"left": vectors()[:, :2], "right": vectors()[:, 2:]}, True),
    "meeting": (Meeting, vectors(), True),
    "bfloat16 inside": (narrow_mlp, vectors(), True),
    "writing": (Writing, vectors(), False),
    "branching": (Branching, vectors(), False),
    "custom function": (Custom, vectors(), False),
    "LSTM": (Recurrent, vectors(), None),
    "noisy": (Noisy, vectors(), False),
    "channels last": (ChannelsLast, images(), None),
    "channels last, bfloat16": (narrow_cnn, images(), True),
}
