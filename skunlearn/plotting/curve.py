"""ROC curve of a membership-inference attack, beside what chance alone would show."""

import numpy as np
from scipy.stats import betabinom
from sklearn.metrics import roc_curve

from skunlearn._torch.observation import observe
from skunlearn._torch.parts.positions import refuse_positions
from skunlearn._unlearning import words
from skunlearn.metrics._attacks.membership import membership_inference
from skunlearn.metrics._attacks.scores import attack_scores
from skunlearn.metrics._label_logits import is_multilabel
from skunlearn.metrics._scorers.scoring import read_attacked
from skunlearn.metrics._statistics.matching import match_weights
from skunlearn.plotting._style import (
    PALETTE,
    SERIES,
    axes_of,
    calm,
    legend_below,
    role_of,
    style_of,
)

__all__ = ["MIACurveDisplay"]

_BELOW = 0.4  # AUC below which the interesting part of a curve is on its right


class MIACurveDisplay:
    """ROC curve of a membership-inference attack, with the band of chance.

    Both axes are logarithmic because an attack that names a few rows with certainty is worse
    than one that is a little better than a coin on all, and only the left edge shows it [1]_; they
    begin at one row. Where an AUC lies below 0.4 they are linear: that forgotten rows are known
    *less* than others shows at the right edge only.

    The shaded band is where the curve lies for 95 % of scores that say nothing about membership,
    at each false-positive rate.

    Parameters
    ----------
    fpr : ndarray of shape (n_thresholds,)
        Share of unseen rows called members, weighted to the forget set's classes.
    tpr : ndarray of shape (n_thresholds,)
        Share of forgotten rows called members.
    result : MembershipInference, default=None
        For the label.
    name : str, default=None
        Of the curve, in the legend.
    n_forget : float, default=None
        Rows of the one side. The axes begin at one over it and `n_unseen`, and the band is of as
        many rows; without them there is no band, and the axes begin at the smallest rate above 0.
    n_unseen : float, default=None
        Rows of the other side, as many as their weights are worth.

    Attributes
    ----------
    line_ : matplotlib Line2D
    band_ : matplotlib PolyCollection or None
        Of the first curve on the axes.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    References
    ----------
    .. [1] N. Carlini et al., "Membership Inference Attacks From First Principles", IEEE S&P
       2022, https://arxiv.org/abs/2112.03570

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.plotting import MIACurveDisplay
    >>> rng = np.random.default_rng(0)
    >>> y_forget, y_unseen = rng.integers(2, size=200), rng.integers(2, size=400)
    >>> display = MIACurveDisplay.from_predictions(
    ...     rng.normal(size=(200, 2)), y_forget, rng.normal(size=(400, 2)), y_unseen, name="mine"
    ... )
    >>> display.line_.get_label()
    'mine: AUC 0.540 [0.489, 0.591]'
    """

    def __init__(self, *, fpr, tpr, result=None, name=None, n_forget=None, n_unseen=None):
        self.fpr, self.tpr, self.result, self.name = fpr, tpr, result, name
        self.n_forget, self.n_unseen = n_forget, n_unseen

    def plot(self, ax=None, *, name=None, **options):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Several curves may share one; a new figure when None.
        name : str, default=None
            Replaces the name given before.
        **options : dict
            For ``Axes.plot``. Models called "original" or "before" are grey and "retrained" ones
            green, others of the same axes have colours of their own.

        Returns
        -------
        display : MIACurveDisplay
        """
        self.ax_, self.figure_ = axes_of(ax, (5.0, 4.4))
        name = name or self.name or "attack"
        label = name
        if self.result is not None:
            i = self.result.interval
            label += f": AUC {i.estimate:.3f} [{i.low:.3f}, {i.high:.3f}]"
        state = vars(self.ax_).setdefault(
            "_skunlearn_curves", {"drawn": 0, "others": 0, "aucs": []}
        )
        self.band_ = self._draw_chance() if not state["drawn"] else None
        options = self._style(name, state) | {"drawstyle": "steps-post"} | options
        (self.line_,) = self.ax_.plot(self.fpr, self.tpr, label=label, **options)
        state["aucs"].append(np.trapezoid(self.tpr, self.fpr))
        self._scale(min(state["aucs"]) < _BELOW)
        self.ax_.set(
            xlabel="unseen rows called members (FPR)", ylabel="forgotten rows called members (TPR)"
        )
        legend_below(self.ax_, ncols=1)
        calm(self.ax_)
        return self

    def _style(self, name, state):
        role = role_of(name)
        state["drawn"] += 1
        style = {"ls": style_of(state["drawn"] - 1), "lw": 1.8}
        if role != "unlearned":
            return style | {"color": PALETTE[role]}
        state["others"] += 1
        return style | {"color": SERIES[(state["others"] - 1) % len(SERIES)]}

    def _draw_chance(self):
        """The diagonal, and the band about it."""
        line = np.geomspace(1e-6, 1, 400)
        self.ax_.plot(line, line, color="0.6", lw=1, ls=":", label="chance")
        if self.n_forget is None or self.n_unseen is None:
            return None
        fpr, low, high = band_of_chance(self.n_forget, self.n_unseen)
        return self.ax_.fill_between(
            fpr, low, high, step="post", color="0.9", lw=0, zorder=0, label="chance, 95 %"
        )

    def _scale(self, linear):
        """Axes from one row on; those of several curves hold all of them."""
        if linear:
            self.ax_.set(xscale="linear", yscale="linear", xlim=(0, 1), ylim=(0, 1.02))
            return
        ends = [
            1 / n if n else np.min(rates[rates > 0], initial=1.0)
            for n, rates in ((self.n_unseen, self.fpr), (self.n_forget, self.tpr))
        ]
        if self.ax_.get_xscale() == "log":
            ends = [
                min(e, lim[0]) for e, lim in zip(ends, (self.ax_.get_xlim(), self.ax_.get_ylim()))
            ]
        self.ax_.set(xscale="log", yscale="log", xlim=(ends[0], 1), ylim=(ends[1], 1.1))

    @classmethod
    @words.explained(membership_inference)
    def from_predictions(
        cls,
        forget_logits,
        y_forget,
        unseen_logits,
        y_unseen,
        *,
        attack="margin",
        match="class",
        name=None,
        ax=None,
        random_state=0,
        **options,
    ):
        """Draw the attack on a model's logits.

        Parameters
        ----------
        {forget_logits, y_forget, unseen_logits, y_unseen}
        attack : str, default="margin"
            Of "strongest", the curve of the score that it names.
        match : {"class", None}, default="class"
            "class" weights the unseen rows to the classes of the forgotten ones; None compares with
            all of them as they are.
        name : str, default=None
            Of the curve, in the legend; models called "original" or "before" are grey and
            "retrained" ones green.
        ax : matplotlib Axes, default=None
            To draw on; a new figure when None.
        **options : dict
            For ``Axes.plot``.
        random_state : int, default=0
            For the interval.

        Returns
        -------
        display : MIACurveDisplay
        """
        forget, unseen = (forget_logits, y_forget), (unseen_logits, y_unseen)
        result = membership_inference(
            *forget, *unseen, attack=attack, match=match, random_state=random_state
        )
        sides = attack_scores(forget, unseen, attack, match=match, random_state=random_state)
        weights = None
        if match and not is_multilabel(y_forget):
            weights = match_weights(y_forget, y_unseen)
        members, others = sides[result.strongest]
        display = cls.from_scores(members, others, weights=weights, result=result, name=name)
        return display.plot(ax, **options)

    @classmethod
    def from_scores(cls, forget_scores, unseen_scores, *, weights=None, result=None, name=None):
        """The curve of any attack's scores, not drawn yet.

        Parameters
        ----------
        forget_scores : array-like of shape (n_forget,), float
            Higher looks more like a member.
        unseen_scores : array-like of shape (n_unseen,), float
            The same score of rows that were in no training set.
        weights : array-like of shape (n_unseen,), default=None
            Of the unseen rows, from `skunlearn.metrics.match_weights` say; equal when None.
        result : MembershipInference, default=None
            Its AUC and interval are written into the legend.
        name : str, default=None
            Of the curve, in the legend.

        Returns
        -------
        display : MIACurveDisplay
        """
        members, others = np.asarray(forget_scores), np.asarray(unseen_scores)
        weights = np.ones(len(others)) if weights is None else np.asarray(weights)
        fpr, tpr, _ = roc_curve(
            np.repeat([True, False], [len(members), len(others)]),
            np.concatenate([members, others]),
            sample_weight=np.concatenate([np.ones(len(members)), weights]),
            drop_intermediate=False,
        )
        worth = weights.sum() ** 2 / (weights**2).sum()
        return cls(
            fpr=fpr, tpr=tpr, result=result, name=name, n_forget=len(members), n_unseen=worth
        )

    @classmethod
    def from_estimator(cls, unlearner, X_test, y_test, *, name=None, **options):
        """Draw the attack on what an unlearner last forgot.

        Parameters
        ----------
        unlearner : fitted classifier unlearner that has forgotten, or Pipeline that ends in one
            The rows of its last request are attacked.
        X_test, y_test : rows and labels never seen
            Of all classes, those of the forgotten rows among them. A torch Dataset has its labels
            with it, and `y_test` is None.
        name : str, default=None
            The class's name when None.
        **options : dict
            `attack`, `match`, `ax` and the like: see `from_predictions`.

        Returns
        -------
        display : MIACurveDisplay
        """
        unlearner, unseen = read_attacked(unlearner, X_test, y_test)
        refuse_positions(unlearner._classes, f"{cls.__name__}.from_estimator")
        forgotten = unlearner._evidence
        observed = observe(unlearner.estimator_, unseen, unlearner._classes)
        return cls.from_predictions(
            forgotten.logits,
            forgotten.y,
            observed.logits,
            observed.y,
            name=name or type(unlearner).__name__,
            **options,
        )


def band_of_chance(n_forget, n_unseen):
    """Where 95 % of the curves lie, at each false-positive rate, of scores that say nothing.

    Of exchangeable scores the number of members above the k-th highest non-member is
    beta-binomial; between the k-th and the one after it the curve steps from one to the other.

    Parameters
    ----------
    n_forget, n_unseen : float
        Rounded to whole rows, at least one.

    Returns
    -------
    fpr, low, high : ndarray of shape (n,)
    """
    n, m = max(1, round(n_forget)), max(1, round(n_unseen))
    passed = np.arange(m + 1)
    tail = 0.025
    low, high = np.zeros(m + 1), np.ones(m + 1)
    low[1:] = betabinom.ppf(tail, n, passed[1:], m - passed[1:] + 1) / n
    high[:-1] = betabinom.ppf(1 - tail, n, passed[:-1] + 1, m - passed[:-1]) / n
    return passed / m, low, high
