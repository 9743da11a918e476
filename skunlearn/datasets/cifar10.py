"""CIFAR-10 from wherever it already lies, or from its official source."""

import numpy as np
from sklearn.utils import Bunch

from skunlearn.datasets._homes import data_homes, first_writable
from skunlearn.datasets.image_folder import load_image_folder

__all__ = ["fetch_cifar10"]

# In the order of the official labels 0 to 9, which is also alphabetical.
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
DESCRIPTION = """\
CIFAR-10: 50,000 training and 10,000 test colour images of 32×32 pixels in ten classes, 5,000 and
1,000 of each class (Krizhevsky, A. (2009). Learning Multiple Layers of Features from Tiny Images.
Technical report, University of Toronto). Read from {source}."""


def fetch_cifar10(data_home=None, *, download=True):
    """Load CIFAR-10, from disk where it already lies, else from its official source.

    Three folders are looked at in this order: `data_home`; the environment variable
    ``SKUNLEARN_DATA``; ``$XDG_CACHE_HOME/skunlearn``, by default ``~/.cache/skunlearn``. In each,
    the first of these is taken:

    1. ``cifar-10-batches-py``, the binary release as torchvision unpacks it;
    2. ``train/<class>/<image>`` and ``test/<class>/<image>``, folders named after the ten classes;
    3. an archive ``cifar10*.tar*`` of such folders, which is read without extracting it.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder to look at first. It may be read-only.
    download : bool, default=True
        If nothing is found, download the binary release (170 MB) through
        :class:`torchvision.datasets.CIFAR10` into the first writable one of the three folders.

    Returns
    -------
    cifar10 : :class:`~sklearn.utils.Bunch`
        With

        X_train : ndarray of shape (50000, 3, 32, 32), uint8
            Training images, RGB. A memory map when read from image files, ordered by class then;
            in the order of the release otherwise.
        y_train : ndarray of shape (50000,), int64
            Index into `target_names`.
        X_test : ndarray of shape (10000, 3, 32, 32), uint8
            Test images.
        y_test : ndarray of shape (10000,), int64
            Their labels.
        target_names : ndarray of shape (10,), str
            ``airplane`` to ``truck``, alphabetical.
        DESCR : str
            What it is and where it was read.

    Raises
    ------
    FileNotFoundError
        Nothing found and ``download=False``, or the download failed. The message lists where it
        looked.

    Notes
    -----
    Image files are decoded once into a cache, as :func:`load_image_folder` does: in the folder
    that the environment variable ``SKUNLEARN_CACHE`` names, or else in
    ``$XDG_CACHE_HOME/skunlearn``, by default ``~/.cache/skunlearn``. JPEG files give pixel
    values that differ a little from the binary release.

    References
    ----------
    .. [1] Krizhevsky, A. (2009). Learning Multiple Layers of Features from Tiny Images.
       Technical report, University of Toronto.

    Examples
    --------
    >>> from skunlearn.datasets import fetch_cifar10
    >>> cifar10 = fetch_cifar10()  # doctest: +SKIP
    >>> cifar10.X_train.shape, cifar10.X_train.dtype  # doctest: +SKIP
    ((50000, 3, 32, 32), dtype('uint8'))
    """
    homes = data_homes(data_home)
    for home in homes:
        bunch = _load_from(home)
        if bunch is not None:
            return bunch
    looked = (
        f"CIFAR-10 not found. Looked in {', '.join(str(home) for home in homes)} for "
        "cifar-10-batches-py, for folders train/<class> and test/<class>, and for an archive "
        "cifar10*.tar* of them."
    )
    if not download:
        raise FileNotFoundError(f"{looked} Pass data_home=, set SKUNLEARN_DATA, or download=True.")
    return _download(first_writable(homes), looked)


def _load_from(home):
    if (home / "cifar-10-batches-py").is_dir():
        return _from_torchvision(home)
    if all((home / part / name).is_dir() for part in ("train", "test") for name in CLASSES):
        return _from_images(home)
    for archive in sorted(home.glob("cifar10*.tar*")):
        return _from_images(archive)
    return None


def _from_images(path):
    train, test = (load_image_folder(path, subset=part) for part in ("train", "test"))
    for part, images in (("train", train), ("test", test)):
        if tuple(images.target_names) != CLASSES:
            raise ValueError(
                f"{path} is not CIFAR-10: its classes in {part} are {list(images.target_names)}"
            )
    return _bunch(train.data, train.target, test.data, test.target, path)


def _from_torchvision(home, download=False):
    from torchvision.datasets import CIFAR10

    # torchvision checks every file's MD5 before it unpickles it.
    train, test = (CIFAR10(home, train=part, download=download) for part in (True, False))
    return _bunch(*_read_arrays(train), *_read_arrays(test), home / "cifar-10-batches-py")


def _read_arrays(dataset):
    images = np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2))
    return images, np.asarray(dataset.targets, dtype=np.int64)


def _download(home, looked):
    try:
        return _from_torchvision(home, download=True)
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"{looked} Downloading it into {home} failed: {error}. "
            "Put one of these there by hand, or name its folder with data_home= or SKUNLEARN_DATA."
        ) from error


def _bunch(X_train, y_train, X_test, y_test, source):
    return Bunch(
        X_train=X_train,
        y_train=y_train,
        X_test=X_test,
        y_test=y_test,
        target_names=np.array(CLASSES),
        DESCR=DESCRIPTION.format(source=source),
    )
