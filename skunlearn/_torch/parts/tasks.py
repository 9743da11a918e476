"""What a model is to say of a row: its class, its labels, or its values."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit
from scipy.special import softmax as softmax_
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    kl_div,
    log_softmax,
    logsigmoid,
)

from skunlearn._torch.parts.positions import Positions, WithoutClasses
from skunlearn.exceptions import UnlearningError


@dataclass(frozen=True)
class Labels:
    """The labels of a multi-label task, of which a row has any number, each with a logit.

    It stands where other tasks have an array of class labels (`task_of`): encoded targets are
    boolean indicators of shape (n, n_labels).

    Parameters
    ----------
    n : int, number of labels
    """

    n: int

    noun = "a multi-label net"
    asks = "takes_labels"  # what a method must promise
    has_one_class = False
    has_labels = True

    def __len__(self):
        return self.n

    def __getitem__(self, y):
        """Targets in the user's form from encoded ones."""
        return y.astype(np.int64)

    # ------------------------------------------------------------------ tensors

    def losses(self, logits, y):
        """Cross-entropy of each row, averaged over the labels as in ``BCEWithLogitsLoss``."""
        return binary_cross_entropy_with_logits(logits, y.to(logits), reduction="none").mean(dim=1)

    def log_likelihoods(self, logits, y):
        """log p(y|x) of each row."""
        return -self.n * self.losses(logits, y)

    def log_p(self, logits):
        """Log-probabilities of every outcome, of shape (n, n_labels, 2)."""
        return logsigmoid(torch.stack([-logits, logits], dim=-1))

    def divergences(self, teacher, student, temperature=1.0):
        """T² · KL(σ(teacher / T) ‖ σ(student / T)) of each row, averaged over the labels."""
        p, q = (self.log_p(z.float() / temperature) for z in (teacher, student))
        return temperature**2 * kl_div(q, p.exp(), reduction="none").sum(dim=-1).mean(dim=-1)

    # ------------------------------------------------------------------ arrays

    def losses_of(self, said):
        """Cross-entropy of each row of an `Evidence`, averaged over the labels."""
        signs = np.where(said.y, 1.0, -1.0)
        return np.logaddexp(0.0, -signs * said.logits.astype(np.float64)).mean(axis=1)

    def score_of(self, said):
        """Share of rows of which every label is right, as scikit-learn's ``accuracy_score``."""
        return float((said.predicted == said.y).all(axis=1).mean())

    def name(self, logits):
        """The labels that a model predicts, encoded."""
        return logits > 0

    def probabilities(self, logits):
        """Probability of each label, of shape (n, n_labels)."""
        return expit(logits)

    def confidences(self, logits):
        """None: a mean over labels does not reach the levels that are known of classes."""
        return None

    def chance(self, y):
        """Mean loss of one who only knows how frequent each label is."""
        shares = y.mean(axis=0)
        p = np.clip([shares, 1 - shares], np.finfo(np.float64).tiny, None)
        entropy = float(-(p * np.log(p)).sum(axis=0).mean())
        return entropy if entropy > 0 else float(np.log(2))

    def strata(self, y):
        """Rows that a sample is to hold in proportion: there are too many sets of labels."""
        return np.zeros(len(y), dtype=int)

    def find_emptied(self, left, gone):
        """Labels of rows that are `gone` which no row that is `left` has."""
        return np.flatnonzero(gone.any(axis=0) & ~left.any(axis=0))

    def covers(self, left, gone):
        """Whether every row that is `gone` has a label which no row has that is `left`."""
        emptied = self.find_emptied(left, gone)
        return bool(gone[:, emptied].any(axis=1).all())

    def still_named(self, said, emptied):
        """Share of the emptied labels in the rows of an `Evidence` that are still predicted."""
        return float(said.predicted[:, emptied][said.y[:, emptied]].mean())


