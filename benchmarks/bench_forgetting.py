"""What do ten requests cost the classes that stay, and which mitigation helps at equal forgetting?

Plain fine-tuning at four learning rates draws a frontier: more forgetting (an AUC nearer to the
retrained model's) for more accuracy lost. A mitigation helps when it lies above that frontier:
"gain" is its backward transfer less that of fine-tuning at the same AUC, interpolated.
"""

import argparse
import copy
import warnings

import numpy as np
import pandas as pd
import torch
from _timing import plus_minus
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner, ProximalUnlearner, RetrainUnlearner
from skunlearn.datasets import fetch_cifar10, load_digits_images
from skunlearn.evaluation import retention_curve
from skunlearn.nets import digits_classifier

REQUESTS = 10
RATES = (0.25, 0.5, 1.0, 2.0, 4.0)  # of fine-tuning, in units of the net's own


class SmallNet(nn.Sequential):
    """Two convolutions on images averaged to 8×8 pixels."""

    def __init__(self, width=24):
        def block(a, b):
            return nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)

        super().__init__(
            *block(3, width), *block(width, 2 * width), nn.Flatten(), nn.Linear(8 * width, 10)
        )


def digits(seed):
    X, y = load_digits_images(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    X, y = X[order], y[order]
    return X[:1000], y[:1000], X[1000:], y[1000:], digits_classifier(verbose=0)


def cifar10(seed):
    data, rng = fetch_cifar10(), np.random.default_rng(seed)
    train, test = (np.sort(rng.permutation(n)[:k]) for n, k in ((50_000, 6000), (10_000, 4000)))
    X, X_test = (
        nn.functional.avg_pool2d(torch.from_numpy(x.astype(np.float32) / 127.5 - 1), 4).numpy()
        for x in (data.X_train[train], data.X_test[test])
    )
    net = NeuralNetClassifier(
        SmallNet, criterion=nn.CrossEntropyLoss, lr=0.05, optimizer__momentum=0.9,
        optimizer__weight_decay=5e-4, max_epochs=15, batch_size=100, iterator_train__shuffle=True,
        train_split=None, verbose=0,
    )  # fmt: skip
    return X, data.y_train[train], X_test, data.y_test[test], net


class Balanced(ProximalUnlearner):
    """Rehearses every class equally often."""

    def _fine_tune(self, net, retain, callbacks=(), loss=None):
        rng = np.random.default_rng([self._seed, len(self.deletions_)])
        share = 1 / np.bincount(retain.y)[retain.y]
        rows = rng.choice(len(retain), len(retain), p=share / share.sum())
        return super()._fine_tune(net, retain.take(rows), callbacks, loss)


class Halfway(ProximalUnlearner):
    """Goes half of the way in weight space."""

    def _fine_tune(self, net, retain, callbacks=(), loss=None):
        before = {key: value.clone() for key, value in net.module_.state_dict().items()}
        new = super()._fine_tune(net, retain, callbacks, loss)
        after = new.module_.state_dict()
        new.module_.load_state_dict({k: v.lerp(after[k], 0.5) if v.is_floating_point() else after[k]
                                     for k, v in before.items()})  # fmt: skip
        return new


def methods(net, rate):
    frontier = {f"fine-tuned, rate × {r:g}": FineTuneUnlearner(net, lr=r * rate) for r in RATES}
    averaged = {"average_weights": True, "schedule": "constant"}
    return frontier | {
        "proximal (default)": ProximalUnlearner(net),
        "proximal, Fisher": ProximalUnlearner(net, norm="fisher", fisher_rows=300),
        "early stopping": FineTuneUnlearner(net, early_stopping=True),
        "label smoothing": ProximalUnlearner(net, penalty=0.0, softening="label_smoothing"),
        "balanced rehearsal": Balanced(net, penalty=0.0),
        "mean of weights": FineTuneUnlearner(net, **averaged),
        "mean, rate × 2": FineTuneUnlearner(net, lr=2 * rate, **averaged),
        "mean and proximal": ProximalUnlearner(net, **averaged),
        "mean and proximal, rate × 2": ProximalUnlearner(net, lr=2 * rate, **averaged),
        "halfway, rate × 2": Halfway(net, penalty=0.0, lr=2 * rate),
    }


def forget_sets(y, kind, rng):
    """Rows at random, or four fifths of three classes, in ten requests."""
    if kind == "random":
        gone = rng.permutation(len(y))[: 3 * len(y) // 10]
    else:
        mine = [rng.permutation(np.flatnonzero(y == c)) for c in (1, 3, 8)]
        gone = rng.permutation(np.concatenate([rows[: 4 * len(rows) // 5] for rows in mine]))
    return np.array_split(gone, REQUESTS)


def requests(gone, X, y, share, rng):
    """With a share of the retained rows to rehearse, drawn anew for each request."""
    left = np.ones(len(y), dtype=bool)
    for rows in gone:
        left[rows] = False
        if share == 1:
            yield {"indices": rows}
            continue
        kept = rng.permutation(np.flatnonzero(left))[: int(share * left.sum())]
        yield {"indices": rows, "X_retain": X[kept], "y_retain": y[kept]}


def figures(curve):
    audit = curve.audits[-1]
    return {
        "BWT": 100 * curve.backward_transfer(),
        "forgetting": 100 * curve.forgetting(),
        "worst class": 100 * curve.by_class().min(),
        "AUC": audit["AUC"],
        "seconds": audit["seconds"],
    }


def run(make, kind, share, seed, names):
    X, y, X_test, y_test, net = make(seed)
    rng = np.random.default_rng(seed)
    original = RetrainUnlearner(net, random_state=seed).fit(X, y)
    gone = forget_sets(y, kind, rng)
    retrained = retention_curve(copy.deepcopy(original), [np.concatenate(gone)], X_test, y_test)
    found = {"retrained": figures(retrained)}
    for name, unlearner in methods(FrozenEstimator(original.estimator_), net.lr).items():
        if names and not any(part in name for part in [*names, "fine-tuned"]):
            continue
        unlearner.set_params(random_state=seed).fit(X, y)
        asked = list(requests(gone, X, y, share, np.random.default_rng(seed)))
        found[name] = figures(retention_curve(unlearner, asked, X_test, y_test, every=5))
    table = pd.DataFrame(found).T
    line = table[table.index.str.startswith("fine-tuned")].sort_values("AUC")
    # Outside of the frontier's range there is nothing to compare with.
    base = np.interp(table["AUC"], line["AUC"], line["BWT"], left=np.nan, right=np.nan)
    table["gain"] = table["BWT"] - base
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", nargs="+", default=["digits", "cifar10"])
    parser.add_argument("--kinds", nargs="+", default=["random", "classes"])
    parser.add_argument("--shares", nargs="+", type=float, default=[1.0, 0.1])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", help="parts of names; all of them by default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    sources = {"digits": digits, "cifar10": cifar10}
    for data in options.data:
        for kind in options.kinds:
            for share in options.shares:
                runs = [run(sources[data], kind, share, s, options.methods) for s in options.seeds]
                whole = pd.concat(runs, keys=options.seeds)
                by_name = whole.groupby(level=1, sort=False)
                mean, spread = by_name.mean(), by_name.std()
                print(
                    f"\n{data}, {kind}, {share:.0%} of the retained rows, seeds {options.seeds}\n"
                )
                print("| | BWT | worst class | AUC | gain at the same AUC | seconds |")
                print("|---" * 6 + "|")
                for name, m in mean.iterrows():
                    sd = spread.loc[name]
                    gain = plus_minus(m["gain"], sd["gain"], "+.2f")
                    gain = "" if name == "retrained" else gain
                    backward = plus_minus(m["BWT"], sd["BWT"], "+.2f")
                    print(
                        f"| {name} | {backward} | {m['worst class']:+.1f} "
                        f"| {m['AUC']:.3f} | {gain} | {m['seconds']:.1f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
