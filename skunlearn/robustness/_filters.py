"""What the corruptions do to values in [0, 1]; the caller clips the results."""

import io

import numpy as np
from scipy import ndimage

_ANGLES = 8  # directions of motion blur, between -45° and 45°


def gaussian_noise(x, std, rng):
    """Noise of the same spread everywhere."""
    return x + std * rng.standard_normal(x.shape).astype(np.float32)


def shot_noise(x, photons, rng):
    """Poisson counts of light; fewer photons are noisier."""
    return rng.poisson(np.clip(x, 0, 1) * photons).astype(np.float32) / photons


def impulse_noise(x, share, rng):
    """Salt and pepper."""
    drawn = rng.random_sample(x.shape)
    return np.where(drawn < share / 2, 0, np.where(drawn < share, 1, x)).astype(np.float32)


def gaussian_blur(x, share, rng):
    """Blur with a standard deviation in shares of the shorter side."""
    sigma = share * min(x.shape[-2:])
    return ndimage.gaussian_filter(x, (0,) * (x.ndim - 2) + (sigma, sigma), mode="nearest")


def motion_blur(x, share, rng):
    """Blur along a line, in a direction of its own for each image."""
    length = 1 + share * min(x.shape[-2:])
    which = rng.randint(_ANGLES, size=len(x))
    out = np.empty_like(x)
    for k, angle in enumerate(np.linspace(-np.pi / 4, np.pi / 4, _ANGLES)):
        kernel = _line(length, angle).reshape((1,) * (x.ndim - 2) + (-1, _line_size(length)))
        out[which == k] = ndimage.convolve(x[which == k], kernel, mode="nearest")
    return out


def brightness(x, amount, rng):
    """Everything lighter."""
    return x + amount


def contrast(x, factor, rng):
    """Every channel drawn to its mean."""
    mean = x.mean(axis=(-2, -1), keepdims=True)
    return mean + factor * (x - mean)


def fog(x, thickness, rng):
    """Clouds of light: noise whose power falls with the square of the frequency."""
    height, width = x.shape[-2:]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    noise = np.fft.rfft2(rng.standard_normal((len(x), height, width))) / frequency
    clouds = np.fft.irfft2(noise, (height, width))
    clouds -= clouds.min(axis=(1, 2), keepdims=True)
    clouds /= np.maximum(clouds.max(axis=(1, 2), keepdims=True), 1e-12)
    clouds = clouds.astype(np.float32)
    if x.ndim == 4:
        clouds = clouds[:, None]
    return (x + thickness * clouds) / (1 + thickness)


def pixelate(x, share, rng):
    """Fewer pixels: every block becomes its mean."""
    rows, columns = (_block_means(n, max(1, round(share * n))) for n in x.shape[-2:])
    return rows @ x @ columns.T


def jpeg(x, quality, rng):
    """Compressed and expanded; channels one by one unless there are three."""
    from PIL import Image

    pixels = np.rint(255 * np.clip(x, 0, 1)).astype(np.uint8)
    colour = x.ndim == 4 and x.shape[1] == 3
    images = pixels.transpose(0, 2, 3, 1) if colour else pixels.reshape(-1, *x.shape[-2:])
    out = np.empty_like(images)
    for i, image in enumerate(images):
        with io.BytesIO() as file:
            Image.fromarray(image).save(file, "JPEG", quality=quality)
            out[i] = np.asarray(Image.open(file))
    out = out.transpose(0, 3, 1, 2) if colour else out.reshape(x.shape)
    return out.astype(np.float32) / 255


def _block_means(n, blocks):
    """Matrix that takes `n` values to the means of their blocks."""
    block = np.arange(n) * blocks // n
    same = (block[:, None] == block).astype(np.float32)
    return same / same.sum(axis=1, keepdims=True)


def _line_size(length):
    return 2 * int(np.ceil(length / 2)) + 1


def _line(length, angle):
    """A kernel of a straight line through its centre, of total weight 1."""
    size = _line_size(length)
    kernel = np.zeros((size, size), dtype=np.float32)
    steps = np.linspace(-(length - 1) / 2, (length - 1) / 2, 8 * size)
    rows, columns = (size // 2 + steps * f(angle) for f in (np.sin, np.cos))
    r, c = np.floor(rows).astype(int), np.floor(columns).astype(int)
    for dr in (0, 1):
        for dc in (0, 1):
            weight = (1 - abs(rows - r - dr)) * (1 - abs(columns - c - dc))
            np.add.at(kernel, (np.minimum(r + dr, size - 1), np.minimum(c + dc, size - 1)), weight)
    return kernel / kernel.sum()
