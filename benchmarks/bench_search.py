"""Grid search over 4 penalties × 3 folds with a retrained reference, with and without memory."""

import tempfile
import time
import warnings

import numpy as np
import torch
from _goals import goal, paired
from _timing import machine, medians, report, timed_rounds
from bench_loop import CNN
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier

from skunlearn import FineTuneUnlearner, ProximalUnlearner
from skunlearn._recipe import training
from skunlearn.datasets import load_digits_images
from skunlearn.exceptions import ClassForgottenWarning, NotForgottenWarning
from skunlearn.metrics import MIAScorer, RetainedScorer
from skunlearn.metrics._scorers import shared_looks
from skunlearn.model_selection import ForgetSplit, one_standard_error
from skunlearn.nets import DigitsNet


def search(memory, scorer):
    """Seconds and base trainings of one search."""
    X, y = load_digits_images(return_X_y=True)
    net = NeuralNetClassifier(
        DigitsNet, criterion=torch.nn.CrossEntropyLoss, lr=0.1, optimizer__momentum=0.9,
        optimizer__weight_decay=0.005, max_epochs=30, batch_size=64,
        iterator_train__shuffle=True, train_split=None,
    )  # fmt: skip
    unlearner = ProximalUnlearner(net, lr=0.2, max_epochs=4, random_state=0, memory=memory)
    trained = []
    plain = training._train
    training._train = lambda *work: trained.append(1) or plain(*work)
    started = time.perf_counter()
    try:
        GridSearchCV(
            unlearner,
            {"penalty": [0.0, 0.01, 0.1, 1.0]},
            cv=ForgetSplit(3, forget=y == 8, random_state=0),
            scoring={"accuracy": RetainedScorer(), "forgetting": scorer},
            refit=one_standard_error,
            error_score="raise",
        ).fit(X, y, forget=y == 8)
    finally:
        training._train = plain
    return time.perf_counter() - started, len(trained)


def score_a_fold(n=5000, rounds=7):
    """Four attacks on one fold, which ask the model once, beside one of them, and four askings."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2 * n, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 2 * n)
    net = NeuralNetClassifier(
        CNN, criterion=torch.nn.CrossEntropyLoss, lr=0.01, max_epochs=1, batch_size=128,
        train_split=None, verbose=0,
    )  # fmt: skip
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X[:n], y[:n])
    unlearner.unlearn(indices=range(n // 10))
    unseen, labels = X[n:], y[n:]
    attacks = ("margin", "loss", "entropy", "strongest")

    def score(names, apart=False):
        unseen[0] += 1e-3  # other rows than those of the round before
        for name in names:
            if apart:
                shared_looks._KEPT.of.clear()
            MIAScorer(name)(unlearner, unseen, labels)

    runs = {
        "one attack": lambda: score(attacks[-1:]),
        "four attacks": lambda: score(attacks),
        "four that each ask": lambda: score(attacks, apart=True),
    }
    times = timed_rounds(runs, rounds)
    report(f"Attacks on a fold of {n:,} unseen rows, CNN", medians(times), "one attack")
    ratio = paired(times["four attacks"], times["one attack"])
    goal("four attacks in the scoring of a search / one", ratio, at_most=1.5)


def main():
    warnings.simplefilter("ignore", ClassForgottenWarning)
    warnings.simplefilter("ignore", NotForgottenWarning)
    torch.set_num_threads(1)
    score_a_fold()
    search(None, MIAScorer())  # warm-up
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            "without memory=": search(None, MIAScorer(reference="retrain")),
            "with memory=": search(folder, MIAScorer(reference="retrain")),
        }
    print(f"4 penalties × 3 folds + refit ({machine()})")
    base = runs["without memory="][0]
    for name, (seconds, trained) in runs.items():
        print(
            f"  {name:<30} {trained:3d} trainings {seconds:7.2f} s {base / seconds:6.2f} × faster"
        )
    goal("trainings of a search with memory= / folds and refit", runs["with memory="][1], at_most=8)
    bound = runs["without memory="][1] / runs["with memory="][1]
    print(f"  (trainings alone would make it {bound:.2f} × faster)")


if __name__ == "__main__":
    main()
