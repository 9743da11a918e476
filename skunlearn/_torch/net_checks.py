"""What is wrong with a net, said before it is trained."""

import re
from contextlib import contextmanager

import numpy as np
import torch
from skorch import NeuralNetClassifier

from skunlearn._rows.checking import warn
from skunlearn._rows.containers import is_mapping
from skunlearn._rows.views import Rows
from skunlearn._torch.first_weights import shorten
from skunlearn._torch.inference import outputs
from skunlearn._torch.loop.learning_rates import batch_size
from skunlearn._torch.loop.run_guards import NO_TENSOR
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.net_kinds import is_binary
from skunlearn._torch.parts.net_state import uncompiled
from skunlearn._torch.parts.positions import Positions
from skunlearn._torch.parts.tasks import Labels
from skunlearn._torch.skorch_nets import own_split, stand_in
from skunlearn.exceptions import UnlearningError, UntrainedNetWarning

_LOOKED_AT = 1000  # rows that an untrained net is asked about
# torch's words: "but got Long and Float", "Input type (long)", "expected ... found Byte"
_WHOLE_NUMBERS = re.compile(
    r"type.*\b(Long|Int|Short|Char|Byte|long|int|short|unsigned char)\b", re.S
)
_LOAD = (
    "Load them (net.load_params(f_params=...)) or train it first; pass the net itself, without "
    "FrozenEstimator, to let fit train it."
)


def refuse_module(estimator, method):
    """Refuse a module or its class, which say nothing of a training."""
    of_torch = estimator if isinstance(estimator, type) else type(estimator)
    if issubclass(of_torch, torch.nn.Module):
        raise TypeError(
            f"{method} works on skorch nets, got the PyTorch module {of_torch.__name__}. A trained "
            "module comes in by skunlearn.from_torch(module, loader, ...); the class of one that "
            "is to be trained goes into skorch's NeuralNetClassifier."
        )


def check_net(net, method):
    """Refuse nets whose training rows would not be what they seem."""
    if any(cls.__module__ == "skorch.probabilistic" for cls in type(net).__mro__):
        raise TypeError(
            f"{method} takes nets whose module says something of each row by itself, got "
            f"{type(net).__name__}, a Gaussian process."
        )
    refuse_sampler(net)


def refuse_sampler(net, path=""):
    """Refuse a sampler that knows the rows of one training set; `path` is where the net stands."""
    given = {**net.get_params_for("iterator_train"), **getattr(net.iterator_train, "keywords", {})}
    options = [name for name in ("sampler", "batch_sampler") if given.get(name) is not None]
    if options:
        prefix = f"{path}__" if path else ""
        raise ValueError(
            f"{prefix}iterator_train__{options[0]} is made for a fixed set of rows, and would not "
            "fit the retained ones. Pass iterator_train__shuffle=True, or an iterator_train that "
            "makes its sampler from the data set that it is given."
        )


def check_seen(net, rows):
    """Refuse `rows` when the history of a trained net says that it has seen others."""
    seen = _count_rows_seen(net)
    if seen is None:
        return
    slack = batch_size(net) if net.get_params_for("iterator_train").get("drop_last") else 0
    if len(rows) < seen:
        raise ValueError(
            f"The trained net has seen {seen} rows, but fit was given {len(rows)}. The others "
            "would count as unseen although it remembers them. Pass all of its training rows, "
            "or the untrained net, so that it is trained on these rows only."
        )
    if len(rows) > seen + slack:
        raise ValueError(
            f"The trained net has seen {seen} rows, but fit was given {len(rows)}. Pass exactly "
            "the rows that it was given for its training."
        )


def _count_rows_seen(net):
    """Rows in an epoch of the net's training, or None when its history does not tell.

    Those that its own split held out are among them.
    """
    sizes = ["train_batch_size"]
    if own_split(net) is not None:
        sizes.append("valid_batch_size")
    try:
        seen = [
            sum(batch.get(size, 0) for batch in epoch["batches"] for size in sizes)
            for epoch in net.history
        ]
    except (AttributeError, KeyError, TypeError):
        return None
    return max(seen, default=0) or None


