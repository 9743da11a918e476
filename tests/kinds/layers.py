"""Modules of every make."""

import warnings

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.checkpoint import checkpoint

from skunlearn.nets import Autocast
from tests.batch_tools import Plain
from tests.kinds.registry import (
    EVERY,
    FEW_BITS,
    FROM_SCRATCH,
    NARROW,
    NO_KERNEL,
    ONE_LAYER_LEARNS,
    classifier,
    kind,
    plain,
    refusals,
    rows,
)


class Conv(Plain):
    """The plain net with a layer behind its convolution."""

    def __init__(self, middle=nn.Identity, n_out=3):
        super().__init__(n_out=n_out)
        self.norm = middle()


class Frozen(Plain):
    """Its convolution does not learn."""

    def __init__(self):
        super().__init__()
        self.conv.requires_grad_(False)


class Shared(nn.Module):
    """One layer's weights are another's."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.out = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 3)
        self.second.weight = self.first.weight

    def forward(self, X):
        return self.out(torch.relu(self.second(torch.relu(self.first(X.float())))))


class Typed(Plain):
    """Weights of another dtype."""

    def __init__(self, dtype):
        super().__init__()
        self.to(dtype)

    def forward(self, X):
        X = torch.relu(self.conv(X.to(self.conv.weight.dtype).reshape(-1, 1, 3, 4)).flatten(1))
        return self.out(X)


class WholeHalf(Typed):
    """Gives out what it computes with."""


class Widening(Typed):
    """Gives out float32."""

    def forward(self, X):
        return super().forward(X).float()


class Parametrised(Plain):
    """Weights that are made from others."""

    def __init__(self):
        super().__init__()
        self.out = weight_norm(self.out)


class Lazy(nn.Module):
    """Takes its shapes from the first rows."""

    def __init__(self):
        super().__init__()
        self.hidden, self.norm, self.out = nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.Linear(8, 3)

    def forward(self, X):
        return self.out(torch.relu(self.norm(self.hidden(X.float()))))


class Recurrent(nn.Module):
    """An LSTM over the columns."""

    def __init__(self):
        super().__init__()
        self.lstm, self.out = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, X):
        return self.out(self.lstm(X.float()[..., None])[0][:, -1])


class Checkpointed(Plain):
    """Trades memory for time, in the old manner."""

    def forward(self, X):
        X = torch.relu(self.conv(X.float().reshape(-1, 1, 3, 4))).flatten(1)
        return checkpoint(self.out, X, use_reentrant=True)


class NoGradient(Plain):
    """Its backbone is passed without a gradient."""

    def forward(self, X):
        with torch.no_grad():
            X = torch.relu(self.conv(X.float().reshape(-1, 1, 3, 4))).flatten(1)
        return self.out(X)


class Resting(Plain):
    """Its backbone is frozen and stays in evaluation mode."""

    def __init__(self):
        super().__init__(normed=True)
        self.conv.requires_grad_(False)
        self.norm.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self


class Unused(Plain):
    """Has weights that no row reaches, and one that is a number."""

    def __init__(self):
        super().__init__()
        self.spare, self.scale = nn.Linear(4, 4), nn.Parameter(torch.tensor(1.0))

    def forward(self, X):
        return self.scale * super().forward(X)


class Linear(nn.Linear):
    """Nothing but one layer."""

    def __init__(self):
        super().__init__(12, 3)


plain("batch normalisation", module__normed=True)
plain("dropout", Conv, module__middle=nn.Dropout)
plain("frozen layers", Frozen, ONE_LAYER_LEARNS)
plain("shared weights", Shared, NO_KERNEL)
plain("compiled", module__normed=True, compile=True, compile__backend="eager")
plain("bfloat16 weights", WholeHalf, NARROW | FEW_BITS, module__dtype=torch.bfloat16)
plain("float16 weights", WholeHalf, NARROW | FEW_BITS, module__dtype=torch.float16)
plain("float64 weights", WholeHalf, module__dtype=torch.float64)
plain("bfloat16 inside", Widening, NARROW | FEW_BITS, module__dtype=torch.bfloat16)
plain("parametrised", Parametrised, refusals("parametrizations", "EUk"))
plain("lazy", Lazy, NO_KERNEL)
plain("recurrent", Recurrent, NO_KERNEL)
plain("one layer", Linear, NO_KERNEL)
plain(
    "backbone under no_grad",
    NoGradient,
    NO_KERNEL | refusals("none reaches them", "AMUN", "Boundary", "MUMis"),
)
plain("backbone in evaluation mode", Resting, ONE_LAYER_LEARNS)
plain("unused weights", Unused, refusals("no reset_parameters", "EUk"))
plain(
    "reentrant checkpoints",
    Checkpointed,
    refusals(
        "PyTorch says: (When use_reentrant=True|element 0 of tensors)",
        "AMUN", "Boundary", "CFk", "FisherForgetting", "Influence", "LFSSD", "MSG", "PUMA",
        "MUMis", "Potion", "RUM", "SFRon", "SSD", "SalUn", "UAM", "UNSIR",
    ),
)  # fmt: skip


@kind(
    "scripted",
    {k: "torch.jit.script" for k in EVERY if k not in FROM_SCRATCH}
    | NO_KERNEL
    | refusals("layer in front of the last one", "NoT"),
)
def scripted(folder):
    def make():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is deprecated
            return torch.jit.script(nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3)))

    return classifier(make), *rows()


def autocast():
    """A module whose layers compute in bfloat16."""
    return Autocast(Plain)


plain("autocast", autocast)
