"""
A deep model whose rows are deleted exactly, in milliseconds
============================================================

Nothing but the last part of a net has to be trained on private rows. A backbone that was trained
on public images turns each private one into features, once; a model with an exact deletion stands
on top. How accurate is that beside a net that is fine-tuned as a whole, and what does a deletion
cost?

Here the backbone is trained on six classes of CIFAR-10, which are taken for public; the other four
(automobile, dog, frog, truck) are private. A backbone from the web (``torchvision``, ``timm``) has
seen more than 30,000 small images and would do better; this one is made from what is at hand, so
that its declaration is true.

It takes about twenty minutes on one CPU core. The images are read from the folder in
``SKUNLEARN_DATA`` or downloaded.
"""

# sphinx_gallery_thumbnail_path = "_static/generated/public_backbone.png"


# %%
# The public part
# ---------------

import json
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.preprocessing import Normalizer
from skorch import NeuralNetClassifier

from skunlearn import (
    CertifiedRemovalUnlearner,
    ForestUnlearner,
    PublicBackbone,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    UnlearningPipeline,
)
from skunlearn.callbacks import LinearDecay
from skunlearn.datasets import fetch_cifar10
from skunlearn.exceptions import PrivacyBudgetWarning
from skunlearn.nets import FastCIFARNet
from skunlearn.plotting import PALETTE

warnings.simplefilter("ignore", PrivacyBudgetWarning)
data = fetch_cifar10()
names = data.target_names
PRIVATE = ("automobile", "dog", "frog", "truck")
private, private_test = (np.isin(names[y], PRIVATE) for y in (data.y_train, data.y_test))


def recipe(module, **settings):
    """How every net here is trained."""
    settings = {"max_epochs": 8, "lr": 1.0} | settings
    return NeuralNetClassifier(
        module,
        criterion=torch.nn.CrossEntropyLoss,
        criterion__label_smoothing=0.2,
        optimizer__momentum=0.9,
        optimizer__nesterov=True,
        optimizer__weight_decay=1e-3,
        batch_size=500,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[("rate", LinearDecay(warmup=0.2))],
        verbose=0,
        **settings,
    )


torch.manual_seed(0)
public = recipe(FastCIFARNet, module__n_classes=6)
public.fit(data.X_train[~private], np.unique(data.y_train[~private], return_inverse=True)[1])
seen = np.unique(data.y_test[~private_test], return_inverse=True)[1]
print(f"backbone: {public.score(data.X_test[~private_test], seen):.1%} of six classes, unseen")


class Features(torch.nn.Module):
    """What the net computes before its head, the mean over an image and its mirror image."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.net.head = torch.nn.Identity()

    def forward(self, x):
        return self.net(x)


# %%
# The private part
# ----------------
# Twenty thousand images, each the property of one of two thousand people. The pipelines compute
# the features of every image once, in ``fit``.

X, y = np.ascontiguousarray(data.X_train[private]), names[data.y_train[private]]
X_new, y_new = data.X_test[private_test], names[data.y_test[private_test]]
person = np.random.default_rng(0).integers(2000, size=len(y))
state = {k: v for k, v in public.module_.state_dict().items() if k.startswith("groups")}
backbone = PublicBackbone(
    Features(public.module_),
    trained_on="six classes of CIFAR-10: airplane, bird, cat, deer, horse, ship",
    declared_by="the author of this example, who trained it",
)
logistic = LogisticRegression(C=0.01, tol=1e-6, max_iter=1000)
heads = {
    "ridge": RidgeUnlearner(RidgeClassifier()),
    "forest": ForestUnlearner(RandomForestClassifier(200, max_samples=0.1), random_state=0),
    "10 shards": ShardedUnlearner(LogisticRegression(C=0.1, max_iter=1000), n_shards=10,
                                  random_state=0),
    "certified": CertifiedRemovalUnlearner(logistic, sigma=1.0, random_state=0),
}  # fmt: skip
table = {}


def measure(name, model):
    """Fit, then delete one person's images, and five more people's, one after the other."""
    began = time.perf_counter()
    model.fit(X, y, groups=person)
    fitted = time.perf_counter() - began
    before, spent = model.score(X_new, y_new), []
    for who in range(6 if fitted < 60 or "net" not in name else 1):
        began = time.perf_counter()
        model.unlearn(groups=[who])
        spent.append(time.perf_counter() - began)
    certificate = json.loads(model.certificate())
    table[name] = {
        "unseen, %": 100 * before,
        "after, %": 100 * model.score(X_new, y_new),
        "fit, s": fitted,
        "a deletion, s": np.median(spent),
        "guarantee": certificate["guarantee"],
    }
    print(f"{name}: done in {fitted:.0f} s", flush=True)
    return certificate


for name, head in heads.items():
    steps = [("features", backbone), ("unit", Normalizer()), ("head", head)]
    certificate = measure(name, UnlearningPipeline(steps))

# %%
# What the certificate says
# -------------------------
# Whether the backbone has seen a private row is not for code to know. So the certificate quotes
# who says that it has not, and a digest of the weights.

print(json.dumps({key: certificate[key] for key in ("guarantee", "declared", "notes")}, indent=1))

# %%
# Beside nets
# -----------
# One net starts from the backbone's weights and is fine-tuned as a whole on the private images; one
# knows nothing but these. Either is deleted from exactly by the same training without the rows.


class FineTuned(FastCIFARNet):
    """The backbone's weights, with a head of its own."""

    def __init__(self, state, n_classes=4):
        super().__init__(n_classes)
        self.load_state_dict(state, strict=False)


tuned = recipe(FineTuned, module__state=state, max_epochs=3, lr=0.3)
measure("fine-tuned net", RetrainUnlearner(tuned, random_state=0))
scratch = recipe(FastCIFARNet, module__n_classes=4)
measure("net from scratch", RetrainUnlearner(scratch, random_state=0))
table = pd.DataFrame(table).T
print(table.to_string(float_format="{:.3g}".format))

# %%
# The picture
# -----------

figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
for name, row in table.iterrows():
    ax.scatter(
        row["a deletion, s"],
        row["unseen, %"],
        color="0.35" if "net" in name else PALETTE["unlearned"],
    )
    ax.annotate(name, (row["a deletion, s"], row["unseen, %"]), xytext=(6, 4),
                textcoords="offset points")  # fmt: skip
ax.set(
    xscale="log",
    xlabel="seconds for the deletion of a person's images",
    ylabel="accuracy on unseen images, %",
    title="Heads on a public backbone (blue),\nand nets trained as a whole",
)
ax.margins(x=0.2, y=0.1)
figure.savefig("public_backbone.png", dpi=120)
print("Picture: public_backbone.png")
