"""
Which rows are mislabelled? Influence functions
===============================================

The influence of a training row on the loss of validation rows tells which rows the net would be
better off without. Wrong labels are among them: we plant some, look for them, and forget them.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.frozen import FrozenEstimator

from skunlearn import FineTuneUnlearner, InfluenceUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.influence import InverseCurvature, projected_influence
from skunlearn.nets import digits_classifier
from skunlearn.plotting import PALETTE

X, y = load_digits_images(return_X_y=True)
X_train, X_val, X_test = X[:800], X[800:1200], X[1200:]
y_train, y_val, y_test = y[:800].copy(), y[800:1200], y[1200:]

rng = np.random.default_rng(0)
wrong = rng.choice(800, 40, replace=False)
y_train[wrong] = (y_train[wrong] + rng.integers(1, 10, 40)) % 10

# %%
# A net is trained on all rows, right and wrong. ψ of a row is the influence that it has on the
# validation loss: negative where the loss would fall without the row.

trained = FineTuneUnlearner(digits_classifier(max_epochs=20), random_state=0).fit(X_train, y_train)
print(f"accuracy on test rows: {trained.score(X_test, y_test):.3f}")
inverse = InverseCurvature(solver="ekfac")
psi = projected_influence(trained, X_train, y_train, criteria=(X_val, y_val), inverse=inverse)[0]
planted = np.isin(np.arange(800), wrong)

# %%
# Those on top of the list, with the labels that they came with.

worst = np.argsort(psi)[:10]
fig, axes = plt.subplots(2, 5, figsize=(5, 2.9), layout="constrained")
for ax, i in zip(axes.flat, worst, strict=True):
    ax.imshow(X_train[i].squeeze(), cmap="gray_r")
    ax.set_title(f"“{y_train[i]}”", color=PALETTE["forget"] if planted[i] else "black")
    ax.set_axis_off()
fig.suptitle("Most harmful by ψ (in colour: planted)")

found = planted[np.argsort(psi)].cumsum()
_, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
ax.plot(np.arange(1, 801), found, color=PALETTE["unlearned"])
ax.plot([0, 800], [0, 40], color="0.5", ls=":")
ax.text(300, found[300] + 1.2, "by ψ", color=PALETTE["unlearned"])
ax.text(270, 10, "by chance", color="0.4")
ax.set(xlabel="rows looked at", ylabel="wrong labels found", title="40 wrong labels among 800 rows")

# %%
# The first sixty rows hold more than half of the wrong labels. Others are at the very end of the
# list: ψ takes them for rows that the net needs.
#
# The first twenty, removed by one step along the same derivatives.

suspects = np.argsort(psi)[:20]
unlearner = InfluenceUnlearner(
    FrozenEstimator(trained.estimator_), inverse=inverse, step=0.25, random_state=0
).fit(X_train, y_train)
unlearner.unlearn(indices=suspects)
print(f"{planted[suspects].sum()} of 20 suspects have planted labels")
print(f"accuracy on test rows without them: {unlearner.score(X_test, y_test):.3f}")
plt.show()
