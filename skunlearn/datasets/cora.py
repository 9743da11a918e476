"""The citation graph Cora from wherever it already lies, or from its official source."""

import tarfile
from pathlib import PurePosixPath
from urllib.request import urlopen

import numpy as np

from skunlearn._files.write_whole import write_whole
from skunlearn.datasets._homes import data_homes, first_writable
from skunlearn.datasets._planetoid import PARTS, read_planetoid

__all__ = ["load_cora"]

URL = "https://github.com/kimiyoung/planetoid/raw/master/data/"
SHAPE = (2708, 1433)
N_CLASSES = 7
_MOST = 2**24  # bytes of a file; the largest has 0.3 MB


def load_cora(data_home=None, *, download=True):
    """Load the citation graph Cora with its public split.

    Three folders are looked at in this order: `data_home`; the environment variable
    ``SKUNLEARN_DATA``; ``$XDG_CACHE_HOME/skunlearn``, by default ``~/.cache/skunlearn``. In each,
    the first of these is taken:

    1. ``Cora/raw/ind.cora.*``, as torch_geometric's ``Planetoid(root, "Cora")`` keeps them;
    2. ``ind.cora.*``;
    3. an archive ``cora*.tar*`` of such files, which is read without extracting it.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder to look at first. It may be read-only.
    download : bool, default=True
        If nothing is found, download the files (0.6 MB) into ``Cora/raw`` of the first writable
        one of the three folders.

    Returns
    -------
    cora : torch_geometric.data.Data
        With

        x : tensor of shape (2708, 1433), float32
            Which words of a dictionary each paper holds, 0 or 1.
        edge_index : tensor of shape (2, 10556), int64
            Citations in both directions, without repetitions.
        y : tensor of shape (2708,), int64
            Subject, 0 to 6.
        train_mask, val_mask, test_mask : tensor of shape (2708,), bool
            The public split: 140, 500 and 1000 papers.

    Raises
    ------
    FileNotFoundError
        Nothing found and ``download=False``, or the download failed. The message lists where it
        looked.
    ValueError
        A file is broken, or not Cora's; the message names it.
    ImportError
        torch_geometric is not installed.

    Notes
    -----
    The files are pickles, which can run code where they are loaded in the usual way. Here they
    are not: names of classes in them are looked up in a short list, and nothing of it is called.
    ``ind.cora.y`` is not read, and need not be there: its labels are the first ones of
    ``ind.cora.ally``.

    References
    ----------
    .. [1] P. Sen et al., "Collective classification in network data", AI Magazine 29(3), 2008.
    .. [2] Z. Yang, W. W. Cohen, R. Salakhutdinov, "Revisiting semi-supervised learning with graph
       embeddings", ICML 2016, https://arxiv.org/abs/1603.08861

    Examples
    --------
    >>> from skunlearn.datasets import load_cora
    >>> cora = load_cora()  # doctest: +SKIP
    >>> cora.num_nodes, int(cora.train_mask.sum())  # doctest: +SKIP
    (2708, 140)
    """
    try:
        from torch_geometric.data import Data
    except ImportError as error:
        raise ImportError(
            "load_cora needs torch_geometric: pip install 'skunlearn[graph]'."
        ) from error
    homes = data_homes(data_home)
    found = next((found for found in map(_find, homes) if found is not None), None)
    if found is None:
        looked = (
            f"Cora not found. Looked in {', '.join(str(home) for home in homes)} for "
            "Cora/raw/ind.cora.*, for ind.cora.* and for an archive cora*.tar* of these."
        )
        if not download:
            raise FileNotFoundError(
                f"{looked} Pass data_home=, set SKUNLEARN_DATA, or download=True."
            )
        found = _download(first_writable(homes) / "Cora" / "raw", looked)
    return _data(Data, *found)


def _find(home):
    """Contents of the files in this folder, and where they lie; or None."""
    for folder in (home / "Cora" / "raw", home):
        paths = {part: folder / f"ind.cora.{part}" for part in PARTS}
        if all(path.is_file() for path in paths.values()):
            return {part: path.read_bytes() for part, path in paths.items()}, folder
    for path in sorted(home.glob("cora*.tar*")):
        files = _read_archive(path)
        if set(files) == set(PARTS):
            return files, path
    return None


def _read_archive(path):
    names = {f"ind.cora.{part}": part for part in PARTS}
    files = {}
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            part = names.get(PurePosixPath(member.name).name)
            if part is not None and member.isfile() and member.size <= _MOST:
                files[part] = archive.extractfile(member).read()
    return files


def _data(make, files, source):
    import torch

    try:
        x, edges, y, split = read_planetoid(files)
    except ValueError as error:
        raise ValueError(f"Cora in {source}: {error}") from error
    if x.shape != SHAPE or y.max() + 1 != N_CLASSES:
        raise ValueError(
            f"What lies in {source} is not Cora: {x.shape[0]} nodes with {x.shape[1]} features in "
            f"{y.max() + 1} classes, not {SHAPE[0]} with {SHAPE[1]} in {N_CLASSES}."
        )
    data = make(
        x=torch.from_numpy(x.toarray()),
        edge_index=torch.from_numpy(np.ascontiguousarray(edges)),
        y=torch.from_numpy(y),
    )
    for name, nodes in split.items():
        mask = torch.zeros(len(y), dtype=torch.bool)
        mask[torch.from_numpy(nodes)] = True
        data[f"{name}_mask"] = mask
    return data


def _download(folder, looked):
    files = {}
    try:
        for part in PARTS:
            with urlopen(f"{URL}ind.cora.{part}", timeout=60) as answer:
                files[part] = answer.read(_MOST)
        folder.mkdir(parents=True, exist_ok=True)
        for part, content in files.items():
            write_whole(folder / f"ind.cora.{part}", content)
    except OSError as error:
        raise FileNotFoundError(
            f"{looked} Downloading it into {folder} failed: {error}. Put the files there by hand, "
            "or name their folder with data_home= or SKUNLEARN_DATA."
        ) from error
    return files, folder
