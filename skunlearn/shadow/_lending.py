"""What shadow models say of rows that they were not trained on, without the rows."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skunlearn._rows.containers import align, empty_like, is_dataset, match, row_digests
from skunlearn._torch.parts.tasks import task_of


class LendingMixin:
    """Lends what fitted shadow models say."""

    def lend(self):
        """What the models say of rows that they were not trained on, for `OracleMatchingUnlearner`.

        Returns
        -------
        lent : object
            It holds outputs, and digests of the rows in place of the rows.

        Raises
        ------
        ValueError
            When outputs were not kept, or the rows are those of a torch Dataset.
        """
        check_is_fitted(self)
        if self.outputs_ is None:
            raise ValueError(
                "These shadow models kept margins only, which say nothing of the other classes. "
                "Fit them with ShadowModels(keep_outputs=True)."
            )
        source = self._rows.source
        if is_dataset(source):
            raise ValueError(
                "Shadow models of a torch Dataset cannot lend what they know: its rows cannot be "
                "compared with others. Fit them on arrays."
            )
        return LentOutputs(
            self.outputs_,
            self.membership_,
            row_digests(source),
            empty_like(source),
            self._columns,
            self.classes_,
        )


class LentOutputs:
    """Outputs of shadow models by row, to be asked for rows that a model never saw.

    It holds digests of the rows in their place, so that it may outlive them.

    Parameters
    ----------
    logits : ndarray of shape (n_models, n, n_outputs)
    membership : bool ndarray of shape (n_models, n)
    digests : ndarray of shape (n, 16)
    like : container of no rows, in the form of those that the models were fitted on
    columns : see `task_of`
    classes : ndarray of shape (n_classes,)
    """

    def __init__(self, logits, membership, digests, like, columns, classes):
        self.logits, self.membership, self.digests = logits, membership, digests
        self.like, self.columns, self.classes_ = like, columns, classes

    def __sklearn_is_fitted__(self):
        return True

    def ask(self, X, *, together=None):
        """Probabilities of rows, each the mean of models that were not trained on it.

        Parameters
        ----------
        X : rows as ``fit`` was given them
        together : bool or None, default=None
            Whether all rows are asked of the same models, of which none was trained on any of
            them. None does so where there are such models.

        Returns
        -------
        p : ndarray of shape (n, n_outputs)
        counts : ndarray of shape (n,)
            Models behind each row.
        together : bool

        Raises
        ------
        ValueError
            When a row is unknown, or no model was trained without it.
        """
        X, _ = align(X, self.like, "X")
        hits = match(self.digests, row_digests(X))
        unknown = np.flatnonzero([len(hit) == 0 for hit in hits])
        if len(unknown):
            raise ValueError(
                f"{len(unknown)} of {len(hits)} rows are not among those that the shadow models "
                f"were fitted on (the first is number {unknown[0]}). Fit ShadowModels on the rows "
                "of the net, in the same dtype and scaling."
            )
        free = np.stack([~self.membership[:, hit].any(axis=1) for hit in hits], axis=1)
        joint = free.all(axis=1)
        if together is None:
            together = bool(joint.any())
        if together:
            if not joint.any():
                raise ValueError(
                    f"Each of the {len(free)} shadow models was trained on some of the "
                    f"{len(hits)} rows. Where a whole class is forgotten none may know it: give "
                    "models that were trained without the class, or leave oracle= out."
                )
            free = np.repeat(joint[:, None], len(hits), axis=1)
        counts = free.sum(axis=0)
        if not counts.all():
            held = np.flatnonzero(counts == 0)
            raise ValueError(
                f"{len(held)} of {len(hits)} rows are in the training set of every shadow model "
                f"(the first is number {held[0]}). Mark them as candidates in ShadowModels.fit."
            )
        first = np.array([hit[0] for hit in hits])
        logits = self.logits[:, first].astype(np.float64)
        p = task_of(self.columns).probabilities(logits.reshape(-1, logits.shape[-1]))
        p = p.reshape(logits.shape)
        return np.einsum("mn,mnk->nk", free, p) / counts[:, None], counts, together
