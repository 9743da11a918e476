"""
A face recogniser that forgets one person
=========================================

A net has learnt to name forty people from six photographs each. One of them asks to be forgotten.
Three questions: is the person still named? Can an attacker tell the photographs that were trained
on from others of the same person? And does the net's embedding, which face verification compares,
still know the face?

It takes about a minute on two CPU cores. The AT&T faces (AT&T Laboratories Cambridge) are read from
the folder in ``SKUNLEARN_DATA`` or downloaded through scikit-learn.
"""

# sphinx_gallery_thumbnail_path = "stored/plot_faces.png"

# %%
# Photographs and net
# -------------------
# Six photographs of each person, drawn at random, are trained on; four are kept back. The rows are
# identified by their file names and grouped by person: a request can name either.

import copy
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner, RandomLabelUnlearner, RetrainUnlearner
from skunlearn.callbacks import LinearDecay
from skunlearn.datasets import load_faces
from skunlearn.evaluation import verification_attack
from skunlearn.exceptions import ClassForgottenWarning, NotForgottenWarning
from skunlearn.metrics import membership_inference
from skunlearn.plotting import PALETTE

# A person is a class here, and what is still remembered is what we measure.
warnings.simplefilter("ignore", ClassForgottenWarning)
warnings.simplefilter("ignore", NotForgottenWarning)

faces = load_faces(size=(32, 26))
rng = np.random.default_rng(0)
train = np.concatenate([rng.permutation(10) < 6 for _ in faces.target_names])
X, y, person = faces.data[train], faces.target[train], faces.target_names[faces.target[train]]
X_new, y_new = faces.data[~train], faces.target[~train]


class FaceNet(nn.Sequential):
    """Three convolutions, an embedding of 32 numbers, and a head that names forty people."""

    def __init__(self, n_people=40):
        def block(a, b):
            conv = nn.Conv2d(a, b, 3, padding=1, bias=False)
            return [conv, nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)]

        super().__init__(
            *(block(1, 16) + block(16, 32) + block(32, 64)),
            nn.Flatten(),
            nn.LazyLinear(32),
            nn.ReLU(),
            nn.Linear(32, n_people),
        )

    def forward(self, x):
        return super().forward(x.float() / 127.5 - 1)


net = NeuralNetClassifier(
    FaceNet,
    criterion=nn.CrossEntropyLoss,
    lr=0.05,
    optimizer__momentum=0.9,
    optimizer__weight_decay=5e-4,
    max_epochs=30,
    batch_size=32,
    iterator_train__shuffle=True,
    train_split=None,
    callbacks=[("rate", LinearDecay(warmup=0.2))],
)
original = RetrainUnlearner(net, random_state=0).fit(
    X, y, ids=faces.filenames[train], groups=person
)
print(f"original: {original.score(X_new, y_new):.1%} of the unseen photographs are named")


# %%
# Forgetting
# ----------
# Fine-tuning goes on with the other thirty-nine people; random labels teaches the net that this
# person's photographs are of anybody else. Retraining shows what "never seen" looks like.


METHODS = {"fine-tuned": FineTuneUnlearner, "random labels": RandomLabelUnlearner}


def forget(name, who):
    """The original, after the request of one person to one method."""
    if name == "retrained":
        unlearner = copy.deepcopy(original)
    else:
        unlearner = METHODS[name](FrozenEstimator(original.estimator_), random_state=0)
        unlearner.fit(X, y, groups=person)
    return unlearner.unlearn(groups=[faces.target_names[who]])


who = 0
models = {"original": original} | {name: forget(name, who) for name in (*METHODS, "retrained")}
table = pd.DataFrame(
    {
        name: {
            "named, trained on": model.score(X[y == who], y[y == who]),
            "named, unseen": model.score(X_new[y_new == who], y_new[y_new == who]),
            "others named, unseen": model.score(X_new[y_new != who], y_new[y_new != who]),
        }
        for name, model in models.items()
    }
).T
print(f"\nPerson {faces.target_names[who]}\n{table.round(3).to_string()}")
measured = models["fine-tuned"].deletions_[0]["measured"]
print("\nWhat the log says of the fine-tuned net:")
print(pd.DataFrame(measured).round(4).to_string())

