"""The AT&T (Olivetti) faces from wherever they already lie, or through scikit-learn."""

import numpy as np
from sklearn.datasets import fetch_olivetti_faces
from sklearn.utils import Bunch

from skunlearn.datasets._decoding import check_size
from skunlearn.datasets._homes import data_homes, first_writable
from skunlearn.datasets.image_folder import load_image_folder

__all__ = ["load_faces"]

FOLDER = "att_faces"
DESCRIPTION = """\
Faces of the AT&T Laboratories Cambridge (formerly the Olivetti and Oracle Research Laboratory): ten
grey photographs of each of 40 people, taken between April 1992 and April 1994 (Samaria, F. and
Harter, A. (1994). Parameterisation of a stochastic model for human face identification. 2nd IEEE
Workshop on Applications of Computer Vision). When using these images, credit AT&T Laboratories
Cambridge. Read from {source}."""


def load_faces(data_home=None, *, size=None, download=True, return_X_y=False):
    """Load the AT&T faces: 400 photographs, ten of each of 40 people.

    Three folders are looked at in this order: `data_home`; the environment variable
    ``SKUNLEARN_DATA``; ``$XDG_CACHE_HOME/skunlearn``, by default ``~/.cache/skunlearn``. In each,
    the first of these is taken:

    1. ``att_faces/s<person>/<k>.pgm``, the release of the AT&T Laboratories Cambridge, 92×112
       pixels;
    2. an archive ``att*faces*.tar*`` of that folder, which is read without extracting it;
    3. what :func:`sklearn.datasets.fetch_olivetti_faces` keeps, the same photographs cut to 64×64
       pixels.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder to look at first. It may be read-only.
    size : int or (int, int), default=None
        Height and width in pixels to resize to. None: 112×92, or 64×64 of scikit-learn's version.
    download : bool, default=True
        If nothing is found, let scikit-learn download its version (4 MB) into the first writable
        one of the three folders.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    faces : :class:`~sklearn.utils.Bunch`
        With

        data : ndarray of shape (400, 1, H, W), uint8
            Grey photographs, those of a person together.
        images : ndarray
            The same array.
        target : ndarray of shape (400,), int64
            Index into `target_names`: who it is.
        target_names : ndarray of shape (40,), str
            "s1" to "s40", in the order of the numbers.
        filenames : ndarray of shape (400,), str
            ``s<person>/<k>.pgm`` of each row: identifiers for ``unlearner.fit(X, y, ids=...)``.
        DESCR : str
            What it is, whom to credit, and where it was read.
    (data, target) : tuple
        If ``return_X_y=True``.

    Raises
    ------
    FileNotFoundError
        Nothing found and ``download=False``, or the download failed. The message lists where it
        looked.
    ValueError
        A folder or archive that is there holds no such images.

    Notes
    -----
    Images are decoded once into a cache, see :func:`load_image_folder`. It holds the photographs:
    delete it as well when a person's rows must be gone.

    References
    ----------
    .. [1] F. Samaria and A. Harter, "Parameterisation of a stochastic model for human face
       identification", 2nd IEEE Workshop on Applications of Computer Vision, 1994.

    Examples
    --------
    >>> from skunlearn.datasets import load_faces
    >>> faces = load_faces()  # doctest: +SKIP
    >>> faces.data.shape, len(faces.target_names)  # doctest: +SKIP
    ((400, 1, 112, 92), 40)
    """
    homes, size = data_homes(data_home), check_size(size)
    found = next((found for found in (_find(home, size) for home in homes) if found), None)
    if found is None:
        looked = (
            f"The AT&T faces were not found. Looked in {', '.join(str(home) for home in homes)} "
            f"for {FOLDER}/s<person>/<k>.pgm, for an archive att*faces*.tar* of that folder, and "
            "for scikit-learn's Olivetti faces."
        )
        if not download:
            raise FileNotFoundError(
                f"{looked} Pass data_home=, set SKUNLEARN_DATA, or download=True."
            )
        home = first_writable(homes)
        try:
            found = _olivetti(home, size, download=True)
        except OSError as error:
            raise FileNotFoundError(
                f"{looked} Downloading them into {home} failed: {error}. Put one of these there "
                "by hand, or name its folder with data_home= or SKUNLEARN_DATA."
            ) from error
    images, names, files, source = found
    people = np.unique([int(name[1:]) for name in names])
    target = np.searchsorted(people, [int(name[1:]) for name in names]).astype(np.int64)
    if return_X_y:
        return images, target
    return Bunch(
        data=images,
        images=images,
        target=target,
        target_names=np.array([f"s{person}" for person in people]),
        filenames=files,
        DESCR=DESCRIPTION.format(source=source),
    )


def _find(home, size):
    """Images, the person and the file of each, and where they lie; or None."""
    if (home / FOLDER).is_dir():
        return _release(home, size)
    for archive in sorted(home.glob("att*faces*.tar*")):
        return _release(archive, size)
    try:
        return _olivetti(home, size, download=False)
    except OSError:
        return None


def _release(path, size):
    faces = load_image_folder(path, subset=FOLDER, size=size, channels=1)
    names = faces.target_names[faces.target]
    strangers = [name for name in faces.target_names if not name[1:].isdigit() or name[0] != "s"]
    if strangers:
        raise ValueError(f"{path} is not the AT&T release: {FOLDER} holds {strangers[:5]}.")
    # As numbers: "s10" sorts before "s2".
    keys = [tuple(map(_number, file.split("/"))) for file in faces.filenames]
    order = sorted(range(len(names)), key=keys.__getitem__)
    return np.asarray(faces.data[order]), names[order], faces.filenames[order], path


def _number(name):
    return int("".join(filter(str.isdigit, name)) or 0)


def _olivetti(home, size, *, download):
    if not download and not list(home.glob("olivetti*")):
        raise FileNotFoundError(home)  # scikit-learn would make the folder
    faces = fetch_olivetti_faces(data_home=home, download_if_missing=download)
    images = np.rint(255 * faces.images[:, None]).astype(np.uint8)
    if size is not None:
        images = _resize(images, size)
    names = np.array([f"s{person + 1}" for person in faces.target])
    counts = np.zeros(len(names), int)
    for person in np.unique(faces.target):
        rows = np.flatnonzero(faces.target == person)
        counts[rows] = np.arange(1, len(rows) + 1)
    files = np.array([f"{name}/{k}.pgm" for name, k in zip(names, counts)])
    return images, names, files, f"scikit-learn's Olivetti faces in {home}"


def _resize(images, size):
    from PIL import Image

    shape = size[::-1]
    return np.stack(
        [np.asarray(Image.fromarray(i[0]).resize(shape, Image.Resampling.BILINEAR)) for i in images]
    )[:, None]
