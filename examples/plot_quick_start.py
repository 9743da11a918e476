"""
Quick start: forget a hundred rows
==================================

A small net learns scikit-learn's digits. A hundred of its training rows are to be forgotten. How
close is the result to a net that never saw them?
"""

# %%
# Train
# -----

from sklearn.model_selection import train_test_split

from skunlearn import ProximalUnlearner, RetrainUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.metrics import MIAScorer
from skunlearn.nets import digits_classifier
from skunlearn.plotting import LossHistogramDisplay

X, y = load_digits_images(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
net = digits_classifier()  # any skorch net
unlearner = ProximalUnlearner(net, penalty=0.001, lr=0.1, max_epochs=5, random_state=0)
unlearner.fit(X, y)
print(f"accuracy on unseen rows: {unlearner.score(X_test, y_test):.3f}")

# %%
# Forget
# ------
# The rows are found by their content; the others are worked out.

unlearner.unlearn(X[:100], y[:100])
print(f"accuracy on unseen rows: {unlearner.score(X_test, y_test):.3f}")

# %%
# Check
# -----
# Can the forgotten rows be told from rows that the net has never seen? 0.5 is not the target: the
# value of a retrained net is, and an interval says how sure we can be.

attack = MIAScorer(reference="retrain").measure(unlearner, X_test, y_test)
print(attack)

# %%
# A picture
# ---------
# The losses of the forgotten rows, beside unseen and retained ones: before the request, after it,
# and in a net that was trained without the rows. After good forgetting the filled histogram lies
# where the retrained net has it.

before = RetrainUnlearner(net, random_state=0).fit(X, y)
retrained = RetrainUnlearner(net, random_state=0).fit(X[100:], y[100:])
display = LossHistogramDisplay.from_estimator(
    unlearner, X_test, y_test, models={"before": before, "retrained": retrained}
)
display.figure_.suptitle("Losses before and after forgetting, and retrained")

# %%
# The record of the deletion
# --------------------------
# Proximal fine-tuning proves nothing, and the certificate says so: what there is was measured.

print(unlearner.certificate())
