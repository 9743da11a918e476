"""Where the training of a request starts: anchors of ProximalUnlearner, checkpoints, the floor.

python benchmarks/bench_anchor.py [--tasks digits-rows,...] [--seeds 3] [--kept FOLDER]
    [--data FOLDER]

The tasks and the referee are those of `bench_defaults.py`. All train for a fifth of the recipe's
epochs, but where another number is named. Columns: by how much the AUC of forget against unseen
rows differs from the mean of three retrained nets, by loss, by entropy, and the largest over five
scores (mean of absolute values over the seeds); distance to retrained nets over their distance to
each other; points of accuracy on unseen rows beside retrained nets; seconds of the processor.
"""

import argparse
import os
import time
import warnings

import numpy as np
import torch
from _defaults_referee import Referee
from _defaults_tasks import TASKS

from skunlearn import ProximalUnlearner, RetrainUnlearner, RewindUnlearner

EXCEPT_CIFAR = "digits-rows,digits-class,tabular-rows,cnn-rows"
SHARES = (1.0, 0.5, 0.3, 0.15)
REWOUND_TO = (0.05, 0.1, 0.2, 0.4)


def candidates(net, seed):
    """Unlearners by the name of their row."""
    epochs = max(1, round(0.2 * net.max_epochs))
    short = {"max_epochs": epochs, "random_state": seed}
    found = {"retrained for as many epochs": RetrainUnlearner(net, **short)}
    for share in SHARES:
        for penalty in (None, 0.0):
            name = f"anchor={share}" + ("" if penalty is None else ", no penalty")
            found[name] = ProximalUnlearner(net, anchor=share, penalty=penalty, **short)
    for share in REWOUND_TO:
        found[f"rewound to {share}"] = RewindUnlearner(net, checkpoint_at=share, **short)
    share = REWOUND_TO[-1]
    rest = round((1 - share) * net.max_epochs)
    found[f"rewound to {share}, all epochs left"] = RewindUnlearner(
        net, checkpoint_at=share, max_epochs=rest, random_state=seed
    )
    return found


def judge(task, seed, kept):
    """A row of figures by name."""
    net, X, y, X_unseen, y_unseen, forget = TASKS[task](seed)
    referee = Referee(net, X, y, X_unseen, y_unseen, forget, seed, kept)
    fitted = RetrainUnlearner(net, random_state=seed, memory=kept).fit(X, y)
    state = {k: v for k, v in vars(fitted).items() if k not in fitted.get_params(deep=False)}
    rows = {"original": figures(referee.judge(fitted, 0.0))}
    for name, unlearner in candidates(net, seed).items():
        if isinstance(unlearner, RewindUnlearner):
            unlearner.fit(X, y)
        else:
            vars(unlearner).update(state)
        began = time.process_time()
        unlearner.unlearn(indices=forget)
        seconds = time.process_time() - began
        rows[name] = figures(referee.judge(unlearner, seconds * referee.seconds))
    return rows


def figures(found):
    auc = found["AUC"]
    largest = max(auc.values(), key=abs)
    said = [auc["loss"], auc["entropy"], abs(largest), found["distance"], 100 * found["accuracy"]]
    return [*said, found["time"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default=EXCEPT_CIFAR)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kept")
    parser.add_argument("--data")
    options = parser.parse_args()
    if options.data is not None:
        os.environ["SKUNLEARN_DATA"] = options.data
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # what they warn of is in the figures
    for task in options.tasks.split(","):
        found = [judge(task, seed, options.kept) for seed in range(options.seeds)]
        print(f"\n{task}\n\n| | AUC loss | entropy | largest | distance | accuracy | s |")
        print("|---" * 7 + "|")
        for name in found[0]:
            mean = np.mean([rows[name] for rows in found], axis=0)
            cells = [
                format(v, s) for v, s in zip(mean, ("+.3f", "+.3f", ".3f", ".2f", "+.1f", ".1f"))
            ]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
