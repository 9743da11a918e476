"""What scorers of unlearners share."""

from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_is_fitted

from skunlearn.base import BaseUnlearner


class Scorer:
    """What scikit-learn asks of a scorer that is not made by ``make_scorer``."""

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
            f"This scorer needs an unlearner, or a Pipeline that ends in one, got {final!r}. "
            "Other models can be measured with skunlearn.metrics.membership_inference."
        )
    check_is_fitted(final)
    return final
