"""A net for 8×8 digits that trains in seconds."""

from torch import nn

__all__ = ["DigitsNet"]


class DigitsNet(nn.Sequential):
    """Small convolutional net for the 8×8 digits: two 3×3 convolutions, max-pool, linear head.

    It has no batch normalisation and no dropout, so its loss is a sum over rows: what methods
    that need per-row gradients or curvature ask for.

    Parameters
    ----------
    n_classes : int, default=10
        Number of classes.
    width : int, default=16
        Channels of the first convolution; the second has twice as many. The default gives
        9,930 parameters.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import DigitsNet
    >>> X, y = load_digits_images(return_X_y=True)
    >>> net = NeuralNetClassifier(
    ...     DigitsNet,
    ...     max_epochs=1,
    ...     criterion="torch.nn.CrossEntropyLoss",
    ...     train_split=None,
    ...     verbose=0,
    ... )  # doctest: +SKIP
    """

    def __init__(self, n_classes=10, width=16):
        super().__init__(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * width * 16, n_classes),
        )