# %%
# The two attacks
# ---------------
# Six photographs say little about a membership attack, so four more people ask, each with a
# request of their own to the same original; the attack is then run on all of them, every person's
# trained-on photographs against the unseen ones of the same people. A second retrained net, with
# another seed, shows how far two nets differ that have both never seen a person.

people = [who, 8, 16, 24, 32]
verified, logits = {}, {}
for one in people:
    if one != who:
        models = {"original": original} | {
            name: forget(name, one) for name in (*METHODS, "retrained")
        }
    mine, theirs = y_new == one, y_new != one
    for name, model in models.items():
        for side, rows in (("forget", X[y == one]), ("unseen", X_new[mine])):
            logits.setdefault((name, side), []).append(np.log(model.predict_proba(rows) + 1e-12))
    again = RetrainUnlearner(net, random_state=1).fit(X[y != one], y[y != one])
    verified[faces.target_names[one]] = verification_attack(
        models | {"retrained again": again}, X_new[mine], y_new[mine], X_new[theirs]
    )["AUC"]

print("\nMatched attack: 0.5 tells nothing, and a retrained net's figure is the aim")
for name in models:
    attack = membership_inference(
        np.concatenate(logits[name, "forget"]),
        np.repeat(people, 6),
        np.concatenate(logits[name, "unseen"]),
        np.repeat(people, 4),
        random_state=0,
    )
    print(
        f"{name:>14}: AUC {attack.auc:.3f} ({attack.interval.low:.3f}–{attack.interval.high:.3f})"
    )

# %%
# Is the face still known to the embedding?
# -----------------------------------------
# The verification attack compares embeddings of two unseen photographs: is it the same person?
# Retrained nets, which never saw the person, manage well, if not as well as the original: telling
# strangers apart is what such a net is good at. So deleting a person from the training set does
# not keep anyone from recognising them by the embedding, and the aim is the retrained nets'
# figure, not chance. Fine-tuning stays at the original's. Random labels end below, for two of the
# five people far below: their photographs are scattered as no stranger's would be, and whoever
# notices knows who asked.

verified = pd.DataFrame(verified)
verified["mean"] = verified.mean(axis=1)
print(f"\nVerification AUC\n{verified.round(3).to_string()}")

# %%
# The picture
# -----------

fig, (top, bottom) = plt.subplots(2, 1, figsize=(5, 6), layout="constrained")
shown = np.concatenate([np.flatnonzero(train & (faces.target == who)),
                        np.flatnonzero(~train & (faces.target == who))])  # fmt: skip
strip = [np.hstack(faces.images[rows, 0]) for rows in (shown[:5], shown[5:])]
top.imshow(np.vstack(strip), cmap="gray")
top.set(
    xticks=[], yticks=[], title=f"{faces.target_names[who]}: six trained on (framed), four unseen"
)
height, width = faces.images.shape[2:]
for k in range(6):
    top.add_patch(
        plt.Rectangle(((k % 5) * width, (k // 5) * height), width - 1, height - 1, fill=False,
                      edgecolor=PALETTE["forget"], lw=2)
    )  # fmt: skip
kinds = {"original": "original", "retrained": "retrained", "retrained again": "retrained"}
colours = {name: PALETTE[kinds.get(name, "unlearned")] for name in verified.index}
for place, name in enumerate(verified.index):
    values = verified.loc[name].drop("mean")
    colour = colours[name]
    bottom.plot(values, np.full(len(values), place), "o", color=colour, alpha=0.6, mew=0)
    bottom.plot(verified.loc[name, "mean"], place, "|", color="black", ms=18, mew=2)
bottom.set(
    yticks=range(len(verified)),
    yticklabels=verified.index,
    xlabel="AUC of verification, one dot a person",
    title="Is the face still known to the embedding?",
)
bottom.set_ylim(len(verified) - 0.5, -0.5)
bottom.grid(color="0.92")
bottom.spines[["top", "right"]].set_visible(False)
fig.savefig("faces.png", dpi=150)
print("Picture: faces.png")
