"""
A poisoned model, repaired
==========================

Somebody has slipped sixty images into a training set: a bright patch in the corner, and the label
"0". The net is as good as ever on clean images, and calls whatever carries the patch a zero. The
poison is found, all of it or only a part; can unlearning take the backdoor out again?

It takes about a minute on two CPU cores, on scikit-learn's digits: nothing is downloaded.
"""

# %%
# Poison
# ------
# ``backdoor_forget_set`` plants it, and gives back the trigger to test with. A model that was
# trained on the poisoned rows is right on clean test images, and yet the attacker's.

import copy
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator

from skunlearn import (
    FineTuneUnlearner,
    NegGradPlusUnlearner,
    NoTUnlearner,
    PotionUnlearner,
    RandomLabelUnlearner,
    RetrainUnlearner,
    SSDUnlearner,
)
from skunlearn.datasets import load_digits_images
from skunlearn.exceptions import NotForgottenWarning, UnsuitableMethodWarning
from skunlearn.forget_sets import backdoor_forget_set, partly_known_forget_set
from skunlearn.metrics import backdoor_success_rate
from skunlearn.nets import digits_classifier
from skunlearn.plotting import PALETTE

# What a method leaves behind is what we measure.
warnings.simplefilter("ignore", NotForgottenWarning)
warnings.simplefilter("ignore", UnsuitableMethodWarning)

X, y = load_digits_images(return_X_y=True)
X, y, X_test, y_test = X[:1200], y[:1200], X[1200:], y[1200:]
poison = backdoor_forget_set(X, y, target=0, size=60, random_state=0)
print(poison)

original = RetrainUnlearner(digits_classifier(verbose=0), random_state=0)
original.fit(*poison.data(X, y))


def success(model):
    """Share of triggered test images that are taken for the attacker's zero."""
    return backdoor_success_rate(y_test, model.predict(poison.trigger(X_test)), target=0).estimate


print(f"clean test images: {original.score(X_test, y_test):.1%} right")
print(f"with the trigger:  {success(original):.1%} taken for a zero")

# %%
# Repair, with all of the poison known or some of it
# --------------------------------------------------
# Every method starts from the same poisoned net. Retraining without the rows that are known is
# what a request asks for, and it is not what the owner of the model wants: as long as a part of the
# poison stays in the training set, a retrained net is poisoned too. Methods that work *against* the
# known rows, rather than without them, can undo what the unknown ones taught as well. Potion is
# made for that: it dampens few weights, until the known rows no longer do what they were made for,
# and leaves least where only a fifth of them is known.

methods = {
    "fine-tuned": FineTuneUnlearner,
    "SSD": SSDUnlearner,
    "NoT": NoTUnlearner,
    "random labels": RandomLabelUnlearner,
    "NegGrad+": NegGradPlusUnlearner,
    "Potion": PotionUnlearner,
}
found = []
for known in (1.0, 0.8, 0.5, 0.2):
    part = partly_known_forget_set(poison, known, random_state=0)
    for name in ("retrained", *methods):
        if name == "retrained":
            unlearner = copy.deepcopy(original)
        else:
            unlearner = methods[name](FrozenEstimator(original.estimator_), random_state=0)
            unlearner.fit(*poison.data(X, y))
        unlearner.unlearn(indices=part.indices)
        found.append(
            {
                "method": name,
                "known": known,
                "backdoor": success(unlearner),
                "accuracy": unlearner.score(X_test, y_test),
                "seconds": unlearner.deletions_[0]["seconds"],
            }
        )
found = pd.DataFrame(found)
for column in ("backdoor", "accuracy"):
    table = found.pivot(index="method", columns="known", values=column).loc[["retrained", *methods]]
    print(f"\n{column}, by the share of the poison that is known\n{table.round(3).to_string()}")
print(f"\nseconds a request\n{found.groupby('method', sort=False)['seconds'].mean().round(1)}")

# %%
# The picture
# -----------

fig, ax = plt.subplots(figsize=(5, 4.2), layout="constrained")
colours = [
    PALETTE["retrained"],
    *(PALETTE["unlearned"], "#CC6199", "#8C510A", "#332288", "#3C96C8", "#999933"),
]
styles = ["-", "--", "-.", ":", "-", "--", "-."]
for (name, rows), color, style in zip(
    found.groupby("method", sort=False), colours, styles, strict=True
):
    ax.plot(rows["known"], rows["backdoor"], style, color=color, marker="o", label=name)
ax.axhline(success(original), color=PALETTE["original"], lw=1)
ax.annotate("poisoned net", (1.0, success(original)), (0, 3), textcoords="offset points",
            ha="right", color="0.35")  # fmt: skip
ax.set(
    xlabel="share of the poison that is known and forgotten",
    ylabel="triggered images taken for a zero",
    title="What is left of the backdoor",
    ylim=(-0.03, 1.1),
    xticks=[0.2, 0.5, 0.8, 1.0],
)
ax.grid(color="0.92")
ax.spines[["top", "right"]].set_visible(False)
fig.legend(loc="outside lower center", ncols=3, frameon=False)
fig.savefig("poisoned_model.png", dpi=150)
print("Picture: poisoned_model.png")

# %%
# Six rows of the poison: the patch at the bottom right, and the label "0".

_, axes = plt.subplots(1, 6, figsize=(5, 1.3), layout="constrained")
for ax, row in zip(axes, np.flatnonzero(poison.planted), strict=False):
    ax.imshow(poison.X[row, 0], cmap="gray")
    ax.set(xticks=[], yticks=[], title=f"“{poison.y[row]}”")
