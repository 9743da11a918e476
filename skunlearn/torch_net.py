"""The way in for nets that were trained in plain PyTorch."""

import contextlib
import copy
import math
import types
from numbers import Integral

import numpy as np
import torch.nn.functional as F
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_scalar
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.utils.data import IterableDataset

from skunlearn._rows.containers import is_mapping
from skunlearn._rows.seeding import seeded
from skunlearn._torch.batches.training_batch import label_of
from skunlearn._torch.from_torch.factory import check_factory
from skunlearn._torch.from_torch.from_loader import read_loader
from skunlearn._torch.from_torch.from_optimizer import read_optimizer
from skunlearn._torch.from_torch.from_scheduler import read_scheduler
from skunlearn._torch.parts.copying import deep_copy
from skunlearn._torch.parts.net_state import plain
from skunlearn._torch.parts.positions import takes_positions

__all__ = ["from_torch"]

_FUNCTIONS = {
    F.cross_entropy: nn.CrossEntropyLoss,
    F.nll_loss: nn.NLLLoss,
    F.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
    F.binary_cross_entropy: nn.BCELoss,
    F.mse_loss: nn.MSELoss,
    F.l1_loss: nn.L1Loss,
    F.smooth_l1_loss: nn.SmoothL1Loss,
    F.huber_loss: nn.HuberLoss,
}
_BINARY = (nn.BCEWithLogitsLoss, nn.BCELoss)
_REGRESSION = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)