class Classes:
    """One class per row, each class with a logit.

    Parameters
    ----------
    labels : ndarray of shape (n_classes,)
    """

    noun = "a classifier"
    has_one_class = True
    has_labels = False

    def __init__(self, labels):
        self.labels = labels

    def losses(self, logits, y):
        """Cross-entropy of each row."""
        return cross_entropy(logits, y.long().view(-1), reduction="none")

    def log_likelihoods(self, logits, y):
        """log p(y|x) of each row."""
        return log_softmax(logits, dim=1).gather(1, y.long().view(-1, 1)).squeeze(1)

    def log_p(self, logits):
        """Log-probabilities of every outcome, of shape (n, n_classes)."""
        return log_softmax(logits, dim=1)

    def divergences(self, teacher, student, temperature=1.0):
        """T² · KL(softmax(teacher / T) ‖ softmax(student / T)) of each row.

        Summed over the classes: torch's ``reduction="mean"`` would divide by their number.
        """
        p, q = (self.log_p(z.float() / temperature) for z in (teacher, student))
        # Not with log_target: a class that the teacher excludes has log-probability −∞.
        return temperature**2 * kl_div(q, p.exp(), reduction="none").sum(dim=1)

    def losses_of(self, said):
        """Cross-entropy of each row of an `Evidence`; None without probabilities."""
        if said.logits is None:
            return None
        logits = said.logits.astype(np.float64)
        # As scipy.special.log_softmax, which asks for several times as long what it was given.
        top = logits.max(axis=1, keepdims=True)
        top[~np.isfinite(top)] = 0.0
        logits -= top
        with np.errstate(divide="ignore"):
            spread = np.log(np.exp(logits).sum(axis=1))
        return spread - logits[np.arange(len(said.y)), said.y]

    def score_of(self, said):
        """Accuracy."""
        return float(np.mean(said.predicted == said.y))

    def name(self, logits):
        """The likeliest class, encoded."""
        return logits.argmax(axis=1)

    def probabilities(self, logits):
        """Probability of each class, of shape (n, n_classes)."""
        return softmax_(logits, axis=1)

    def confidences(self, logits):
        """Probability of the class that is named."""
        return softmax_(logits.astype(np.float64), axis=1).max(axis=1)

    def chance(self, y):
        """Loss of a model that has learnt nothing, ln C."""
        return float(np.log(len(self.labels)))

    def strata(self, y):
        """Rows that a sample is to hold in proportion."""
        return y

    def find_emptied(self, left, gone):
        """Classes of rows that are `gone` which no row has that is `left`."""
        named = np.unique(gone)  # few, where those left are many: these are not to be sorted
        return named[~np.isin(named, left)]

    def covers(self, left, gone):
        """Whether no row that is `left` has a class of one that is `gone`."""
        return not np.isin(np.unique(gone), left).any()

    def still_named(self, said, emptied):
        """Share of rows of an `Evidence` whose class is still named."""
        return self.score_of(said)


class Values(WithoutClasses):
    """A regression: one number per row, or several."""

    noun = "a regression"
    asks = "takes_values"
    has_one_class = False
    has_labels = False

    def losses(self, out, y):
        """Squared error of each row, averaged over its targets."""
        return ((out - y.reshape(out.shape)) ** 2).mean(dim=1)

    def log_likelihoods(self, out, y):
        """log p(y|x) of each row, of a normal distribution of variance one."""
        return -0.5 * ((out - y.reshape(out.shape)) ** 2).sum(dim=1)

    def divergences(self, teacher, student, temperature=1.0):
        """Squared distance of each row, averaged over its targets.

        Twice the KL divergence of normal distributions of variance one; a temperature, by which
        outputs are divided and the square of which it is multiplied with, cancels out.
        """
        return self.losses(student.float(), teacher.float())

    def losses_of(self, said):
        """Squared error of each row of an `Evidence`."""
        error = (said.predicted.astype(np.float64) - said.y) ** 2
        return error.reshape(len(error), -1).mean(axis=1)

    def score_of(self, said):
        """R²; None where it is undefined."""
        y = said.y.astype(np.float64)
        spread = np.mean((y - y.mean(axis=0)) ** 2)
        return float(1 - self.losses_of(said).mean() / spread) if spread > 0 else None

    def confidences(self, logits):
        """A regression has none."""
        return None

    def chance(self, y):
        """Loss of the mean: the variance of the targets."""
        return float(np.var(y.astype(np.float64), axis=0).mean())


def task_of(classes):
    """The task of which an unlearner says `classes`.

    An array of labels, `Labels`, `Positions`, or None for a regression.
    """
    if isinstance(classes, Labels | Positions):
        return classes
    return Values() if classes is None else Classes(classes)


def need_one_class(classes, who, error=UnlearningError):
    """Raise where rows have no class, or several labels; `who` needs one class per row."""
    task = task_of(classes)
    if not task.has_one_class:
        raise error(f"{who} is for classifiers with one class per row; this is {task.noun}.")


def refuse_task(unlearner, classes):
    """Raise where the method of `unlearner` does not take the task of `classes`."""
    task, promises = task_of(classes), unlearner._make_promises()
    if task.has_one_class or getattr(promises, task.asks):
        return
    if task.asks == "takes_outputs":
        raise ValueError(
            f"{type(unlearner).__name__} takes one class per row; this is {task.noun}. Take "
            "ForestUnlearner or RetrainUnlearner, or an unlearner for each column of y."
        )
    if task.asks == "takes_positions":
        raise ValueError(
            f"{type(unlearner).__name__}, with the parameters it has, does not take {task.noun}. "
            "Take AutoUnlearner, FineTuneUnlearner, NegGradPlusUnlearner, ProximalUnlearner or "
            "RetrainUnlearner, at their defaults."
        )
    what = " with one class per row" if not promises.takes_labels else ""
    raise ValueError(
        f"{type(unlearner).__name__} is for classifiers{what}; this is {task.noun}. Take another, "
        "AutoUnlearner, FineTuneUnlearner or NegGradPlusUnlearner say."
    )
