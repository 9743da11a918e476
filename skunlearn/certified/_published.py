"""The fitted LogisticRegression that a certified method shows to the world."""

import numpy as np
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted

from skunlearn._torch.inference import share_out
from skunlearn.certified._bounded_rows import bound_rows


class PublishedLogisticRegression(LogisticRegression):
    """A LogisticRegression with weights from a certified method, for rows of bounded norm.

    Rows longer than ``row_norm_`` are scaled down before they are judged, as in the training.
    With ``one_vs_rest_`` the classes are separate problems, whose probabilities are normalised.
    """

    def decision_function(self, X):
        """Scores of the classes, of shape (n,) or (n, n_classes)."""
        check_is_fitted(self)
        X = bound_rows(X, self.row_norm_, clip=True)
        scores = safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_
        return scores.ravel() if scores.shape[1] == 1 else scores

    def predict_proba(self, X):
        """Probabilities of the classes, of shape (n, n_classes)."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        if not self.one_vs_rest_:
            return softmax(scores, axis=1)
        return share_out(expit(scores))

    def predict_log_proba(self, X):
        """Logarithms of the probabilities."""
        return np.log(self.predict_proba(X))


def publish(recipe, W, classes, unlearner, *, row_norm, constant, one_vs_rest):
    """The fitted estimator with weights `W`, whose last column belongs to the constant.

    It knows the features of `unlearner`.
    """
    model = PublishedLogisticRegression(**recipe.get_params())
    model.classes_ = np.array(classes)
    model.coef_ = W[:, :-1].copy() if constant else W.copy()
    model.intercept_ = W[:, -1] * constant if constant else np.zeros(len(W))
    model.n_iter_ = np.zeros(1, dtype=np.int32)
    model.row_norm_, model.one_vs_rest_ = row_norm, one_vs_rest
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(unlearner, name):
            setattr(model, name, getattr(unlearner, name))
    return model


def weights_of(model, constant):
    """The weights `W` that ``publish`` was given."""
    if not constant:
        return model.coef_
    return np.column_stack([model.coef_, model.intercept_ / constant])
