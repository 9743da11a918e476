"""What a fitted unlearner shares with every scikit-learn predictor."""

import numpy as np
import torch
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNetBinaryClassifier

from skunlearn._rows.containers import is_dataset, n_rows
from skunlearn._rows.views import Rows
from skunlearn._torch import inference, skorch_nets
from skunlearn._torch.decisions import is_pairwise, spread_pairs
from skunlearn._torch.parts.net_kinds import has_sigmoid, is_plain, kind_of
from skunlearn._torch.parts.outputs import Outputs, takes_outputs
from skunlearn._torch.parts.positions import Positions
from skunlearn._torch.parts.tasks import Labels
from skunlearn._unlearning.validation import check_X, dataset_targets, refuse_mixed


def _inner_has(unlearner, method):
    fitted = getattr(unlearner, "estimator_", None)
    return hasattr(unlearner.estimator if fitted is None else fitted, method)


def _has_probabilities(unlearner):
    classifies = (
        hasattr(unlearner, "classes_") or get_tags(unlearner).estimator_type == "classifier"
    )
    return classifies and _inner_has(unlearner, "predict_proba")


def _has_decisions(unlearner):
    inner = skorch_nets.unwrap(unlearner.estimator)
    return not skorch_nets.is_net(inner) and _inner_has(unlearner, "decision_function")


