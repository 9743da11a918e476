"""Every method for nets at its defaults, beside the floor: retraining for the same budget.

python benchmarks/bench_defaults.py [--tasks digits-rows,...] [--seeds 3] [--methods Auto,...]
                                    [--json FILE]

One row a method and task, means over seeds. AUC: forget against unseen rows, minus the mean of
three retrained nets, by the score where that is largest and by loss and entropy. Distance: mean
Hellinger distance of the outputs on forget rows to the retrained nets, over their distance to each
other. Accuracy on unseen rows (of the classes that stay) is minus that of the retrained nets.
"""

import argparse
import json
import time
import warnings

import numpy as np
import torch
from _goals import goal
from sklearn.datasets import load_digits, make_classification
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import RetrainUnlearner
from skunlearn.metrics import auc, membership_scores
from skunlearn.utils import all_unlearners

SCORES = ("loss", "margin", "confidence", "entropy", "modified_entropy")
TRAIN_THEMSELVES = ("AmnesiacUnlearner", "ShardedUnlearner")
BUDGET = 0.22  # of the recipe's epochs, and ten at least: what AutoUnlearner takes
REFERENCES = 3


class MLP(nn.Module):
    def __init__(self, n_in=64, n_out=10, width=512):
        super().__init__()
        self.first, self.last = nn.Linear(n_in, width), nn.Linear(width, n_out)

    def forward(self, X):
        return self.last(torch.relu(self.first(X)))


class CNN(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Unflatten(1, (1, 8)), nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Flatten(), nn.Linear(512, 10),
        )  # fmt: skip

    def forward(self, X):
        return super().forward(X.reshape(len(X), 8, 8))


def net(module=MLP, max_epochs=60, lr=0.1, **params):
    return NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, optimizer__momentum=0.9, lr=lr,
        max_epochs=max_epochs, batch_size=64, iterator_train__shuffle=True, train_split=None,
        verbose=0, **params,
    )  # fmt: skip


