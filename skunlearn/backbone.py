"""Features by a model that is declared never to have seen a training row."""

import copy
import hashlib
from numbers import Integral

import joblib
import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_scalar

from skunlearn._rows.containers import is_dataset, is_mapping, n_rows

__all__ = ["PublicBackbone"]


class PublicBackbone(TransformerMixin, BaseEstimator):
    """A frozen feature extractor, with the declaration that it holds no training row.

    Choose it as a step of `UnlearningPipeline` in front of an exact or certified head
    (`RidgeUnlearner`, `CertifiedRemovalUnlearner`, `ForestUnlearner`, `ShardedUnlearner`): a deep
    model from which a row is deleted exactly and in milliseconds, as nothing but the head was
    trained on it. `torchvision`'s and `timm`'s nets, sentence-transformers, or any fitted
    transformer will do, as long as it was trained on other rows than the pipeline's.

    That it was is a statement about the world, which no code can check. So it is made by name,
    and the pipeline's certificate quotes who declared what, with a digest of the weights. (Without
    a declaration, inside ``FrozenEstimator`` or a function, it is named as something that may have
    seen the rows, and nothing is guaranteed.)

    As a parameter of a net's module it is the base below what the net trains, an adapter of
    ``peft`` say: see `frozen_module`. The certificate of an exact method quotes it there too.

    The pipeline computes a training row's features once, in ``fit``, and keeps them: a request
    does not call the backbone.

    Parameters
    ----------
    module : torch.nn.Module, or object with ``transform`` or ``encode``
        A module maps a batch of rows to features and is called in evaluation mode; a net for
        classes must have lost its head (``timm.create_model(..., num_classes=0)``,
        ``resnet.fc = nn.Identity()``). Of several methods ``transform`` comes first, then
        ``encode`` (called with a list of rows, as sentence-transformers are). It is shared by
        copies, and its weights are not changed.
    trained_on : str
        What it was trained on, as precisely as possible: data set, version, source of the weights.
    declared_by : str
        Who says so.
    preprocess : callable, default=None
        Applied to each batch, a tensor, before the module: torchvision's
        ``weights.transforms()``, say. Not in `frozen_module`.
    batch_size : int, default=256
        Rows at a time.
    device : str or torch.device, default="cpu"
        Where the module works. It is moved there.

    See Also
    --------
    UnlearningPipeline : Takes it as a step.

    Examples
    --------
    >>> import json
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.linear_model import RidgeClassifier
    >>> from skunlearn import PublicBackbone, RidgeUnlearner, UnlearningPipeline
    >>> X, y = load_digits(return_X_y=True)
    >>> backbone = PublicBackbone(
    ...     PCA(20).fit(X[:500]), trained_on="the first 500 digits", declared_by="the author"
    ... )
    >>> steps = [("features", backbone), ("head", RidgeUnlearner(RidgeClassifier()))]
    >>> pipeline = UnlearningPipeline(steps).fit(X[500:], y[500:]).unlearn(indices=[7])
    >>> certificate = json.loads(pipeline.certificate())
    >>> certificate["guarantee"], certificate["declared"][0]["declared_by"]
    ('the solution without the rows, to rounding', 'the author')
    """

    def __init__(
        self, module, *, trained_on, declared_by, preprocess=None, batch_size=256, device="cpu"
    ):
        self.module = module
        self.trained_on = trained_on
        self.declared_by = declared_by
        self.preprocess = preprocess
        self.batch_size = batch_size
        self.device = device

    def fit(self, X, y=None):
        """Check the parameters; nothing is learnt.

        Parameters
        ----------
        X : rows
            Not read.
        y : None
            Not read.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            When the declaration is empty.
        TypeError
            When the module cannot make features.
        """
        for name in ("trained_on", "declared_by"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(
                    f"{name} must be a text that the certificate can quote, got {value!r}."
                )
        check_scalar(self.batch_size, "batch_size", Integral, min_val=1)
        if isinstance(self.module, type) or not (
            isinstance(self.module, torch.nn.Module)
            or hasattr(self.module, "transform")
            or hasattr(self.module, "encode")
        ):
            raise TypeError(
                "module must be a torch module, or have a method `transform` or `encode`, got "
                f"{self.module!r}."
            )
        return self

    def transform(self, X):
        """Features of rows.

        Parameters
        ----------
        X : array, tensor, data frame, sparse matrix or list of n rows
            What the module takes; arrays are handed to a torch module as tensors, floating ones
            in its dtype.

        Returns
        -------
        features : array of shape (n, d)
            In float64 from a torch module of doubles, in float32 from any other.
        """
        if is_dataset(X) or is_mapping(X):
            raise TypeError(
                f"PublicBackbone takes arrays, tensors, frames and lists, got {type(X).__name__}."
            )
        if hasattr(self.module, "transform"):
            return self.module.transform(X)
        size = self.batch_size
        if hasattr(self.module, "encode"):
            rows = list(X)
            parts = [self.module.encode(rows[i : i + size]) for i in range(0, len(rows), size)]
        else:
            parts = self._called(X)
        return np.concatenate([_flat(part) for part in parts])

    def _called(self, X):
        X = X.toarray() if sparse.issparse(X) else X
        if not isinstance(X, torch.Tensor):
            X = np.asarray(X)
            if X.dtype.kind not in "biuf":
                raise TypeError(f"The rows are no numbers, but {X.dtype}: a module takes tensors.")
        module, was = self.module.to(self.device), self.module.training
        dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), None)
        module.eval()
        try:
            with torch.no_grad():
                for i in range(0, n_rows(X), self.batch_size):
                    batch = X[i : i + self.batch_size]
                    if isinstance(batch, np.ndarray) and not batch.flags.writeable:
                        batch = batch.copy()  # torch warns of memory that it must not write to
                    batch = torch.as_tensor(batch, device=self.device)
                    if batch.is_floating_point() and dtype is not None:
                        batch = batch.to(dtype)
                    if self.preprocess is not None:
                        batch = self.preprocess(batch)
                    yield module(batch)
        finally:
            module.train(was)

    def frozen_module(self):
        """New layers around the very weights of the module, which do not learn.

        For a net with a part of its own to train, an adapter of ``peft`` say: its module takes the
        backbone as a parameter (``module__base=PublicBackbone(...)``) and calls this in its
        ``__init__``. However many such nets there are, the weights are in memory once. Buffers
        (of batch normalisation, say) are copied, as training may move them.

        An adapter must therefore not be merged into them (``merge_adapter``, ``merge_and_unload``
        of ``peft``): all other nets would have it too. ``copy.deepcopy(net)`` has weights of its
        own, into which it can be. Modules that merge by themselves in evaluation mode are refused
        when they have been trained.

        Returns
        -------
        module : torch.nn.Module
            Its parameters are those of `module`, on which ``requires_grad`` is set to False.

        Raises
        ------
        TypeError
            When the backbone is no torch module.

        Examples
        --------
        >>> from torch import nn
        >>> from skunlearn import PublicBackbone
        >>> base = PublicBackbone(nn.Linear(4, 2), trained_on="nothing", declared_by="the author")
        >>> one, other = base.frozen_module(), base.frozen_module()
        >>> one is other, one.weight is other.weight, one.weight.requires_grad
        (False, True, False)
        """
        if not isinstance(self.module, torch.nn.Module):
            raise TypeError(
                "frozen_module needs a torch module, and this backbone is "
                f"{type(self.module).__name__}. Use it as a step of UnlearningPipeline."
            )
        self.module.requires_grad_(False)
        return copy.deepcopy(self.module, {id(p): p for p in self.module.parameters()})

    def declaration(self):
        """What the certificate quotes.

        Returns
        -------
        declaration : dict of str to str
            "trained_on", "declared_by", and "sha256", a digest of the weights (of a torch module)
            or of the whole object, by which it can be told whether it is still the same.
        """
        return {
            "trained_on": self.trained_on,
            "declared_by": self.declared_by,
            "sha256": _digest(self.module),
        }

    def __sklearn_clone__(self):
        # The weights are not copied, and nothing that is learnt must be left behind.
        new = object.__new__(type(self))
        vars(new).update(vars(self))
        return new

    def __deepcopy__(self, memo):
        return self.__sklearn_clone__()

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        return tags


def _flat(features):
    if isinstance(features, torch.Tensor):
        # Half precision is none that scikit-learn computes in, and bfloat16 none of numpy's.
        features = features if features.dtype is torch.float64 else features.float()
        features = features.cpu().numpy()
    features = np.asarray(features)
    return features.reshape(len(features), -1)


def _digest(module):
    digest = hashlib.sha256()
    if not isinstance(module, torch.nn.Module):
        digest.update(joblib.hash(module, hash_name="sha1").encode())
        return digest.hexdigest()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
            value = value.detach().cpu().contiguous().reshape(-1)
            digest.update(value.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
