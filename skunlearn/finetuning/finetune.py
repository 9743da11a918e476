"""Fine-tuning on the retained rows."""

from dataclasses import replace
from numbers import Real

import numpy as np

from skunlearn._rows.constraints import COUNT, Interval
from skunlearn._rows.seeding import derive_seed
from skunlearn._torch.parts.tasks import task_of
from skunlearn.callbacks import HeldOutStopping, MeanWeights
from skunlearn.net_unlearner import NetUnlearner


class FineTuneUnlearner(NetUnlearner):
    """Go on training on the retained rows and trust in forgetting by neglect.

    Choose it first: it is fast, and for whole classes often enough. The learning rate matters
    most: near the net's own it forgets, far below it hardly does. On random rows that the net
    has memorised it forgets slowly; look at the matched attack before you believe it.
    With `average_weights` it ends with the mean of the weights on its way [2]_.

    Parameters
    ----------
    {estimator, lr, max_epochs, batch_size, schedule}
    early_stopping : bool, default=False
        Hold rows out of the fine-tuning, stop when their loss no longer falls, and keep the
        best epoch. The model has seen these rows in ``fit``; the loss shows drift, not
        generalisation.
    validation_fraction : float, default=0.1
        Share of the retained rows to hold out, stratified by class (scikit-learn's default).
    n_iter_no_change : int, default=2
        Epochs without improvement to wait for.
    average_weights : bool, default=False
        End with the mean of the weights over all batches instead of the last ones (SWA). With
        ``schedule="constant"`` and twice the learning rate it kept about one point more accuracy
        over ten requests than plain fine-tuning with the same attack's AUC (CIFAR-10, spread over
        three seeds 0.6 to 0.8; ``benchmarks/bench_forgetting.py``). Not together with
        `early_stopping`.
    {random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    .. [1] A. Golatkar, A. Achille, S. Soatto, "Eternal Sunshine of the Spotless Net", CVPR
       2020; the fine-tuning baseline.
    .. [2] P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better
       Generalization", UAI 2018, https://arxiv.org/abs/1803.05407

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from skunlearn import FineTuneUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import DigitsNet
    >>> X, y = load_digits_images(return_X_y=True)
    >>> net = NeuralNetClassifier(
    ...     DigitsNet,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     optimizer__momentum=0.9,
    ...     lr=0.1,
    ...     max_epochs=5,
    ...     iterator_train__shuffle=True,
    ...     train_split=None,
    ... )
    >>> unlearner = FineTuneUnlearner(net, random_state=0).fit(X, y)
    >>> unlearner = unlearner.unlearn(X[:20], y[:20])
    >>> unlearner.deletions_[0]["rows"]
    20
    """

    _promises = replace(
        NetUnlearner._promises, reads_forget_rows=False, corrects=True, takes_positions=True
    )

    _parameter_constraints = {
        **NetUnlearner._parameter_constraints,
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [COUNT],
        "average_weights": ["boolean"],
    }

    def __init__(
        self,
        estimator,
        *,
        lr=None,
        max_epochs=None,
        batch_size=None,
        schedule="linear",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=2,
        average_weights=False,
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
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.average_weights = average_weights

    def _unlearn(self, net, retain, forget):
        return self._fine_tune(net, retain)

    def _fine_tune(self, net, retain, callbacks=(), loss=None):
        callbacks = list(callbacks)
        if self.early_stopping:
            retain, held_out = self._hold_out(retain)
            stopping = HeldOutStopping(held_out, self._classes, self.n_iter_no_change)
            callbacks.append(("skunlearn_stopping", stopping))
        if self.average_weights:
            # After the callbacks that still change the weights of a batch.
            callbacks.append(("skunlearn_mean", MeanWeights()))
        return self._run(net, retain, callbacks, loss)

    def _hold_out(self, retain):
        """Split the retained rows, stratified by class, every class keeping at least one row."""
        rng = np.random.default_rng(derive_seed(self._seed, 1))
        strata = task_of(self._classes).strata(retain.y)
        held_out = []
        for stratum in np.unique(strata):
            rows = rng.permutation(np.flatnonzero(strata == stratum))
            held_out.append(rows[: round(self.validation_fraction * len(rows))])
        held_out = np.sort(np.concatenate(held_out))
        if len(held_out) in (0, len(retain)):
            raise ValueError(
                f"validation_fraction={self.validation_fraction} of {len(retain)} retained rows "
                f"holds out {len(held_out)} rows; nothing would be left on one side."
            )
        kept = np.ones(len(retain), dtype=bool)
        kept[held_out] = False
        return retain.take(np.flatnonzero(kept)), retain.take(held_out)

    def _check_parameters(self):
        super()._check_parameters()
        if self.average_weights and self.early_stopping:
            raise ValueError(
                "average_weights and early_stopping both choose the weights to end with; use one."
            )
