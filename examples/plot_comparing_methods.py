"""
Comparing methods
=================

Six methods forget the same rows of the same net, and each is set beside a net that was retrained
without them. The rows were mislabelled before the training, so that the net knows them by heart:
the case in which methods differ most.
"""

# %%
# The setting
# -----------

import warnings

from sklearn.model_selection import train_test_split

from skunlearn import (
    CTUnlearner,
    FineTuneUnlearner,
    GradientAscentUnlearner,
    NegGradPlusUnlearner,
    SalUnUnlearner,
    SCRUBUnlearner,
)
from skunlearn.datasets import load_digits_images
from skunlearn.evaluation import compare
from skunlearn.exceptions import ModelDamagedWarning, NotForgottenWarning
from skunlearn.forget_sets import mislabelled_forget_set
from skunlearn.nets import digits_classifier
from skunlearn.plotting import UnlearningReportDisplay

# Some methods forget little and one costs accuracy: they warn, and the report says so too.
warnings.simplefilter("ignore", ModelDamagedWarning)
warnings.simplefilter("ignore", NotForgottenWarning)

X, y = load_digits_images(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
wrong = mislabelled_forget_set(y, size=0.1, random_state=0)

# Without label smoothing and weight decay the net has learnt the wrong labels.
net = digits_classifier(criterion__label_smoothing=0.0, optimizer__weight_decay=0.0, max_epochs=60)
methods = {
    "fine-tune": FineTuneUnlearner(net),
    "NegGrad+": NegGradPlusUnlearner(net),
    "SalUn": SalUnUnlearner(net),
    "SCRUB": SCRUBUnlearner(net),
    "CT": CTUnlearner(net),
    "gradient ascent": GradientAscentUnlearner(net),
}

# %%
# The comparison
# --------------
# All methods run at their defaults: this shows what the defaults do here and is no ranking. Tune a
# method before you judge it.

report = compare(
    methods, X, wrong.y, forget=wrong.mask, X_test=X_test, y_test=y_test, random_state=0
)
for name, verdict in report.verdicts.items():
    print(f"{name}: {verdict.kind}")

# %%
# ``print(report)`` shows this as text, with the verdicts in full sentences and all warnings.

report

# %%
# The picture
# -----------
# The green band is the retrained net's interval: an unlearned net should fall into it.

display = UnlearningReportDisplay.from_report(
    report, title="Forgetting 10 % mislabelled digits", width=5
)
