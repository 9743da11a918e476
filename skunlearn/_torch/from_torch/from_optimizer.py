"""An optimizer as it stands as parameters of a skorch net: class, rates, parameter groups."""

import functools
import glob
import inspect

import torch
from torch.optim import Optimizer

from skunlearn._rows.row_names import join_names

_GROUP = "skunlearn_group"


class GroupedOptimizer:
    """Builds an optimizer whose groups are those of another, for a net that names parameters.

    skorch makes one group of each name; they are put together here, so that there are as many
    groups as before, in their order.

    Parameters
    ----------
    optimizer : class of torch optimizers
    """

    def __init__(self, optimizer):
        self.optimizer, self.__name__ = optimizer, optimizer.__name__

    def __call__(self, params, **options):
        """The optimizer, for groups that carry their number."""
        groups = {}
        for given in params:
            rest = dict(given)
            number = rest.pop(_GROUP, None)
            if number in groups:
                groups[number]["params"] += rest["params"]
            else:
                groups[number] = rest | {"params": list(rest["params"])}
        ordered = sorted(groups, key=lambda number: (number is None, number))
        return self.optimizer([groups[number] for number in ordered], **options)

    def __repr__(self):
        return f"{type(self).__name__}({self.optimizer.__name__})"


def read_optimizer(optimizer, named, *, lr=None, scheduled=False):
    """Parameters of a net that is trained by such an optimizer.

    Parameters
    ----------
    optimizer : torch optimizer, class of such, or callable that makes one of parameters
    named : list of (str, Parameter)
        Those of the module that was trained, and of its criterion.
    lr : float or None
        The learning rate, in place of the optimizer's own.
    scheduled : bool
        Whether a scheduler is named, too.

    Returns
    -------
    params : dict of str to value
        ``optimizer``, its options, ``lr`` and ``optimizer__param_groups`` where there are several.
    """
    if isinstance(optimizer, type):
        if not issubclass(optimizer, Optimizer):
            raise TypeError(f"optimizer must be one of torch, got {optimizer.__name__}.")
        return {"optimizer": optimizer, "lr": _usual_rate(optimizer) if lr is None else lr}
    if not isinstance(optimizer, Optimizer):
        if not callable(optimizer):
            raise TypeError(
                "optimizer must be a torch optimizer, its class or a function of parameters that "
                f"makes one, got {type(optimizer).__name__}."
            )
        if isinstance(optimizer, functools.partial) and isinstance(optimizer.func, type):
            own = dict(optimizer.keywords)
            given = read_optimizer(
                optimizer.func, named, lr=own.pop("lr", None) if lr is None else lr
            )
            return given | {f"optimizer__{name}": value for name, value in own.items()}
        optimizer = optimizer([parameter for _, parameter in named])
    _check_parameters(optimizer, named)
    if lr is None:
        _check_rates(optimizer, scheduled)
    options = _options(optimizer)
    params = {"optimizer": type(optimizer)}
    params |= {f"optimizer__{name}": value for name, value in options.items() if name != "lr"}
    groups = [_own(group, optimizer.defaults) for group in optimizer.param_groups]
    rates = [group.pop("lr") for group in groups if "lr" in group]
    if rates:
        if lr is not None and len(set(rates)) > 1:
            raise ValueError(
                f"lr={lr} says nothing of an optimizer whose parameter groups have rates of their "
                f"own ({sorted(set(rates))}). Leave it at None."
            )
        usual = float(options.get("lr", rates[0]))
        params["lr"] = lr if lr is not None else usual if usual in rates else rates[0]
        for group, rate in zip(groups, rates, strict=True):
            if lr is None and rate != params["lr"]:
                group["lr"] = rate
    if any(groups) and len(groups) == 1:
        params |= {f"optimizer__{name}": value for name, value in groups[0].items()}
    elif len(groups) > 1:
        params["optimizer"] = GroupedOptimizer(type(optimizer))
        params["optimizer__param_groups"] = _patterns(optimizer, groups, named)
    return params


def _patterns(optimizer, groups, named):
    """skorch's pairs of a name and options, one for each parameter."""
    names = {id(parameter): name for name, parameter in named}
    return [
        (glob.escape(names[id(parameter)]), {_GROUP: number, **own})
        for number, (group, own) in enumerate(zip(optimizer.param_groups, groups, strict=True))
        for parameter in group["params"]
    ]


def _options(optimizer):
    """What the optimizer was made with, as far as it is not usual."""
    known = inspect.signature(type(optimizer)).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in known.values())
    missing = [
        name
        for name, p in list(known.items())[1:]
        if p.default is p.empty
        and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        and name not in optimizer.defaults
    ]
    if missing:
        raise ValueError(
            f"{type(optimizer).__name__} does not say its {', '.join(missing)}. Pass the class and "
            f"optimizer__{missing[0]}=."
        )
    return {
        name: value
        for name, value in optimizer.defaults.items()
        if (name in known or takes_all)
        and (name == "lr" or name not in known or not _same(value, known[name].default))
    }


def _own(group, defaults):
    """The options of a group that are not those of all groups, and its rate."""
    cycled = {"momentum", "betas"} if "max_momentum" in group else set()
    own = {
        name: group[name]
        for name in defaults
        if name in group and name != "lr" and name not in cycled
        if not _same(group[name], defaults[name])
    }
    if "lr" in group:
        # A OneCycleLR sets all rates itself; what others begin with is far below its peak.
        own["lr"] = float(group.get("max_lr", group.get("initial_lr", group["lr"])))
    return own


def _check_parameters(optimizer, named):
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    foreign = len(held - {id(p) for _, p in named})
    if foreign:
        raise ValueError(
            f"The optimizer holds {foreign} parameters that are not the module's. Pass the "
            "optimizer that the module was trained with, or its class."
        )
    left = [name for name, p in named if p.requires_grad and id(p) not in held]
    if left:
        raise ValueError(
            f"The optimizer does not train {join_names(left, 3)}, which require gradients. "
            "Freeze what was not trained, in the factory too: requires_grad_(False)."
        )


def _check_rates(optimizer, scheduled):
    groups = optimizer.param_groups
    if any("initial_lr" in group for group in groups):
        if not scheduled:
            raise ValueError(
                "The optimizer's rate was set by a scheduler. Pass scheduler=, or lr= for a "
                "constant rate."
            )
    elif len(groups) == 1 and "lr" in groups[0]:
        now, first = float(groups[0]["lr"]), float(optimizer.defaults["lr"])
        if now != first:
            raise ValueError(
                f"The optimizer was made with a rate of {first:g}, which is {now:g} now. Pass lr=, "
                "the rate with which the training began."
            )


def _usual_rate(optimizer):
    lr = inspect.signature(optimizer).parameters.get("lr")
    if lr is None or lr.default is lr.empty:
        raise ValueError(f"{optimizer.__name__} has no usual learning rate: pass lr=.")
    return float(lr.default)


def _same(a, b):
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        return torch.equal(torch.as_tensor(a), torch.as_tensor(b))
    return a == b
