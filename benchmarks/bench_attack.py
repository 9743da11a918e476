"""Attack, scorer and audits, each against the forward passes that feed it."""

import numpy as np
import torch
from _goals import goal, paired
from _timing import medians, report, timed_rounds
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch import inference
from skunlearn.evaluation import audit, audit_logits
from skunlearn.metrics import (
    MIAScorer,
    auc,
    match_weights,
    membership_inference,
    membership_scores,
)


class MLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def many_rows():
    """`MIAScorer.measure` and `audit` of a small net, 100,000 forgotten and 50,000 unseen rows."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(64, 10))

    def make(n):
        X = rng.normal(size=(n, 64)).astype(np.float32)
        return X, (X @ centres + 3 * rng.normal(size=(n, 10))).argmax(axis=1)

    (X, y), (X_unseen, y_unseen) = make(200_000), make(50_000)
    net = NeuralNetClassifier(
        MLP, criterion=nn.CrossEntropyLoss, lr=0.05, max_epochs=1, batch_size=512,
        train_split=None, verbose=0,
    )  # fmt: skip
    unlearner = FineTuneUnlearner(net, max_epochs=1, random_state=0).fit(X, y)
    reference = unlearner.estimator_
    unlearner.unlearn(indices=np.arange(100_000))
    both = Rows(np.concatenate([X[:100_000], X_unseen]), None, np.arange(150_000))
    unseen = X_unseen, y_unseen
    by_margin, beside = MIAScorer("margin"), MIAScorer(reference=reference)
    contenders = {
        "forward pass, 150,000 rows": lambda: inference.outputs(unlearner.estimator_, both),
        "MIAScorer.measure, every score": lambda: MIAScorer().measure(unlearner, *unseen),
        "the same by the margin alone": lambda: by_margin.measure(unlearner, *unseen),
        "the same beside a retrained model": lambda: beside.measure(unlearner, *unseen),
        "MIAScorer, as searches run it": lambda: MIAScorer()(unlearner, *unseen),
        "audit": lambda: audit(unlearner, *unseen, retrained=reference),
    }
    times = timed_rounds(contenders, 5)
    passes, measured, _, beside, searched, audited = times.values()
    report("100,000 forgotten and 50,000 unseen rows", medians(times), next(iter(contenders)))
    rows = "100,000 / 50,000 rows"
    goal(f"MIAScorer.measure / forward pass, {rows}", paired(measured, passes), at_most=2.0)
    # It asks the reference about all rows: a forward pass more.
    ratio = paired(beside, passes)
    goal(f"the same beside a retrained model / forward pass, {rows}", ratio, at_most=4.0)
    goal(f"MIAScorer in a search / forward pass, {rows}", paired(searched, passes), at_most=2.0)
    goal(f"audit / forward pass, {rows}", paired(audited, passes), at_most=30.0)


def main():
    torch.set_num_threads(1)
    many_rows()
    rng = np.random.default_rng(0)
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    X = torch.randn(6000, 3, 32, 32)
    y = rng.integers(0, 10, 6000)
    y_class = np.where(np.arange(6000) < 5000, 1, y)

    @torch.no_grad()
    def forward():
        return np.concatenate([net(X[i : i + 500]).numpy() for i in range(0, 6000, 500)])

    logits = forward()

    def attack(labels):
        return membership_inference(
            logits[:5000], labels[:5000], logits[5000:], labels[5000:], random_state=0
        )

    def score_only():
        scores = membership_scores(logits, y)
        auc(scores[:5000], scores[5000:], weights=match_weights(y[:5000], y[5000:]))

    def whole_report():
        sets = {"forget": slice(1000), "retain": slice(1000, 5000), "unseen": slice(5000, 6000)}
        outputs = {k: logits[rows] for k, rows in sets.items()}
        labels = {k: y[rows] for k, rows in sets.items()}
        audit_logits({"mine": outputs, "retrained": outputs}, labels)

    contenders = {
        "forward pass, 6,000 images": forward,
        "attack, one class (DeLong)": lambda: attack(y_class),
        "attack, ten classes (DeLong, weighted)": lambda: attack(y),
        "point estimate (searches)": score_only,
        "report on two models (two passes)": whole_report,
    }
    times = timed_rounds(contenders, 5)
    passes, attacked, _, _, audited = times.values()
    report("5,000 forgotten and 1,000 unseen rows", medians(times), next(iter(contenders)))
    ratio = paired(attacked, passes)
    goal("matched attack with interval / forward pass over its rows", ratio, at_most=0.05)
    # Two models, hence two passes over each set.
    ratio = 1 + paired(audited, passes) / 2
    goal("report with its forward passes / these passes", ratio, at_most=1.2)


if __name__ == "__main__":
    main()
