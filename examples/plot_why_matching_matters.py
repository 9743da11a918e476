"""
Why matching matters
====================

A membership attack compares forgotten rows with rows that the model has never seen. With *which*
unseen rows decides what it sees. Four traps, each shown on a model that is beyond doubt: one that
was trained without the rows.
"""

# %%
# Trap 1: other classes
# ---------------------
# All eights are forgotten. A net trained without them has nothing to remember of them. Yet an
# attack that compares eights with unseen digits of all kinds tells them apart almost surely: the
# net does not know eights at all, so the attack sees the class, not memory. Weighted to the
# forgotten rows' classes, eights are compared with unseen eights, and the attack finds nothing.

import warnings

import numpy as np
from sklearn.model_selection import train_test_split

from skunlearn import RandomLabelUnlearner, RetrainUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.exceptions import ClassForgottenWarning, NotForgottenWarning
from skunlearn.forget_sets import mislabelled_forget_set
from skunlearn.metrics import membership_inference
from skunlearn.nets import digits_classifier
from skunlearn.plotting import MIACurveDisplay

# Forgetting a whole class is what we are here for.
warnings.simplefilter("ignore", ClassForgottenWarning)

X, y = load_digits_images(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
net = digits_classifier()


def log_probabilities(model, X):
    """Columns for all ten digits, as the attacks want them."""
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(model.predict_proba(X)), -50)


original = RetrainUnlearner(net, random_state=0).fit(X, y)
eights = y == 8
# An unlearner keeps the columns of all classes, also of those that are gone.
retrained = RetrainUnlearner(net, random_state=0).fit(X, y).unlearn(indices=np.flatnonzero(eights))

for match, title in ((None, "Against all unseen digits"), ("class", "Against unseen eights")):
    ax = None
    for name, model in (("original", original), ("retrained", retrained)):
        ax = MIACurveDisplay.from_predictions(
            log_probabilities(model, X[eights]),
            y[eights],
            log_probabilities(model, X_test),
            y_test,
            match=match,
            name=name,
            ax=ax,
        ).ax_
    ax.set_title(title)

# %%
# An AUC near 0 is as telling as one near 1: whoever turns the attack round is right about nearly
# all pairs. The retrained net never saw an eight, so that figure is no leak.

for match in (None, "class"):
    attack = membership_inference(
        log_probabilities(retrained, X[eights]),
        y[eights],
        log_probabilities(retrained, X_test),
        y_test,
        match=match,
    )
    print(f"match={match!r}: AUC {attack.auc:.3f}")

# %%
# Trap 2: 0.5 is not the target
# -----------------------------
# A tenth of the rows gets wrong labels before the training, and these are to be forgotten. The
# retrained net finds the wrong labels absurd, so its AUC is far below 0.5. Whoever scores by the
# distance to 0.5 would call the *original* net the better forgetter.

wrong = mislabelled_forget_set(y, size=0.1, random_state=0)
fitting = digits_classifier(
    criterion__label_smoothing=0.0, optimizer__weight_decay=0.0, max_epochs=60
)
learnt = RetrainUnlearner(fitting, random_state=0).fit(X, wrong.y)
never = RetrainUnlearner(fitting, random_state=0).fit(X[~wrong.mask], y[~wrong.mask])
for name, model in (("original", learnt), ("retrained", never)):
    attack = membership_inference(
        log_probabilities(model, X[wrong.mask]),
        wrong.y[wrong.mask],
        log_probabilities(model, X_test),
        y_test,
    )
    print(f"{name}: AUC {attack.auc:.3f}, distance to 0.5: {abs(attack.auc - 0.5):.3f}")

# %%
# Trap 3: below is not better
# ---------------------------
# Ordinary rows, pushed away by random labels, stand out as well: the net still names 99 of 100
# rightly, but is less sure of them than of rows that it has never seen. All scores of skunlearn are
# therefore distances to the retrained value, on both sides.

rows = np.arange(100)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", NotForgottenWarning)  # it says what we are here to see
    pushed = RandomLabelUnlearner(net, random_state=0).fit(X, y).unlearn(indices=rows)
without = RetrainUnlearner(net, random_state=0).fit(np.delete(X, rows, 0), np.delete(y, rows))
for name, model in (("random labels", pushed), ("retrained", without)):
    attack = membership_inference(
        log_probabilities(model, X[rows]), y[rows], log_probabilities(model, X_test), y_test
    )
    i = attack.interval
    known = model.score(X[rows], y[rows])
    print(f"{name}: AUC {i.estimate:.3f} [{i.low:.3f}, {i.high:.3f}], right on {known:.2f}")

# %%
# Trap 4: a net that has seen the test rows
# -----------------------------------------
# Trained on all rows before a search splits them, a net has seen the "unseen" rows of every fold.
# Members and non-members are then alike, and everything looks forgotten.

everything = RetrainUnlearner(fitting, random_state=0).fit(
    np.concatenate([X, X_test]), np.concatenate([wrong.y, y_test])
)
honest = RetrainUnlearner(fitting, random_state=0).fit(X, wrong.y)
clean = ~wrong.mask
for name, model in (("has seen the test rows", everything), ("has not", honest)):
    attack = membership_inference(
        log_probabilities(model, X[clean]),
        y[clean],
        log_probabilities(model, X_test),
        y_test,
    )
    print(f"{name}: AUC {attack.auc:.3f}")

# %%
# Hence ``GridSearchCV`` around an unlearner trains inside each fold, and a model that is frozen is
# refused there.
