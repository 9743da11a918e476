"""Amnesiac unlearning: subtract the updates that the forget rows took part in."""

from dataclasses import replace
from numbers import Integral
from os import PathLike

import numpy as np
from sklearn.frozen import FrozenEstimator

from skunlearn._files.own_folder import Folder
from skunlearn._rows import checking
from skunlearn._rows.constraints import Interval
from skunlearn._torch import skorch_nets
from skunlearn._unlearning import words
from skunlearn._unlearning.fitted import sweep
from skunlearn.editing._updates import UpdateRecorder, UpdateStore, subtract
from skunlearn.exceptions import UnlearningError, UnsuitableMethodWarning
from skunlearn.net_unlearner import NetUnlearner

_MOST = 0.5  # share of the training's steps beyond which too little of it is left


class AmnesiacUnlearner(NetUnlearner):
    """Subtract the recorded updates of the batches that held forget rows, then repair (Amnesiac).

    Choose it when you know before the training which few rows may have to go: ``fit(X, y,
    sensitive=mask)`` writes what each batch with one of them did to the weights, and a request is
    answered by subtraction. When such rows are in most batches little of the training is left,
    and it warns. The share of sensitive rows matters most, then `max_epochs`.

    The update of a batch holds the influence of its other rows too, and those that followed were
    computed at weights that had seen it: the result is no retrained net. Repair epochs on the
    retained rows, whose updates are recorded as well, mend what the subtraction tore.

    Parameters
    ----------
    estimator : skorch net
        Not yet trained: the training must be watched.
    folder : str, path-like or None, default=None
        Where updates are written, into a new folder for each ``fit``: as many bytes as the net
        has, for each batch with a sensitive row. None takes a temporary folder, which ends with
        the process. Files are deleted once their update was subtracted; the rest is yours to
        delete when it is not needed any more.
    {lr, batch_size, schedule}
    max_epochs : int or None, default=None
        Repair epochs on the retained rows; 0 is the plain subtraction. None takes a fifth of the
        net's own, rounded up.
    {random_state, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    Notes
    -----
    Scores of training batches (``EpochScoring(on_train=True)``) are not kept in ``fit``. `save`
    writes no updates: pickle the estimator to go on forgetting in another process, with
    ``folder=``. Running statistics of batch normalisation are not subtracted.

    References
    ----------
    L. Graves, V. Nagisetty, V. Ganesh, "Amnesiac Machine Learning", AAAI 2021,
    https://arxiv.org/abs/2010.10981

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn import AmnesiacUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> sensitive = np.arange(len(X)) < 5
    >>> unlearner = AmnesiacUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> unlearner = unlearner.fit(X, y, sensitive=sensitive).unlearn(indices=[2, 3])
    >>> unlearner.deletions_[0]["rows"]
    2
    """

    __metadata_request__fit = {"forget": True, "ids": True, "groups": True, "sensitive": True}

    _promises = replace(
        NetUnlearner._promises,
        takes_positions=True,
        watches_training=True,
        not_in_files=("_updates",),  # another request says so
        made_for="rows declared in `fit`",
        takes_new_inputs=False,  # recorded updates are found by the rows' digests
        reads_forget_labels=False,
    )

    _parameter_constraints = {
        **NetUnlearner._parameter_constraints,
        "folder": [str, PathLike, None],
        "max_epochs": [Interval(Integral, 0, None, closed="left"), None],
    }

    def __init__(
        self,
        estimator,
        *,
        folder=None,
        lr=None,
        max_epochs=None,
        batch_size=None,
        schedule="linear",
        random_state=None,
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
            store_data=store_data,
            verbose=verbose,
        )
        self.folder = folder

    @words.explained(NetUnlearner.fit)
    def fit(
        self,
        X,
        y=None,
        sample_weight=None,
        *,
        sensitive=None,
        forget=None,
        ids=None,
        groups=None,
        measure_on=None,
    ):
        """Train the model, and record what batches with sensitive rows did to it.

        Parameters
        ----------
        {X, y, sample_weight, forget, ids, groups, measure_on}
        sensitive : bool array of shape (n,), default=None
            Rows that may have to be forgotten. None takes `forget`, or else all rows, for which
            every batch of the training is written.

        Returns
        -------
        self : object

        Raises
        ------
        UnlearningError
            When the updates may not fit on the disk.
        """
        named = {"ids": ids, "groups": groups, "measure_on": measure_on}
        return self._fit(X, y, sample_weight, forget, named, _declared=(sensitive, forget))

    def _first_model(self, rows):
        mask, forget = vars(self).pop("_declared")
        if mask is not None:
            mask = checking.check_mask(mask, len(rows), "sensitive")
            undeclared = 0 if forget is None else int((np.asarray(forget) & ~mask).sum())
            self._refuse_undeclared(undeclared)
        elif forget is not None:
            mask = np.asarray(forget)
        chosen = rows if mask is None else rows.take(np.flatnonzero(mask))
        table = chosen.index if chosen.digests is None else chosen.digests
        store = UpdateStore(Folder(self.folder, "skunlearn-amnesiac-"), table)
        self._updates = store  # whose folder goes with an error
        recorder = UpdateRecorder(store, rows)
        watching = [("skunlearn_updates", recorder)]
        net = self._train(rows, write_checkpoints=True, callbacks=watching)
        self._updates = store.change((), recorder.batches, recorder.steps)
        return skorch_nets.drop_last_steps(net)

    def _unlearn(self, net, retain, forget):
        store = getattr(self, "_updates", None)
        if store is None:
            raise UnlearningError(
                "The recorded updates of the training are not part of a saved file: fit again, or "
                "pickle the estimator instead of save."
            )
        first, numbers = store.numbers(forget)
        self._refuse_undeclared(int((first < 0).sum()))
        names, store = store.holding(numbers), store.fork()
        self._updates = store  # whose folder goes with an error
        subtract(net, store, names)
        if len(names) > _MOST * store.steps:
            checking.warn(
                f"{len(names)} of the {store.steps} steps of the training were subtracted: little "
                "of it is left, and RetrainUnlearner costs hardly more than the repair. Amnesiac "
                "unlearning is for rows that are in few batches.",
                UnsuitableMethodWarning,
            )
        recorder = UpdateRecorder(store, retain)
        if self._epochs():
            self._run(net, retain, [("skunlearn_updates", recorder)])
        # After an error the estimator has its old store.
        self._updates = store.change(names, recorder.batches, recorder.steps)

    def _commit(self):
        sweep(self)

    def _held_files(self):
        store = vars(self).get("_updates")
        return None if store is None else (store.folder, store.batches)

    def _list_artefacts(self):
        store = getattr(self, "_updates", None)
        what = "recorded updates of the training"
        return [] if store is None else [store.folder.describe(what, store.batches)]

    @staticmethod
    def _refuse_undeclared(count):
        if count:
            raise ValueError(
                f"{count} of the rows to forget were not declared sensitive, so that their "
                "batches were not recorded. Declare them in fit(sensitive=mask), or use another "
                "method."
            )

    def _check_parameters(self):
        if isinstance(self.estimator, FrozenEstimator):
            raise TypeError(
                "AmnesiacUnlearner must watch the training, so that it cannot start from an "
                "already trained net. Pass the net itself, or use another method."
            )
        super()._check_parameters()
