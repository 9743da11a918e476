"""One fine-tuning on the retained rows by skunlearn and by the loops that one would use instead.

Same net, same weights to start from, same rows, epochs, batch size and schedule: time, accuracy on
unseen rows, and what a matched membership attack sees. On digits, and with `--data` on 3,000 images
of CIFAR-10. The others' loops are written anew. The challenge's is as its authors describe it: SGD
with momentum 0.9 and weight decay 5e-4, a cosine schedule stepped once an epoch, and a DataLoader
over single rows. torchunlearn's, as of commit 36d095a, is the same but for setting the training
mode and reading the loss in each step; the forget rows that it loads beside are left out.

References: E. Triantafillou et al., "Are we making progress in unlearning? Findings from the first
NeurIPS unlearning competition", 2024, https://arxiv.org/abs/2406.09073; torchunlearn,
https://github.com/Harry24k/machine-unlearning-pytorch
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
from skunlearn.datasets import fetch_cifar10, load_digits_images
from skunlearn.metrics import membership_inference
from skunlearn.nets import DigitsNet

RATE, BATCH = 0.05, 64
SGD = {"lr": RATE, "momentum": 0.9, "weight_decay": 5e-4}


class CIFARNet(nn.Sequential):
    def __init__(self):
        layers = []
        for n_in, n_out in ((3, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        super().__init__(*layers, nn.Flatten(), nn.Linear(64 * 16, 10))


def task(share, data):
    """Rows to train on and to test with, and which are to be forgotten: the fold's every tenth."""
    if data is None:
        X, y = load_digits_images(return_X_y=True)
        X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, random_state=0, stratify=y)
    else:
        found = fetch_cifar10(data)
        rng = np.random.default_rng(0)
        sides = []
        for X, y, n in ((found.X_train, found.y_train, 3000), (found.X_test, found.y_test, 2000)):
            chosen = np.sort(rng.permutation(len(y))[:n])
            sides += [X[chosen] / np.float32(255) - np.float32(0.5), y[chosen].astype(np.int64)]
        X, y, X_test, y_test = sides
    return X, y, X_test, y_test, np.arange(len(y)) % round(1 / share) == 0


def recipe(module, epochs, **params):
    return NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, optimizer__momentum=0.9,
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
        self.made["the challenge's loop"] = self._step_by_step(lambda model, loss: None)

    def torchunlearn(self):
        def watch(model, loss):
            loss.item()
            model.train()

        self.made["torchunlearn's loop"] = self._step_by_step(watch)

    def _step_by_step(self, watch):
        model = copy.deepcopy(self.original.module_).train()
        optimizer = torch.optim.SGD(model.parameters(), **SGD)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.epochs)
        loader = DataLoader(TensorDataset(*self.tensors), batch_size=BATCH, shuffle=True)
        criterion = nn.CrossEntropyLoss()
        for _ in range(self.epochs):
            for inputs, targets in loader:
                loss = criterion(model(inputs), targets)
                watch(model, loss)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            schedule.step()
        return model.eval()

    def skorch(self):
        net = recipe(
            self.original.module, self.epochs, callbacks=[("decay", LinearDecay())]
        ).initialize()
        net.module_.load_state_dict(self.original.module_.state_dict())
        net.partial_fit(self.X[~self.forget], self.y[~self.forget])
        self.made["skorch's loop"] = net.module_

    def retrained(self):
        made = RetrainUnlearner(
            recipe(self.original.module, self.original.max_epochs), random_state=1
        )
        made.fit(self.X[~self.forget], self.y[~self.forget])
        self.made["retrained"] = made.estimator_.module_


@torch.no_grad()
def outputs(module, X):
    return module.eval()(torch.from_numpy(X)).float().numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of CIFAR-10; digits by default")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.1, help="of the rows, to be forgotten")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    X, y, X_test, y_test, forget = task(options.share, options.data)
    torch.manual_seed(0)
    kind = DigitsNet if options.data is None else CIFARNet
    original = recipe(kind, 30 if options.data is None else 10).fit(X, y)
    contenders = Contenders(original, X, y, forget, options.epochs)
    runs = {
        "hand-written loop": contenders.hand,
        "skunlearn": contenders.skunlearn,
        "skunlearn, the verb": contenders.skunlearn_verb,
        "skorch's loop": contenders.skorch,
        "the challenge's loop": contenders.challenge,
        "torchunlearn's loop": contenders.torchunlearn,
    }
    times = timed_rounds(runs, options.rounds)
    contenders.retrained()
    contenders.made["original"] = original.module_
    print(f"{forget.sum()} of {len(y)} images forgotten, {options.epochs} epochs ({machine()})")
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
    for rival in (
        "hand-written loop",
        "skorch's loop",
        "the challenge's loop",
        "torchunlearn's loop",
    ):
        ratio = paired(times["skunlearn"], times[rival])
        goal(f"fine-tuning {kind.__name__} / {rival}", ratio, at_most=1.10)
    if options.data is not None:
        for rival in ("the challenge's loop", "torchunlearn's loop"):
            ratio = paired(times["skunlearn, the verb"], times[rival])
            goal(f"unlearn of {kind.__name__} / {rival}", ratio, at_most=1.0)


if __name__ == "__main__":
    main()