def digits(seed):
    """A fifth of the labels is wrong, in unseen rows too."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(X))
    X, y = (X[order] / 16).astype(np.float32), y[order]
    wrong = rng.random(len(y)) < 0.2
    y = np.where(wrong, (y + rng.integers(1, 10, len(y))) % 10, y)
    return X[:1000], y[:1000], X[1000:], y[1000:], rng


def digits_rows(seed, model):
    *rows, rng = digits(seed)
    return model, *rows, rng.choice(1000, 100, replace=False)


def digits_class(seed, model):
    *rows, _ = digits(seed)
    return model, *rows, np.flatnonzero(rows[1] == 1)


def tabular(seed):
    """Rows of one class of five, with wrong labels among all."""
    X, y = make_classification(
        2000, 20, n_informative=10, n_classes=5, flip_y=0.2, random_state=seed
    )
    X = X.astype(np.float32)
    forget = np.random.default_rng(seed).choice(np.flatnonzero(y[:1200] == 0), 60, replace=False)
    model = net(module__n_in=20, module__n_out=5, lr=0.05)
    return model, X[:1200], y[:1200], X[1200:], y[1200:], forget


TASKS = {
    "digits-rows": lambda seed: digits_rows(seed, net()),
    "digits-class": lambda seed: digits_class(seed, net()),
    "cnn-rows": lambda seed: digits_rows(seed, net(CNN, 30, 0.05)),
    "cnn-class": lambda seed: digits_class(seed, net(CNN, 30, 0.05)),
    "tabular-rows": tabular,
}


def outputs(model, X, n_classes):
    """Log-probabilities."""
    p = np.full((len(X), n_classes), np.finfo(np.float32).tiny)
    p[:, model.classes_] = np.maximum(model.predict_proba(X), np.finfo(np.float32).tiny)
    return np.log(p)


def hellinger(a, b):
    overlap = np.exp((a + b) / 2).sum(axis=1)
    return np.sqrt(np.clip(1 - overlap, 0, None)).mean()


class Referee:
    """Looks at models beside retrained ones."""

    def __init__(self, model, X, y, X_unseen, y_unseen, forget, seed):
        self.rows, self.n_classes = (X[forget], y[forget]), y.max() + 1
        kept = np.setdiff1d(np.arange(len(y)), forget)
        gone = np.setdiff1d(y[forget], y[kept])
        twins = np.isin(y_unseen, gone) if len(gone) else np.isin(y_unseen, y[forget])
        self.twins = X_unseen[twins], y_unseen[twins]
        stay = ~np.isin(y_unseen, gone)
        self.others = X_unseen[stay], y_unseen[stay]
        looks, seconds = [], []
        for k in range(REFERENCES):
            began = time.perf_counter()
            reference = RetrainUnlearner(model, random_state=100 * seed + k).fit(X[kept], y[kept])
            seconds.append(time.perf_counter() - began)
            looks.append(self.look(reference))
        self.seconds = np.median(seconds)
        self.auc = {s: np.mean([found["auc"][s] for found in looks]) for s in SCORES}
        self.said = [found["said"] for found in looks]
        pairs = [(i, j) for i in range(REFERENCES) for j in range(i)]
        self.null = np.mean([hellinger(self.said[i], self.said[j]) for i, j in pairs])
        self.accuracy = np.mean([found["accuracy"] for found in looks])
        self.named = np.mean([found["named"] for found in looks])

    def look(self, model):
        said, twins = (
            outputs(model, rows, self.n_classes) for rows in (self.rows[0], self.twins[0])
        )
        found = {
            score: auc(
                membership_scores(said, self.rows[1], score),
                membership_scores(twins, self.twins[1], score),
            )
            for score in SCORES
        }
        named = np.mean(said.argmax(axis=1) == self.rows[1])
        return {"auc": found, "said": said, "named": named, "accuracy": model.score(*self.others)}

    def judge(self, model, seconds):
        seen = self.look(model)
        apart = {score: seen["auc"][score] - self.auc[score] for score in SCORES}
        return {
            "worst AUC": max(apart.values(), key=abs),
            **{f"AUC {score}": apart[score] for score in ("loss", "entropy")},
            "distance": np.mean([hellinger(seen["said"], said) for said in self.said]) / self.null,
            "named": seen["named"],
            "accuracy": seen["accuracy"] - self.accuracy,
            "time": seconds / self.seconds,
        }


def run(task, seed, wanted):
    model, X, y, X_unseen, y_unseen, forget = TASKS[task](seed)
    referee = Referee(model, X, y, X_unseen, y_unseen, forget, seed)
    fitted = RetrainUnlearner(model, random_state=seed).fit(X, y)
    state = {k: v for k, v in vars(fitted).items() if k not in fitted.get_params(deep=False)}
    epochs = max(round(BUDGET * model.max_epochs), min(10, round(0.35 * model.max_epochs)))
    floor = RetrainUnlearner(model, max_epochs=epochs, random_state=seed + 50)
    candidates = {"original": None, "retrained": RetrainUnlearner(model, random_state=seed + 10)}
    candidates["floor"] = floor
    for name, cls in all_unlearners(nets=True).items():
        if name != "RetrainUnlearner":
            candidates[name.removesuffix("Unlearner")] = cls(model, random_state=seed)
    found = {}
    for name, unlearner in candidates.items():
        if wanted and name not in wanted and name not in ("original", "retrained", "floor"):
            continue
        if unlearner is None:
            found[name] = referee.judge(fitted, 0.0)
            continue
        try:
            if f"{name}Unlearner" in TRAIN_THEMSELVES:
                unlearner.fit(X, y)
            else:
                vars(unlearner).update(state)
            judges = unlearner._make_promises().reads_validation_rows
            more = {"X_val": X_unseen, "y_val": y_unseen} if judges else {}
            began = time.perf_counter()
            unlearner.unlearn(indices=forget, **more)
            found[name] = referee.judge(unlearner, time.perf_counter() - began)
        except Exception as error:
            found[name] = {"refused": str(error).splitlines()[0][:80]}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--methods", default="")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    wanted, stored = [m for m in options.methods.split(",") if m], {}
    for task in options.tasks.split(","):
        runs = [run(task, seed, wanted) for seed in range(options.seeds)]
        print(f"\n{task}\n", flush=True)
        columns = ["worst AUC", "AUC loss", "AUC entropy", "distance", "named", "accuracy", "time"]
        print("| | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
        for name in runs[0]:
            done = [found[name] for found in runs if "refused" not in found[name]]
            if not done:
                print(f"| {name} | refused: {runs[0][name]['refused']} |", flush=True)
                continue
            means = {c: float(np.mean([row[c] for row in done])) for c in columns}
            # The largest difference is not to cancel between seeds.
            means["worst AUC"] = float(np.mean([abs(row["worst AUC"]) for row in done]))
            stored.setdefault(task, {})[name] = means
            signs = {"worst AUC": ".3f", "distance": ".2f", "named": ".2f", "time": ".2f"}
            cells = [format(means[c], signs.get(c, "+.3f")) for c in columns]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    for task, found in stored.items():
        if "Auto" in found:
            ours, floor = found["Auto"], found["floor"]
            goal(f"AutoUnlearner, AUC from any side, {task}", ours["worst AUC"], at_most=0.08)
            ratio = ours["distance"] / floor["distance"]
            goal(f"AutoUnlearner, distance / the floor's, {task}", ratio, at_most=1.1)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(stored, file, indent=1)


if __name__ == "__main__":
    main()
