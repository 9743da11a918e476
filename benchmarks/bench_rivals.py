"""One fine-tuning on the retained rows by skunlearn and by the loops that one would use instead.

Same net, same weights to start from, same rows, epochs, batch size and schedule: time, accuracy on
unseen rows, and what a matched membership attack sees. The challenge's loop is written anew as its
authors describe it: SGD with momentum 0.9 and weight decay 5e-4, a cosine schedule stepped once an
epoch, and a DataLoader over single rows.

References: E. Triantafillou et al., "Are we making progress in unlearning? Findings from the first
NeurIPS unlearning competition", 2024, https://arxiv.org/abs/2406.09073
"""

import argparse
import copy
import warnings

import numpy as np
import torch
from _goals import goal, paired
from _timing import machine, medians, timed_rounds
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from skorch import NeuralNetClassifier
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn.callbacks import LinearDecay
from skunlearn.datasets import load_digits_images
from skunlearn.metrics import membership_inference
from skunlearn.nets import DigitsNet

RATE, BATCH = 0.05, 64
SGD = {"lr": RATE, "momentum": 0.9, "weight_decay": 5e-4}


def task(share):
    """Rows to train on and to test with, and which are to be forgotten: the fold's every tenth."""
    X, y = load_digits_images(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0, stratify=y)
    return X, y, X_test, y_test, np.arange(len(y)) % round(1 / share) == 0


def recipe(epochs, **params):
    return NeuralNetClassifier(
        DigitsNet, criterion=nn.CrossEntropyLoss, optimizer__momentum=0.9,
        optimizer__weight_decay=5e-4, lr=RATE, max_epochs=epochs, batch_size=BATCH,
        iterator_train__shuffle=True, train_split=None, verbose=0, **params,
    )  # fmt: skip


class Contenders:
    """Each trains a copy of the original on the retained rows and keeps the module in `made`."""

    def __init__(self, original, X, y, forget, epochs):
        self.original, self.X, self.y, self.forget = original, X, y, forget
        self.epochs, self.made = epochs, {}
        self.tensors = torch.from_numpy(X[~forget]), torch.from_numpy(y[~forget])
        self.unlearner = FineTuneUnlearner(
            FrozenEstimator(original), lr=RATE, max_epochs=epochs, random_state=0
        ).fit(X, y)

    def skunlearn(self):
        # `_attempt` alone: the verb's look at the rows before and after is not in the others.
        record = self.unlearner._record
        views = [record.view(np.flatnonzero(mask)) for mask in (~self.forget, self.forget)]
        self.made["skunlearn"] = self.unlearner._attempt(*views, 0).module_

    def skunlearn_verb(self):
        unlearner = copy.copy(self.unlearner)
        unlearner.unlearn(indices=np.flatnonzero(self.forget))
        self.made["skunlearn, the verb"] = unlearner.estimator_.module_

    def hand(self):
        model = copy.deepcopy(self.original.module_).train()
        optimizer = torch.optim.SGD(model.parameters(), **SGD)
        X, y = self.tensors
        steps, done = self.epochs * -(-len(y) // BATCH), 0
        for _ in range(self.epochs):
            for batch in torch.randperm(len(y)).split(BATCH):
                optimizer.param_groups[0]["lr"] = RATE * (1 - done / steps)
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(X[batch]), y[batch])
                loss.backward()
                optimizer.step()
                loss.item()
                done += 1
        self.made["hand-written loop"] = model

    def challenge(self):
        model = copy.deepcopy(self.original.module_).train()
        optimizer = torch.optim.SGD(model.parameters(), **SGD)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.epochs)
        loader = DataLoader(TensorDataset(*self.tensors), batch_size=BATCH, shuffle=True)
        criterion = nn.CrossEntropyLoss()
        for _ in range(self.epochs):
            for inputs, targets in loader:
                optimizer.zero_grad()
                criterion(model(inputs), targets).backward()
                optimizer.step()
            schedule.step()
        self.made["the challenge's loop"] = model.eval()

    def skorch(self):
        net = recipe(self.epochs, callbacks=[("decay", LinearDecay())]).initialize()
        net.module_.load_state_dict(self.original.module_.state_dict())
        net.partial_fit(self.X[~self.forget], self.y[~self.forget])
        self.made["skorch's loop"] = net.module_

    def retrained(self):
        made = RetrainUnlearner(recipe(self.original.max_epochs), random_state=1)
        made.fit(self.X[~self.forget], self.y[~self.forget])
        self.made["retrained"] = made.estimator_.module_


@torch.no_grad()
def outputs(module, X):
    return module.eval()(torch.from_numpy(X)).float().numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.1, help="of the rows, to be forgotten")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    X, y, X_test, y_test, forget = task(options.share)
    torch.manual_seed(0)
    original = recipe(30).fit(X, y)
    contenders = Contenders(original, X, y, forget, options.epochs)
    runs = {
        "hand-written loop": contenders.hand,
        "skunlearn": contenders.skunlearn,
        "skunlearn, the verb": contenders.skunlearn_verb,
        "skorch's loop": contenders.skorch,
        "the challenge's loop": contenders.challenge,
    }
    times = timed_rounds(runs, options.rounds)
    contenders.retrained()
    contenders.made["original"] = original.module_
    print(f"{forget.sum()} of {len(y)} digits forgotten, {options.epochs} epochs ({machine()})")
    print(f"{'':<22} {'CPU s':>7} {'ratio':>6} {'unseen %':>9} {'forgotten %':>12} {'AUC':>6}")
    seconds = medians(times)
    for name, module in contenders.made.items():
        unseen, gone = outputs(module, X_test), outputs(module, X[forget])
        right = [100 * (z.argmax(1) == t).mean() for z, t in ((unseen, y_test), (gone, y[forget]))]
        attack = membership_inference(gone, y[forget], unseen, y_test, random_state=0)
        spent = ratio = ""
        if name in seconds:
            spent = f"{seconds[name][1]:.3f}"
            ratio = f"{paired(times[name], times['hand-written loop']):.2f}"
        print(
            f"{name:<22} {spent:>7} {ratio:>6} {right[0]:9.1f} {right[1]:12.1f} {attack.auc:6.3f}"
        )
    for rival in ("hand-written loop", "skorch's loop", "the challenge's loop"):
        ratio = paired(times["skunlearn"], times[rival])
        goal(f"fine-tuning DigitsNet / {rival}", ratio, at_most=1.10)


if __name__ == "__main__":
    main()
