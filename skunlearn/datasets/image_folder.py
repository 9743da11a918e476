"""Folders of images, one folder a class, as one memory-mapped array."""

import json

import numpy as np
from sklearn.utils import Bunch

from skunlearn.datasets._cache import find_cached_folder
from skunlearn.datasets._decoding import check_channels, check_size, decode_images
from skunlearn.datasets._sources import open_source

__all__ = ["load_image_folder"]


def load_image_folder(
    path, *, subset=None, size=None, channels=None, cache_dir=None, return_X_y=False
):
    """Load images from class-named folders, or from a tar archive of them.

    Every image is decoded once, into a cache; later calls map that file into memory, so that a
    data set larger than the memory can be used. Archives are read as a stream and never
    extracted; members outside the layout ``<subset>/<class>/<image>`` are ignored.

    Parameters
    ----------
    path : str or path-like
        A folder, or a tar archive with any compression that Python reads. It is never written
        to, so it may be read-only.
    subset : str, default=None
        Folder inside `path` that holds the class folders, such as ``"train"``. None: `path`
        itself holds them.
    size : int or (int, int), default=None
        Height and width in pixels to resize to (bilinear, antialiased). None: keep the size,
        which must then be the same for all images.
    channels : {None, 1, 3}, default=None
        1 for grey, 3 for colour (RGB). None: as the images are, which must then agree. An alpha
        channel is dropped.
    cache_dir : str or path-like, default=None
        Writable folder for the decoded array. None: the environment variable
        ``SKUNLEARN_CACHE``, or else ``$XDG_CACHE_HOME/skunlearn``, or else
        ``~/.cache/skunlearn``.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    images : :class:`~sklearn.utils.Bunch`
        With

        data : memmap of shape (n, C, H, W), uint8
            The pixels, ordered by class name, then by file name. Mapped copy-on-write: writing
            to the array changes neither the cache nor the source.
        images : memmap
            The same array as `data`.
        target : ndarray of shape (n,), int64
            Index into `target_names`.
        target_names : ndarray of shape (n_classes,), str
            The class folders' names, sorted.
        filenames : ndarray of shape (n,), str
            ``<class>/<image>`` of each row: ready-made record identifiers for
            ``unlearner.fit(X, y, ids=filenames)``.
        DESCR : str
            Where the images come from.
    (data, target) : tuple
        If ``return_X_y=True``.

    Raises
    ------
    FileNotFoundError
        `path`, or `subset` in it, does not exist.
    ValueError
        No images of that layout; an image that cannot be decoded, or with more than 8 bits a
        channel; images of different sizes without `size`, or grey ones among colour ones
        without `channels`. The message names the file.

    Notes
    -----
    The cache holds the rows. It is keyed by the source's path and by the size and modification
    time of the archive, or of every file in the folders; when the source has changed, the next
    call decodes it again and removes what the cache held of it before. Whoever deletes the
    source for good should delete the cache too.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from skunlearn.datasets import load_image_folder
    >>> with tempfile.TemporaryDirectory() as tmp:
    ...     for animal, grey in [("dog", 90), ("cat", 30)]:
    ...         folder = Path(tmp, "images", animal)
    ...         folder.mkdir(parents=True)
    ...         Image.new("L", (4, 4), grey).save(folder / "0.png")
    ...     bunch = load_image_folder(folder.parent, cache_dir=tmp)
    ...     print(bunch.target_names, bunch.target, bunch.data[:, 0, 0, 0], bunch.data.shape)
    ['cat' 'dog'] [0 1] [30 90] (2, 1, 4, 4)
    """
    size, channels = check_size(size), check_channels(channels)
    source = open_source(path, subset)
    folder = find_cached_folder(
        source.path,
        subset,
        source.fingerprint(),
        [size, channels],
        lambda place: decode_images(source, place, size, channels),
        cache_dir,
    )
    # "c": torch warns about arrays that are not writable, and the file must not change.
    images = np.load(folder / "images.npy", mmap_mode="c")
    rows = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    target_names, target = np.unique([name for name, _ in rows], return_inverse=True)
    target = target.astype(np.int64)
    if return_X_y:
        return images, target
    return Bunch(
        data=images,
        images=images,
        target=target,
        target_names=target_names,
        filenames=np.array(["/".join(row) for row in rows]),
        DESCR=f"{len(images)} images of {len(target_names)} classes, decoded from {source.path}",
    )
