"""What requests say, with unseen rows and without: of misses, and of nets trained anew.

python benchmarks/bench_silence.py [--tasks digits-rows,tabular-rows,table] [--seeds 3] [--nulls 6]

Random labels and SalUn run at a share of the net's rate, which leaves rows known by heart known, in
part, and teaches the net to be unsure of them: in how many of the runs did a warning tell of it?
Unseen rows are given, or held out by skorch's train_split, or there are none. Nets trained anew
never saw the rows; a warning accuses them falsely. Asserted: damage was said, without a doubt, to
be done to nets that name unseen rows as well as before, but for 3 points.
"""

import argparse
import warnings

import numpy as np
import torch
from _defaults_tasks import TASKS, net
from sklearn.base import clone
from sklearn.datasets import make_classification
from skorch.dataset import ValidSplit

from skunlearn import NetUnlearner, RandomLabelUnlearner, SalUnUnlearner
from skunlearn._recipe import training
from skunlearn._torch import skorch_nets
from skunlearn.exceptions import ModelDamagedWarning, NotForgottenWarning

RATES = (0.02, 0.05, 0.1, 0.2, 0.43, 1.0)
WAYS = "held out", "none", "given"
_DOUBTED = "that it knew by heart"


class TrainedAnew(NetUnlearner):
    """In truth a retraining, which promises nothing."""

    seed = 0

    def _unlearn(self, net, retain, forget):
        recipe = skorch_nets.unwrap(self.estimator)
        return training.train(recipe, retain, self._classes, self.seed, epochs=recipe.max_epochs)


def table(seed):
    """Right labels, of which neighbours name 0.85 to 0.9 and nets 0.9."""
    X, y = make_classification(
        1800, 20, n_informative=10, n_redundant=0, n_classes=3, flip_y=0, random_state=seed
    )
    X, rng = X.astype(np.float32), np.random.default_rng(seed)
    model = net(module__n_in=20, module__n_out=3, lr=0.05)
    return model, X[:1000], y[:1000], X[1000:], y[1000:], rng.choice(1000, 100, replace=False)


def ask(unlearner, state, forget, unseen):
    """What a request says: of forgetting, and of damage."""
    vars(unlearner).update(state)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        unlearner.unlearn(indices=forget, **unseen)
    kinds = NotForgottenWarning, ModelDamagedWarning
    return [[str(w.message) for w in caught if issubclass(w.category, kind)] for kind in kinds]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default="digits-rows,tabular-rows,table")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nulls", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| | unseen rows | " + " | ".join(f"{100 * r:g} %" for r in RATES), end="")
    print(" | trained anew: accused | asserted |")
    print("|---" * (len(RATES) + 4) + "|")
    for task in options.tasks.split(","):
        said = {ways: np.zeros((len(RATES) + 2, 2), dtype=int) for ways in WAYS}
        for seed in range(options.seeds):
            model, X, y, X_unseen, y_unseen, forget = ({**TASKS, "table": table})[task](seed)
            for way, found in said.items():
                if way != "given":  # the same net as with none
                    split = ValidSplit(5, stratified=True) if way == "held out" else None
                    model = clone(model).set_params(train_split=split)
                    fitted = TrainedAnew(model, random_state=seed).fit(X, y)
                    own = fitted.get_params(deep=False)
                    state = {key: value for key, value in vars(fitted).items() if key not in own}
                    before = fitted.score(X_unseen, y_unseen)
                unseen = {"X_val": X_unseen, "y_val": y_unseen} if way == "given" else {}
                for i, rate in enumerate(RATES):
                    for cls in (RandomLabelUnlearner, SalUnUnlearner):
                        one = cls(model, lr=rate * model.lr, random_state=seed)
                        found[i] += any(ask(one, state, forget, unseen)), 1
                for k in range(options.nulls):
                    one = TrainedAnew(model, random_state=seed)
                    one.seed = 100 * seed + k + 1
                    known, damaged = ask(one, state, forget, unseen)
                    sure = [text for text in damaged if _DOUBTED not in text]
                    kept = one.score(X_unseen, y_unseen) > before - 0.03
                    found[-2] += bool(known), 1
                    found[-1] += bool(sure) and kept, 1
        for way, found in said.items():
            cells = [f"{ours} of {of}" for ours, of in found]
            print(f"| {task} | {way} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
