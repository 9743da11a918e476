"""
A stream of deletions
=====================

Requests come one by one, for months. Does the model hold out? Does what was forgotten early come
back? ``deletion_stream`` applies requests in their order, and sets the model beside a retrained one
every so often.
"""

# %%
# Sixty people ask, one after the other
# -------------------------------------
# Each row gets the id of a person; a request names a person. The model is a net that is fine-tuned
# for two epochs on what is left.

import warnings

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.model_selection import train_test_split

from skunlearn import FineTuneUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.evaluation import deletion_stream
from skunlearn.nets import digits_classifier
from skunlearn.plotting import PALETTE

X, y = load_digits_images(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
people = [f"person-{i // 5}" for i in range(len(y))]  # five rows each
unlearner = FineTuneUnlearner(digits_classifier(), lr=0.02, max_epochs=2, random_state=0)
unlearner.fit(X, y, groups=people)

requests = [{"groups": [f"person-{i}"]} for i in range(60)]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    audits = list(deletion_stream(unlearner, requests, X_test, y_test, every=10))
frame = pd.DataFrame(audits).set_index("requests")
print(frame[["rows", "score", "score retrained", "AUC", "AUC retrained"]].round(3))

# %%
# After many requests the method itself warned that hardly anything moved. That is no proof of
# failure: the net knows five digits of one person from the digits of all others, as the retrained
# net does. The comparison with the retrained net decides.

print(f"{len(caught)} warnings; the first: {caught[0].message}")

# %%
# What it costs
# -------------
# The line of the retrained model is what it would have taken to train anew for every request.

for column, said, title in (
    ("seconds", "seconds, in all", "Sixty requests: time"),
    ("AUC", "matched AUC", "Sixty requests: attack on all forgotten rows"),
):
    figure, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
    for name, model, style in (("", "unlearned", "o-"), (" retraining", "retrained", "s--")):
        name = " retrained" if name and column == "AUC" else name
        ax.plot(frame[column + name], style, color=PALETTE[model], label=model)
    ax.set(xlabel=frame.index.name or "request", ylabel=said, title=title)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
ax.axhline(0.5, color="0.6", ls=":")
_ = ax.set_ylim(0.3, 0.7)

# %%
# The record of every request is in the log; a stopped process goes on where its last pickle was.

print(len(unlearner.deletions_), "requests,", int((frame["rows"]).iloc[-1]), "rows")
