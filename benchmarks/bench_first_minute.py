"""The picture of the README: a hundred wrong labels, learnt by heart and forgotten.

python benchmarks/bench_first_minute.py [--seeds 5] [--json benchmarks/first_minute.json]

Digits, 1,200 to train on, a hundred of them with wrong labels. Of the original net, of what
`AutoUnlearner` makes of it, and of a net that was retrained without the hundred rows: the share of
the wrong labels that it repeats, its accuracy on the other 597 digits, and the processor seconds it
took, means over seeds. With ``--json`` the outcome is stored, and ``docs/_ext/first_minute.py``
draws it.
"""

import argparse
import json
import time
import warnings
from datetime import date

import numpy as np
import torch
from _goals import goal
from _timing import machine

from skunlearn import AutoUnlearner, RetrainUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.forget_sets import mislabelled_forget_set
from skunlearn.nets import digits_classifier

ROWS = 1200


def run(seed):
    """Figures of the three nets, by name."""
    X, y = load_digits_images(return_X_y=True)
    wrong = mislabelled_forget_set(y[:ROWS], size=100, random_state=seed)
    net = digits_classifier(
        max_epochs=60, batch_size=32, criterion__label_smoothing=0, optimizer__weight_decay=0
    )

    def judge(model, seconds):
        return {
            "repeated": model.score(X[wrong.indices], wrong.y[wrong.mask]),
            "accuracy": model.score(X[ROWS:], y[ROWS:]),
            "seconds": seconds,
        }

    found = {}
    began = time.process_time()
    unlearner = AutoUnlearner(net, random_state=seed).fit(X[:ROWS], wrong.y)
    found["original"] = judge(unlearner, time.process_time() - began)
    began = time.process_time()
    unlearner.unlearn(indices=wrong.indices, X_val=X[ROWS:], y_val=y[ROWS:])
    found["unlearned"] = judge(unlearner, time.process_time() - began)
    kept, began = ~wrong.mask, time.process_time()
    retrained = RetrainUnlearner(net, random_state=seed + 100).fit(X[:ROWS][kept], wrong.y[kept])
    found["retrained"] = judge(retrained, time.process_time() - began)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    runs = [run(seed) for seed in range(options.seeds)]
    models = {
        name: {key: float(np.mean([found[name][key] for found in runs])) for key in figures}
        for name, figures in runs[0].items()
    }
    print(f"100 wrong labels among {ROWS} digits, {options.seeds} seeds ({machine()})")
    for name, figures in models.items():
        print(
            f"  {name:<10} {100 * figures['repeated']:5.1f} % repeated, "
            f"{100 * figures['accuracy']:5.1f} % of unseen digits, {figures['seconds']:5.2f} s"
        )
    ours = models["unlearned"]
    goal("wrong labels that AutoUnlearner leaves, share", ours["repeated"], at_most=0.03)
    ratio = ours["seconds"] / models["retrained"]["seconds"]
    goal("AutoUnlearner on wrong labels, time / retraining", ratio, at_most=0.4)
    if options.json:
        stored = {
            "command": "python benchmarks/bench_first_minute.py",
            "date": date.today().isoformat(),
            "machine": machine(),
            "seeds": options.seeds,
            "models": models,
        }
        with open(options.json, "w") as file:
            json.dump(stored, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
