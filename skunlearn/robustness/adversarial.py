"""Adversarial rows for skorch nets, by the Adversarial Robustness Toolbox.

Why that library: it is kept (torchattacks, the alternative, has not been released since October
2023), takes rows of any shape and range of values (torchattacks: images in [0, 1] only), and draws
its random starts from numpy's generator, which is seeded here.
"""

from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils import check_scalar

from skunlearn._fitted_model import ask_about
from skunlearn._rows.seeding import draw_seed, seeded
from skunlearn._torch import inference, skorch_nets
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.tasks import need_one_class
from skunlearn.nets._inputs import CENTRE, SCALE
from skunlearn.robustness.corruptions import as_dtype, check_rows, range_of

__all__ = ["ATTACKS", "adversarial_rows"]

ATTACKS = ("fgsm", "pgd", "autoattack")
_PROBED = 16  # rows on which the net's answers to floats are held against those to integers
_BATCH = 256


def adversarial_rows(
    model,
    X,
    y,
    attack="pgd",
    *,
    eps=8 / 255,
    n_iter=None,
    n_queries=200,
    targeted=False,
    value_range=None,
    to_float=None,
    random_state=None,
):
    """Rows moved by at most `eps` in every value so that a net misjudges them.

    Needs the Adversarial Robustness Toolbox: ``pip install "skunlearn[robustness]"``.

    Parameters
    ----------
    model : fitted skorch classifier or unlearner of one
        Attacked with its gradients; it is not changed.
    X : array of shape (n, ...)
        Rows as `model` takes them; they are left as they are.
    y : array-like of shape (n,)
        Labels to lead away from, or towards under `targeted`.
    attack : {"fgsm", "pgd", "autoattack"}, default="pgd"
        One step along the sign of the gradient ([1]_); many steps from a random start ([2]_); or
        projected gradients with steps that adapt, on two losses, and then a search without
        gradients for the rows that withstood ([3]_). [3]_ has targeted losses and FAB besides,
        which the library has not. Under `targeted`, and with two classes, "autoattack" is the
        first of its parts alone.
    eps : float, default=8/255
        In shares of the range of values; the usual one for CIFAR-10 ([3]_).
    n_iter : int, default=None
        Steps; None takes 20 for "pgd" and 100 for "autoattack" ([3]_). Steps of "pgd" are
        ``2.5 * eps / n_iter`` long ([2]_).
    n_queries : int, default=200
        Of the search of "autoattack". [3]_ has 5000, which takes the library a second for each
        row.
    targeted : bool, default=False
        Lead towards the labels `y` instead of away from them.
    value_range : pair of float, default=None
        Lowest and highest value that a row may have; what is moved stays in it. None takes 0 to 255
        for uint8 (the range of the dtype for other integers), 0 to 1 for floats between them, and
        otherwise those of `X`.
    to_float : callable, default=None
        For nets that take integers, or see rows through a data set of their own: turns a float
        tensor with the values of `X` into the tensor that gives the module the same input.
        None tries values as they are, divided by 255, and as the nets of this package do.
    random_state : int, RandomState instance or None, default=None
        Of random starts.

    Returns
    -------
    moved : ndarray like `X`
        Integers are rounded.

    Raises
    ------
    ImportError
        When the toolbox is not installed.
    TypeError, ValueError
        When the model is no net of a classifier, a parameter does not fit, or the module answers
        otherwise to floats than to the rows themselves.

    References
    ----------
    .. [1] I. Goodfellow, J. Shlens, C. Szegedy, "Explaining and Harnessing Adversarial Examples",
       ICLR 2015, https://arxiv.org/abs/1412.6572
    .. [2] A. Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR
       2018, https://arxiv.org/abs/1706.06083
    .. [3] F. Croce, M. Hein, "Reliable evaluation of adversarial robustness with an ensemble of
       diverse parameter-free attacks", ICML 2020, https://arxiv.org/abs/2003.01690

    Examples
    --------
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> from skunlearn.robustness import adversarial_rows
    >>> X, y = load_digits_images(return_X_y=True)
    >>> net = digits_classifier(max_epochs=5, verbose=0).fit(X, y)
    >>> moved = adversarial_rows(net, X[:50], y[:50], "fgsm", eps=0.2)  # doctest: +SKIP
    >>> net.score(moved, y[:50]) < net.score(X[:50], y[:50])  # doctest: +SKIP
    True
    """
    if attack not in ATTACKS:
        raise ValueError(f"attack must be one of {', '.join(ATTACKS)}, got {attack!r}.")
    check_scalar(eps, "eps", Real, min_val=0, max_val=1, include_boundaries="right")
    check_scalar(n_queries, "n_queries", Integral, min_val=1)
    if n_iter is not None:
        check_scalar(n_iter, "n_iter", Integral, min_val=1)
    check_rows(X, "X")
    net, rows, classes = ask_about(model, X, y)
    if not skorch_nets.is_net(net) or classes is None:
        raise TypeError(
            f"adversarial_rows needs a skorch classifier, got {type(net).__name__}: attacks follow "
            "the gradients of a net."
        )
    need_one_class(classes, "adversarial_rows", TypeError)
    low, high = range_of(X) if value_range is None else value_range
    if not high > low:
        raise ValueError(f"value_range must be a pair of rising numbers, got {low}, {high}.")
    module = _UnitInputs(net, classes, low, high, None)
    unit = np.clip((X.astype(np.float32) - low) / (high - low), 0, 1).astype(np.float32)
    with seeded(draw_seed(random_state)), _at_rest(net):
        module.to_float = _to_float(module, rows, classes, to_float)
        found = _generate(
            module, unit, rows.y, attack, eps, n_iter, n_queries, targeted, len(classes)
        )
    # The library rounds: by no more than a float's last digits beyond eps.
    found = np.clip(found, unit - eps, unit + eps)
    return as_dtype(low + found.astype(np.float64) * (high - low), X.dtype)


