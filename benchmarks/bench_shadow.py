"""Shadow models stacked and one after the other, and the attacks on what they leave behind."""

import argparse

import numpy as np
import torch
from _goals import goal
from _timing import interleave, report
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn.datasets import load_digits_images
from skunlearn.metrics import lira, rmia
from skunlearn.nets import DigitsNet
from skunlearn.shadow import ShadowModels


class MLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def training(module, n_models, rounds, backends):
    X, y = load_digits_images(return_X_y=True)
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, lr=0.05, optimizer__momentum=0.9, max_epochs=10,
        batch_size=64, iterator_train__shuffle=True, train_split=None,
    )  # fmt: skip

    def train(backend, n_jobs=1):
        ShadowModels(net, n_models=n_models, backend=backend, n_jobs=n_jobs, random_state=0).fit(
            X, y
        )

    contenders = {"sequential, one process": lambda: train("sequential")}
    contenders["sequential, two processes"] = lambda: train("sequential", 2)
    for backend in backends:
        contenders[f"{backend}, n_jobs=2"] = lambda backend=backend: train(backend, 2)
    results = interleave(contenders, rounds)
    title = f"{n_models} shadow nets on digits, {module.__name__}, 10 epochs"
    report(title, results, "sequential, two processes")
    best = min(seconds for name, (seconds, _) in results.items() if name.startswith("sequential"))
    goal(
        f"{n_models} shadow nets, automatic choice / best sequential, {module.__name__}",
        results["auto, n_jobs=2"][0] / best,
        at_most=0.45 if module is MLP else 1.02,
    )


def attacks(n_models=64, n=10_000):
    rng = np.random.default_rng(0)
    half = rng.random((n_models // 2, n)) < 0.5
    membership = np.concatenate([half, ~half])  # each row is in half of the models
    margins = rng.normal(scale=3, size=(n_models, n)) + membership
    log_p = -np.logaddexp(0, -margins)
    contenders = {
        "LiRA online": lambda: lira(margins[0], margins, membership),
        "LiRA offline": lambda: lira(margins[0], margins, membership, mode="offline"),
        "RMIA": lambda: rmia(log_p[0], log_p, membership, log_p[1], log_p),
    }
    report(f"{n:,} rows, {n_models} shadow models", interleave(contenders, 5), "LiRA online")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=64, help="even, 4 or more (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    if options.models < 4 or options.models % 2:
        parser.error(f"--models must be even and at least 4, got {options.models}.")
    torch.set_num_threads(2)
    attacks(options.models)
    training(MLP, options.models, options.rounds, ["auto"])
    # A convolution, for which "auto" stays sequential; fewer, since they take longer.
    training(DigitsNet, max(4, options.models // 4), options.rounds, ["auto", "stacked"])


if __name__ == "__main__":
    main()
