"""
Certified removal
=================

For a logistic regression it can be *proved* how close the model is to one that never saw the rows:
nobody who looks at the model can tell the two apart by more than (ε, δ) says. Three methods prove
it, and noise is the price.
"""

# %%
# Rows of norm one
# ----------------
# The proofs need bounded rows. A Normalizer looks at each row by itself, and so learns nothing that
# would have to be forgotten. (A StandardScaler does.)

import json

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import Normalizer

from skunlearn import (
    CertifiedRemovalUnlearner,
    DescentToDeleteUnlearner,
    LangevinUnlearner,
)

X, y = load_digits(return_X_y=True)
X, y = Normalizer().fit_transform(X), (y >= 5).astype(int)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
model = LogisticRegression(C=0.05)
print(f"without noise: {model.fit(X, y).score(X_test, y_test):.3f}")

# %%
# One request
# -----------

for method in (CertifiedRemovalUnlearner, DescentToDeleteUnlearner, LangevinUnlearner):
    unlearner = method(model, epsilon=1.0, random_state=0).fit(X, y).unlearn(indices=[3, 4])
    spent = unlearner.privacy_spent()
    print(
        f"{method.__name__}: accuracy {unlearner.score(X_test, y_test):.3f}, "
        f"ε proved {spent.epsilon:.3f} of {spent.limit}, δ {spent.delta:.0e}"
    )

# %%
# Many requests
# -------------
# ``CertifiedRemovalUnlearner`` has a budget: each request spends some of ε, and when it is spent
# the model is trained anew, with a warning. More noise (``sigma``) makes the budget last longer.

import warnings

from skunlearn.exceptions import PrivacyBudgetWarning
from skunlearn.plotting import PALETTE

figure, ax = plt.subplots(figsize=(5, 3.8), layout="constrained")
for sigma, blue in zip((1.0, 3.0, 10.0), ("#56a5d0", PALETTE["unlearned"], "#003a5c")):
    unlearner = CertifiedRemovalUnlearner(model, epsilon=1.0, sigma=sigma, random_state=0).fit(X, y)
    spent = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrivacyBudgetWarning)
        for row in range(40):
            spent.append(unlearner.unlearn(indices=[row]).privacy_spent().epsilon)
    score = unlearner.score(X_test, y_test)
    label = f"sigma {sigma:g}: right on {score:.1%}"
    ax.plot(np.arange(1, 41), spent, color=blue, label=label)
    for anew in np.flatnonzero(np.diff(spent) < 0):
        ax.text(anew + 2, 0.75, "trained anew", color=blue)
ax.axhline(1.0, color="0.6", ls=":")
ax.text(40, 1.02, "ε of the budget", color="0.4", ha="right", va="bottom")
ax.set(xlabel="requests", ylabel="ε proved", ylim=(0, 1.15), title="The budget, request by request")
figure.legend(loc="outside lower center", ncols=2, frameon=False)

# %%
# The certificate states what was proved, and nothing that was not.

certificate = json.loads(unlearner.certificate())
print(certificate["guarantee"])
print(json.dumps(certificate["proved"], indent=1, ensure_ascii=False))
