"""A net that a process without a card can import."""

from torch import nn


class Net(nn.Sequential):
    """Convolutions, a norm and dropout before two layers."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2),
            nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(72, 16), nn.ReLU(),
            nn.Linear(16, 3),
        )  # fmt: skip
