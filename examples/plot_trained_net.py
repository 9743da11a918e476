"""
A net that you have trained in PyTorch
======================================

You have a module, a data set with augmentation, a loader, an optimizer with two parameter groups
and a schedule: a training loop like any other. Here is how its net forgets, without writing the
loop anew.
"""

# %%
# What you have
# -------------
# Digits that are shifted at random by one column while the net learns, and no weight decay on
# biases and on batch normalisation.

import matplotlib.pyplot as plt
import torch
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, Dataset

from skunlearn import NegGradPlusUnlearner, RetrainUnlearner, from_torch
from skunlearn.datasets import load_digits_images
from skunlearn.evaluation import audit
from skunlearn.plotting import PALETTE


class Digits(Dataset):
    """Images with labels, passed through `transform` each time that they are read."""

    def __init__(self, images, labels, transform=None):
        self.images, self.labels, self.transform = torch.as_tensor(images), labels, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image = self.images[i]
        return (image if self.transform is None else self.transform(image)), int(self.labels[i])


def shift(image):
    """One column to the left, to the right, or none."""
    return torch.roll(image, int(torch.randint(-1, 2, ())), dims=2)


class Net(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self, width=16):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.head = nn.Linear(16 * width, 10)

    def forward(self, images):
        return self.head(self.body(images).flatten(1))


X, y = load_digits_images(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
train, plain = Digits(X, y, shift), Digits(X, y)
loader = DataLoader(train, batch_size=64, shuffle=True)

torch.manual_seed(0)
model = Net()
weights = [p for p in model.parameters() if p.ndim > 1]
others = [p for p in model.parameters() if p.ndim == 1]
optimizer = torch.optim.SGD(
    [{"params": weights}, {"params": others, "weight_decay": 0.0}],
    lr=0.05,
    momentum=0.9,
    weight_decay=5e-3,
)
epochs = 20
scheduler = torch.optim.lr_scheduler.OneCycleLR(
    optimizer, 0.1, epochs=epochs, steps_per_epoch=len(loader)
)
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
for _ in range(epochs):
    for images, labels in loader:
        optimizer.zero_grad()
        criterion(model(images), labels).backward()
        optimizer.step()
        scheduler.step()

# %%
# Bring it in
# -----------
# Everything is read off the objects of the loop. The class of the module is for what starts
# afresh: the retrained nets below. The result says "trained already", so that ``fit`` trains
# nothing: it notes which rows the net has seen. ``measure_on`` is how they are read as they are,
# without the shift.

net = from_torch(
    model,
    loader,
    criterion=criterion,
    optimizer=optimizer,
    scheduler=scheduler,
    max_epochs=epochs,
    factory=Net,
)
unlearner = NegGradPlusUnlearner(net, lr=0.03, random_state=0).fit(train, measure_on=plain)
print(f"accuracy on unseen digits: {unlearner.score(X_test, y_test):.3f}")
print(net.estimator.optimizer_)

# %%
# Forget
# ------
# Rows are named by position, or by ``ids`` and ``groups`` that were passed to ``fit``.

unlearner.unlearn(indices=range(100))
print(f"accuracy on unseen digits: {unlearner.score(X_test, y_test):.3f}")

# %%
# Compare with a net that never saw the rows
# ------------------------------------------
# It is trained anew from fresh weights, through the same augmentation, schedule and parameter
# groups.

report = audit(unlearner, X_test, y_test, retrained="train")
print(report)

# %%
# Take it back
# ------------
# A plain module again. The one that was brought in is as it was.

forgetful = unlearner.estimator_.module_
image = plain[0][0][None]
print(f"known by the forgetful net: {forgetful(image).softmax(1)[0, y[0]]:.3f}")
print(f"known by yours:             {model.eval()(image).softmax(1)[0, y[0]]:.3f}")

# %%
# Losses of the forgotten rows in all three nets. A curve that lies right of the retrained net's is
# of one that knows them *less* than if it had never seen them: too high a rate, or too many epochs.

retrained = RetrainUnlearner(net, random_state=0).fit(train, measure_on=plain)
retrained.unlearn(indices=range(100))
images, labels = plain.images[:100], torch.as_tensor(y[:100])
figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
for name, colour, module in (
    ("yours", PALETTE["original"], model),
    ("after forgetting", PALETTE["unlearned"], forgetful),
    ("retrained", PALETTE["retrained"], retrained.estimator_.module_),
):
    with torch.no_grad():
        losses = nn.functional.cross_entropy(module.eval()(images), labels, reduction="none")
    axes.plot(losses.sort().values, torch.linspace(0, 1, 100), color=colour, label=name)
axes.set(xscale="log", xlabel="loss, nats", ylabel="share of the forgotten rows below")
axes.xaxis.set_major_formatter("{x:g}")
axes.set_title("Losses of forgotten rows")
_ = figure.legend(loc="outside lower center", ncols=3, frameon=False)
