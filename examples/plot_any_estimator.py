"""
One call for any estimator
==========================

:func:`~skunlearn.make_unlearner` chooses the method: exact where the model allows it for less than
a training, a training from scratch for other estimators of scikit-learn, and
:class:`~skunlearn.AutoUnlearner` for nets, whose result is measured. Here fifty rows have wrong
labels, and seven models are asked to forget them.
"""

# %%
# The rows and the models
# -----------------------

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import make_unlearner
from skunlearn.forget_sets import mislabelled_forget_set
from skunlearn.plotting import PALETTE

X, y = make_classification(
    6000, 20, n_informative=10, n_classes=4, flip_y=0, class_sep=1.6, random_state=0
)
X, X_test, y, y_test = X[:4000].astype("float32"), X[4000:].astype("float32"), y[:4000], y[4000:]
wrong = mislabelled_forget_set(y, size=50, random_state=0)
rows, labels = wrong.indices, wrong.y


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 4))


net = NeuralNetClassifier(Net, criterion=nn.CrossEntropyLoss, optimizer__momentum=0.9, lr=0.1,
                          batch_size=64, max_epochs=60, train_split=None, verbose=0)  # fmt: skip
models = {
    "forest": RandomForestClassifier(100, max_samples=400, random_state=0),
    "neighbours": KNeighborsClassifier(1),
    "naive Bayes": make_pipeline(Normalizer(), GaussianNB()),
    "ridge": RidgeClassifier(),
    "logistic": LogisticRegression(C=100),
    "scaled SVC": make_pipeline(StandardScaler(), SVC(C=100)),
    "net": net,
}

# %%
# The same two lines for each
# ---------------------------
# "Repeated" are wrong labels that the model gives. A model that was trained without the fifty rows
# gives a few as well, as some of these points are hard.

kept = np.delete(np.arange(4000), rows)
figures = {}
for name, model in models.items():
    unlearner = make_unlearner(model, random_state=0).fit(X, labels)
    before = unlearner.score(X[rows], labels[rows])
    unlearner.unlearn(indices=rows, X_val=X_test[:1000], y_val=y_test[:1000])
    after = unlearner.score(X[rows], labels[rows])
    retrained, start = clone(model), time.process_time()
    retrained.fit(X[kept], labels[kept])
    training = time.process_time() - start
    never = retrained.score(X[rows], labels[rows])
    scores = [estimator.score(X_test[1000:], y_test[1000:]) for estimator in (unlearner, retrained)]
    start = time.process_time()
    unlearner.unlearn(indices=[kept[0]], X_val=X_test[:1000], y_val=y_test[:1000])
    figures[name] = before, after, never, time.process_time() - start, training
    method = type(getattr(unlearner, "steps", [[None, unlearner]])[-1][1]).__name__
    print(f"{name:>11}: repeated {before:4.0%} → {after:3.0%} (never seen {never:3.0%}), "
          f"unseen right {scores[0]:.1%} ({scores[1]:.1%}), {method}")  # fmt: skip

# %%
# What each promises is in its certificate.

print(unlearner.certificate()["guarantee"])
print(make_unlearner(models["forest"]).fit(X, y).unlearn(indices=[7]).certificate()["guarantee"])

# %%
# In a picture
# ------------

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
before, after, never, *_ = np.array([*figures.values()]).T
at = np.arange(len(figures))[::-1]
ax.hlines(at, after, before, color="#cccccc", lw=1)
shapes = {
    "original": (before, "o", 36),
    "retrained": (never, "s", 90),
    "unlearned": (after, "D", 36),
}
for who, (values, marker, size) in shapes.items():
    ax.scatter(values, at, size, color=PALETTE[who], marker=marker, label=who, zorder=2)
ax.set_yticks(at, [*figures])
ax.set_xlabel("wrong labels repeated")
ax.xaxis.set_major_formatter("{x:.0%}")
figure.legend(loc="outside upper center", ncols=3, frameon=False)

# %%
# What a request of one more row takes beside a new training, in seconds of processor time. A forest
# grows every tenth tree again, as each has drawn 400 of 4,000 rows, and a net takes a fraction of
# its epochs. Naive Bayes, neighbours and ridge train in a millisecond here, so that finding the row
# and writing the log takes longer: their sums pay on large tables.

for name, (*_, request, training) in figures.items():
    print(f"{name:>11}: {request:7.3f} (training {training:7.3f})")