class PredictorMixin:
    """`predict`, `predict_proba`, `decision_function`, `score` and tags."""

    def predict(self, X):
        """Predict with the current model.

        Parameters
        ----------
        X : array, tensor, data frame, sparse matrix, mapping or torch Dataset of n rows
            Those of ``fit`` are read as they are where it was given ``measure_on=``.

        Returns
        -------
        y : ndarray of shape (n,), or (n, n_targets)
            Class labels as passed to ``fit``, or regression targets, a column for each output; of a
            multi-label net 1 for each label whose probability is above a half, and 0 for the
            others; of a net with a class for each position these, of shape (n, ...).
        """
        check_is_fitted(self)
        X = self._as_they_are(check_X(self, X))
        if isinstance(self._classes, Outputs):
            return self.estimator_.predict(X)
        if isinstance(self._classes, Labels):
            return (self._ask_proba(X) > 0.5).astype(np.int64)
        if isinstance(self._classes, Positions):
            return self._net_says(X, self._name_positions)
        if not skorch_nets.is_net(self.estimator_):
            if self._row_reader.columns is not None:  # nets in shards
                return self.classes_[self.predict_proba(X).argmax(axis=1)]
            return self._net_says(X, lambda model, X: model.predict(X))
        if not hasattr(self, "classes_"):
            y = self._net_says(X)
            return y.reshape(self._target_shape(len(y)))
        thresholded = isinstance(self.estimator_, NeuralNetBinaryClassifier)
        if thresholded and len(self.classes_) > 1:
            return self.classes_[self._net_says(X).astype(np.intp)]
        return self.classes_[self._net_proba(X).argmax(axis=1)]

    @available_if(_has_probabilities)
    def predict_proba(self, X):
        """Class probabilities of the current model.

        Parameters
        ----------
        X : array, tensor, data frame, sparse matrix, mapping or torch Dataset of n rows
            As in ``fit``.

        Returns
        -------
        p : ndarray of shape (n, n_classes)
            Columns in the order of ``classes_``; of a multi-label net each is the probability of
            a label, and rows do not sum to one; of a class for each position the shape is
            (n, n_classes, ...). A class of which a retrained scikit-learn
            estimator has seen no row keeps its column, filled with zeros. Of several outputs a
            list of such arrays, one for each.
        """
        check_is_fitted(self)
        return self._ask_proba(self._as_they_are(check_X(self, X)))

    def _ask_proba(self, X):
        if skorch_nets.is_net(self.estimator_):
            return self._net_proba(X)
        if isinstance(self._classes, Outputs):
            return self._classes.spread(self.estimator_, self.estimator_.predict_proba(X))
        if self._row_reader.columns is None and len(known := self.estimator_.classes_) == 1:
            # Of one class boosted trees and MLPs give two columns, and LDA none.
            p = (self.estimator_.predict(X) == known[0]).astype(float).reshape(-1, 1)
        else:
            p = self._net_says(X, lambda model, X: model.predict_proba(X))
        if self._row_reader.columns is not None:
            return self._keep_seen(p)
        return self._all_columns(p, 0.0)

    @available_if(_has_decisions)
    def decision_function(self, X):
        """``decision_function`` of the inner scikit-learn estimator.

        Parameters
        ----------
        X : array of n rows
            As in ``fit``.

        Returns
        -------
        scores : ndarray of shape (n,), (n, n_classes) or, of pairs, (n, n_pairs)
            By ``classes_``, also when rows of fewer classes are left: the others have −∞, and of
            two the sign names the one that is left. Of pairs
            (``decision_function_shape="ovo"``) a class that is left wins by ∞ against one that is
            not, and two of the latter have 0.
        """
        check_is_fitted(self)
        scores, left = self.estimator_.decision_function(check_X(self, X)), self.estimator_.classes_
        if len(left) == len(self.classes_):
            return scores
        if len(self.classes_) == 2:
            return np.full(len(scores), 1.0 if left[0] == self.classes_[1] else -1.0)
        if is_pairwise(self.estimator_, scores):
            return spread_pairs(scores, left, self.classes_)
        if scores.ndim == 1:  # as of two classes, or of one
            scores = np.column_stack([-scores, scores][: len(left)])
        return self._all_columns(scores, -np.inf)

    def score(self, X, y=None, sample_weight=None):
        """Accuracy of a classifier, R² of a regressor.

        Of several labels per row, and of several outputs, all must be right (scikit-learn's
        ``accuracy_score``); of a class for each position it is the share of the positions that
        count, those that are not the criterion's ``ignore_index``.

        Parameters
        ----------
        X : rows as in ``fit``
            Better rows that ``fit`` was not given.
        y : array of shape (n,), (n, n_targets) or (n, ...), default None
            Taken from `X` when that is a torch Dataset.
        sample_weight : array of shape (n,), default None
            How much each row counts, not negative; all alike when None.

        Returns
        -------
        score : float
            Higher is better.
        """
        check_is_fitted(self)
        if y is None and is_dataset(X):
            y = dataset_targets(X)
        if isinstance(y, torch.Tensor):  # which an older scikit-learn does not compare with arrays
            y = y.numpy(force=True)
        refuse_mixed(y)
        if isinstance(self._classes, Outputs):  # which accuracy_score takes of two classes alone
            y, said = np.asarray(y), self.predict(X)
            if y.shape != said.shape:
                raise ValueError(f"y must have shape {said.shape}, as fit had it; got {y.shape}.")
            right = y == said
            return float(np.average(right.all(axis=1), weights=sample_weight))
        if isinstance(self._classes, Positions):
            y, task = self._encode(y), self._classes
            counts, right = y != task.ignored, self.predict(X) == y
            weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
            weights = np.broadcast_to(weights.reshape(-1, *[1] * len(task.shape)), y.shape)
            return float(np.average(right[counts], weights=weights[counts]))
        metric = accuracy_score if hasattr(self, "classes_") else r2_score
        return metric(y, self.predict(X), sample_weight=sample_weight)

    def _as_they_are(self, X):
        """Rows without the augmentation of training, where ``fit`` was told how."""
        return X if self._reader is None or self._reader.noisy else self._reader.container(X)

    def _net_says(self, X, ask=inference.predict):
        try:
            return ask(self.estimator_, X)
        except RuntimeError as error:
            like = self._record.like
            seen, given = (getattr(rows, "shape", (0,))[1:] for rows in (like, X))
            if tuple(seen) == tuple(given):
                raise
            # A module may take rows of other sizes; this one does not.
            raise ValueError(
                f"X has rows of shape {tuple(given)}, but the model was fitted on rows of shape "
                f"{tuple(seen)}: {error}"
            ) from error

    def _name_positions(self, net, X):
        rows, task = Rows(X, None, np.arange(len(X) if is_dataset(X) else n_rows(X))), self._classes
        said = inference.read_positions(net, rows, task)
        return np.concatenate([task.name(logits) for _, logits in said])

    def _net_proba(self, X):
        classes = self._classes
        return self._keep_seen(
            self._net_says(X, lambda net, X: inference.predict_proba(net, X, classes))
        )

    def _keep_seen(self, p):
        """Probabilities of the labels that `fit` has seen."""
        if isinstance(self._classes, Labels | Positions) or p.shape[1] == len(self.classes_):
            return p
        # The module may have more outputs than there are labels; they were never trained on.
        return inference.share_out(p[:, self._row_reader.seen_columns])

    def _all_columns(self, values, fill):
        known = self.estimator_.classes_
        if len(known) == len(self.classes_):
            return values
        full = np.full((len(values), len(self.classes_)), fill)
        full[:, np.searchsorted(self.classes_, known)] = values
        return full

    def _target_shape(self, n):
        n_targets = self._row_reader.n_targets
        return (n,) if n_targets is None else (n, n_targets)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        model = skorch_nets.unwrap(self.estimator)
        inner = get_tags(model)
        tags.estimator_type = kind_of(model)
        tags.classifier_tags, tags.regressor_tags = inner.classifier_tags, inner.regressor_tags
        if is_plain(model):
            # With a criterion of its own the targets decide.
            if tags.estimator_type is None and "_fitted" in vars(self):
                tags.estimator_type = "classifier" if hasattr(self, "classes_") else "regressor"
            tags.classifier_tags = ClassifierTags() if tags.estimator_type == "classifier" else None
            tags.regressor_tags = RegressorTags() if tags.estimator_type == "regressor" else None
        tags.target_tags = inner.target_tags
        tags.input_tags = inner.input_tags
        tags.target_tags.required = True
        if tags.classifier_tags is not None:
            # Of scikit-learn's estimators one label a row, also where they would take several,
            # of most methods.
            several = has_sigmoid(model)
            if not skorch_nets.is_net(model) and takes_outputs(model):
                several = self._make_promises().takes_outputs
            tags.classifier_tags.multi_label = tags.target_tags.multi_output = several
        if skorch_nets.is_net(model):
            tags.input_tags.sparse = True
        return tags
