"""From encoded images to one uint8 array on disk, N×C×H×W, in a deterministic order."""

import io
import json
import os
from numbers import Integral

import numpy as np

__all__ = ["check_channels", "check_size", "decode_images"]

# How each Pillow mode becomes grey or colour; anything else (16-bit, float) would lose values.
CHANNELS = {"1": 1, "L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "P": 3, "CMYK": 3, "YCbCr": 3}
MODES = {1: "L", 3: "RGB"}
CHUNK = 4096  # rows moved at once when sorting


def check_size(size):
    """(height, width) or None, from None, an int or a pair of ints."""
    if size is None:
        return None
    pair = (size, size) if isinstance(size, Integral) else size
    try:
        height, width = (int(side) for side in pair if isinstance(side, Integral))
    except (TypeError, ValueError):
        raise TypeError(f"size must be None, an int or (height, width), got {size!r}") from None
    if min(height, width) < 1:
        raise ValueError(f"size must be positive, got {size!r}")
    return height, width


def check_channels(channels):
    """None, 1 or 3."""
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be None, 1 (grey) or 3 (colour), got {channels!r}")
    return channels


def decode_images(source, folder, size=None, channels=None):
    """Decode every image of `source` into ``folder/images.npy`` and ``folder/rows.json``.

    The images are appended in the source's own order, so that an archive is read once and memory
    stays bounded, then sorted by class and file name.
    """
    raw = folder / "arrival.bin"
    rows, shape = [], None
    with open(raw, "wb") as stream:
        for class_name, file_name, encoded in source:
            where = f"{class_name}/{file_name} in {source.path}"
            image = _decode(encoded, where, size, channels)
            if shape is None:
                shape, first = image.shape, where
            elif image.shape != shape:
                raise ValueError(_mismatch(where, image.shape, first, shape))
            stream.write(image.tobytes())
            rows.append((class_name, file_name))
    if not rows:
        raise ValueError(
            f"no images of the layout <class>/<image> in {source.path}; what lies there: "
            f"{', '.join(source.describe()[:12]) or 'nothing'}. If the class folders lie deeper, "
            "name their parent with subset="
        )
    if len(set(rows)) < len(rows):
        raise ValueError(f"{source.path} holds the same file name twice in one class")
    order = sorted(range(len(rows)), key=rows.__getitem__)
    _write_sorted(raw, folder / "images.npy", (len(rows), *shape), order)
    os.remove(raw)
    (folder / "rows.json").write_text(json.dumps([rows[i] for i in order]), encoding="utf-8")


def _decode(encoded, where, size, channels):
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded)) as image:
            own = CHANNELS.get(image.mode)
            if own is None:
                raise ValueError(
                    f"{where} has pixels of mode {image.mode!r}, which do not fit into 8 bits; "
                    "convert it to 8-bit grey or colour first"
                )
            image = image.convert(MODES[channels or own])
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken PNG
        raise ValueError(f"{where} cannot be decoded as an image: {error}") from error
    if size is not None and image.size != size[::-1]:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _mismatch(where, shape, first, first_shape):
    if shape[0] != first_shape[0]:
        grey = where if shape[0] == 1 else first
        return (
            f"grey and colour images are mixed: {grey} is grey, "
            f"{first if grey is where else where} is not; pass channels=3 or channels=1"
        )
    return (
        f"{where} is {shape[1]}×{shape[2]} pixels (height × width), but {first} is "
        f"{first_shape[1]}×{first_shape[2]}; pass size=(height, width) to resize them"
    )


def _write_sorted(raw, path, shape, order):
    arrived = np.memmap(raw, dtype=np.uint8, mode="r", shape=shape)
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for start in range(0, len(order), CHUNK):
        images[start : start + CHUNK] = arrived[order[start : start + CHUNK]]
    images.flush()
