"""One epoch through skunlearn against a hand-written PyTorch loop on the same net and batches."""

import argparse

import numpy as np
import torch
from _goals import goal, paired
from _timing import medians, report, timed_rounds
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn._rows.views import Rows
from skunlearn._torch.loop import fit_loop
from skunlearn.callbacks import LinearDecay, ProximalStep


class MLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


class CNN(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 49, 10),
        )  # fmt: skip


def contenders(module, X, y, batch_size):
    """Loops over the same rows: by hand, as skunlearn runs it, and as skorch runs it."""
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, lr=0.01, optimizer__momentum=0.9, max_epochs=1,
        batch_size=batch_size, iterator_train__shuffle=True, train_split=None, verbose=0,
    ).initialize()  # fmt: skip
    rows = Rows(X, y, np.arange(len(y)))
    X_tensor, y_tensor = torch.from_numpy(X), torch.from_numpy(y)
    model = module()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def by_hand():
        order = torch.randperm(len(y))
        total = 0.0
        for i in range(0, len(y), batch_size):
            batch = order[i : i + batch_size]
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(X_tensor[batch]), y_tensor[batch])
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total

    def fine_tune():
        fit_loop.train(net, rows, epochs=1, callbacks=[("decay", LinearDecay())], shuffle=True)

    def proximal():
        anchors = {p: p.detach().clone() for p in net.module_.parameters()}
        step = ProximalStep(anchors, 0.01)
        callbacks = [("decay", LinearDecay()), ("penalty", step)]
        fit_loop.train(net, rows, epochs=1, callbacks=callbacks, shuffle=True)

    def plain_skorch():
        net.partial_fit(X, y)

    return {
        "hand-written loop": by_hand,
        "skunlearn fine-tune": fine_tune,
        "skunlearn proximal": proximal,
        "skorch partial_fit": plain_skorch,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, options.rows)
    shapes = {"MLP 64-128-10": (MLP, (64,)), "CNN 28×28": (CNN, (1, 28, 28))}
    for name, (module, shape) in shapes.items():
        X = rng.normal(size=(options.rows, *shape)).astype(np.float32)
        # A round of the MLP is a fiftieth of the CNN's, and its ratios move by 5 % over seven.
        rounds = options.rounds * (5 if module is MLP else 1)
        times = timed_rounds(contenders(module, X, y, 128), rounds)
        title = f"{name}, {options.rows} rows, batch 128"
        report(title, medians(times), "hand-written loop")
        tuned, proximal = times["skunlearn fine-tune"], times["skunlearn proximal"]
        most = {"MLP": 1.10, "CNN": 1.03}[module.__name__]
        ratio = paired(tuned, times["hand-written loop"])
        goal(f"epoch of fine-tuning / hand-written loop, {module.__name__}", ratio, at_most=most)
        ratio = paired(proximal, tuned)
        goal(f"proximal step / fine-tuning step, {module.__name__}", ratio, at_most=1.07)


if __name__ == "__main__":
    main()
