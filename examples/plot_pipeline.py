"""
What a scaler remembers
=======================

A scaler before the net has learnt its mean and spread from the forgotten rows too. When only the
net forgets, the scaler still tells that they were there: here, from one number, that a patient with
an extreme value was among the rows.
"""

# %%
# One row changes the scaler
# --------------------------
# Two hundred made-up patients, one of them with a very high value of the first feature.

import json

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skunlearn import RetrainUnlearner, UnlearningPipeline
from skunlearn.plotting import PALETTE

rng = np.random.default_rng(0)
X = rng.normal(100, 15, size=(200, 3))
y = (X[:, 1] + rng.normal(0, 10, size=200) > 100).astype(int)
X[7, 0] = 900.0

steps = [
    ("scale", StandardScaler()),
    ("model", RetrainUnlearner(LogisticRegression(), random_state=0)),
]
kept = UnlearningPipeline(steps, refit_transformers=False).fit(X, y).unlearn(indices=[7])
refitted = UnlearningPipeline(steps).fit(X, y).unlearn(indices=[7])

# %%
# What the record says
# --------------------
# With ``refit_transformers=False`` the scaler stays, and the record names it. The default fits it
# anew on the retained rows.

for name, pipeline in (("kept", kept), ("refitted", refitted)):
    print(name, json.dumps(pipeline.deletions_[0]["transformers"]))

# %%
# The trace, in a picture
# -----------------------
# The spread that the scaler holds, beside that of a scaler which never saw the patient.

never = make_pipeline(StandardScaler(), LogisticRegression())
never.fit(np.delete(X, 7, axis=0), np.delete(y, 7))
spreads = {
    "scaler kept": kept.named_steps["scale"].scale_[0],
    "scaler refitted": refitted.named_steps["scale"].scale_[0],
    "trained without the row": never.named_steps["standardscaler"].scale_[0],
}
figure, ax = plt.subplots(figsize=(5, 2), layout="constrained")
colours = [PALETTE[name] for name in ("original", "unlearned", "retrained")]
bars = ax.barh(list(spreads), list(spreads.values()), color=colours)
ax.bar_label(bars, fmt="%.1f", padding=3)
ax.margins(x=0.2)
ax.invert_yaxis()
ax.set(xlabel="standard deviation of feature 0", title="What the scaler still knows")

# %%
# The refitted pipeline is the one that was never told, up to rounding (the scaler was not fitted
# again: the row was taken out of its sums):

print(np.abs(refitted.predict_proba(X) - never.predict_proba(X)).max())