def warn_if_untrained(net, rows, classes, drawn=()):
    """Warn where a net that is said to be trained shows no sign of it.

    Weights that were loaded leave no history, so that an empty one says nothing. But a net knows
    more of its own training rows than one who only knows how frequent each label is; and `drawn`,
    names of weights that a lazy layer has got from these rows, are no training's.
    """
    if drawn:
        history = "" if len(net.history) else "no history of a training, and "
        warn(
            f"The net in FrozenEstimator has {history}lazy layers that had no weights before the "
            f"rows of this fit ({shorten(sorted(drawn))}): these are random. {_LOAD}",
            UntrainedNetWarning,
        )
        return
    if len(net.history):
        return
    evidence = observe(net, rows.sample(_LOOKED_AT, 0), classes)
    losses = evidence.losses()
    if losses is None or not evidence.is_finite():
        return
    if classes is None:
        # R² against the mean; the rows of a constant target say nothing.
        score = evidence.score()
        if score is None or score > 0:
            return
        guess = "R² is below that of their mean"
    elif isinstance(classes, Labels | Positions):
        guess = evidence.task.chance(evidence.y)
        if losses.mean() < guess:
            return
        guess = (
            f"mean loss is {losses.mean():.3g}, where guessing by the frequencies of the labels "
            f"gives {guess:.3g}"
        )
    else:
        shares = np.bincount(evidence.y, minlength=len(classes)) / len(evidence.y)
        seen = shares[shares > 0]
        entropy = -(seen * np.log(seen)).sum()
        # The logits of a criterion of one's own may be no log-odds, and still name the labels.
        if losses.mean() < entropy or evidence.score() > (1 + shares.max()) / 2:
            return
        guess = (
            f"mean loss is {losses.mean():.3g}, where guessing by the frequencies of the labels "
            f"gives {entropy:.3g}"
        )
    warn(
        f"The net in FrozenEstimator has no history of a training, and on the rows that fit was "
        f"given its {guess}: its weights may be random. {_LOAD}",
        UntrainedNetWarning,
    )


def read_trained_classes(net, X, y):
    """Classes of a trained classifier: its columns, since it was trained on their numbers.

    They may be floats, as a binary cross-entropy of torch takes them.
    """
    whole = y.dtype.kind in "biu" or (y.dtype.kind == "f" and np.array_equal(y, np.trunc(y)))
    if not whole or y.min() < 0:
        raise ValueError(
            "The labels of an already trained net must be the column numbers that it was trained "
            f"on (0, 1, ...), got labels of dtype {y.dtype} such as {y[:1].tolist()[0]!r}."
        )
    if is_binary(net):
        return np.arange(2)
    net = stand_in(net)
    with _refusing_no_tensor(net):
        return np.arange(outputs(net, Rows(X, None, [0])).shape[1])


