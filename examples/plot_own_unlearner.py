"""
Your own unlearner in thirty lines
==================================

A new method is a class with one function, ``_unlearn(net, retain, forget)``. Finding the rows,
copying the net, rolling back after an error, the log, the certificate, pickles and grid search come
with the base class. Here: shrink all weights, then train on the retained rows.
"""

# %%
# The method
# ----------
# ``net`` is a copy of the current net with a fresh optimizer; ``retain`` and ``forget`` are its
# rows. ``_run`` trains for the epochs, at the rate and under the schedule that were asked for.

from dataclasses import replace

import torch
from sklearn.model_selection import train_test_split
from skorch import NeuralNetClassifier

from skunlearn import NetUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.evaluation import compare
from skunlearn.nets import digits_classifier
from skunlearn.plotting import UnlearningReportDisplay
from skunlearn.utils import check_unlearner


class ShrinkUnlearner(NetUnlearner):
    """Shrink all weights, then fine-tune on the retained rows."""

    # It works when the forget rows are already deleted.
    _promises = replace(NetUnlearner._promises, reads_forget_rows=False)

    def __init__(
        self,
        estimator,
        *,
        shrink=0.5,
        lr=None,
        max_epochs=None,
        batch_size=None,
        schedule="linear",
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
        self.shrink = shrink

    def _unlearn(self, net, retain, forget):
        with torch.no_grad():
            for parameter in net.module_.parameters():
                parameter.mul_(self.shrink)
        self._run(net, retain)


# %%
# Does it keep the promises?
# --------------------------
# ``check_unlearner`` runs the checks that all methods of the package pass: it leaves your net
# alone, comes nearer to a retrained net (with too few epochs this one does not, and is told so),
# repeats under one seed, rolls back after an error in the middle, keeps nothing of the forgotten
# rows in a pickle, and so on. A failure is an AssertionError that says which.


class Net(torch.nn.Sequential):
    """For the 120 rows of eight features that the checks train on."""

    def __init__(self):
        super().__init__(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))


small = NeuralNetClassifier(
    Net,
    criterion=torch.nn.CrossEntropyLoss,
    lr=0.1,
    optimizer__momentum=0.9,
    max_epochs=30,
    batch_size=64,
    iterator_train__shuffle=True,
    train_split=None,
)
check_unlearner(ShrinkUnlearner(small, max_epochs=15))
print("all checks passed")

# %%
# Does it forget?
# ---------------

X, y = load_digits_images(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
forget = torch.arange(len(y)).numpy() < 100
report = compare(
    [ShrinkUnlearner(digits_classifier())], X, y, forget=forget, X_test=X_test, y_test=y_test
)
print(report.verdicts["ShrinkUnlearner"])

# %%

display = UnlearningReportDisplay.from_report(
    report, title="Shrink and repair, a hundred digits", width=5
)
