"""
Grid search: how much of the old net to keep
============================================

`ShrinkPerturbUnlearner` keeps a share of the old weights before it trains on the rows that stay.
Too much, and the net remembers what it should forget; too little, and it must learn everything anew
in the few epochs that it has. ``GridSearchCV`` finds out, on both at once.
"""

# %%
# The search
# ----------
# A hundred wrong labels are to go. ``ForgetSplit`` keeps the rows to forget in every training part.
# Each fold trains its own net and forgets in it; ``memory`` trains it once for all candidates.

import tempfile

import pandas as pd
from sklearn.model_selection import GridSearchCV

from skunlearn import ShrinkPerturbUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.forget_sets import mislabelled_forget_set
from skunlearn.model_selection import ForgetSplit, one_standard_error
from skunlearn.nets import digits_classifier
from skunlearn.plotting import TradeoffDisplay

X, y = load_digits_images(return_X_y=True)
X, X_test, y, y_test = X[:1200], X[1200:], y[:1200], y[1200:]
wrong = mislabelled_forget_set(y, size=100, random_state=0)
rows, labels = wrong.indices, wrong.y
net = digits_classifier(
    max_epochs=30, batch_size=32, criterion__label_smoothing=0, optimizer__weight_decay=0
)


def minus_repeated(unlearner, X_fold, y_fold):
    """Minus the share of wrong labels that is left; for rows that are right there is MIAScorer."""
    return -unlearner.score(X[rows], labels[rows])


with tempfile.TemporaryDirectory() as memory:
    search = GridSearchCV(
        ShrinkPerturbUnlearner(net, max_epochs=2, random_state=0, memory=memory),
        {"shrink": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]},
        cv=ForgetSplit(3, forget=wrong.mask, random_state=0),
        scoring={"accuracy": "accuracy", "forgetting": minus_repeated},
        refit=one_standard_error,
    )
    search.fit(X, labels, forget=wrong.mask)

# %%
# What it saw
# -----------
# Whoever keeps most of the old weights keeps the wrong labels; whoever keeps none of them is less
# accurate on rows that no fold has seen.

table = pd.DataFrame(search.cv_results_).set_index("param_shrink")
print(table[[f"mean_test_{name}" for name in ("accuracy", "forgetting")]].round(3))

# %%
display = TradeoffDisplay.from_estimator(search)
display.ax_.set_title("Accuracy against forgetting, one point per share")

# %%
# The rule ``one_standard_error`` takes the most accurate candidate among those that forget as well
# as the best one, within a standard error.

print("chosen:", search.best_params_)
best = search.best_estimator_
print(f"unseen digits: {best.score(X_test, y_test):.3f}")
print(f"wrong labels still repeated: {best.score(X[rows], labels[rows]):.3f}")
