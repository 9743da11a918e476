"""A convolutional net for CIFAR-10 that trains in minutes on a CPU."""

import torch
from torch import nn

from skunlearn.nets._augment import flip_and_shift
from skunlearn.nets._inputs import as_float
from skunlearn.nets._options import to_channels_last

__all__ = ["FastCIFARNet"]

# As in [1]_ of FastCIFARNet: small logits at the start keep high learning rates stable.
HEAD_SCALE = 1 / 9


class FastCIFARNet(nn.Module):
    """Small fast net for 32×32 colour images, in the manner of the public "airbench" nets [1]_.

    A fixed 2×2 stem, three groups of two 3×3 convolutions with batch normalisation and GELU, each
    group halving the image with a max-pool before its first normalisation, then a max-pool and a
    linear head.

    Parameters
    ----------
    n_classes : int, default=10
        Number of classes.
    widths : tuple of three int, default=(32, 128, 256)
        Channels of the three groups.
    augment : bool, default=True
        In training mode, mirror images at random and shift them by up to 2 pixels.
    mirror : bool, default=True
        Outside training mode, average the logits of each image and its mirror image, as [1]_ does.
    autocast : {"auto", True, False}, default="auto"
        Compute the convolutions in bfloat16. ``"auto"``: where the device computes with
        bfloat16 natively. Logits are float32 either way.

    Notes
    -----
    Input is (n, 3, 32, 32): uint8 is mapped from 0..255 to [-2, 2], floating point is taken as
    it is. Augmentation draws from torch's global generator: ``torch.manual_seed`` repeats it.

    Nothing in the net is fitted to the data before training. The stem of [1]_ whitens patches
    with the eigenvectors of training images; those would keep a trace of rows to be forgotten, so
    here it is an analytic basis with fixed scales: the 2×2 discrete cosine transform of the three
    opponent-colour channels, both signs.

    References
    ----------
    .. [1] Jordan, K. (2024). 94% on CIFAR-10 in 3.29 Seconds on a Single GPU. arXiv:2404.00498.

    Examples
    --------
    >>> import torch
    >>> from skunlearn.nets import FastCIFARNet
    >>> net = FastCIFARNet(n_classes=10)
    >>> logits = net(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    >>> logits.shape, logits.dtype
    (torch.Size([2, 10]), torch.float32)
    """

    def __init__(
        self, n_classes=10, widths=(32, 128, 256), augment=True, mirror=True, autocast="auto"
    ):
        super().__init__()
        if autocast not in ("auto", True, False):
            raise ValueError(f"autocast must be 'auto', True or False, got {autocast!r}")
        self.augment = augment
        self.mirror = mirror
        self.autocast = autocast
        self.register_buffer("stem", opponent_cosine_basis(), persistent=False)
        groups, channels = [], len(self.stem)
        for width in widths:
            groups.append(ConvGroup(channels, width))
            channels = width
        self.groups = nn.Sequential(*groups)
        self.head = nn.Linear(channels, n_classes, bias=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, x):
        """Logits of shape (n, n_classes), float32."""
        x = to_channels_last(as_float(x))
        if self.augment and self.training:
            x = flip_and_shift(x, 2)
        if self.mirror and not self.training:
            return (self._logits(x) + self._logits(x.flip(3))) / 2
        return self._logits(x)

    def _logits(self, x):
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._use_bfloat16(x.device)):
            x = nn.functional.gelu(nn.functional.conv2d(x, self.stem))
            x = self.groups(x)
            x = self.head(x.amax((2, 3)))
        return x.float() * HEAD_SCALE

    def _use_bfloat16(self, device):
        if self.autocast == "auto":
            return _computes_bfloat16(device.type)
        return self.autocast


class ConvGroup(nn.Sequential):
    """Convolution, max-pool, normalisation, GELU; convolution, normalisation, GELU."""

    def __init__(self, channels_in, channels_out):
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(channels_out),
            nn.GELU(),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.GELU(),
        )


def opponent_cosine_basis():
    """Filters of shape (24, 3, 2, 2): 2×2 cosine basis × opponent colours, both signs.

    The colours are brightness, red against blue, and green against both. The scales grow, in
    powers of two, as the contrast of natural images falls: less for colour than for brightness,
    less for differences of neighbours than for their mean.
    """
    colours = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 2.0, -1.0]])
    line = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    patterns = torch.einsum("iy,jx->ijyx", line, line).flatten(0, 1)
    basis = torch.einsum("kc,pyx->kpcyx", colours, patterns)
    basis = basis / basis.flatten(2).norm(dim=2)[:, :, None, None, None]
    scales = torch.tensor([[0.25, 1.0, 1.0, 2.0], [1.0, 4.0, 4.0, 8.0], [2.0, 8.0, 8.0, 16.0]])
    basis = (basis * scales[:, :, None, None, None]).flatten(0, 1)
    return torch.cat([basis, -basis])


def _computes_bfloat16(device_type):
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type == "cpu":
        # Private, but torch has no public question for it; without an answer, stay in float32.
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return supported is not None and supported()
    return False
