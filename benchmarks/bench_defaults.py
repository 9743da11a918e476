"""Every method for nets at its defaults, beside the floor: retraining for the same budget.

python benchmarks/bench_defaults.py [--tasks digits-rows,...] [--seeds 3] [--methods Auto,...]
    [--json FILE] [--again] [--kept FOLDER] [--data FOLDER] [--page RESULTS.md]

One row a method and task, means over seeds. AUC: forget against unseen rows, minus the mean of
three retrained nets, by the score where that is largest and by loss and entropy. Distance: mean
Hellinger distance of the outputs on forget rows to the retrained nets, over their distance to each
other. Accuracy on unseen rows (of the classes that stay) is minus that of the retrained nets. Time
is that of the processor, over a retraining's. Warned: in how many of the seeds the method refused,
or warned that the rows are not forgotten or the net is damaged. Requests bring half of the unseen
rows; the other half is for the figures only.

What is in FILE already is not run again (with --again it is, without --methods the baselines too),
and each method is put in when it is done, so that a run can be cut and continued. Every run of a
task and seed begins with a retraining, which its own times are over. --kept holds the nets that all
methods start from and are judged by. --data, or SKUNLEARN_DATA, is the folder with CIFAR-10 and the
faces. --page puts the table into a page in place of a run.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

import torch
from _defaults_referee import Referee
from _defaults_store import BASELINES, Store, in_order, render
from _defaults_tasks import TASKS, share_unseen
from _goals import goal

from skunlearn import RetrainUnlearner
from skunlearn.exceptions import ModelDamagedWarning, NotForgottenWarning, UnlearningError
from skunlearn.utils import all_unlearners

TRAIN_THEMSELVES = ("AmnesiacUnlearner", "RewindUnlearner", "ShardedUnlearner")
BUDGET = 0.22  # of the recipe's epochs, and ten at least: no less than AutoUnlearner takes
SAID = NotForgottenWarning, ModelDamagedWarning


def methods():
    return [n.removesuffix("Unlearner") for n in all_unlearners(nets=True) if n[:7] != "Retrain"]


def candidate(name, model, seed):
    """The unlearner of a row of the table."""
    if name == "retrained":
        return RetrainUnlearner(model, random_state=seed + 10)
    if name == "floor":
        epochs = max(round(BUDGET * model.max_epochs), min(10, round(0.35 * model.max_epochs)))
        return RetrainUnlearner(model, max_epochs=epochs, random_state=seed + 50)
    return all_unlearners(nets=True)[f"{name}Unlearner"](model, random_state=seed)


def run(task, seed, names, store, kept):
    """Judge the methods of one task and seed, and store each.

    Times are over that of a retraining now: another day the machine is busier, or another one.
    """
    model, X, y, X_unseen, y_unseen, forget = TASKS[task](seed)
    (X_val, y_val), unseen = share_unseen(X_unseen, y_unseen, seed)
    referee = Referee(model, X, y, *unseen, forget, seed, kept)
    fitted = RetrainUnlearner(model, random_state=seed, memory=kept).fit(X, y)
    state = {k: v for k, v in vars(fitted).items() if k not in fitted.get_params(deep=False)}
    for name in ["retrained", *(n for n in names if n != "retrained")]:
        if name == "original":
            store.add(task, name, seed, referee.judge(fitted, 0.0))
            continue
        unlearner = candidate(name, model, seed)
        if f"{name}Unlearner" in TRAIN_THEMSELVES:
            unlearner.fit(X, y)
        else:
            vars(unlearner).update(state)
        if name in BASELINES:
            unlearner._change(seed=unlearner.random_state)  # not that of a net they are judged by
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            began = time.process_time()
            try:
                unlearner.unlearn(indices=forget, X_val=X_val, y_val=y_val)
            except (UnlearningError, ValueError) as error:
                store.add(task, name, seed, {"refused": str(error).splitlines()[0][:200]})
                continue
            seconds = time.process_time() - began
        if name == "retrained":
            referee.seconds = seconds
            if name not in names:
                continue
        row = referee.judge(unlearner, seconds)
        said = [str(w.message).split(". ")[0] for w in caught if issubclass(w.category, SAID)]
        store.add(task, name, seed, row | ({"warned": said[0][:200]} if said else {}))


def show(task, found):
    columns = ["worst AUC", "AUC loss", "AUC entropy", "distance", "named", "accuracy", "time"]
    print(f"\n{task}\n\n| | " + " | ".join([*columns, "warned"]) + " |")
    print("|---" * (len(columns) + 2) + "|")
    signs = {"worst AUC": ".3f", "distance": ".2f", "named": ".2f", "time": ".2f"}
    for name in in_order(found):
        row = found[name]
        cells = [format(row[c], signs.get(c, "+.3f")) if c in row else "refused" for c in columns]
        print(f"| {name} | {' | '.join(cells)} | {row['warned']} of {row['of']} |", flush=True)


def check(task, found):
    """Report how near `AutoUnlearner` is to the goals."""
    ours, floor, null = found["Auto"], found["floor"], found["retrained"]
    # Two retrained nets are so far apart by chance.
    beyond = ours["worst AUC"] - null["worst AUC"]
    goal(f"AutoUnlearner, AUC from any side beyond the null's, {task}", beyond, at_most=0.03)
    goal(f"AutoUnlearner, points lost, {task}", -100 * ours["accuracy"], at_most=1.5)
    goal(f"AutoUnlearner, distance over null, {task}", ours["distance"], at_most=1.6)
    ratio = ours["distance"] / floor["distance"]
    goal(f"AutoUnlearner, distance / the floor's, {task}", ratio, at_most=1.0)
    if TASKS[task](0)[0].max_epochs >= 60:
        goal(f"AutoUnlearner, time / a retraining's, {task}", ours["time"], at_most=0.25)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--methods", default="")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--kept")
    parser.add_argument("--data")
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    store = Store(options.json)
    if options.page is not None:
        options.page.write_text(render(options.page.read_text(), store.tasks))
        return
    if options.data is not None:
        os.environ["SKUNLEARN_DATA"] = options.data
    torch.set_num_threads(1)
    wanted = [m for m in options.methods.split(",") if m] or [*BASELINES, *methods()]
    unknown = set(wanted) - {*methods(), *BASELINES}
    if unknown:
        parser.error(f"no methods for nets: {sorted(unknown)}")
    for task in options.tasks.split(","):
        for seed in range(options.seeds):
            if todo := store.list_due(task, seed, wanted, options.again):
                run(task, seed, todo, store, options.kept)
        show(task, store.tasks[task])
        if "Auto" in store.tasks[task]:
            check(task, store.tasks[task])


if __name__ == "__main__":
    main()
