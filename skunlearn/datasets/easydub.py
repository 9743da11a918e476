"""Margins of nets that others have trained and retrained, for KLoM without a training."""

import pickle
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from sklearn.utils import Bunch, check_scalar

__all__ = ["load_easydub"]

SPLITS = ("forget", "retain", "val")
EPOCH = 23  # of 24; both data sets hold the nets of this one
_POINTER = b"version https://git-lfs"
DESCRIPTION = """\
Margins of ResNet-9 nets on CIFAR-10, of which some were trained on all rows and some on those that
are not in forget set {forget_set} (Rinberg et al., 2026). Split: {split}. Read from {folder}, in
the layout of {layout}."""


def load_easydub(folder, forget_set, *, split="forget", n_models=None):
    """Load margins of trained and of retrained nets from a copy of EasyDUB's files.

    With `skunlearn.metrics.klom` they tell how far a method is from retraining, without an oracle
    to be trained: unlearn the forget set from nets of the same recipe, take their `margin` on the
    same rows, and pass it with `retrained`.

    Nothing is downloaded. Two data sets of the Hugging Face hub hold the files; either can be had
    by ``huggingface_hub.snapshot_download(name, repo_type="dataset", local_dir=folder)``, with
    ``allow_patterns=`` for one forget set alone:

    1. ``easydub/EasyDUB-dataset``, with ``margins/cifar10/...`` and ``forget_sets/cifar10/...``;
    2. ``royrin/KLOM-models``, with ``full_models/CIFAR10/...``, ``forget_set_indices/CIFAR10/...``
       and the retrained nets' in ``oracle_models/CIFAR10/only_margins/...`` (one file for all of
       them) or ``oracles/CIFAR10/...``. Its nets on Living17 are not read.

    Parameters
    ----------
    folder : str or path-like
        Where the files lie.
    forget_set : int
        Number of the forget set, from 1 to 10.
    split : {"forget", "retain", "val"}, default="forget"
        Forgotten rows, the other training rows, or the test rows.
    n_models : int, default=None
        Nets of each kind, the first ones; as many as there are when None.

    Returns
    -------
    easydub : :class:`~sklearn.utils.Bunch`
        With

        pretrained : ndarray of shape (n_models, n), float32
            Margins under nets that were trained on all rows.
        retrained : ndarray of shape (n_models, n), float32
            Under nets that never saw the forget set. With `n_models` None there may be more or
            fewer of these.
        rows : ndarray of shape (n,), int64
            Position of each row in CIFAR-10's training set, in the order of its release, or in its
            test set ("val").
        forget : ndarray of int64
            Positions of the forget set in the training set, as they are stored.
        DESCR : str
            What it is, and where it was read.

    Raises
    ------
    FileNotFoundError
        Files of neither layout are in the folder, or one is missing; the message names it.
    ValueError
        Files do not fit each other, or `split` is none of those.

    Notes
    -----
    The margin is log p_y − log(1 − p_y), that of `skunlearn.metrics.margin`. The authors' code
    clips it at ±100, leaves the largest value out of the last bin of each histogram, and prints the
    95th percentile over the rows where `klom` gives all rows and their mean: figures are near to
    theirs, and not the same.

    What was seen of the layouts are the two data sets' cards, the authors' code
    (``easydub/EasyDUB-code`` of February 2026, ``RoyRin/data-unlearning-bench`` to June 2025, with
    what its history holds of scripts) and the ten files of indices, which the second repository
    once had: 10, 100, 1000, 10, 100, 500, 10, 100, 500 and 100 rows, in rising order but for the
    tenth set (its page says 500 for the third). Files of margins were not seen; what is read and
    how it is laid out was compared with the code that reads them there:

    - of the first data set, every path and the rows of each split: pretrained nets' margins of the
      "retain" split are of all 50,000 rows, of which the code leaves the forget set out, as here;
    - of the second one, ``full_models/CIFAR10/train_margins_all.pt`` and ``val_margins_all.pt``
      are put side by side to 60,000 columns, a row for each net, and the retrained nets' are read
      from ``only_margins`` in the same way, cut to the first nets. Margins that it computes from
      logits take torchvision's labels in their order, so that rows are in the order of release.

    Nothing says in which order the first data set keeps those of the tenth set; where the
    pretrained nets' margins on all training rows are there, the order is found by comparison with
    these, otherwise it is taken to be that of the indices. In the second one margins that do not
    fit each other in number are refused. Its nets' logits (``0__train_logits__23.pt``) are not
    read. The code names files of single nets' margins ``0__train_margins_23.npy`` and
    ``0__train_margins__23.npy``: either is read.

    To check a copy: for forget set 2 and 100 nets the authors print, of pretrained against
    retrained nets, 95th percentiles of 0.3191 ("retain"), 9.2647 ("forget") and 0.2639 ("val").

    References
    ----------
    Rinberg et al. (2026), "Easy data unlearning bench", https://arxiv.org/abs/2602.16400

    Examples
    --------
    >>> from skunlearn.datasets import load_easydub
    >>> from skunlearn.metrics import klom
    >>> bench = load_easydub("EasyDUB-dataset", 2)  # doctest: +SKIP
    >>> klom(bench.pretrained, bench.retrained).mean  # doctest: +SKIP
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {split!r}.")
    check_scalar(forget_set, "forget_set", Integral, min_val=1)
    if n_models is not None:
        check_scalar(n_models, "n_models", Integral, min_val=1)
    folder = Path(folder).expanduser()
    for layout in (_EasyDUB, _KLOMModels):
        if any((folder / marker).is_dir() for marker in layout.markers):
            return layout(folder, forget_set, n_models).read(split)
    raise FileNotFoundError(
        f"{folder} holds neither {_EasyDUB.markers[0]}, as easydub/EasyDUB-dataset does, nor "
        f"{' or '.join(_KLOMModels.markers)}, as royrin/KLOM-models. Download one of them from "
        "the Hugging Face hub first."
    )


class _Layout:
    """Files of one of the two data sets."""

    def __init__(self, folder, forget_set, n_models):
        self.folder, self.forget_set, self.n_models = folder, forget_set, n_models
        path = folder / self.indices.format(forget_set)
        forget = _read(path)
        if forget.ndim != 1 or not len(forget) or not np.array_equal(forget, np.rint(forget)):
            raise ValueError(
                f"{path} must hold the numbers of the rows to forget, got {forget.dtype} of shape "
                f"{forget.shape}."
            )
        self.forget = forget.astype(np.int64)
        if (
            forget.dtype.kind not in "iuf"
            or len(np.unique(forget)) < len(forget)
            or min(forget) < 0
        ):
            raise ValueError(f"{path} must name rows by their numbers, each once: got {forget}.")

    def read(self, split):
        pretrained, retrained, rows = self.margins(split)
        if pretrained.shape[1] != retrained.shape[1] or pretrained.shape[1] != len(rows):
            raise ValueError(
                f"Files in {self.folder} do not fit each other: {pretrained.shape[1]} margins of "
                f"pretrained and {retrained.shape[1]} of retrained nets for {len(rows)} rows of "
                f"{split!r}."
            )
        about = {"forget_set": self.forget_set, "split": split, "folder": self.folder}
        return Bunch(
            pretrained=pretrained,
            retrained=retrained,
            rows=rows,
            forget=self.forget,
            DESCR=DESCRIPTION.format(layout=self.name, **about),
        )

    def others(self, n):
        """Positions of n training rows that are not to be forgotten."""
        self.check(n)
        return np.setdiff1d(np.arange(n), self.forget)

    def check(self, n):
        if self.forget.max() >= n:
            raise ValueError(
                f"Forget set {self.forget_set} names row {self.forget.max()}, and the margins in "
                f"{self.folder} are of {n} training rows."
            )

    def stack(self, folder, names):
        """Margins of nets, one after the other, from files that are called by one of `names`."""
        found = []
        while self.n_models is None or len(found) < self.n_models:
            paths = [self.folder / folder / name.format(len(found)) for name in names]
            path = next((path for path in paths if path.is_file()), None)
            if path is None:
                later = sum(len(list(self._list(folder, name))) for name in names)
                if self.n_models is None and found and later <= len(found):
                    break
                raise FileNotFoundError(f"{paths[0]} is missing; {len(found)} nets were found.")
            margins = _read(path).astype(np.float32)
            if margins.size != max(margins.shape, default=0):
                raise ValueError(
                    f"{path} must hold a margin for each row, got shape {margins.shape}."
                )
            found.append(margins.ravel())
        if len({len(margins) for margins in found}) > 1:
            raise ValueError(f"Nets in {self.folder / folder} have margins of different rows.")
        return np.stack(found)

    def _list(self, folder, name):
        """Files of nets that are called so, whatever their number."""
        return (self.folder / folder).glob(name.format("*"))


class _EasyDUB(_Layout):
    name, markers = "easydub/EasyDUB-dataset", ("margins/cifar10",)
    indices = "forget_sets/cifar10/forget_set_{}.npy"

    def margins(self, split):
        retrained = self._of(f"oracle/forget_{self.forget_set}/{split}")
        if split == "forget":
            pretrained = self._of(f"pretrain/forget_{self.forget_set}")
            return pretrained, retrained, self._order(pretrained)
        pretrained = self._of(f"pretrain/{split}")
        if split == "val":
            return pretrained, retrained, np.arange(pretrained.shape[1])
        rows = self.others(pretrained.shape[1])  # the pretrained nets' are of all training rows
        return pretrained[:, rows], retrained, rows

    def _of(self, place):
        return self.stack(f"{self.markers[0]}/{place}/resnet9", [f"id_{{}}_epoch_{EPOCH}.npy"])

    def _order(self, pretrained):
        """Positions of the forgotten rows in the order of their margins."""
        whole = self.folder / self.markers[0] / f"pretrain/retain/resnet9/id_0_epoch_{EPOCH}.npy"
        if not whole.is_file():
            return self.forget
        whole = _read(whole).ravel()
        self.check(len(whole))
        for order in (self.forget, np.sort(self.forget)):
            if np.allclose(whole[order], pretrained[0], rtol=1e-3, atol=1e-3):
                return order
        raise ValueError(
            f"The margins of forget set {self.forget_set} in {self.folder} are in no order that "
            "can be told from those of all training rows: which row is which is not known."
        )


class _KLOMModels(_Layout):
    name, markers = "royrin/KLOM-models", ("oracles/CIFAR10", "oracle_models/CIFAR10")
    indices = "forget_set_indices/CIFAR10/forget_set_{}.npy"

    def margins(self, split):
        which = "val" if split == "val" else "train"
        trained, oracles = "full_models/CIFAR10", f"forget_set_{self.forget_set}"
        # Where the authors' code has read those of the retrained nets, the latest first.
        places = [f"{marker}/only_margins/{oracles}" for marker in reversed(self.markers)]
        single = f"{self.markers[0]}/{oracles}"
        pretrained = self._of(which, [trained], trained)
        retrained = self._of(which, [*places, single], single)
        if split == "val":
            return pretrained, retrained, np.arange(pretrained.shape[1])
        n = min(pretrained.shape[1], retrained.shape[1])
        if pretrained.shape[1] != retrained.shape[1]:
            return pretrained, retrained, np.arange(n)  # which is refused
        self.check(n)
        rows = self.forget if split == "forget" else self.others(n)
        return pretrained[:, rows], retrained[:, rows], rows

    def _of(self, which, places, single):
        """Margins of all nets in one file, in one of `places`, or in a file each in `single`."""
        paths = [self.folder / place / f"{which}_margins_all.pt" for place in places]
        whole = next((path for path in paths if path.is_file()), None)
        if whole is None:
            # The authors' training writes two underscores before the epoch, and their loader reads
            # files with one; of the logits in the data set "train" has two, and "val" one.
            names = [
                f"{{}}__{which}_margins{line}{EPOCH}.{ending}"
                for line in ("_", "__")
                for ending in ("npy", "pt")
            ]
            try:
                return self.stack(single, names)
            except FileNotFoundError as error:
                said = " or ".join(str(path) for path in paths)
                raise FileNotFoundError(f"{error} Nor is there {said}.") from None
        margins = _read(whole).astype(np.float32)
        wanted = "" if self.n_models is None else f", {self.n_models} of them"
        if margins.ndim != 2 or len(margins) < (self.n_models or 1):
            raise ValueError(
                f"{whole} must hold a row of margins for each net{wanted}; got shape "
                f"{margins.shape}."
            )
        return margins[: self.n_models]


def _read(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing.")
    try:
        if path.suffix == ".npy":
            with path.open("rb") as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (ValueError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        why = str(error).split("\n", 1)[0]
        if path.read_bytes()[: len(_POINTER)] == _POINTER:
            why = "it is a pointer of Git LFS, not the file: git clones them without git-lfs"
        raise ValueError(
            f"{path} cannot be read ({why}): download it again. (Files that would run code, "
            "allow_pickle, are not read.)"
        ) from error
    if isinstance(held, list | tuple) and all(isinstance(t, torch.Tensor) for t in held):
        held = torch.stack(list(held))
    if not isinstance(held, torch.Tensor):
        raise ValueError(f"{path} must hold a tensor, got {type(held).__name__}.")
    return held.float().numpy()