def from_torch(
    module,
    loader=None,
    *,
    criterion,
    optimizer,
    max_epochs,
    lr=None,
    scheduler=None,
    step_every=None,
    batch_size=None,
    factory=None,
    net_class=None,
    **params,
):
    """Bring in a module that was trained in plain PyTorch, with the recipe of its training.

    The recipe is what methods go on training with, and what retrained references are trained with:
    loss, optimizer, rate, epochs, batch size and schedule. It is read off the objects of the
    training loop. They are left as they are: the net holds a copy of `module`.

    Parameters
    ----------
    module : torch.nn.Module
        The trained module. It returns what `criterion` takes; it is called with the first part of a
        batch, by name where that is a dictionary. Wrappers (``torch.compile``, parallel training)
        are taken off.
    loader : DataLoader, default=None
        That of the training, of which batch size, shuffling, ``drop_last``, ``collate_fn``,
        workers and memory pinning are read. Its data set is what ``fit`` of an unlearner takes;
        its generator is not used, as ``random_state`` decides.
    criterion : Module, class of one, or function of torch.nn.functional
        ``NLLLoss`` becomes the ``CrossEntropyLoss`` of the same options, which is the same for
        log-probabilities: skorch would take them for probabilities.
    optimizer : torch optimizer, class of one, or callable
        Of an optimizer class, options, rates and parameter groups are read, not what it has
        accumulated. With a class ``optimizer__...`` are its options. A callable
        (``functools.partial``) makes one of parameters.
    max_epochs : int
        Epochs of the training.
    lr : float, default=None
        Learning rate at its beginning. None: that of `optimizer` before a scheduler or, of a
        class, torch's default.
    scheduler : torch scheduler, callable or skorch LRScheduler, default=None
        Of a scheduler class and arguments are read. A callable
        (``functools.partial(CosineAnnealingLR, T_max=30)``) makes one of an optimizer.
    step_every : {"epoch", "batch"}, default=None
        When the scheduler steps. None: with batches where it has stepped more often than there
        were epochs (or not yet, of a OneCycleLR or CyclicLR), else with epochs.
    batch_size : int, default=None
        None takes the loader's; without a `loader` it is needed, and rows are shuffled.
    factory : class or callable, default=None
        Builds a module like `module` with fresh weights, of the arguments ``module__...``. Needed
        for what starts afresh: `AutoUnlearner`, `ShrinkPerturbUnlearner`, `RetrainUnlearner`,
        `BadTeacherUnlearner`, `OracleMatchingUnlearner` (unless it is given oracles),
        `ProximalUnlearner` with ``anchor=`` below 1, `NoisyFineTuneUnlearner`, any method with
        ``stop="reference"``, `ShardedUnlearner`, `AmnesiacUnlearner`, `RewindUnlearner`,
        cross-validation, and retrained references
        (``MIAScorer(reference="retrain")``, ``audit``, ``compare``, ``ShadowModels``), which refuse
        a net without. Other methods go on training, and the module is enough.
    net_class : subclass of skorch.NeuralNet, default=None
        None: NeuralNetBinaryClassifier for binary cross-entropies, or skorch's NeuralNet where the
        first item of the loader's data set has several labels; NeuralNetRegressor for squared,
        absolute and Huber losses, NeuralNetClassifier for others, or skorch's NeuralNet where
        `criterion` is ``CrossEntropyLoss`` and that item has a class for each of several positions.
        For several labels per row, or such classes, without a `loader` pass ``skorch.NeuralNet``.
    **params : dict
        Other parameters of the skorch net, which go before what was read: ``module__...``,
        ``iterator_train__num_workers``, ``callbacks``, ``device``, ``verbose`` and the like.

    Returns
    -------
    net : FrozenEstimator of a skorch net
        Says "trained already" to unlearners. ``net.estimator`` is the skorch net, whose clones are
        trained anew (in searches, say), where there is a factory.

    Raises
    ------
    TypeError, ValueError
        When an object is not what it should be or cannot be read (it says what to pass instead);
        when the optimizer does not train what requires gradients; when `factory` builds another
        module, or the trained one.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> from skunlearn import NegGradPlusUnlearner, from_torch
    >>> _ = torch.manual_seed(0)
    >>> data = TensorDataset(torch.randn(60, 4), torch.randint(2, (60,)))
    >>> loader = DataLoader(data, batch_size=20, shuffle=True)
    >>> layers = torch.nn.Linear(4, 50), torch.nn.ReLU(), torch.nn.Linear(50, 2)
    >>> model, loss = torch.nn.Sequential(*layers), torch.nn.CrossEntropyLoss()
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    >>> for _ in range(30):
    ...     for x, y in loader:
    ...         optimizer.zero_grad()
    ...         loss(model(x), y).backward()
    ...         optimizer.step()

    The three lines:

    >>> net = from_torch(model, loader, criterion=loss, optimizer=optimizer, max_epochs=30)
    >>> unlearner = NegGradPlusUnlearner(net, random_state=0).fit(data)
    >>> unlearner.unlearn(indices=[3, 14, 15]).deletions_[0]["rows"]
    3
    """
    module = _unwrap(module)
    check_scalar(max_epochs, "max_epochs", Integral, min_val=1)
    criterion = _criterion(criterion, params)
    named = [*module.named_parameters(), *_write_name(criterion)]
    scheduled = scheduler is not None
    recipe = read_optimizer(optimizer, named, lr=lr, scheduled=scheduled)
    own_sampling = any(key in params for key in _SAMPLING)
    if loader is not None:
        recipe |= read_loader(loader, own_sampling=own_sampling)
    elif not own_sampling:
        recipe["iterator_train__shuffle"] = True
    if batch_size is not None:
        recipe["batch_size"] = batch_size
    if recipe.get("batch_size") is None:
        raise ValueError("Pass batch_size=, or the loader of the training, which has it.")
    if scheduled:
        callback = read_scheduler(scheduler, max_epochs=max_epochs, step_every=step_every)
        params["callbacks"] = _with_callback(params.get("callbacks"), callback)
    copied = deep_copy({"module": module, "criterion": criterion}, {})
    net = (net_class or _kind(criterion, loader))(
        copied["module"] if factory is None else factory,
        criterion=copied["criterion"],
        max_epochs=max_epochs,
        **{"train_split": None, "verbose": 0, "device": _device(module)} | recipe | params,
    )
    if factory is None:
        _refuse_arguments(params)
    elif isinstance(factory, nn.Module):
        raise TypeError(
            f"factory is a module instance ({type(factory).__name__}), whose weights would be "
            "everybody's. Pass its class, or a function that builds a new one."
        )
    with seeded(_SEED):
        net.initialize()
    if factory is not None:
        check_factory(plain(net.module_), module)
        _put_in(net, copied["module"])
    return FrozenEstimator(net)


