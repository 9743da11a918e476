"""
Deleting rows from a random forest
==================================

A forest that was trained long ago, without a thought of deletions, forgets rows exactly: a tree
has never seen the rows outside its bootstrap sample, so that the trees that missed the rows of a
request stay, and the others are grown again. How many are these, and is the result really a forest
that never saw the rows?
"""

# %%
# A forest that is there already
# ------------------------------
# A tenth of the labels are wrong, so that there is something to know by heart.

import copy

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator

from skunlearn import ForestUnlearner
from skunlearn.exact import expected_regrown_share
from skunlearn.metrics import membership_inference
from skunlearn.plotting import PALETTE

X, y = make_classification(2400, 20, n_informative=8, flip_y=0.2, class_sep=0.8, random_state=0)
X, X_test, y, y_test = X[:1200], X[1200:], y[:1200], y[1200:]
forests = {
    draws: RandomForestClassifier(100, max_samples=draws, random_state=0).fit(X, y)
    for draws in (1200, 600, 120)
}
unlearners = {
    draws: ForestUnlearner(FrozenEstimator(forest), random_state=0).fit(X, y)
    for draws, forest in forests.items()
}

# %%
# How many trees a request touches
# --------------------------------
# It can be told before anything is done, and follows from the number of draws.

sizes = np.array([1, 2, 5, 10, 20, 50, 120])
figure, ax = plt.subplots(figsize=(5, 3.8), layout="constrained")
for (draws, unlearner), color in zip(
    unlearners.items(), ("#56a5d0", PALETTE["unlearned"], "#003a5c")
):
    touched = [unlearner.count_touched(indices=np.arange(k)) / 100 for k in sizes]
    label = f"{draws} draws, {unlearner.score(X_test, y_test):.1%} right"
    ax.plot(sizes, touched, "o", color=color, label=label)
    ax.plot(sizes, [expected_regrown_share(1200, draws, k) for k in sizes], color=color, lw=1)
ax.set(xscale="log", xlabel="rows in one request, of 1200", ylabel="share of the trees",
       title="Trees to be grown again (lines: expected)")  # fmt: skip
ax.xaxis.set_major_formatter("{x:g}")
figure.legend(loc="outside lower center", ncols=2, frameon=False)

# %%
# Few draws make single requests cheap, and cost some accuracy. Ten rows touch most trees of any of
# the three: when a person's rows are always deleted together, ``ShardedUnlearner`` with
# ``groups=`` keeps them in one shard.
#
# What is left
# ------------
# An attacker who compares the forgotten rows with unseen ones finds nothing, as with a forest that
# was grown on the other rows.

gone = np.arange(120)
before = unlearners[1200]
after = copy.deepcopy(before).unlearn(indices=gone)
retrained = RandomForestClassifier(100, random_state=1).fit(X[120:], y[120:])
for name, model in (("before", before), ("after", after), ("retrained", retrained)):
    ours, theirs = (np.log(model.predict_proba(rows) + 1e-9) for rows in (X[gone], X_test))
    attack = membership_inference(ours, y[gone], theirs, y_test, random_state=0)
    print(f"{name:>9}: accuracy {model.score(X_test, y_test):.3f}, attack {attack.auc:.3f} "
          f"({attack.interval.low:.3f}–{attack.interval.high:.3f})")  # fmt: skip
print({key: after.deletions_[0][key] for key in ("rows", "members_regrown", "seconds")})
