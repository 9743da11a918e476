"""Fine-tuning with random labels on the forget rows."""

import numpy as np
from skorch.callbacks import Callback

from skunlearn import _skorch
from skunlearn._losses import Targets
from skunlearn._norms import FollowedStatistics
from skunlearn._seeding import derive_seed
from skunlearn._steps import new_phase, normalisation
from skunlearn.exceptions import UnlearningError
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.search_spaces import Choice


class RandomLabelUnlearner(NetUnlearner):
    """Fine-tune on retained rows and on forget rows with random labels (RL).

    Choose it for whole classes and for rows that the net has memorised. With single rows that
    it would know anyway, the random labels push it beyond a retrained net: look at the verdict on
    over-forgetting. `lr` and `max_epochs` matter most.

    Parameters
    ----------
    estimator : skorch net or FrozenEstimator of one
        See `FineTuneUnlearner`; a classifier.
    redraw : bool, default=True
        New labels in each epoch, so that no wrong one is learnt by heart; False draws them once,
        as in [1]_.
    exclude_true : bool, default=True
        Never the row's own label. With two classes that turns every label round.
    order : {"mixed", "sequential"}, default="mixed"
        Batches of both kinds of rows mixed, or all forget rows before all retained ones in each
        epoch, with an optimizer for each.
    lr, max_epochs, batch_size, schedule
        See `FineTuneUnlearner`.
    random_state, memory, store_data, verbose
        See `FineTuneUnlearner`.

    Attributes
    ----------
    estimator_, classes_, deletions_
        See `FineTuneUnlearner`.

    References
    ----------
    .. [1] L. Graves, V. Nagisetty, V. Ganesh, "Amnesiac Machine Learning", AAAI 2021,
       https://arxiv.org/abs/2010.10981
    .. [2] A. Golatkar, A. Achille, S. Soatto, "Eternal Sunshine of the Spotless Net", CVPR 2020.

    Examples
    --------
    >>> from skunlearn import RandomLabelUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = RandomLabelUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> unlearner.fit(X, y).unlearn(X[:20], y[:20]).deletions_[0]["rows"]
    20
    """

    def __init__(
        self,
        estimator,
        *,
        redraw=True,
        exclude_true=True,
        order="mixed",
        lr=None,
        max_epochs=None,
        batch_size=None,
        schedule="linear",
        random_state=None,
        memory=None,
        store_data=True,
        verbose=0,
    ):
        super().__init__(
            estimator,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            schedule=schedule,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.redraw = redraw
        self.exclude_true = exclude_true
        self.order = order

    def _unlearn(self, net, retain, forget):
        self._relabel_and_train(net, retain, forget)

    def _relabel_and_train(self, net, retain, forget, callbacks=()):
        task = _skorch.task_loss(net)

        def loss_with(labels):
            return lambda out, i, x: task(out, labels[i])

        if self.order == "mixed":
            both, _, numbers = retain.union(forget)
            labels = self._labels(net, both, numbers)
            callbacks = [*callbacks, ("skunlearn_labels", labels)]
            self._run(net, both, callbacks, loss=loss_with(labels))
            return
        labels, epochs = self._labels(net, forget, forget.index), net.max_epochs
        phases = ((forget, labels), (retain, Targets(net, retain)))
        followed = "skunlearn_followed", FollowedStatistics(net, retain)
        for epoch in range(epochs):
            rate = self._rate_at(net, epoch, epochs)
            for rows, targets in phases:
                new_phase(net, max_epochs=1, lr=rate)
                alone, hung = rows is forget, callbacks
                if alone:
                    hung = [*callbacks, ("skunlearn_labels", labels), followed]
                with normalisation(net, "eval" if alone else "train"):
                    _skorch.train(net, rows, callbacks=hung, shuffle=True, loss=loss_with(targets))

    def _labels(self, net, rows, numbers):
        return RandomLabels(
            net,
            rows,
            numbers,
            None if self._classes is None else self._seen_columns,
            exclude_true=self.exclude_true,
            redraw=self.redraw,
            seed=self._next_seed(),
        )

    def _next_seed(self):
        return derive_seed(self._seed, 2, len(self.deletions_))

    def _check_parameters(self):
        super()._check_parameters()
        if self.order not in ("mixed", "sequential"):
            raise ValueError(f"order must be 'mixed' or 'sequential', got {self.order!r}.")

    def _space(self):
        return super()._space() | {"order": Choice(("mixed", "sequential"))}


class RandomLabels(Callback):
    """Targets of some rows, with random labels for a part of them, drawn again in every epoch.

    Parameters
    ----------
    net : skorch net
    rows : Rows
    numbers : ndarray of int, numbers of the rows that get random labels
    columns : ndarray of int, ascending, the encoded labels to draw among
    exclude_true, redraw : bool
    seed : int
    """

    def __init__(self, net, rows, numbers, columns, *, exclude_true, redraw, seed):
        if columns is None:
            raise UnlearningError("random labels are for classifiers; this is a regression.")
        if exclude_true and len(columns) < 2:
            raise UnlearningError("there is one class only, and no other label to draw.")
        self.net, self.rows, self.numbers = net, rows, numbers
        self.columns, self.exclude_true, self.redraw = columns, exclude_true, redraw
        self.rng = np.random.default_rng(seed)
        self._draw()

    def __getitem__(self, i):
        return self.targets[i]

    def _draw(self):
        size, n = len(self.numbers), len(self.columns)
        if self.exclude_true:
            own = np.searchsorted(self.columns, self.rows.all_y[self.numbers])
            drawn = (own + self.rng.integers(1, n, size=size)) % n
        else:
            drawn = self.rng.integers(n, size=size)
        self.targets = Targets(self.net, self.rows, (self.numbers, self.columns[drawn]))

    def on_epoch_end(self, net, **kwargs):
        """Draw them again."""
        if self.redraw:
            self._draw()
