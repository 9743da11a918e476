"""Influence of training rows on test rows: against pyDVL and kronfluence on the same net.

The comparators are skipped with a message where they are not installed.
"""

import argparse
import logging
import tempfile
import warnings

import numpy as np
import torch
from _timing import interleave, report
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from skunlearn.datasets import load_digits_images
from skunlearn.influence import InverseCurvature, influence

DAMPING, TOLERANCE, BATCH, N_TEST = 0.1, 1e-4, 256, 20


class MLP(nn.Sequential):
    """64-64-10: 4,810 weights."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))


class CNN(nn.Sequential):
    """Two convolutions: 6,090 weights."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1), nn.Tanh(), nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
        )  # fmt: skip


def trained(module, X, y):
    """A net, with the comparators' damping as its weight decay: both then solve the same system."""
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, lr=0.1, optimizer__momentum=0.9, max_epochs=20,
        batch_size=64, iterator_train__shuffle=True, train_split=None, verbose=0,
    ).fit(X, y)  # fmt: skip
    net.optimizer_.param_groups[0]["weight_decay"] = DAMPING
    return net


def pydvl(net, X, y, X_test, y_test):
    """pyDVL's conjugate gradients, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pydvl.influence.torch import CgInfluence
    except ImportError as error:
        print(f"pyDVL is left out: {error}")
        return None
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    sides = [torch.from_numpy(a) for a in (X_test, y_test, X, y)]

    def run():
        model = CgInfluence(
            net.module_,
            cross_entropy,
            regularization=DAMPING,
            rtol=TOLERANCE,
            atol=0.0,
            maxiter=200,
        ).fit(DataLoader(data, batch_size=BATCH))
        return model.influences(*sides).numpy(force=True)

    return run


def kronfluence(net, X, y, X_test, y_test):
    """kronfluence's EK-FAC, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from kronfluence.analyzer import Analyzer, prepare_model
            from kronfluence.arguments import FactorArguments, ScoreArguments
            from kronfluence.task import Task
    except ImportError as error:
        print(f"kronfluence is left out: {error}")
        return None

    class Classification(Task):
        def compute_train_loss(self, batch, model, sample=False):
            logits = model(batch[0])
            labels = batch[1]
            if sample:
                labels = torch.multinomial(logits.detach().softmax(-1), 1).flatten()
            return cross_entropy(logits, labels, reduction="sum")

        def compute_measurement(self, batch, model):
            return cross_entropy(model(batch[0]), batch[1], reduction="sum")

    train = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    test = TensorDataset(torch.from_numpy(X_test), torch.from_numpy(y_test))
    logging.disable(logging.INFO)

    def run():
        with tempfile.TemporaryDirectory() as folder:
            task = Classification()
            module = type(net.module_)()
            module.load_state_dict(net.module_.state_dict())
            analyzer = Analyzer(
                "bench", prepare_model(module, task), task, cpu=True, output_dir=folder,
                disable_tqdm=True, disable_model_save=True,
            )  # fmt: skip
            analyzer.fit_all_factors(
                "f", train, per_device_batch_size=BATCH,
                factor_args=FactorArguments(strategy="ekfac"),
            )  # fmt: skip
            analyzer.compute_pairwise_scores(
                "s", "f", test, train, per_device_query_batch_size=N_TEST,
                per_device_train_batch_size=BATCH,
                score_args=ScoreArguments(damping_factor=DAMPING),
            )  # fmt: skip
            return analyzer.load_pairwise_scores("s")["all_modules"].numpy()

    return run


def agreement(a, b):
    """Mean over test rows of the correlation over training rows."""
    return float(np.mean([np.corrcoef(*rows)[0, 1] for rows in zip(a, b, strict=True)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    X, y = load_digits_images(return_X_y=True)
    y = y.astype(np.int64)
    for module in (MLP, CNN):
        net = trained(module, X[:1000], y[:1000])
        # Rows that the net is unsure of: gradients near zero turn pyDVL's iterations into NaN.
        unsure = 1000 + np.argsort(net.predict_proba(X[1000:]).max(1))[:N_TEST]
        rows = X[:1000], y[:1000], X[unsure], y[unsure]
        for solver, theirs in (("cg", pydvl), ("ekfac", kronfluence)):
            given = {"curvature": "hessian", "tol": TOLERANCE} if solver == "cg" else {}

            def ours(net=net, rows=rows, solver=solver, given=given):
                inverse = InverseCurvature(
                    solver=solver, damping=0, curvature_rows=None, batch_size=BATCH, **given
                )
                return influence(net, *rows, inverse=inverse)

            other = theirs(net, *rows)
            contenders = {"skunlearn": ours} | ({theirs.__name__: other} if other else {})
            title = f"{solver}, {module.__name__}, {N_TEST} × 1000 rows"
            if other:
                title += f", correlation {agreement(ours(), other()):.4f}"
            base = theirs.__name__ if other else "skunlearn"
            report(title, interleave(contenders, options.rounds), base)


if __name__ == "__main__":
    main()
