"""
Does it stay forgotten? A stress test on the digits
===================================================

An unlearned net that looks right on clean rows may still hold what it was to forget: it comes back
when a row is noisy, blurred or nudged, or when the trigger of a backdoor appears. Here three
methods forget three kinds of sets, and are looked at under corruptions, next to the forgotten
rows, with a trigger and, where the Adversarial Robustness Toolbox is installed, under attack.

It takes about a minute on two CPU cores.
"""

# %%
# Net, methods, forget sets
# -------------------------
# A whole class; the rows that fine-tuning leaves best fitted; and a backdoor, of which only half
# of the poisoned rows are known, so that even a retrained net keeps some of it.

import importlib.util
import warnings

import matplotlib.pyplot as plt
from sklearn.model_selection import train_test_split

from skunlearn import FineTuneUnlearner, NegGradPlusUnlearner, SalUnUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.exceptions import ClassForgottenWarning, NotForgottenWarning
from skunlearn.forget_sets import backdoor_forget_set, class_forget_set, worst_case_forget_set
from skunlearn.nets import digits_classifier
from skunlearn.plotting import RobustnessDisplay
from skunlearn.robustness import Adversarial, robustness_report

# That some methods forget little is what we are here to see.
warnings.simplefilter("ignore", ClassForgottenWarning)
warnings.simplefilter("ignore", NotForgottenWarning)

X, y = load_digits_images(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
net = digits_classifier(max_epochs=15)
unlearners = {
    "fine-tuned": FineTuneUnlearner(net),
    "NegGrad+": NegGradPlusUnlearner(net),
    "SalUn": SalUnUnlearner(net),
}
trained = FineTuneUnlearner(net, random_state=0).fit(X, y)
forget_sets = [
    class_forget_set(y, 8),
    worst_case_forget_set(trained, X, y, size=0.1, random_state=0),
    backdoor_forget_set(X, y, target=0, size=0.05, known=0.5, random_state=0),
]
for forget_set in forget_sets:
    print(forget_set)

# %%
# The stress test
# ---------------
# ``folder=`` would keep what is measured, so that a longer run can be stopped and go on.

conditions = ["gaussian_noise", "motion_blur", "fog", "pixelate", "near forgotten", "trigger"]
if importlib.util.find_spec("art"):
    conditions.append(Adversarial("pgd", eps=0.1, max_rows=100))
frame = robustness_report(
    unlearners,
    net,
    X,
    y,
    X_test,
    y_test,
    forget_sets=forget_sets,
    conditions=conditions,
    random_state=0,
    verbose=1,
)

# %%
# What comes back
# ---------------
# Forget rows that are wrong as they are and right when they are corrupted, beside those of the
# retrained net.

back = frame.query("metric == 'comes back'")
table = back.pivot_table(index=["forget set", "condition"], columns="model", values="value")
print((100 * table).round(1).to_string())

# %%
# The backdoor
# ------------

rates = frame.query("metric == 'backdoor success'").set_index("model")[["value", "low", "high"]]
print((100 * rates).round(1).to_string())

# %%
# Both accuracies in a picture
# ----------------------------

RobustnessDisplay.from_frame(
    frame,
    metrics=["retained accuracy", "forget accuracy"],
    title="Does it stay forgotten?",
)
plt.show()
