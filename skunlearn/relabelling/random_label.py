"""Fine-tuning with random labels on the forget rows."""

from dataclasses import replace

import numpy as np
from skorch.callbacks import Callback

from skunlearn._rows.constraints import StrOptions
from skunlearn._rows.seeding import derive_seed
from skunlearn._torch.batches.net_rows import encode_targets
from skunlearn._torch.loop.norms import FollowedStatistics
from skunlearn._torch.loop.optimizer_steps import norms_at_rest
from skunlearn._torch.parts.tasks import Labels
from skunlearn._unlearning.phases import Phases
from skunlearn.ascent._stopping import STOP_CONSTRAINTS, StopsInTime
from skunlearn.exceptions import UnlearningError
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.search_spaces import Choice


class RandomLabelUnlearner(StopsInTime, NetUnlearner):
    """Fine-tune on retained rows and on forget rows with random labels (RL).

    Choose it for whole classes and for rows that the net has memorised. With single rows that
    it would know anyway, the random labels push it beyond a retrained net: look at the verdict on
    over-forgetting. `lr` and `max_epochs` matter most.

    A rate that is too small leaves the rows known, and a large one makes them stand out. Rows that
    the net has never seen, ``X_val=, y_val=`` of the request, tell both: on digits with a fifth of
    the labels wrong there was a warning at each of seven rates from 0.01 to 1 of the net's own, for
    an MLP and a convolutional net, which left an AUC of forget against unseen rows of 0.45 to 0.72
    by loss and of 0.21 to 0.62 by entropy. Without them some pass
    unnoticed.

    Parameters
    ----------
    {estimator}
        A classifier.
    redraw : bool, default=True
        New labels in each epoch, so that no wrong one is learnt by heart; False draws them once,
        as Graves et al. did.
    exclude_true : bool, default=True
        Never the row's own label. With two classes that turns every label round. Rows with several
        labels get all those of another row, drawn among the retained ones.
    order : {"mixed", "sequential"}, default="mixed"
        Batches of both kinds of rows mixed, or all forget rows before all retained ones in each
        epoch, with an optimizer for each.
    {stop, lr, max_epochs, batch_size, schedule, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    L. Graves, V. Nagisetty, V. Ganesh, "Amnesiac Machine Learning", AAAI 2021,
    https://arxiv.org/abs/2010.10981
    A. Golatkar, A. Achille, S. Soatto, "Eternal Sunshine of the Spotless Net", CVPR 2020.

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

    _promises = replace(NetUnlearner._promises, takes_values=False)

    _parameter_constraints = {
        **NetUnlearner._parameter_constraints,
        **STOP_CONSTRAINTS,
        "redraw": ["boolean"],
        "exclude_true": ["boolean"],
        "order": [StrOptions({"mixed", "sequential"})],
    }

    def __init__(
        self,
        estimator,
        *,
        redraw=True,
        exclude_true=True,
        order="mixed",
        stop=None,
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
        self.stop = stop
        self.redraw = redraw
        self.exclude_true = exclude_true
        self.order = order

    def _unlearn(self, net, retain, forget):
        self._relabel_and_train(net, retain, forget)

    def _relabel_and_train(self, net, retain, forget, callbacks=()):
        how = self.exclude_true, self._next_seed()
        if isinstance(self._classes, Labels):
            drawn = RandomSets(forget.y, retain.y, *how)
        else:
            drawn = RandomLabels(forget.y, self._row_reader.seen_columns, *how)
        if self.order == "mixed":
            both = retain.union(forget)
            places = np.arange(len(retain), len(both))
            callbacks = list(callbacks)
            if self.redraw:
                callbacks.append(("skunlearn_labels", Redrawn(both, places, drawn)))
            y = both.y
            y[places] = drawn()
            self._run(net, both.relabel(y), callbacks, relabels=self.redraw)
            return
        phases, relabelled = Phases(net, self.schedule), forget.relabel(drawn())
        followed = "skunlearn_followed", FollowedStatistics(net, retain)
        for epoch in phases:
            if epoch and self.redraw:
                relabelled = forget.relabel(drawn())
            with norms_at_rest(net):
                phases.train(relabelled, callbacks=[*callbacks, followed])
            phases.train(retain, callbacks=callbacks)

    def _next_seed(self):
        return derive_seed(self._seed, 2, len(self.deletions_))

    def _space(self):
        return super()._space() | {"order": Choice(("mixed", "sequential"))}


class RandomLabels:
    """Draws labels for some rows, others at every call.

    Parameters
    ----------
    y : ndarray of int, their own labels, encoded
    columns : ndarray of int, ascending, the encoded labels to draw among
    exclude_true : bool
    seed : int
    """

    def __init__(self, y, columns, exclude_true, seed):
        if exclude_true and len(columns) < 2:
            raise UnlearningError("there is one class only, and no other label to draw.")
        self.y, self.columns, self.exclude_true = y, columns, exclude_true
        self.rng = np.random.default_rng(seed)

    def __call__(self):
        size, n = len(self.y), len(self.columns)
        if self.exclude_true:
            own = np.searchsorted(self.columns, self.y)
            return self.columns[(own + self.rng.integers(1, n, size=size)) % n]
        return self.columns[self.rng.integers(n, size=size)]


class RandomSets:
    """Draws sets of labels for some rows, those of other rows at random, others at every call.

    Every label is as frequent then as among those other rows, and with the labels that it comes
    with there.

    Parameters
    ----------
    y : bool ndarray of shape (n, n_labels), their own labels
    others : bool ndarray of shape (m, n_labels), the sets to draw among
    exclude_true : bool
        Whether to draw none that a row has.
    seed : int
    """

    def __init__(self, y, others, exclude_true, seed):
        self.sets, own, counts = np.unique(
            np.concatenate([others, y]), axis=0, return_inverse=True, return_counts=True
        )
        self.own = own.reshape(-1)[len(others) :]
        shares = (counts - np.bincount(self.own, minlength=len(counts))) / len(others)
        self.ends, self.barred = np.cumsum(shares), np.zeros(len(y))
        if exclude_true:
            self.barred = shares[self.own]
            if (self.barred == 1).any():
                raise UnlearningError("all rows have the same labels, and no others to draw.")
        self.starts = self.ends[self.own] - self.barred
        self.rng = np.random.default_rng(seed)

    def __call__(self):
        drawn = self.rng.random(len(self.own)) * (1 - self.barred)
        drawn += np.where(drawn >= self.starts, self.barred, 0.0)  # the row's own are passed over
        drawn = np.searchsorted(self.ends, drawn, side="right")
        return self.sets[np.minimum(drawn, len(self.sets) - 1)]


class Redrawn(Callback):
    """Give some of the rows that are trained on new random labels after every epoch.

    Parameters
    ----------
    rows : Rows
    places : ndarray of int, where they are among `rows`
    drawn : RandomLabels
    """

    def __init__(self, rows, places, drawn):
        self.rows, self.places, self.drawn = rows, places, drawn

    def on_train_begin(self, net, X=None, **kwargs):
        """Note the data set that is trained on."""
        self.data_ = X

    def on_epoch_end(self, net, **kwargs):
        """Draw them."""
        y = self.rows.y
        y[self.places] = self.drawn()
        self.data_.relabel(encode_targets(net, y), net)

    def on_train_end(self, net, **kwargs):
        """Let go of the data set."""
        del self.data_