def check_outputs(net, rows, n_classes):
    """Refuse a net whose module's outputs do not fit the targets.

    `n_classes` is None for values and labels, and `Positions` for a class at each position. The
    forward pass over two rows also gives lazy modules their shapes.
    """
    some = rows.take(np.arange(min(2, len(rows))))
    try:
        with _refusing_no_tensor(net):
            said = outputs(net, some, every=True)
    except RuntimeError as error:
        if _WHOLE_NUMBERS.search(str(error)):
            raise TypeError(
                f"{type(net).__name__}'s module does not take whole numbers, and X holds them: "
                'pass X.astype("float32"). (They reach the module as they are, for an Embedding.)'
            ) from error
        if "zero-dimensional" not in str(error):
            raise
        raise ValueError(
            f"{type(net).__name__}'s module returns a single number beside what it says of rows, a "
            "loss say, which cannot be joined over batches. Keep it in an attribute for get_loss "
            "in evaluation mode, or return one of each row."
        ) from error
    out, *others = said if isinstance(said, tuple | list) else (said,)
    if isinstance(n_classes, Positions):
        if not n_classes.check_width(out):
            sizes = (len(n_classes), *n_classes.shape), out.shape[1:]
            wanted, got = (", ".join(map(str, size)) for size in sizes)
            raise ValueError(
                f"{type(net).__name__}'s module must return logits of shape (n, {wanted}) for "
                f"these targets, got (n, {got})."
            )
        return
    if n_classes is None:
        flat = rows.all_y.ndim == 1
        columns = 1 if flat else rows.all_y.shape[1]
        if out.shape[1:] != (columns,) and not (flat and out.ndim == 1):
            # The loss would broadcast (n, k) against (n, 1) and train on n² pairs.
            wanted = f"(n, {columns})" + (" or (n,)" if flat else "")
            raise ValueError(
                f"{type(net).__name__}'s module must return shape {wanted} for these "
                f"targets, got (n{''.join(f', {size}' for size in out.shape[1:])}). Of several "
                "outputs the first is the prediction; one of several columns, quantiles say, "
                "takes a y of as many."
                + (
                    " A class for each of several positions takes CrossEntropyLoss, and logits of "
                    f"shape (n, n_classes, {columns}): out.movedim(-1, 1) of (n, ..., n_classes)."
                )
                * (not flat and out.ndim == 3)
            )
        return
    width = 2 if is_binary(net) else out.shape[1] if out.ndim > 1 else 1
    fit = [k for k, other in enumerate(others, 2) if other.shape == (len(out), n_classes)]
    if fit and width != n_classes:
        raise ValueError(
            f"Of several outputs of {type(net).__name__}'s module the first is the prediction, and "
            f"it has {width} columns where y has {n_classes} classes. Output {fit[0]} has "
            f"{n_classes}: return it first, and let the criterion take it from there."
        )
    if width < n_classes:
        returned = f"{width} output" + "s" * (width > 1)
        binary = ", or take skorch's NeuralNetBinaryClassifier" * (width == 1 and n_classes == 2)
        raise ValueError(
            f"y has {n_classes} classes, but {type(net).__name__}'s module returns {returned} "
            f"per row. Give the module as many outputs as there are classes{binary}."
        )
    _refuse_no_probabilities(net, out)


_OF_LOSSES = "infer", "get_loss", "train_step_single"


@contextmanager
def _refusing_no_tensor(net):
    """Raise where the module returns what no loss of torch's takes, and the net has no own one."""
    own = [name for name in _OF_LOSSES if not _is_skorchs(net, name)]
    if own or isinstance(net.module_, torch.jit.ScriptModule):  # which takes no hook
        yield
        return

    several = []

    def look(module, inputs, out):
        if is_mapping(out) or isinstance(out, tuple | list):
            several.append(type(out).__name__)
        elif not isinstance(out, torch.Tensor):
            raise TypeError(NO_TENSOR.format(type(out).__name__))

    hook = net.module_.register_forward_hook(look)
    try:
        yield
    finally:
        hook.remove()
    if several and type(uncompiled(net.criterion_)).__module__ == torch.nn.modules.loss.__name__:
        raise TypeError(NO_TENSOR.format(several[0]))


def _is_skorchs(net, name):
    return name not in vars(net) and getattr(type(net), name).__module__.startswith("skorch.")


def _refuse_no_probabilities(net, out):
    """Raise where skorch would take the log of what are no probabilities, and train on NaN."""
    takes_logs = isinstance(uncompiled(net.criterion_), torch.nn.NLLLoss) and (
        getattr(type(net), "get_loss", None) is NeuralNetClassifier.get_loss
    )
    if takes_logs and ((out < 0) | (out > 1.01)).any():
        raise ValueError(
            f"{type(net).__name__} takes the log of what its module returns before NLLLoss, "
            "skorch's criterion where none is given, and this module returns no probabilities: "
            "of logits, or of what is logarithms already, the loss is NaN. Pass "
            "criterion=torch.nn.CrossEntropyLoss, which is right for both."
        )


_LIKELIHOODS = (
    torch.nn.CrossEntropyLoss,
    torch.nn.NLLLoss,
    torch.nn.BCEWithLogitsLoss,
    torch.nn.BCELoss,
    torch.nn.MSELoss,
)


def check_likelihood(net):
    """Refuse criteria that are not a log-likelihood, from which Fisher information is made."""
    criterion = uncompiled(net.criterion_)
    if not isinstance(criterion, _LIKELIHOODS):
        names = ", ".join(cls.__name__ for cls in _LIKELIHOODS)
        raise UnlearningError(
            f"norm='fisher' needs log p(y|x), which {type(criterion).__name__} does not "
            f"give; it works with {names}. Use norm='l2'."
        )
