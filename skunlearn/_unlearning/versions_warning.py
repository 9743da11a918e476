"""A warning where two published versions of a linear model would give a row away."""

from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import Pipeline

from skunlearn._rows import checking
from skunlearn.exceptions import RowRevealedWarning

_LINEAR = (Ridge, LinearRegression, RidgeClassifier, LogisticRegression)


def is_linear(model):
    """Whether a model, or the last step of a pipeline, is a linear one."""
    while isinstance(model, Pipeline):
        model = model.steps[-1][1]
    return isinstance(model, _LINEAR)


def warn_of_versions(model, n_rows):
    """Warn when a published `model` is followed by one without a single row."""
    if n_rows == 1 and is_linear(model):
        checking.warn(
            "One row was deleted from a linear model whose earlier version has been published: "
            "whoever has both, and rows of the same kind, can rebuild the deleted row from their "
            "difference (skunlearn.evaluation.reconstruction_attack). Collect requests and fulfil "
            "many at a time (DeletionQueue's min_batch=), or publish with fresh noise "
            "(DescentToDeleteUnlearner).",
            RowRevealedWarning,
        )


def warn_of_batch(unlearner, n_rows):
    """The same for an unlearner or pipeline whose versions are served."""
    final = unlearner.steps[-1][1] if isinstance(unlearner, Pipeline) else unlearner
    renewed = (final.deletions_[-1].get("proved") or {}).get("retrained", False)
    # Noise that is drawn anew hides the difference.
    if not final._make_promises().adds_noise and not renewed:
        warn_of_versions(final.estimator_, n_rows)
