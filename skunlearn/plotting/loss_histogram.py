"""Histograms of losses on forgotten, unseen and retained rows, before and after."""

import numpy as np

from skunlearn._fitted_model import model_of
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.tasks import task_of
from skunlearn.metrics._logits import cross_entropy
from skunlearn.metrics._scorers.scoring import read_attacked, read_forgotten
from skunlearn.plotting._style import PALETTE, SIZE, calm, legend_below, role_of

__all__ = ["LossHistogramDisplay"]

_SETS = (
    ("forget", "-", "forget set"),
    ("unseen", "--", "unseen"),
    ("retain", ":", "retain set"),
)
_ORDER = ("original", "unlearned", "retrained")
_FLOOR = 1e-8  # nats; smaller losses are drawn here
_MOST = 40  # bins


class LossHistogramDisplay:
    """Losses on the forget set beside unseen and retained rows, one panel per model.

    From top to bottom: models called "before" or "original", all others, and those called
    "retrained"; all panels have the same axes. After good forgetting the forget set's histogram
    lies on that of unseen rows of the same classes, not to the right of it.

    Parameters
    ----------
    losses : dict of str to dict of str to ndarray
        For each model ("before", "after", "retrained", say) the cross-entropy in nats of the
        rows of "forget", "unseen" and "retain"; the latter two may be missing.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.plotting import LossHistogramDisplay
    >>> rng = np.random.default_rng(0)
    >>> y = {"forget": rng.integers(3, size=100), "unseen": rng.integers(3, size=200)}
    >>> after = {name: rng.normal(size=(len(labels), 3)) for name, labels in y.items()}
    >>> before = after | {"forget": after["forget"] + 3 * np.eye(3)[y["forget"]]}
    >>> display = LossHistogramDisplay.from_predictions({"before": before, "after": after}, y)
    >>> [ax.get_title(loc="left") for ax in display.axes_]
    ['before', 'after']
    """

    def __init__(self, losses):
        self.losses = losses

    def plot(self, ax=None, *, bins="auto"):
        """Draw one panel per model.

        Parameters
        ----------
        ax : sequence of matplotlib Axes, one per model, default=None
            A new figure when None.
        bins : int or "auto", default="auto"
            Equal on a logarithmic axis, and the same in all panels. "auto" goes by the smallest
            set, twice the cubic root of its rows (Rice's rule): of more, those of few rows would
            be a comb.

        Returns
        -------
        display : LossHistogramDisplay
        """
        n = len(self.losses)
        if ax is None:
            import matplotlib.pyplot as plt

            size = (5.0, 1.1 + 1.5 * n)
            _, ax = plt.subplots(n, 1, figsize=size, layout="constrained")
        self.axes_ = np.atleast_1d(np.asarray(ax, dtype=object))
        if len(self.axes_) != n:
            raise ValueError(f"{n} models need as many axes, got {len(self.axes_)}.")
        self.figure_ = self.axes_[0].figure
        models = sorted(self.losses, key=lambda name: _ORDER.index(role_of(name)))
        edges = self._edges(bins)
        highest = 0.0
        for panel, name in zip(self.axes_, models):
            sets = self.losses[name]
            for key, style, label in _SETS:
                if key not in sets:
                    continue
                heights, _ = np.histogram(np.maximum(sets[key], _FLOOR), edges)
                highest = max(highest, heights.max() / len(sets[key]))
                panel.stairs(
                    heights / len(sets[key]),
                    edges,
                    color=PALETTE[key],
                    ls=style,
                    lw=1.8,
                    fill=key == "forget",
                    alpha=0.55 if key == "forget" else 1.0,
                    label=f"{label} ({len(sets[key])})",
                )
            panel.set(xscale="log", ylabel="share of rows")
            panel.set_title(name, loc="left", fontsize=SIZE, fontweight="bold")
            calm(panel)
        for panel in self.axes_:
            panel.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.05 * highest))
            panel.label_outer()
        legend_below(self.axes_[-1])
        self.axes_[-1].set_xlabel("loss on a row, nats")
        return self

    def _edges(self, bins):
        sets = [values for found in self.losses.values() for values in found.values()]
        if bins == "auto":
            bins = int(np.clip(2 * np.cbrt(min(map(len, sets))), 5, _MOST))
        values = np.maximum(np.concatenate(sets), _FLOOR)
        return np.geomspace(values.min() / 1.01, values.max() * 1.01, bins + 1)

    @classmethod
    def from_predictions(cls, outputs, labels, *, ax=None, **options):
        """Draw models from their logits.

        Parameters
        ----------
        outputs : dict of str to dict of str to array-like of shape (n_rows, n_classes)
            For each model its logits (or log-probabilities) on the rows of "forget", "unseen" and
            "retain"; the latter two may be missing.
        labels : dict of str to array-like of shape (n_rows,), int
            For each of these sets the columns of the true classes, the same for all models.
        ax : sequence of matplotlib Axes, one per model, default=None
            To draw on; a new figure when None.
        **options : dict
            `bins`, as `plot` takes it.

        Returns
        -------
        display : LossHistogramDisplay
        """
        losses = {
            model: {name: cross_entropy(z, labels[name]) for name, z in sets.items()}
            for model, sets in outputs.items()
        }
        return cls(losses).plot(ax, **options)

    @classmethod
    def from_estimator(cls, unlearner, X_test, y_test, *, models=None, ax=None, **options):
        """Draw what an unlearner last forgot, beside test rows of the same classes.

        Parameters
        ----------
        unlearner : fitted classifier unlearner that has forgotten, or Pipeline that ends in one
            While it still refers to the forget rows when other `models` are asked about them.
        X_test, y_test : rows and labels never seen
            Of all classes, those of the forgotten rows among them. A torch Dataset has its labels
            with it, and `y_test` is None.
        models : dict of str to fitted estimator, default=None
            Others to draw: ``{"before": net, "retrained": other}``.
        ax : sequence of matplotlib Axes, one per model, default=None
            To draw on; a new figure when None.
        **options : dict
            `bins`, as `plot` takes it.

        Returns
        -------
        display : LossHistogramDisplay
        """
        unlearner, unseen = read_attacked(unlearner, X_test, y_test, referenced=bool(models))
        record = unlearner._record
        strata = task_of(unlearner._classes).strata
        twins = np.flatnonzero(np.isin(strata(unseen.y), strata(unlearner._evidence.y)))
        views = {
            "unseen": unseen.take(twins),
            "retain": record.view(np.flatnonzero(record.retained)),
        }
        asked = {name: model_of(m) for name, m in (models or {}).items()} | {
            "after": unlearner.estimator_
        }
        losses = {}
        for name, model in asked.items():
            forget = (
                unlearner._evidence
                if model is unlearner.estimator_
                else observe(model, read_forgotten(unlearner), unlearner._classes)
            )
            seen = {"forget": forget} | {
                key: observe(model, rows, unlearner._classes) for key, rows in views.items()
            }
            losses[name] = {key: e.losses() for key, e in seen.items()}
        return cls(losses).plot(ax, **options)
