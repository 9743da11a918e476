"""The images of a forget set, with how much a model has memorised each."""

import numpy as np

from skunlearn.forget_sets.hardness import memorisation_scores
from skunlearn.plotting._style import SIZE, wrap_text

__all__ = ["ForgetSetDisplay"]

_TILE = 0.88  # inches: six of them are read on a phone


class ForgetSetDisplay:
    """Images in the order of their scores, from the most to the least memorised.

    Of more images than are drawn those at equal steps of the order are taken, the first and the
    last among them.

    Parameters
    ----------
    images : array-like of shape (n, height, width), (n, channels, height, width) or \
(n, height, width, channels)
        Of one or three channels.
    scores : array-like of shape (n,)
        Higher is more memorised.
    labels : array-like of shape (n,), default=None
        What is written above each image.

    Attributes
    ----------
    shown_ : ndarray of int
        Positions of the images that are drawn, in their order.
    axes_ : ndarray of matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.plotting import ForgetSetDisplay
    >>> images = np.arange(48.0).reshape(3, 4, 4)
    >>> display = ForgetSetDisplay.from_scores(images, [0.1, 0.9, 0.4], labels=["a", "b", "a"])
    >>> display.shown_.tolist()
    [1, 2, 0]
    """

    def __init__(self, images, scores, labels=None):
        self.images, self.scores, self.labels = images, scores, labels

    def plot(self, *, figure=None, n_images=18, n_columns=6, title=None):
        """Draw the images.

        Parameters
        ----------
        figure : matplotlib Figure, default=None
            An empty one to draw on; a new one of pyplot when None.
        n_images : int, default=18
            At most.
        n_columns : int, default=6
            Images beside each other, at most; six are read on a phone.
        title : str, default=None
            Above the whole; none when None.

        Returns
        -------
        display : ForgetSetDisplay

        Raises
        ------
        ValueError
            When the images are no images, or scores or labels are not as many.
        """
        images, scores = _as_images(self.images), np.asarray(self.scores, dtype=float)
        labels = None if self.labels is None else np.asarray(self.labels)
        for name, values in (("scores", scores), ("labels", labels)):
            if values is not None and values.shape != (len(images),):
                raise ValueError(f"{len(images)} images need as many {name}, got {values.shape}.")
        order = np.argsort(-scores, kind="stable")
        steps = np.linspace(0, len(order) - 1, min(n_images, len(order)))
        self.shown_ = order[np.unique(steps.round().astype(int))]
        n_columns = min(n_columns, len(self.shown_))
        n_rows = -(-len(self.shown_) // n_columns)
        if figure is None:
            import matplotlib.pyplot as plt

            figure = plt.figure()
        lines = 1 + (labels is not None)
        width = max(3.0, n_columns * _TILE)
        above = "memorisation" if labels is None else "label and memorisation"
        said = f"above each: {above}; {len(self.shown_)} of {len(images)} images"
        said = wrap_text(said, width)
        height = n_rows * (_TILE + 0.18 * lines) + 0.35 + (0.3 if title else 0)
        figure.set_size_inches(width, height + 0.18 * said.count("\n"))
        figure.set_layout_engine("constrained")
        self.figure_ = figure
        grid = figure.subplots(n_rows, n_columns, squeeze=False)
        self.axes_ = grid.ravel()[: len(self.shown_)]
        low, high = float(images.min()), float(images.max())
        span = high - low or 1.0
        for ax in grid.flat:
            ax.set_axis_off()
        for ax, k in zip(self.axes_, self.shown_):
            ax.imshow((images[k] - low) / span, cmap="gray", vmin=0, vmax=1)
            score = f"{scores[k]:.2f}".replace("-", "−")
            ax.set_title(score if labels is None else f"{labels[k]}\n{score}", fontsize=SIZE)
        if title:
            figure.suptitle(title, fontsize=SIZE + 2)
        figure.supxlabel(said, fontsize=SIZE, color="0.3")
        return self

    @classmethod
    def from_scores(cls, images, scores, *, labels=None, **options):
        """Draw images with scores from anywhere.

        Parameters
        ----------
        images : array-like of shape (n, height, width), (n, channels, height, width) or \
(n, height, width, channels)
            Of one or three channels.
        scores : array-like of shape (n,)
            Higher is more memorised, and drawn first.
        labels : array-like of shape (n,), default=None
            What is written above each image.
        **options : dict
            `figure`, `n_images`, `n_columns` and `title`, as `plot` takes them.

        Returns
        -------
        display : ForgetSetDisplay
        """
        return cls(images, scores, labels).plot(**options)

    @classmethod
    def from_estimator(cls, model, X, y, forget, *, without=None, **options):
        """Draw the rows of a forget set, scored by `memorisation_scores`.

        Parameters
        ----------
        model : fitted classifier
            Trained on `X`, with the forget set.
        X : array-like of images, shape (n, ...)
            Training rows, of a shape that the class takes.
        y : array-like of shape (n,)
            Their labels as in training, which are written above the images.
        forget : bool array of shape (n,), or ForgetSet
            Which of them are drawn.
        without : fitted classifier, or list of them, default=None
            Models that have not seen the forget set: the score is then the difference of the
            probabilities of the true class, and without them minus that probability.
        **options : dict
            `figure`, `n_images`, `n_columns` and `title`, as `plot` takes them.

        Returns
        -------
        display : ForgetSetDisplay
        """
        rows = np.flatnonzero(np.asarray(getattr(forget, "mask", forget)))
        images, labels = X[rows], np.asarray(y)[rows]
        scores = memorisation_scores(model, images, labels, without=without)
        return cls.from_scores(images, scores, labels=labels, **options)


def _as_images(images):
    """Of shape (n, height, width) or (n, height, width, 3)."""
    images = np.asarray(images, dtype=float)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        images = np.moveaxis(images, 1, -1)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if not len(images) or (images.ndim != 3 and (images.ndim != 4 or images.shape[-1] != 3)):
        raise ValueError(
            f"images must be of shape (n, height, width), with 1 or 3 channels before or after "
            f"them, got {images.shape}."
        )
    return images
