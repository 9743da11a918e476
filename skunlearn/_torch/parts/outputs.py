"""Classifiers with several outputs, each with classes of its own, as forests are."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from sklearn.multioutput import ClassifierChain
from sklearn.utils import get_tags

from skunlearn._torch.parts.tasks import Labels


@dataclass(frozen=True)
class Outputs(Labels):
    """Several outputs of a row, each of which names one of its own classes.

    To all who ask what a model says of a row it is a multi-label task: of every class of every
    output, whether the row has it. Of each output it has one.

    Parameters
    ----------
    n : int, number of classes of all outputs together
    classes : list of ndarray, those of each output
    """

    classes: list = field(compare=False)

    noun = "a classifier of several outputs"
    asks = "takes_outputs"

    @classmethod
    def of(cls, classes):
        """The task of these classes of each output."""
        return cls(sum(map(len, classes)), list(classes))

    def __getitem__(self, y):
        """Labels of shape (n, n_outputs) from encoded ones."""
        codes = zip(self.classes, self.codes(y))
        return np.column_stack([labels[code] for labels, code in codes])

    @cached_property
    def pairs(self):
        """Number of the output and class, for each column of encoded labels."""
        return [(i, label) for i, labels in enumerate(self.classes) for label in labels]

    def split(self, values):
        """The columns of each output."""
        return np.split(values, np.cumsum([len(labels) for labels in self.classes])[:-1], axis=1)

    def codes(self, y):
        """For each output the number of each row's class, from encoded labels."""
        return [columns.argmax(axis=1) for columns in self.split(y)]

    def hot(self, codes):
        """Encoded labels from numbers of classes, of shape (n, n_outputs)."""
        columns = zip(self.classes, np.asarray(codes).T)
        return np.hstack([code[:, None] == np.arange(len(labels)) for labels, code in columns])

    def name(self, logits):
        """The likeliest class of each output, encoded."""
        return self.hot(np.column_stack(self.codes(logits)))

    def spread(self, model, shares):
        """What a model says of the classes that it knows, as an array for each output.

        Of a class of which it has seen no row it says 0.
        """
        found = []
        for labels, known, values in zip(self.classes, model.classes_, shares):
            full = np.zeros((len(values), len(labels)))
            full[:, np.searchsorted(labels, known)] = values
            found.append(full)
        return found


def takes_outputs(estimator):
    """Whether a classifier of scikit-learn's takes several outputs, and gives shares of each."""
    if isinstance(estimator, ClassifierChain):  # whose shares are in one array
        return False
    tags = get_tags(estimator)
    if tags.classifier_tags is None or not tags.target_tags.multi_output:
        return False
    several = tags.classifier_tags.multi_label or not tags.target_tags.single_output
    return bool(several and hasattr(estimator, "predict_proba"))
