"""ROC curve of a membership-inference attack on two logarithmic axes."""

import numpy as np
from sklearn.metrics import roc_curve

from skunlearn._torch.observation import observe
from skunlearn.metrics._attacks.membership import membership_inference
from skunlearn.metrics._attacks.scores import attack_scores
from skunlearn.metrics._label_logits import is_multilabel
from skunlearn.metrics._scorers.scoring import attacked_rows
from skunlearn.metrics._statistics.matching import match_weights
from skunlearn.plotting._style import axes_of, calm

__all__ = ["MIACurveDisplay"]


class MIACurveDisplay:
    """ROC curve of a membership-inference attack, log-log.

    Both axes are logarithmic because an attack that names a few rows with certainty is worse
    than one that is a little better than a coin on all, and only the left edge shows it [1]_.

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

    Attributes
    ----------
    line_ : matplotlib Line2D
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

    def __init__(self, *, fpr, tpr, result=None, name=None):
        self.fpr, self.tpr, self.result, self.name = fpr, tpr, result, name

    def plot(self, ax=None, *, name=None, **options):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Several curves may share one; a new figure when None.
        name : str, default=None
            Replaces the name given before.
        **options : dict
            For ``Axes.plot``.

        Returns
        -------
        display : MIACurveDisplay
        """
        self.ax_, self.figure_ = axes_of(ax)
        label = name or self.name or "attack"
        if self.result is not None:
            i = self.result.interval
            label += f": AUC {i.estimate:.3f} [{i.low:.3f}, {i.high:.3f}]"
        if not getattr(self.ax_, "_skunlearn_chance", False):
            self.ax_.plot([1e-9, 1], [1e-9, 1], color="0.6", lw=1, ls=":", label="chance")
            self.ax_._skunlearn_chance = True
        options = {"drawstyle": "steps-post"} | options
        (self.line_,) = self.ax_.plot(self.fpr, self.tpr, label=label, **options)
        floor = np.min(self.fpr[self.fpr > 0], initial=1.0)
        if self.ax_.get_xscale() == "log":
            floor = min(floor, self.ax_.get_xlim()[0])
        self.ax_.set(
            xscale="log",
            yscale="log",
            xlim=(floor, 1),
            ylim=(floor, 1.1),
            xlabel="unseen rows called members (FPR)",
            ylabel="forgotten rows called members (TPR)",
        )
        self.ax_.legend(loc="lower right", frameon=False, fontsize="small")
        calm(self.ax_)
        return self

    @classmethod
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
        forget_logits, y_forget, unseen_logits, y_unseen
            See `skunlearn.metrics.membership_inference`.
        attack : str, default="margin"
            Of "strongest", the curve of the score that it names.
        match : {"class", None}, default="class"
        name, ax, **options
            See `plot`.
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
        weights : array-like of shape (n_unseen,), default=None
        result : MembershipInference, default=None
        name : str, default=None

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
        return cls(fpr=fpr, tpr=tpr, result=result, name=name)

    @classmethod
    def from_estimator(cls, unlearner, X_test, y_test, *, name=None, **options):
        """Draw the attack on what an unlearner last forgot.

        Parameters
        ----------
        unlearner : fitted classifier unlearner that has forgotten, or Pipeline that ends in one
        X_test, y_test : rows and labels never seen
        name : str, default=None
            The class's name when None.
        **options : dict
            `attack`, `match`, `ax` and the like: see `from_predictions`.

        Returns
        -------
        display : MIACurveDisplay
        """
        unlearner, unseen = attacked_rows(unlearner, X_test, y_test)
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
