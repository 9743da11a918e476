"""
U-LiRA: an attack that knows each row
=====================================

A threshold on the loss sees averages. Some rows are easy for any net, seen or not, and others hard;
an attacker who trains nets of their own learns how hard each row is. U-LiRA does that for
unlearning: every shadow net is trained and then made to forget, and its answers are compared with
those of nets that never saw the row.
"""

# %%
# A net that has memorised
# ------------------------
# 150 of the digits have wrong labels. A hundred of the training rows are to be forgotten, by a
# short fine-tuning, which says itself that it did not get far.

import warnings

import matplotlib.pyplot as plt
import numpy as np

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.exceptions import NotForgottenWarning
from skunlearn.forget_sets import mislabelled_forget_set
from skunlearn.metrics import MIAScorer
from skunlearn.nets import digits_classifier
from skunlearn.plotting import PALETTE
from skunlearn.shadow import ShadowModels

warnings.simplefilter("ignore", NotForgottenWarning)  # read above

X, y = load_digits_images(return_X_y=True)
y = mislabelled_forget_set(y, size=150, random_state=0).y
rng = np.random.default_rng(0)
order = rng.permutation(len(y))
X, y = X[order], y[order]
n_train = 1000
net = digits_classifier(criterion__label_smoothing=0.0, optimizer__weight_decay=0.0, max_epochs=40)
unlearner = FineTuneUnlearner(net, lr=0.05, max_epochs=3, random_state=0)
unlearner.fit(X[:n_train], y[:n_train]).unlearn(indices=np.arange(100))

# %%
# The threshold attack
# --------------------

threshold = MIAScorer(reference="retrain").measure(unlearner, X[n_train:], y[n_train:])
print(threshold)

# %%
# The attack with shadow models
# -----------------------------
# Candidates are the forgotten rows and 400 unseen ones. Each shadow net is trained on a random half
# of them (and on all other training rows), then forgets that half. Sixteen are few: papers take 64
# and more.

forgotten, unseen = np.arange(100), np.arange(n_train, n_train + 400)
pool = np.arange(n_train + 400)
candidates = np.isin(pool, forgotten) | np.isin(pool, unseen)
shadows = ShadowModels(FineTuneUnlearner(net, lr=0.05, max_epochs=3), n_models=16, random_state=0)
shadows.fit(X[pool], y[pool], candidates=candidates)
attack = shadows.attack(unlearner, forgotten, unseen, method="u_lira", random_state=0)
print(attack)

# %%
# A retrained net under the same attack
# -------------------------------------
# The yardstick again: the attack must find nothing in a net that never saw the rows.

retrained = RetrainUnlearner(net, random_state=0).fit(X[100:n_train], y[100:n_train])
null = shadows.attack(retrained, forgotten, unseen, method="u_lira", random_state=0)
print(null)

# %%
# Both attacks on both nets
# -------------------------
# An attack finds something where its interval on the unlearned net lies away from that on the
# retrained one.

bars = {
    ("unlearned", "threshold"): threshold.interval,
    ("retrained", "threshold"): threshold.reference_interval,
    ("unlearned", "U-LiRA"): attack.interval,
    ("retrained", "U-LiRA"): null.interval,
}
figure, ax = plt.subplots(figsize=(5, 3.8), layout="constrained")
for position, ((model, _), i) in enumerate(bars.items()):
    arms = [[i.estimate - i.low], [i.high - i.estimate]]
    ax.errorbar(position, i.estimate, arms, fmt="o", capsize=5, color=PALETTE[model])
ax.axhline(0.5, color="0.6", ls=":")
ax.set_xticks(range(4), [f"{name},\n{model}" for model, name in bars])
ax.set(ylabel="AUC with 95 % interval", title="What each attack sees in each net")
