"""What scorers of unlearners share."""

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_is_fitted

from skunlearn._fitted_model import read_rows
from skunlearn._rows.containers import is_dataset, is_mapping, n_rows, take
from skunlearn._rows.seen import share_alike
from skunlearn._rows.views import Rows
from skunlearn._torch.parts.tasks import task_of
from skunlearn._unlearning.validation import refuse_mixed
from skunlearn.base import BaseUnlearner
from skunlearn.compose._front_steps import as_rows, transform
from skunlearn.compose.pipeline import UnlearningPipeline
from skunlearn.metrics._arrays import to_array

_CHECKED_ROWS = 256  # test rows looked up in the training record to catch train scores


class Scorer:
    """What scikit-learn asks of a scorer that is not made by ``make_scorer``."""

    needs_forgotten = True  # whether it has a score for those only that have forgotten something

    def get_metadata_routing(self):
        """Requests of this scorer: none.

        Returns
        -------
        routing : MetadataRequest
        """
        return MetadataRequest(owner=type(self).__name__)

    def _accept_sample_weight(self):
        return False


def final_unlearner(estimator):
    estimator = getattr(estimator, "best_estimator_", estimator)
    final = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(final, BaseUnlearner):
        raise TypeError(
            "This scorer needs an unlearner, or a Pipeline that ends in one, got "
            f"{final.__name__ if isinstance(final, type) else type(final).__name__}. "
            "Other models can be measured with skunlearn.metrics.membership_inference."
        )
    check_is_fitted(final)
    return final


def read_attacked(estimator, X, y, *, referenced=False, matched=False):
    """The unlearner inside `estimator` and the unseen rows, when both are fit for an attack.

    `referenced` says that another model's answers on the same rows are looked at beside it, and
    `matched` that rows are compared within their class: those of a class that the training part of
    a fold lacked count for nothing then, and are left out.
    """
    unlearner, X = _reach(estimator, X)
    if not referenced:
        refuse_noise(unlearner._evidence)
    if matched and task_of(unlearner._classes).has_one_class and not (is_dataset(X) or y is None):
        X, y = _leave_out_unknown(X, y, unlearner._classes)
    unseen = read_rows(unlearner, X, y)
    refuse_training_rows(unlearner, unseen)
    return unlearner, unseen


def _reach(estimator, X):
    estimator = getattr(estimator, "best_estimator_", estimator)
    unlearner = final_unlearner(estimator)
    if isinstance(estimator, Pipeline):
        for name, step in estimator.steps[:-1]:
            if hasattr(step, "fit_resample"):
                raise TypeError(
                    f"The step {name!r} changes the number of rows, so that the mask of forget "
                    "rows no longer fits them. Resample before the pipeline."
                )
        if isinstance(estimator, UnlearningPipeline):
            # Steps may show a row other bits when it comes in other company.
            refuse_training_rows(estimator, rows_before_steps(X))
        if len(estimator.steps) > 1:
            X = transform(estimator.steps[:-1], X)  # as predict does: fitted or not is theirs
    if unlearner._evidence is None:
        if unlearner.deletions_:
            raise ValueError(
                f"{type(unlearner).__name__} does not know what its model says of the rows that "
                "it forgot last: it was loaded from a file that save wrote, or did not hold these "
                "rows. Bring them: attach(X, y) the retained rows, and call "
                "skunlearn.evaluation.audit(..., X_forget=, y_forget=). Or measure before saving; "
                "or pickle it instead, which keeps what the model says."
            )
        raise ValueError(
            f"{type(unlearner).__name__} has not forgotten anything yet. Pass forget=mask to "
            "fit (in a search: search.fit(X, y, forget=mask)), or call unlearn first."
        )
    return unlearner, X


def _leave_out_unknown(X, y, classes):
    refuse_mixed(y)
    labels = to_array(y)
    known = np.isin(labels, classes)
    # Where none is known, labels are of another type, say, which is for others to refuse.
    if labels.ndim != 1 or known.all() or not known.any() or len(labels) != n_rows(X):
        return X, y
    rows = X if is_mapping(X) or hasattr(X, "shape") else np.asarray(X)
    return take(rows, np.flatnonzero(known)), labels[known]


def refuse_noise(evidence):
    """Raise where forgotten rows were read through an augmentation that unseen rows lack."""
    if evidence.noisy:
        raise ValueError(
            "The forgotten rows were read through the random augmentation of training, and unseen "
            "rows are not: the comparison would measure the augmentation. Pass measure_on= to fit "
            "(a Dataset of the same rows without it, or the transform to leave out), or compare "
            "with a retrained model that reads them in the same way (reference='retrain')."
        )


def rows_before_steps(X):
    """Rows of a pipeline as its first step is given them."""
    rows = as_rows(X)
    return Rows(rows, None, np.arange(len(rows) if is_dataset(rows) else n_rows(rows)))


class TrainingRowsError(ValueError):
    """Training rows were given for unseen ones."""


def choose_some(n):
    """Which of `n` rows are looked up, spread over all of them."""
    return np.unique(np.linspace(0, n - 1, _CHECKED_ROWS).astype(int))


FORGOTTEN = (
    "These rows are rows that the model was trained on and has forgotten, not unseen ones: the "
    "attack would compare forgotten rows with forgotten rows, and find nothing whatever the model "
    "remembers. Pass rows that were never in fit."
)


def refuse_training_rows(unlearner, unseen):
    """Raise where rows that should be unseen are, or were, in the training record."""
    record, some = unlearner._record, unseen.take(choose_some(len(unseen))).X
    seen = record.mark_seen(some, ever=True).mean()
    if seen <= 0.5 or seen <= share_alike(record, some)[1]:
        return
    if record.mark_seen(some).mean() < seen / 2:
        raise TrainingRowsError(FORGOTTEN)
    raise TrainingRowsError(
        "These rows are training rows, not unseen ones: the attack would compare members "
        "with members. Score held-out rows, and set return_train_score=False (searches by "
        "successive halving have it True)."
    )


def read_forgotten(unlearner):
    """Rows of the last request."""
    if unlearner._forgotten is None:
        if unlearner._record.owned:
            raise ValueError(
                "The forget rows are no longer at hand: the estimator held a copy of its rows (fit "
                "makes one of a list or a polars frame, say, and correct of all), and the request "
                "has deleted them from it, so that no other model can be asked about them. Bring "
                "them, skunlearn.evaluation.audit(..., X_forget=, y_forget=), or give fit an "
                "array, tensor or pandas frame, to which it refers. MIAScorer(reference=None) "
                "still knows what its own model says."
            )
        raise ValueError(
            "The forget rows are no longer at hand (the estimator was pickled, loaded or "
            "detached, or held them in a copy of its own), so no other model can be asked about "
            "them. Bring them: attach(X, y) the retained rows, and call "
            "skunlearn.evaluation.audit(..., X_forget=, y_forget=). Of a pickled estimator "
            "MIAScorer(reference=None) still knows what its own model says."
        )
    return unlearner._forgotten