def _generate(module, x, y, attack, eps, n_iter, n_queries, targeted, n_classes):
    evasion, classification = toolbox()
    classifier = classification.PyTorchClassifier(
        module,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=x.shape[1:],
        nb_classes=n_classes,
        clip_values=(0.0, 1.0),
        device_type="gpu" if module.net.device.startswith("cuda") else "cpu",
    )
    labels = np.eye(n_classes, dtype=np.float32)[y]
    eps, common = float(eps), {"batch_size": _BATCH, "targeted": targeted}
    if attack == "fgsm":
        return evasion.FastGradientMethod(classifier, eps=eps, **common).generate(x, labels)
    if attack == "pgd":
        steps = n_iter or 20
        return evasion.ProjectedGradientDescent(
            classifier,
            eps=eps,
            eps_step=2.5 * eps / steps,
            max_iter=steps,
            num_random_init=1,
            verbose=False,
            **common,
        ).generate(x, labels)

    def adaptive(loss):
        return evasion.AutoProjectedGradientDescent(
            classifier,
            eps=eps,
            eps_step=2 * eps,
            max_iter=n_iter or 100,
            nb_random_init=1,
            loss_type=loss,
            verbose=False,
            **common,
        )

    if targeted or n_classes < 3:  # the other loss compares three logits
        return adaptive("cross_entropy").generate(x, labels)
    search = evasion.SquareAttack(
        classifier, eps=eps, max_iter=n_queries, nb_restarts=1, batch_size=_BATCH, verbose=False
    )
    attacks = [adaptive("cross_entropy"), adaptive("difference_logits_ratio"), search]
    return evasion.AutoAttack(
        classifier, eps=eps, eps_step=2 * eps, attacks=attacks, batch_size=_BATCH
    ).generate(x, labels)


def toolbox():
    """The library's attacks and estimators, or an error that says how to install it."""
    try:
        import multiprocess  # noqa: F401  the toolbox needs it and does not say so
        from art.attacks import evasion
        from art.estimators import classification
    except ImportError as error:
        raise ImportError(
            "Adversarial attacks need the Adversarial Robustness Toolbox: "
            'pip install "skunlearn[robustness]".'
        ) from error
    return evasion, classification


class _UnitInputs(torch.nn.Module):
    """A net's class logits as a function of rows in [0, 1]."""

    def __init__(self, net, classes, low, high, to_float):
        super().__init__()
        self.module = net.module_
        self.net, self.n_classes = net, len(classes)
        self.low, self.span, self.to_float = float(low), float(high - low), to_float

    def forward(self, x):
        """Logits of shape (n, n_classes)."""
        out = self.net.infer(self.to_float(self.low + x * self.span))
        out = out[0] if isinstance(out, tuple) else out
        return inference.class_logits(self.net, out, self.n_classes).float()


def _to_float(module, rows, classes, given):
    """The first candidate with which the module answers as the net does to the rows."""
    few = rows.take(np.arange(min(_PROBED, len(rows))))
    expected = torch.as_tensor(observe(module.net, few, classes).logits)
    x = torch.as_tensor(few.arrays()[0], dtype=torch.float32)
    x = (x - module.low) / module.span
    candidates = [given] if given is not None else [_as_it_is]
    if given is None and rows.source.dtype.kind in "iu":
        candidates += [_by_255, _as_our_nets]
    for candidate in candidates:
        module.to_float = candidate
        with torch.no_grad():
            found = module(x.to(module.net.device)).cpu()
        # Loose, for nets that compute in bfloat16.
        if torch.allclose(found, expected.float(), rtol=0.05, atol=0.05 * float(expected.std())):
            return candidate
    raise ValueError(
        "The module answers otherwise to rows as floats than the net does to the rows themselves, "
        "so that gradients would be those of another function. Pass to_float=, which turns a "
        f"float tensor with values in [{module.low:g}, {module.low + module.span:g}] into what the "
        "module takes."
    )


def _as_it_is(x):
    return x


def _by_255(x):
    return x / 255


def _as_our_nets(x):
    return (x - CENTRE) / SCALE


@contextmanager
def _at_rest(net):
    """The net in evaluation mode; afterwards in its mode, and without the gradients, of before."""
    before = net.module_.training
    net.module_.eval()
    try:
        yield
    finally:
        net.module_.train(before)
        net.module_.zero_grad(set_to_none=True)
