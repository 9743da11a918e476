"""
What shards save
================

``ShardedUnlearner`` (SISA) trains one model for each shard of the rows. A request trains again only
the shards that held the named rows: exact, and cheap while requests are small. The price is
accuracy, as each model sees a part of the rows only.
"""

# %%
# Ten shards of a decision tree
# -----------------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from skunlearn import ShardedUnlearner
from skunlearn.exact import expected_retraining_share
from skunlearn.plotting import PALETTE

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
forest = RandomForestClassifier(n_estimators=20, random_state=0)

unlearner = ShardedUnlearner(forest, n_shards=10, random_state=0).fit(X, y)
entry = unlearner.unlearn(indices=[7]).deletions_[0]
print(f"shards trained again: {entry['shards_retrained']} of 10")
print(f"share of the training: {entry['share_retrained']:.3f}")

# %%
# The result is exact: it equals a training that never saw the row, bit for bit.

again = ShardedUnlearner(forest, n_shards=10, random_state=0)
again.fit(np.delete(X, 7, axis=0), np.delete(y, 7))
print(np.array_equal(again.predict_proba(X_test), unlearner.predict_proba(X_test)))

# %%
# How many rows at once?
# ----------------------
# Measured shares, each of one request, and the formula of the paper (lines). A request of a hundred
# rows touches every shard, or nearly, and saves little more than the rows' own training.

rng = np.random.default_rng(0)
sizes = [1, 3, 10, 30, 100]
shards = [1, 5, 10, 20]
shares, scores = {}, {}
for n_shards in shards:
    model = ShardedUnlearner(forest, n_shards=n_shards, random_state=0).fit(X, y)
    scores[n_shards] = model.score(X_test, y_test)
    shares[n_shards] = []
    for size in sizes:
        fresh = ShardedUnlearner(forest, n_shards=n_shards, random_state=0).fit(X, y)
        rows = rng.choice(len(y), size, replace=False)
        shares[n_shards].append(fresh.unlearn(indices=rows).deletions_[0]["share_retrained"])

figure, ax = plt.subplots(figsize=(5, 3.8), layout="constrained")
for n_shards, color in zip(shards, ("#a6cfe8", "#56a5d0", PALETTE["unlearned"], "#003a5c")):
    label = f"{n_shards} shard" + "s" * (n_shards > 1)
    ax.plot(sizes, shares[n_shards], "o", color=color, label=label)
    formula = [expected_retraining_share(n_shards, n_requests=size) for size in sizes]
    ax.plot(sizes, formula, color=color)
ax.set(xscale="log", xlabel="rows in one request", ylabel="share of a training", ylim=(0, 1.05),
       title="What shards save (lines: expected)")  # fmt: skip
ax.xaxis.set_major_formatter("{x:g}")
figure.legend(loc="outside lower center", ncols=4, frameon=False, columnspacing=1, handlelength=1)

figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(shards, [scores[n] for n in shards], "o-", color=PALETTE["unlearned"])
ax.set(xticks=shards, xlabel="shards", ylabel="accuracy on unseen rows", title="What shards cost")
