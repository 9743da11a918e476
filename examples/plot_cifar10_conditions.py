"""
The automobiles of CIFAR-10 under every condition
=================================================

The study of :ref:`sphx_glr_auto_examples_plot_cifar10_automobile.py` asks how robust unlearning is.
Here a net forgets all automobiles, and is looked at under common corruptions at five severities,
next to the forgotten rows, on a shift to animals, and under attack where the Adversarial
Robustness Toolbox is installed.

With 4,000 images and a small net it takes some minutes on two CPU cores; ``ROWS=50000`` takes
all of them. The images are read from the folder in ``SKUNLEARN_DATA`` or downloaded.
"""

# sphinx_gallery_thumbnail_path = "stored/plot_cifar10_conditions.png"

# %%
# Net, methods, rows
# ------------------

import importlib.util
import os
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from skorch import NeuralNetClassifier

from skunlearn import FineTuneUnlearner, NegGradPlusUnlearner, ProximalUnlearner
from skunlearn.callbacks import LinearDecay
from skunlearn.datasets import fetch_cifar10
from skunlearn.exceptions import ClassForgottenWarning, NotForgottenWarning
from skunlearn.forget_sets import class_forget_set
from skunlearn.nets import FastCIFARNet
from skunlearn.plotting import RobustnessDisplay
from skunlearn.robustness import Adversarial, Subpopulation, robustness_report

# That some methods forget little is what we are here to see.
warnings.simplefilter("ignore", ClassForgottenWarning)
warnings.simplefilter("ignore", NotForgottenWarning)

data = fetch_cifar10()
n_rows = int(os.environ.get("ROWS", 4_000))
rng = np.random.default_rng(0)  # some copies of the data are sorted by class
train = rng.permutation(len(data.y_train))[:n_rows]
test = rng.permutation(len(data.y_test))[: n_rows // 5]
X, y = data.X_train[train], data.y_train[train]
X_test, y_test = data.X_test[test], data.y_test[test]
names = list(data.target_names)
net = NeuralNetClassifier(
    FastCIFARNet,
    module__widths=(32, 64, 128),
    criterion=torch.nn.CrossEntropyLoss,
    criterion__label_smoothing=0.2,
    lr=0.5,
    optimizer__momentum=0.9,
    optimizer__nesterov=True,
    optimizer__weight_decay=1e-3,
    max_epochs=10,
    batch_size=100,
    iterator_train__shuffle=True,
    train_split=None,
    device="cuda" if torch.cuda.is_available() else "cpu",
    callbacks=[("rate", LinearDecay(warmup=0.2))],
)
unlearners = {
    "fine-tuned": FineTuneUnlearner(net, lr=0.15, max_epochs=2),
    "proximal": ProximalUnlearner(net, lr=0.15, max_epochs=2, penalty=0.0003),
    "NegGrad+": NegGradPlusUnlearner(net),
}

# %%
# The stress test
# ---------------
# ``folder=`` would keep finished measurements, so that a longer run can be stopped and go on.

animals = np.isin(y_test, [names.index(k) for k in ("bird", "cat", "deer", "dog", "frog", "horse")])
conditions = ["corruptions", "near forgotten", Subpopulation(animals, name="animals")]
if importlib.util.find_spec("art"):
    conditions += [
        Adversarial("fgsm", eps=8 / 255, max_rows=200),
        Adversarial("pgd", eps=8 / 255, max_rows=200),
    ]
frame = robustness_report(
    unlearners,
    net,
    X,
    y,
    X_test,
    y_test,
    forget_sets=class_forget_set(y, names.index("automobile")),
    conditions=conditions,
    random_state=0,
    verbose=1,
)

# %%
# Retained classes
# ----------------
# Accuracy on the nine other classes, mean over the severities.


def table(metric):
    """Models beside each other, a row for each condition."""
    found = frame.query("metric == @metric")
    wide = found.pivot_table(index="condition", columns="model", values="value", sort=False)
    return (100 * wide).round(1).to_string()


print(table("retained accuracy"))

# %%
# Automobiles
# -----------
# Does the net name the automobiles that it was trained on, and forgot? As they are, and corrupted,
# or nudged towards their label by an attack that knows the net. The retrained net says how much of
# that means anything.

print(table("forget accuracy"))

# %%
# Calibration
# -----------

print(table("calibration error"))

# %%
# Both accuracies in a picture
# ----------------------------

RobustnessDisplay.from_frame(
    frame,
    metrics=["retained accuracy", "forget accuracy"],
    title="All automobiles forgotten",
)
plt.show()
