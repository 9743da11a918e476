"""What an estimator brings along that was trained before, at any depth."""

import contextlib
import functools
import itertools
import types
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Number

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet
from skorch.callbacks import Callback, Checkpoint, LoadInitState
from torch.utils.data import Dataset

from skunlearn._recipe.leaves import is_stateless
from skunlearn._recipe.reach import (
    list_functions,
    list_held,
    list_members,
    list_named,
    list_run,
    loads_models,
    looks_up_by_text,
)
from skunlearn._recipe.signs import (
    LONG,
    clones_fitted,
    is_blob,
    is_fitted,
    is_grid,
    is_list_of_weights,
    is_state_dict,
    is_table,
    is_users_own,
    loads_weights,
    reads_elsewhere,
)
from skunlearn._recipe.written_out import is_written_out
from skunlearn.backbone import PublicBackbone

_ROWS = ("train_split", "dataset", "iterator_train", "iterator_valid")  # parameters of nets
_LOOKED_AT = 1000  # items of a container, at most
_RUN = {  # methods that are called for sure
    *("forward", "infer", "get_loss", "train_step", "train_step_single", "validation_step"),
    *("fit", "transform", "predict", "predict_proba", "decision_function", "__call__"),
}
_PLAIN = (str, bytes, Number, np.generic, type(None), torch.dtype, torch.device, types.ModuleType)

_FACTORY = (
    "Pass the class, or a function that builds a new one each time (factory= of from_torch). "
    "Public pre-trained weights may be loaded in the module's __init__, and the certificate then "
    "names them. An already trained net can be fine-tuned as FrozenEstimator(net)."
)
_FREEZE = (
    "Put it into a FrozenEstimator among the estimator's steps or parameters, so that the "
    "certificate names it, or transform the rows beforehand."
)


@dataclass(frozen=True)
class Brought:
    """State that was trained before, or may have been, at one place of an estimator.

    Attributes
    ----------
    path : str
        As in ``get_params``, where there is such a name.
    what : str
    kind : {"hidden", "frozen", "given", "declared"}
        "frozen" stands in a FrozenEstimator, by which its owner says so. "given" are numbers that
        somebody chose, from rows perhaps. "declared" is a PublicBackbone that a net is built on.
        All else is "hidden".
    effect : str
        What comes of it, as a clause after "which".
    remedy : str
    error : type
        Of the error where it is refused.
    """

    path: str
    what: str
    kind: str
    effect: str = "brings along what it has learnt"
    remedy: str = _FREEZE
    error: type = TypeError


def find_trained(estimator, path=""):
    """List of `Brought`: all that a clone of `estimator` would not learn anew.

    Of the user's code what it reaches by name is looked at (see `skunlearn._recipe.reach`), and
    whether it names a function that loads weights. Weights which a module loads in its constructor
    are found by what a net begins with; see `skunlearn._torch.first_weights`.
    """
    return walk(estimator, path).found


def walk(estimator, path=""):
    """A `Walk` that has visited the whole of `estimator`."""
    done = Walk()
    done.visit(estimator, path)
    return done


