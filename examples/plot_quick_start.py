"""
Quick start: wrong labels
=========================

A small net has learnt a hundred wrong labels by heart. They are to go, and nothing else. How close
is the result to a net that never saw them?
"""

# %%
# Train
# -----
# A hundred of the training digits get wrong labels.

import numpy as np

from skunlearn import AutoUnlearner, RetrainUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.forget_sets import mislabelled_forget_set
from skunlearn.metrics import MIAScorer
from skunlearn.nets import digits_classifier
from skunlearn.plotting import LossHistogramDisplay

X, y = load_digits_images(return_X_y=True)
X, X_test, y, y_test = X[:1200], X[1200:], y[:1200], y[1200:]
wrong = mislabelled_forget_set(y, size=100, random_state=0)
rows, labels = wrong.indices, wrong.y

# Any skorch net. Without smoothing and weight decay this one remembers everything.
net = digits_classifier(
    max_epochs=60, batch_size=32, criterion__label_smoothing=0, optimizer__weight_decay=0
)
unlearner = AutoUnlearner(net, random_state=0)
unlearner.fit(X, labels)


def describe(model):
    """Two shares that say most."""
    print(f"repeats {model.score(X[rows], labels[rows]):.0%} of the wrong labels")
    print(f"right on {model.score(X_test, y_test):.1%} of unseen digits")


describe(unlearner)

# %%
# Forget
# ------
# The unseen digits are for the unlearner to judge itself by.

unlearner.unlearn(indices=rows, X_val=X_test, y_val=y_test)
describe(unlearner)

# %%
# A net that never saw them
# -------------------------

kept = np.setdiff1d(np.arange(len(y)), rows)
retrained = RetrainUnlearner(net, random_state=1).fit(X[kept], labels[kept])
describe(retrained)

# %%
# Check
# -----
# Can the forgotten rows be told from rows that the net has never seen? 0.5 is not the target: the
# value of a retrained net is.

attack = MIAScorer(reference="retrain").measure(unlearner, X_test, y_test)
print(f"AUC by {attack.strongest}: {attack.auc:.2f}")
print(f"of a retrained net: {attack.reference_auc:.2f}")

# %%
# A picture
# ---------
# The losses of the forgotten rows, beside unseen and retained ones: before the request, after it,
# and in a net that was trained without the rows. After good forgetting the forgotten rows lie where
# the retrained net has them: far to the right, as their labels are wrong.

before = RetrainUnlearner(net, random_state=0).fit(X, labels)
display = LossHistogramDisplay.from_estimator(
    unlearner, X_test, y_test, models={"before": before, "retrained": retrained}
)
display.figure_.suptitle("Losses before and after forgetting, and retrained")
