"""
Looking inside a request
========================

Three pictures: which images a net has memorised, what an `AutoUnlearner` looked at while it forgot
them, and where the rows of a forgotten class go.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from skunlearn import AutoUnlearner, FineTuneUnlearner, RetrainUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.exceptions import ClassForgottenWarning
from skunlearn.forget_sets import memorisation_scores, memorised_forget_set
from skunlearn.nets import digits_classifier
from skunlearn.plotting import AutoUnlearnerDisplay, ForgetSetDisplay, ForgottenClassDisplay

X, y = load_digits_images(return_X_y=True)
X, X_new, y, y_new = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
rng = np.random.default_rng(0)
wrong = rng.choice(len(y), 80, replace=False)
y[wrong] = (y[wrong] + rng.integers(1, 10, 80)) % 10
net = digits_classifier(  # nothing keeps it from learning by heart
    max_epochs=60, batch_size=32, criterion__label_smoothing=0, optimizer__weight_decay=0
)

# %%
# What was memorised
# ------------------
# A net that has seen the rows, and one that has seen the other half only. Images whose label the
# first alone knows are memorised: wrong labels above all. Drawn are some of the hundred,
# from the most to the least memorised.

unlearner = AutoUnlearner(net, random_state=0).fit(X, y)
half = np.arange(len(y)) % 2 == 0
other = RetrainUnlearner(net, random_state=1).fit(X[~half], y[~half])
scores = np.full(len(y), -1.0)
scores[half] = memorisation_scores(unlearner, X[half], y[half], without=other)
forget = memorised_forget_set(scores, 100)
ForgetSetDisplay.from_scores(X[forget.mask], scores[forget.mask], labels=y[forget.mask])
print(f"{np.isin(forget.indices, wrong).sum()} of 100 have a wrong label")

# %%
# What was looked at
# ------------------
# Rows with wrong labels are forgotten: the net is shrunk, trained on, and compared with one that
# never saw them (the green line). Each point is a look at the net, with the share of the old
# weights that was in it; the framed one is the net that was left at the end.

unlearner.unlearn(indices=wrong, X_val=X_new, y_val=y_new)
AutoUnlearnerDisplay.from_estimator(unlearner)

# %%
# Where a class goes
# ------------------
# All eights are forgotten by fine-tuning. Do unseen eights go where a retrained net sends them?

net = digits_classifier()
eights = np.flatnonzero(y == 8)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ClassForgottenWarning)
    tuned = FineTuneUnlearner(net, lr=0.15, max_epochs=10, random_state=0).fit(X, y)
    tuned.unlearn(indices=eights)
    retrained = RetrainUnlearner(net, random_state=0).fit(X, y).unlearn(indices=eights)
ForgottenClassDisplay.from_estimator(tuned, X_new, y_new, models={"retrained": retrained})
plt.show()
