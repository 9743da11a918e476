"""
Grid search for the penalty
===========================

How strongly should a net be held near its old weights while it forgets? Too loosely, and it may
lose accuracy; too tightly, and it keeps what it should forget. ``GridSearchCV`` finds out, on both
at once.
"""

# %%
# The search
# ----------
# All eights are to go. ``ForgetSplit`` keeps rows to forget in every training part, and holds some
# eights out as unseen twins. Each fold trains its own net and forgets in it; ``memory`` trains it
# once for all candidates.

import tempfile
import warnings

import pandas as pd
from sklearn.model_selection import GridSearchCV, train_test_split

from skunlearn import ProximalUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.exceptions import ClassForgottenWarning, NotForgottenWarning
from skunlearn.metrics import ForgottenScorer, MIAScorer, RetainedScorer
from skunlearn.model_selection import ForgetSplit, one_standard_error
from skunlearn.nets import digits_classifier
from skunlearn.plotting import TradeoffDisplay

# Forgetting a class is what we are here for, and some candidates are meant to fail at it.
warnings.simplefilter("ignore", ClassForgottenWarning)
warnings.simplefilter("ignore", NotForgottenWarning)

X, y = load_digits_images(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
eights = y == 8
with tempfile.TemporaryDirectory() as memory:
    search = GridSearchCV(
        ProximalUnlearner(digits_classifier(), lr=0.2, max_epochs=5, random_state=0, memory=memory),
        {"penalty": [0, 0.01, 0.03, 0.1, 0.3, 1.0]},
        cv=ForgetSplit(3, forget=eights, random_state=0),
        scoring={
            "accuracy": RetainedScorer(),
            "forgetting": ForgottenScorer(),
            "attack": MIAScorer(),
        },
        refit=one_standard_error,
    )
    search.fit(X, y, forget=eights)

# %%
# What it saw
# -----------
# "accuracy" is over the nine retained digits, "forgetting" is minus the share of unseen eights that
# are still called eights. The attack alone would be content with a net that keeps all eights, seen
# and unseen alike: look at its column for large penalties.

table = pd.DataFrame(search.cv_results_).set_index("param_penalty")
print(table[[f"mean_test_{name}" for name in ("accuracy", "forgetting", "attack")]].round(3))

# %%
display = TradeoffDisplay.from_estimator(search)
display.ax_.set_title("Accuracy against forgetting, one point per penalty")

# %%
# The rule ``one_standard_error`` takes the most accurate candidate among those that forget as well
# as the best one, within a standard error.

print("chosen:", search.best_params_)
retained, unseen_eights = y_test != 8, y_test == 8
best = search.best_estimator_
print(f"retained digits: {best.score(X_test[retained], y_test[retained]):.3f}")
print(f"unseen eights:   {best.score(X_test[unseen_eights], y_test[unseen_eights]):.3f}")
