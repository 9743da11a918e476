"""Worst-case forget sets: the rows that unlearning leaves best fitted."""

from numbers import Integral, Real

import numpy as np
import torch
from scipy.optimize import brentq
from sklearn.utils import check_scalar
from tqdm import tqdm

from skunlearn._fitted_model import ask_about
from skunlearn._rows.seeding import derive_seed, draw_seed, seeded
from skunlearn._torch import inference, skorch_nets
from skunlearn._torch.batches.batching import n_batches
from skunlearn._torch.loop.fit_loop import batches
from skunlearn._torch.observation import observe
from skunlearn._torch.row_losses import Targets, row_losses
from skunlearn.forget_sets._drawing import as_mask, pick_top, resolve_size
from skunlearn.forget_sets.results import ForgetSet

__all__ = ["worst_case_forget_set"]


def worst_case_forget_set(
    model,
    X,
    y,
    size=0.1,
    *,
    method="bilevel",
    n_iter=10,
    step=1.0,
    gamma=0.0,
    lr=1e-3,
    max_epochs=2,
    random_state=None,
    verbose=0,
):
    """The rows that are still best fitted after unlearning, found by bilevel optimisation.

    Each row gets a weight w in [0, 1], and the weights sum to the size of the set. The lower level
    fine-tunes the model with every row's loss weighted by 1 - w, as if the rows were forgotten to
    that degree; the upper level moves weight to the rows whose loss stays low,
    ``w ← Proj(w - step · (loss / mean loss + 2 · gamma · w))``. The heaviest rows are the set.
    Steps of the lower level take the sign of the gradient only, through which no gradient by w
    flows, so that the upper level needs none but the losses ([1]_).

    Such rows would be known by a retrained model too, since the others teach the same: judge a
    method on them against retraining, as `skunlearn.evaluation.compare` does, and not by whether
    they are still named correctly.

    Parameters
    ----------
    model : fitted skorch net or unlearner of one
        Trained on `X`; it is not changed.
    X, y : training rows and targets
        The rows to choose from, with labels as `model` knows them.
    size : int or float, default=0.1
        Number of rows, or their share; [1]_ takes a tenth.
    method : {"bilevel", "loss"}, default="bilevel"
        "loss" is a cheap proxy: rows are ranked by their loss after one fine-tuning in which all
        of them have the same weight. On the digits fine-tuning, L1-sparse, NegGrad+ and SCRUB left
        either set with less than half the loss of random ones; random labels and SalUn the bilevel
        set only (tests/long/test_worst_case_long.py).
    n_iter : int, default=10
        Rounds of the two levels (default of the code of [1]_).
    step : float, default=1.0
        Of the upper level, in units of the mean loss, so that it suits a net with large losses
        and one with small ones. The code of [1]_ takes 0.01 times the loss in nats, which moved no
        row on the digits, whose losses are small.
    gamma : float, default=0.0
        Weight of the squared norm of w, which keeps w from becoming 0 or 1 early (default of the
        code of [1]_).
    lr : float, default=1e-3
        How far each weight of the net moves in a step of the lower level (example of [1]_ for a
        ResNet-18).
    max_epochs : int, default=2
        Passes of the lower level over the rows in each round (same example).
    random_state : int, RandomState instance or None, default=None
        Order of the batches.
    verbose : int, default=0
        1 shows a progress bar with the mean loss under w.

    Returns
    -------
    forget_set : ForgetSet
        Its details hold the "weights" of all rows, the "losses" of the chosen ones after the last
        lower level, and the "objective": mean loss under w, round by round.

    Raises
    ------
    ValueError, TypeError
        When the model is no net, or a parameter does not fit.

    References
    ----------
    .. [1] C. Fan, J. Liu, A. Hero, S. Liu, "Challenging Forgets: Unveiling the Worst-Case Forget
       Sets in Machine Unlearning", ECCV 2024, https://arxiv.org/abs/2403.07362

    Examples
    --------
    >>> from skunlearn import FineTuneUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.forget_sets import worst_case_forget_set
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = FineTuneUnlearner(digits_classifier(max_epochs=5), random_state=0).fit(X, y)
    >>> worst = worst_case_forget_set(unlearner, X, y, size=100, n_iter=3, random_state=0)
    >>> len(worst), worst.details["objective"][-1] < worst.details["objective"][0]
    (100, True)
    """
    if method not in ("bilevel", "loss"):
        raise ValueError(f"method must be 'bilevel' or 'loss', got {method!r}.")
    check_scalar(n_iter, "n_iter", Integral, min_val=1)
    check_scalar(max_epochs, "max_epochs", Integral, min_val=1)
    for name, value, bounds in (
        ("step", step, "neither"),
        ("lr", lr, "neither"),
        ("gamma", gamma, "left"),
    ):
        check_scalar(value, name, Real, min_val=0, max_val=np.inf, include_boundaries=bounds)
    net, rows, classes = ask_about(model, X, y)
    if not skorch_nets.is_net(net):
        raise TypeError(f"worst_case_forget_set needs a skorch net, got {type(net).__name__}.")
    n = len(rows)
    k = resolve_size(size, n)
    if k == n:
        raise ValueError("size must leave rows to retain.")
    seed = draw_seed(random_state)
    w, objective = np.full(n, k / n), []
    rounds = tqdm(
        range(n_iter if method == "bilevel" else 1),
        desc="worst-case forget set",
        disable=not verbose,
    )
    for t in rounds:
        with seeded(derive_seed(seed, t)):
            tuned = _fine_tune_copy(net, rows, classes, 1 - w, lr, max_epochs)
        said = observe(tuned, rows, classes)
        losses = said.losses() if said.is_finite() else np.array(np.nan)
        if not np.isfinite(losses).all():
            raise ValueError(f"the fine-tuning diverged: take a smaller lr than {lr}.")
        w = project(w - step * (losses / max(losses.mean(), 1e-300) + 2 * gamma * w), k)
        objective.append(float(w @ losses / k))
        rounds.set_postfix_str(f"mean loss under w {objective[-1]:.4g}")
    # Rows of weight 1, or of weight 0, tie: the losses decide among them.
    ranks = np.empty(n)
    ranks[np.lexsort((-losses, w))] = np.arange(n)
    chosen = pick_top(ranks if method == "bilevel" else -losses, np.arange(n), k)
    proxy = "" if method == "bilevel" else ", by one fine-tuning"
    return ForgetSet(
        as_mask(chosen, n),
        "worst case" if method == "bilevel" else "worst case (proxy)",
        f"the {k} of {n} rows that unlearning leaves best fitted{proxy}.",
        {"size": k, "weights": w, "losses": losses[chosen], "objective": objective},
    )


def project(a, k):
    """The nearest point to `a` with entries in [0, 1] that sum to `k`."""
    shift = brentq(lambda m: np.clip(a - m, 0, 1).sum() - k, a.min() - 1, a.max(), xtol=1e-12)
    return np.clip(a - shift, 0, 1)


def _fine_tune_copy(net, rows, classes, weight, lr, epochs):
    """A copy of the net, fine-tuned by steps of fixed length on weighted rows."""
    new = skorch_nets.copy_net(net)
    targets = Targets(new, rows)
    weight = torch.as_tensor(weight, dtype=torch.float32)
    params = [p for p in new.module_.parameters() if p.requires_grad]
    endless = batches(new, rows)
    for _ in range(epochs * n_batches(new, len(rows))):
        batch = next(endless)
        places = batch.places("worst_case_forget_set")
        new._set_training(True)
        losses = row_losses(new, inference.infer(new, batch.x), targets[places], classes)
        gradients = torch.autograd.grad((weight[places].to(losses) * losses).sum(), params)
        with torch.no_grad():
            torch._foreach_sub_(params, [lr * g.sign() for g in gradients])
    return new
