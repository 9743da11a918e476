"""
A pretrained backbone with frozen layers
========================================

Fine-tuning seldom trains all of a net. Here a ResNet-18 of ``torchvision`` keeps its first layers,
and its last block and a new head learn digits. Methods change what learns, and nothing else.
"""

# %%
# A backbone
# ----------
# It is trained on odd digits, which are taken for public, so that nothing is downloaded here. In
# practice: ``resnet18(weights="DEFAULT")``. The even ones are private.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import resnet18

from skunlearn import CFkUnlearner, NegGradPlusUnlearner, RetrainUnlearner, from_torch
from skunlearn.datasets import load_digits_images
from skunlearn.plotting import PALETTE

X, y = load_digits_images(return_X_y=True)
images = torch.from_numpy(X).repeat(1, 3, 1, 1)  # in three colours, as the backbone wants them
classes = torch.from_numpy(y) // 2  # 0 and 1, 2 and 3, ...
public = torch.from_numpy(y % 2 == 1)


def run(model, loader, optimizer, epochs):
    """A training loop."""
    model.train()
    for _ in range(epochs):
        for rows, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(rows), labels).backward()
            optimizer.step()


torch.manual_seed(0)
backbone = resnet18(num_classes=5)
loader = DataLoader(TensorDataset(images[public], classes[public]), batch_size=64, shuffle=True)
run(backbone, loader, torch.optim.SGD(backbone.parameters(), lr=0.05, momentum=0.9), epochs=2)
weights = Path(tempfile.mkdtemp()) / "backbone.pt"
torch.save(backbone.state_dict(), weights)

# %%
# Fine-tune its end
# -----------------
# The function that builds the net freezes what is not to learn. Batch normalisation of frozen
# layers stays in evaluation mode, so that its statistics keep still too.


class Frozen(nn.Sequential):
    """Layers that stay as they are."""

    def train(self, mode=True):
        return super().train(False)


def build():
    """A backbone whose first layers are frozen, with a last block and a head that learn."""
    resnet = resnet18(num_classes=5)
    resnet.load_state_dict(torch.load(weights, weights_only=True))
    parts = list(resnet.children())
    body = Frozen(*parts[:7]).requires_grad_(False)
    return nn.Sequential(body, *parts[7:9], nn.Flatten(), nn.Linear(512, 5))


private = np.flatnonzero(~public)
train = TensorDataset(images[private[:600]], classes[private[:600]])
unseen = TensorDataset(images[private[600:]], classes[private[600:]])
model, criterion, epochs = build(), nn.CrossEntropyLoss(), 4
loader = DataLoader(train, batch_size=50, shuffle=True)
optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.02)
run(model, loader, optimizer, epochs)

# %%
# Forget a class
# --------------
# ``CFkUnlearner`` fine-tunes the last layers alone, ``NegGradPlusUnlearner`` all that learn.

net = from_torch(
    model, loader, criterion=criterion, optimizer=optimizer, max_epochs=epochs, factory=build
)
forget, truth = np.flatnonzero(train.tensors[1] == 4), unseen.tensors[1].numpy()


def right(estimator):
    """Shares of unseen digits named rightly: of classes that stay, of the forgotten one."""
    hits = estimator.predict(unseen) == truth
    return hits[truth != 4].mean(), hits[truth == 4].mean()


shares = {"original": right(net)}
retrained = RetrainUnlearner(net, random_state=0)
for method in (
    NegGradPlusUnlearner(net, random_state=0),
    CFkUnlearner(net, k=1, max_epochs=epochs, random_state=0),
    retrained,
):
    method.fit(train).unlearn(indices=forget)
    shares[type(method).__name__.removesuffix("Unlearner")] = right(method)
    now, before = method.estimator_.module_.state_dict(), model.state_dict()
    moved = [name for name in before if not torch.equal(now[name], before[name])]
    frozen = sum(name.startswith("0.") for name in moved)
    learnt = len(set(moved) & {name for name, _ in model.named_parameters()})
    print(f"{type(method).__name__}: {learnt} weights changed, {frozen} tensors of frozen layers")

# %%
# A retrained net never names the class. At their defaults both methods still do for some of its
# unseen digits: they would have to be tuned.

figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
places = np.arange(len(shares))
for shift, name, rows, column in (
    (-0.2, "classes that stay", "retain", 0),
    (0.2, "forgotten class", "forget", 1),
):
    values, colour = [pair[column] for pair in shares.values()], PALETTE[rows]
    bars = axes.bar(places + shift, values, 0.4, color=colour, label=name)
    axes.bar_label(bars, fmt="%.2f", padding=2)
axes.set(xticks=places, ylabel="share of unseen digits right", ylim=(0, 1))
axes.set_title("Classes that stay, and the forgotten one")
axes.set_xticklabels(shares)
_ = figure.legend(loc="outside lower center", ncols=2, frameon=False)

# %%
# Weights that are there from the start
# -------------------------------------
# A retrained net begins with the backbone too. If that had seen the forgotten rows it would be no
# reference, so that the certificate names it, and promises nothing.

print(retrained.deletions_[0]["trained_before"])
