"""ResNet-18 for 32×32 images."""

from torch import nn

from skunlearn.nets._inputs import as_float

__all__ = ["CIFARResNet18"]


class CIFARResNet18(nn.Module):
    """torchvision's ResNet-18 with the stem for 32×32 images.

    The first convolution is 3×3 with stride 1 and there is no max-pool, as the ResNet paper [1]_
    does for CIFAR-10. 11,173,962 parameters with ten classes. The net itself is ``resnet``.

    Parameters
    ----------
    n_classes : int, default=10
        Number of classes.

    Notes
    -----
    Input is (n, 3, height, width): uint8 is mapped from 0..255 to [-2, 2], floating point is
    taken as it is. Those are round numbers on purpose: a mean and a standard deviation of the
    training set would be traces of rows to be forgotten.

    References
    ----------
    .. [1] He, K., Zhang, X., Ren, S. & Sun, J. (2016). Deep Residual Learning for Image
       Recognition. CVPR.

    Examples
    --------
    >>> import torch
    >>> from skunlearn.nets import CIFARResNet18
    >>> net = CIFARResNet18(n_classes=10)
    >>> net(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape
    torch.Size([2, 10])
    """

    def __init__(self, n_classes=10):
        super().__init__()
        from torchvision.models import resnet18

        self.resnet = resnet18(weights=None, num_classes=n_classes)
        self.resnet.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.resnet.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.resnet.maxpool = nn.Identity()

    def forward(self, x):
        """Logits of shape (n, n_classes)."""
        return self.resnet(as_float(x))
