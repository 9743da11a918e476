"""
Forgetting all automobiles of CIFAR-10
======================================

A net has learnt CIFAR-10; then all 5,000 training images of automobiles have to go. We fine-tune
on the rest, fine-tune with a penalty for straying from the original weights whose strength
``GridSearchCV`` finds, and retrain from scratch to know what "as if never seen" looks like.

It takes about half an hour on two CPU cores. The images are read from the folder in
``SKUNLEARN_DATA`` or downloaded.
"""

# sphinx_gallery_thumbnail_path = "stored/plot_cifar10_automobile.png"

# %%
# Data and net
# ------------
# A small convolutional net, trained with skorch. ``LinearDecay`` lets the learning rate rise and
# fall over whatever number of rows it is given, so that the recipe serves the original, the folds
# of the search and the retraining alike.

import os
import tempfile
import warnings

import torch
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier

from skunlearn import FineTuneUnlearner, ProximalUnlearner
from skunlearn.callbacks import LinearDecay
from skunlearn.datasets import fetch_cifar10
from skunlearn.evaluation import compare
from skunlearn.exceptions import ClassForgottenWarning
from skunlearn.metrics import ForgottenScorer, MIAScorer, RetainedScorer
from skunlearn.model_selection import ForgetSplit, one_standard_error
from skunlearn.nets import FastCIFARNet
from skunlearn.plotting import TradeoffDisplay, UnlearningReportDisplay

# Forgetting a whole class is what we are here for.
warnings.simplefilter("ignore", ClassForgottenWarning)

data = fetch_cifar10()
forget = data.y_train == list(data.target_names).index("automobile")
net = NeuralNetClassifier(
    FastCIFARNet,
    criterion=torch.nn.CrossEntropyLoss,
    criterion__label_smoothing=0.2,
    lr=1.0,
    optimizer__momentum=0.9,
    optimizer__nesterov=True,
    optimizer__weight_decay=1e-3,
    max_epochs=18,
    batch_size=500,
    iterator_train__shuffle=True,
    train_split=None,
    device="cuda" if torch.cuda.is_available() else "cpu",
    callbacks=[("rate", LinearDecay(warmup=0.2))],
)

# %%
# The penalty, by cross-validation
# --------------------------------
# Each fold trains its own net (``memory`` keeps it for all candidates), forgets the automobiles of
# the fold and is scored on rows that it never saw: accuracy on the nine other classes, the
# matched attack, and whether unseen automobiles are still recognised. The last one matters: a net
# that keeps the class knows seen and unseen automobiles alike, which no membership attack notices.

memory = os.environ.get("SKUNLEARN_MEMORY") or tempfile.mkdtemp(prefix="skunlearn-")
search = GridSearchCV(
    ProximalUnlearner(net, lr=0.15, max_epochs=2, random_state=0, memory=memory),
    {"penalty": [0.0003, 0.001, 0.003, 0.01, 0.03]},
    cv=ForgetSplit(2, forget=forget, random_state=0),
    scoring={
        "accuracy": RetainedScorer(),
        "forgetting": ForgottenScorer(),
        "attack": MIAScorer(),
    },
    refit=one_standard_error,
    verbose=2,
)
search.fit(data.X_train, data.y_train, forget=forget)
for name in ("accuracy", "forgetting", "attack"):
    print(f"{name:>10}: {search.cv_results_[f'mean_test_{name}'].round(4)}")
print("chosen:", search.best_params_)
TradeoffDisplay.from_estimator(search)

# %%
# Original, fine-tuned, proximal, retrained
# -----------------------------------------
# The study's plain fine-tuning kept a high learning rate and over-fitted the retained rows: here
# with a constant rate for three epochs. The proximal net takes two, with a falling rate.

report = compare(
    {
        "fine-tuned": FineTuneUnlearner(net, lr=0.15, max_epochs=3, schedule="constant"),
        "proximal": search.best_estimator_,
    },
    data.X_train,
    data.y_train,
    forget=forget,
    X_test=data.X_test,
    y_test=data.y_test,
    random_state=0,
    verbose=1,
)
print(report)

# %%
# The study's figures beside ours
# -------------------------------
# The study reports one test accuracy for each net. Over all ten classes a net that has truly
# forgotten one cannot exceed nine tenths of its accuracy on the others; the nine-class reading fits
# all of the study's numbers.

study = {"original": 88.0, "fine-tuned": 84.1, "proximal": 85.8, "retrained": float("nan")}
beside = 100 * report.wide[["test", "retained test", "over-fit", "forget train"]]
beside.insert(0, "study's test accuracy", study)
print(beside.round(1).to_string())

# %%
# The picture
# -----------

display = UnlearningReportDisplay.from_report(
    report, title="Forgetting all automobiles of CIFAR-10"
)
display.figure_.savefig("cifar10_automobile.png", dpi=150)
print("Picture: cifar10_automobile.png")