_SEED = 94_007  # of nobody's training: a factory's weights are compared with the trained ones
_SAMPLING = (
    "iterator_train",
    "iterator_train__shuffle",
    "iterator_train__sampler",
    "iterator_train__batch_sampler",
)


def _unwrap(module):
    if not isinstance(module, nn.Module):
        if is_mapping(module):
            raise TypeError(
                "module must be a trained torch.nn.Module, got a mapping. Of a state_dict "
                "build the module and load it: module.load_state_dict(state)."
            )
        what = module.__name__ if isinstance(module, type) else type(module).__name__
        raise TypeError(
            f"module must be a trained torch.nn.Module, got {what}. What is not trained yet goes "
            "into skorch's NeuralNetClassifier, which takes the class."
        )
    module = plain(module)
    return plain(module.module) if isinstance(module, nn.DataParallel) else module


def _criterion(criterion, params):
    """The loss as a module or class that means in skorch what it means in torch."""
    if isinstance(criterion, types.FunctionType | types.BuiltinFunctionType):
        if criterion not in _FUNCTIONS:
            raise TypeError(
                f"criterion must be a module or its class, got the function {criterion.__name__}. "
                "Put it into the forward of a torch.nn.Module, or pass net_class= with a get_loss."
            )
        criterion = _FUNCTIONS[criterion]
    if isinstance(criterion, type) and issubclass(criterion, nn.Module):
        options = {key: params.pop(key) for key in list(params) if key.startswith("criterion__")}
        criterion = criterion(**{key.partition("__")[2]: v for key, v in options.items()})
    if not isinstance(criterion, nn.Module):
        raise TypeError(f"criterion must be a torch loss, got {type(criterion).__name__}.")
    if type(criterion) is nn.NLLLoss:
        return nn.CrossEntropyLoss(
            weight=copy.deepcopy(criterion.weight),
            ignore_index=criterion.ignore_index,
            reduction=criterion.reduction,
        )
    return criterion


def _write_name(criterion):
    return list(criterion.named_parameters())


def _kind(criterion, loader):
    if isinstance(criterion, _BINARY):
        return NeuralNet if _has_many_labels(loader) else NeuralNetBinaryClassifier
    if takes_positions(type(criterion)) and _has_many_labels(loader, whole=True):
        return NeuralNet
    return NeuralNetRegressor if isinstance(criterion, _REGRESSION) else NeuralNetClassifier


def _has_many_labels(loader, whole=False):
    """Whether the first item of the training has several labels; False where it cannot be read.

    With `whole`, whether these are integers.
    """
    if loader is None or isinstance(loader.dataset, IterableDataset):
        return False
    # What a user's data set raises is told by `fit`, which reads all of them.
    with contextlib.suppress(Exception), seeded(_SEED):
        label = label_of(loader.dataset[0])
        several = label is not None and math.prod(np.shape(label)) > 1
        return several and (not whole or np.asarray(label).dtype.kind in "iu")
    return False


def _device(module):
    """Where the module is; None, which moves nothing, where it lies on several devices."""
    found = {str(tensor.device) for tensor in [*module.parameters(), *module.buffers()]}
    return None if len(found) > 1 else found.pop() if found else "cpu"


def _with_callback(callbacks, callback):
    if callbacks is None or callbacks == "disable":
        return [callback]
    return [*callbacks, callback]


def _refuse_arguments(params):
    given = [key for key in params if key.startswith("module__")]
    if given:
        raise ValueError(f"{given[0]} is an argument of a factory=, and there is none.")


def _put_in(net: NeuralNet, module):
    """Give an initialised net the module that was trained."""
    with net._current_init_context("module"):
        if net.device is not None:
            module = module.to(net.device)
        net.module_ = net.torch_compile(module, name="module")
    net._initialize_optimizer()