class Walk:
    """Visits parameters, steps and what they hold.

    Attributes
    ----------
    found : list of Brought
    nets : list of (str, NeuralNet)
        Path and object of all nets.
    estimators : list of objects with ``get_params``
    backbones : list of (str, PublicBackbone)
        Path and object of those that nets are built on.
    """

    def __init__(self):
        self.found, self.nets, self.estimators, self.backbones = [], [], [], []
        self._inside = None  # path of the net whose parameters are looked at
        self._in_code = False  # of a class: what it names is not handed on, but may be used
        self._module = None  # name of that whose code is looked at
        self._seen = {}

    def visit(self, value, path, *, kept=False, arrays=True):
        """Look at one value.

        `kept` says that scikit-learn's ``clone`` hands the value on as it is, fitted estimators
        included. `arrays` says whether matrices count: they may be weights in a module, and are
        rows in a callback.
        """
        key = id(value), kept
        if is_blob(value):
            self._find(path, f"a {type(value).__name__} of {len(value)} characters", "given")
        if isinstance(value, _PLAIN) or key in self._seen:
            return
        self._seen[key] = value  # held, so that no other object takes its id
        how = {"kept": kept, "arrays": arrays}
        if isinstance(value, FrozenEstimator):
            self._visit_frozen(value, path)
        elif isinstance(value, PublicBackbone):
            # As a step of UnlearningPipeline, and below a net, it counts for what is declared.
            what = "a PublicBackbone, declared to hold no training row"
            kind = "frozen" if self._inside is None else "declared"
            self._find(path, what, kind, "is never fitted anew")
            if self._inside is not None:
                self.backbones.append((path, value))
        elif isinstance(value, torch.nn.Module):
            self._visit_module(value, path, arrays)
        elif isinstance(value, torch.Tensor | np.ndarray) or sparse.issparse(value):
            self._visit_array(value, path, arrays)
        elif isinstance(value, Callback) or _is_class(value, Callback):
            self._visit_callback(value, path)
        elif isinstance(value, type):
            self._visit_class(value, path)
        elif isinstance(value, NeuralNet):
            self._visit_net(value, path, kept)
        elif is_table(value):
            if arrays and not is_written_out(value, self._module):
                what = f"a {type(value).__name__} of {len(value)} rows of numbers"
                self._find(path, what, "given", "may have been made from rows")
        elif isinstance(value, Mapping | list | tuple | set | frozenset):
            # Of these types alone clone goes through the items.
            how["kept"] |= type(value) not in (dict, list, tuple, set, frozenset)
            visit = self._visit_mapping if isinstance(value, Mapping) else self._visit_items
            visit(value, path, how)
        elif isinstance(value, functools.partial | functools.partialmethod):
            self.visit(value.func, path, **how)
            self._visit_items(value.args, path, how | {"kept": True})
            for name, inner in value.keywords.items():
                self.visit(inner, f"{path}({name}=)", kept=True, arrays=arrays)
        elif list_functions(value):
            for function in list_functions(value):
                self._visit_function(function, path, arrays)
        elif callable(value) and getattr(value, "__self__", None) is not None:  # a bound method
            self.visit(value.__self__, f"{path}.__self__", kept=True, arrays=arrays)
            self.visit(getattr(value, "__func__", None), path, kept=True, arrays=arrays)
        elif hasattr(value, "get_params"):
            self._visit_estimator(value, path, kept)
        else:
            self._visit_object(value, path, arrays)

    # ------------------------------------------------------------------ estimators

    def _visit_frozen(self, frozen, path):
        if not is_stateless(frozen.estimator):
            what = f"a FrozenEstimator of {type(frozen.estimator).__name__}"
            # At the top nothing at all would be trained.
            self._find(path, what, "frozen" if "__" in path else "hidden", "is never fitted anew")

    def _visit_estimator(self, estimator, path, kept):
        self.estimators.append(estimator)
        name = type(estimator).__name__
        if kept and is_fitted(estimator):
            self._find(path, f"a fitted {name}", effect="is never fitted anew")
            return
        if clones_fitted(estimator):
            self._find(path, f"a {name}, fitted, as its clones are", effect="is never fitted anew")
            return
        self._visit_class(type(estimator), path)
        try:
            params, before = estimator.get_params(deep=False), len(self.found)
        except TypeError:  # something else of that name
            return
        for key, value in params.items():
            if type(value) in (list, tuple) and not is_table(value):
                how = {"kept": kept, "arrays": True}
                self._visit_items(value, _join(path, key), how, owner=path)
            else:
                # Rows that candidates are scored on are not learnt from.
                self.visit(value, _join(path, key), kept=kept, arrays=key != "scoring")
        prefit = params.get("cv") == "prefit" if isinstance(params.get("cv"), str) else False
        if (prefit or params.get("prefit") is True) and len(self.found) == before:
            key = "cv" if prefit else "prefit"
            what = f"{params[key]!r}, so that {name} takes what is inside it as it was fitted"
            self._find(_join(path, key), what, effect="no copy can do", error=ValueError)

    def _visit_net(self, net, path, kept):
        if kept and net.initialized_:
            self._find(path, f"an initialised {type(net).__name__}", effect="is never trained anew")
            return
        self.estimators.append(net)
        self.nets.append((path, net))
        around, self._inside = self._inside, path
        self._visit_class(type(net), path, arrays=False)
        self._visit_parameters(net, path)
        self._inside = around
        own = net.callbacks if isinstance(net.callbacks, list | tuple) else []
        for item in [*net.get_default_callbacks(), *own]:
            named = isinstance(item, tuple | list)
            callback = item[1] if named else item
            cls = callback if isinstance(callback, type) else type(callback)
            name = item[0] if named else cls.__name__
            self.visit(callback, _join(path, f"callbacks__{name}"))

    def _visit_parameters(self, net, path):
        for key, value in net.get_params(deep=False).items():
            if key not in ("callbacks", "accelerator"):  # which knows all nets of the process
                # Validation rows and a matrix of costs are nothing learnt.
                arrays = key.split("__")[0] not in (*_ROWS, "criterion")
                self.visit(value, _join(path, key), arrays=arrays)

    def _visit_callback(self, callback, path):
        cls = callback if isinstance(callback, type) else type(callback)
        if issubclass(cls, LoadInitState):
            self._find(
                path,
                f"a {cls.__name__}",
                effect="starts every training from weights on disk, which may have seen the rows "
                "that are to be forgotten",
                remedy="Load public pre-trained weights in the module's __init__ instead: the "
                "certificate then names them.",
                error=ValueError,
            )
        elif isinstance(callback, Checkpoint) and callback.load_best and reads_elsewhere(callback):
            self._find(
                path,
                f"a {cls.__name__} with load_best=True whose files have a fixed place",
                effect="an earlier training may have written",
                remedy="Name them by dirname= and relative f_...=: a retraining then has a folder "
                "of its own. EarlyStopping(load_best=True) needs no files.",
                error=ValueError,
            )
        elif is_users_own(cls):
            if loads_weights(cls):
                effect = "loads weights while the net is trained"
                self._find(path, f"the callback {cls.__name__}, which {effect}", "given")
            if callback is not cls:
                for name, value in vars(callback).items():
                    self.visit(value, f"{path}.{name}", kept=True, arrays=False)
            self._visit_class(cls, path, arrays=False)
        elif callback is not cls:
            with self._used_by_code():
                for name, value in vars(callback).items():
                    if callable(value) and not isinstance(value, type | Callback):
                        self.visit(value, f"{path}.{name}", kept=True, arrays=False)

    # ------------------------------------------------------------------ what they hold

    def _visit_module(self, module, path, arrays):
        what = f"a module instance ({type(module).__name__})"
        state = list(module.parameters())
        if arrays and type(module).__module__ != "torch.nn.modules.loss":  # there: class weights
            state += [buffer for buffer in module.buffers() if buffer.is_floating_point()]
        if state:
            effect = (
                "carries its weights into every clone, so that neither retraining nor "
                "cross-validation could start afresh"
            )
            self._find(path, what, effect=effect, remedy=_FACTORY)
            return
        for part in module.modules():
            for name, value in vars(part).items():
                if not name.startswith("_"):
                    self.visit(value, f"{path}.{name}", kept=True, arrays=arrays)
            self._visit_class(type(part), path, arrays)

    def _visit_array(self, array, path, arrays):
        if isinstance(array, np.ndarray) and array.dtype == object:
            self._visit_items(list(array.flat[:_LOOKED_AT]), path, {"kept": True, "arrays": arrays})
            return
        what = f"a {type(array).__name__} of shape {tuple(array.shape)}"
        if isinstance(array, torch.Tensor) and array.requires_grad:
            self._find(path, f"{what} that learns", remedy=_FACTORY)
            return
        if isinstance(array, torch.Tensor):
            floating = array.is_floating_point()
        else:
            floating = array.dtype.kind == "f"
        # All weights of a net in a row, say.
        long = max(array.shape, default=0) >= LONG
        matrix = floating and (long or sum(size > 1 for size in array.shape) > 1)
        if arrays and matrix and not (is_grid(array) or is_written_out(array, self._module)):
            self._find(path, what, "given", "may have been made from rows")

    def _visit_mapping(self, mapping, path, how):
        if is_state_dict(mapping):
            self._find(path, "a state_dict", effect="holds weights", remedy=_FACTORY)
            return
        for key, value in itertools.islice(mapping.items(), _LOOKED_AT):
            self.visit(value, f"{path}[{key!r}]", **how)

    def _visit_items(self, items, path, how, owner=None):
        """Visit a list; the steps of `owner`, which have names, are called by these."""
        if is_list_of_weights(items):
            self._find(path, f"a list of {len(items)} tensors of several shapes", "given")
            return
        for i, item in enumerate(itertools.islice(items, _LOOKED_AT)):
            named = isinstance(item, tuple | list) and len(item) > 1 and isinstance(item[0], str)
            where = f"{path}[{i}]"
            if named and owner is not None:
                where = _join(owner, item[0])
            for value in item[1:] if named else [item]:
                self.visit(value, where, **how)

    def _visit_function(self, function, path, arrays):
        if not is_users_own(function):
            return
        if self._inside is None:
            self._look_at_code(function, path, function.__name__)
        where = f"{path} ({function.__name__} uses "
        with self._reading(function):
            for name, value in list_named(function):
                self.visit(value, f"{where}{name})", kept=True, arrays=arrays)

    def _look_at_code(self, function, path, name):
        if loads_models(function):
            self._find(path, f"{name} that loads something learnt, or a table", "given")
        elif looks_up_by_text(function.__code__):
            self._find(path, f"{name} that uses what it does not name (globals(), eval)", "given")

    def _visit_class(self, cls, path, arrays=True):
        """Look at what a class of the user's own holds, and at what its code uses."""
        key = "class", id(cls), arrays
        if key in self._seen:
            return
        self._seen[key] = cls
        run = list_run(cls, _RUN)
        for own in filter(is_users_own, (*cls.__mro__, *type(cls).__mro__)):
            for name, value in list_members(own):
                if name == "on_train_end" and issubclass(cls, Callback):
                    continue  # what is put back at the end was learnt in between
                where = f"{path} ({cls.__name__}.{name})"
                if isinstance(value, torch.nn.Module | BaseEstimator | NeuralNet):
                    self.visit(value, where, kept=True)
                    continue
                for function in list_functions(value):
                    if name in run:
                        self._look_at_code(function, where, "code")
                with self._used_by_code(), self._reading(own):
                    self.visit(value, where, kept=True, arrays=arrays)

    @contextlib.contextmanager
    def _reading(self, code):
        """What is found within is reached by the code of this function or class."""
        before, self._module = self._module, code.__module__
        try:
            yield
        finally:
            self._module = before

    @contextlib.contextmanager
    def _used_by_code(self):
        """What is found within is not handed on, and may or may not be used: it is "given"."""
        before, self._in_code = self._in_code, True
        try:
            yield
        finally:
            self._in_code = before

    def _visit_object(self, value, path, arrays):
        if isinstance(value, Dataset):
            return
        if callable(getattr(value, "predict", None)):
            self._find(path, f"an object that predicts ({type(value).__name__})")
            return
        if arrays and callable(getattr(value, "query", None)) and hasattr(value, "data"):
            self._find(path, f"an object that looks rows up ({type(value).__name__})", "given")
        for name, inner in list_held(value):
            self.visit(inner, f"{path}.{name}", kept=True, arrays=arrays)
        if is_users_own(type(value)):
            self._visit_class(type(value), path, arrays)

    def _find(self, path, what, kind="hidden", effect=Brought.effect, **rest):
        if kind == "hidden" and self._in_code:
            kind = "given"
        self.found.append(Brought(path, what, kind, effect, **rest))


def _is_class(value, kind):
    return isinstance(value, type) and issubclass(value, kind)


def _join(path, name):
    return f"{path}__{name}" if path else name
