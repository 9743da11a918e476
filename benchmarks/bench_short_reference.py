"""How far is a short reference off the full one, and what does it cost?

Four tasks; of each, over seeds: the AUC of every score (forgotten against unseen rows, matched)
for a net retrained on the retained rows, for nets that were stopped after a twentieth, a tenth and
a fifth of the epochs, and for a net retrained in full with another seed. Bias is the mean
difference to the retrained net, spread its standard deviation over seeds. Those of the other seed
are what a reference of one net has in any case.
"""

import argparse
import json
import time

import numpy as np
from _timing import plus_minus
from sklearn.datasets import make_classification
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner
from skunlearn._fitted_model import read_rows
from skunlearn._rows.seeding import derive_seed
from skunlearn._torch.observation import observe
from skunlearn.datasets import load_digits_images
from skunlearn.metrics import auc, match_weights, membership_scores
from skunlearn.metrics._scorers.short_reference import train_short
from skunlearn.nets import digits_classifier

SCORES = ("margin", "entropy", "modified_entropy")
SHARES = (0.05, 0.1, 0.2)


class Tabular(nn.Sequential):
    """Two hidden layers for twenty features."""

    def __init__(self, width=128, n_out=4):
        layers = nn.Linear(20, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        super().__init__(*layers, nn.Linear(width, n_out))


def wrong_labels(seed):
    """Digits with a fifth of wrong labels in all rows; a random fifth is forgotten."""
    X, y, rng = *load_digits_images(return_X_y=True), np.random.default_rng(seed)
    order = rng.permutation(len(y))
    X, y = X[order], y[order]
    wrong = rng.random(len(y)) < 0.2
    y = np.where(wrong, (y + rng.integers(1, 10, len(y))) % 10, y)
    return X, y, 1000, np.arange(200), digits_classifier(max_epochs=60, verbose=0)


def mislabelled(seed):
    """Digits of which a hundred have wrong labels, which are forgotten; unseen rows are right."""
    X, y, rng = *load_digits_images(return_X_y=True), np.random.default_rng(seed)
    order = rng.permutation(len(y))
    X, y = X[order], y[order]
    y[:100] = (y[:100] + rng.integers(1, 10, 100)) % 10
    return X, y, 1000, np.arange(100), digits_classifier(max_epochs=40, verbose=0)


def one_class(seed):
    """Digits without the eights."""
    X, y = load_digits_images(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    X, y = X[order], y[order]
    return X, y, 1000, np.flatnonzero(y[:1000] == 8), digits_classifier(max_epochs=40, verbose=0)


def tabular(seed):
    """Twenty features with a tenth of wrong labels, known by heart; a random tenth is forgotten."""
    X, y = make_classification(
        3000, 20, n_informative=8, n_classes=4, weights=[0.5, 0.3, 0.15], flip_y=0.1,
        random_state=seed,
    )  # fmt: skip
    net = NeuralNetClassifier(
        Tabular, criterion=nn.CrossEntropyLoss, lr=0.05, optimizer__momentum=0.9, max_epochs=60,
        batch_size=64, iterator_train__shuffle=True, train_split=None, verbose=0,
    )  # fmt: skip
    return X.astype(np.float32), y, 1500, np.arange(150), net


TASKS = (wrong_labels, mislabelled, one_class, tabular)


def aucs(model, forgotten, unseen, classes):
    """AUC of every score of one model."""
    seen, new = (observe(model, rows, classes) for rows in (forgotten, unseen))
    weights = match_weights(seen.y, new.y)
    return {
        name: auc(*(membership_scores(e.logits, e.y, name) for e in (seen, new)), weights=weights)
        for name in SCORES
    }


def run(task, seed):
    """Differences of AUCs to the retrained net's, by reference, and shares of its time."""
    X, y, n, forget, net = task(seed)
    unlearner = FineTuneUnlearner(net, random_state=seed).fit(X[:n], y[:n])
    record, classes = unlearner._record, unlearner._classes
    retain = record.view(np.setdiff1d(np.arange(n), forget))
    rows = record.view(forget), read_rows(unlearner, X[n:], y[n:]), classes
    trainings = {
        "retrained": lambda: unlearner._train(retain),
        "other seed": lambda: unlearner._train(retain, seed=derive_seed(seed, 1)),
    }
    for share in SHARES:
        trainings[f"{share:g} of the epochs"] = lambda share=share: (
            train_short(unlearner, retain, share=share).model
        )
    found = {}
    for name, train in trainings.items():
        began = time.perf_counter()
        model = train()
        found[name] = aucs(model, *rows), time.perf_counter() - began
    target, whole = found.pop("retrained")
    return target, {
        name: ({k: values[k] - target[k] for k in SCORES}, seconds / whole)
        for name, (values, seconds) in found.items()
    }


def main(argv=None):
    """Print one line per task and reference; return all figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", help="write the figures as JSON to this file")
    arguments = parser.parse_args(argv)
    lines = []
    for task in TASKS:
        runs = [run(task, seed) for seed in range(arguments.seeds)]
        target = {k: np.mean([values[k] for values, _ in runs]) for k in SCORES}
        print(f"{task.__name__}: retrained", *(f"{k} {v:.3f}" for k, v in target.items()))
        for name in runs[0][1]:
            found = [differences[name] for _, differences in runs]
            line = {"task": task.__name__, "reference": name}
            for k in SCORES:
                values = [values[k] for values, _ in found]
                spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
                line[k] = {"bias": float(np.mean(values)), "spread": spread}
            line["of retraining"] = float(np.mean([seconds for _, seconds in found]))
            lines.append(line)
            text = (f"{k} " + plus_minus(*line[k].values(), "+.3f") for k in SCORES)
            print(f"  {name:22}", *text, f"{line['of retraining']:.2f} of its time", flush=True)
    for name in dict.fromkeys(line["reference"] for line in lines):
        worst = max(abs(x[k]["bias"]) for x in lines if x["reference"] == name for k in SCORES)
        print(f"{name}: largest bias {worst:.3f}")
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8") as file:
            json.dump(lines, file, indent=2)
    return lines


if __name__ == "__main__":
    main()
