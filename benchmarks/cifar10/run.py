"""Every unlearner, at its defaults, on CIFAR-10: one class, and a random tenth of the rows."""

import argparse
import datetime
import json
import os
import platform
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from skorch import NeuralNetClassifier

from skunlearn import RetrainUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.observation import observe
from skunlearn.callbacks import LinearDecay
from skunlearn.datasets import fetch_cifar10
from skunlearn.exceptions import UnlearningError
from skunlearn.metrics import average_gap, membership_inference, svc_efficacy, tug_of_war
from skunlearn.nets import FastCIFARNet
from skunlearn.utils import all_unlearners, unlearner_tags

HERE = Path(__file__).parent
FLOOR = 2  # epochs of the methods that train, by default
COLUMNS = ["UA", "RA", "TA", "MIA", "average gap", "AUC", "ToW", "seconds", "of retraining"]


def recipe(options):
    return NeuralNetClassifier(
        FastCIFARNet,
        module__widths=tuple(options.widths),
        criterion=torch.nn.CrossEntropyLoss,
        criterion__label_smoothing=0.1,
        lr=0.5,
        optimizer__momentum=0.9,
        optimizer__nesterov=True,
        optimizer__weight_decay=1e-3,
        max_epochs=options.epochs,
        batch_size=250,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[("rate", LinearDecay(warmup=0.2))],
        verbose=0,
        device=options.device,
    )


def load(options):
    """Float rows, which methods that follow a gradient to the input need."""
    data = fetch_cifar10()
    rows = np.sort(np.random.default_rng(0).permutation(len(data.y_train))[: options.rows])
    X, X_test = ((x.astype(np.float32) - 127.5) / 63.75 for x in (data.X_train[rows], data.X_test))
    return X, data.y_train[rows], X_test, data.y_test


def figures(model, sets, classes):
    """UA, RA, TA, MIA and AUC of one model."""
    seen = {name: observe(model, rows, classes) for name, rows in sets.items()}
    score = {name: evidence.score() for name, evidence in seen.items()}
    sides = [(seen[name].logits, seen[name].y) for name in ("forget", "retain", "test")]
    mia = svc_efficacy(*sides[0], *sides[1], *sides[2], random_state=0)
    attack = membership_inference(*sides[0], *sides[2], random_state=0)
    return {
        "UA": 1 - score["forget"],
        "RA": score["retain"],
        # Of the classes that are left, as published for class forgetting.
        "TA": float(np.mean((seen["test"].predicted == seen["test"].y)[sets["test"].kept])),
        "MIA": mia.efficacy.estimate,
        "AUC": attack.auc,
    }


class Finished:
    """Rows of the table that are done, on disk."""

    def __init__(self, path, key):
        self.path, self.key = path, key
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows = [row for row in map(json.loads, lines) if row["key"] == key]

    def has(self, **names):
        return any(all(row[k] == v for k, v in names.items()) for row in self.rows)

    def add(self, **row):
        self.rows.append(row | {"key": self.key})
        with self.path.open("a") as file:
            file.write(json.dumps(self.rows[-1]) + "\n")
        print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)


def list_methods():
    methods = {"Retrain": RetrainUnlearner, **all_unlearners(exact=False, nets=True)}
    return methods | {"Retrain, same budget": partial(RetrainUnlearner, max_epochs=FLOOR)}


def run(options, done):
    X, y, X_test, y_test = load(options)
    net = recipe(options)
    masks = {
        "class": y == 1,
        "random": np.random.default_rng(1).random(len(y)) < 0.1,
    }
    methods = {name.removesuffix("Unlearner"): method for name, method in list_methods().items()}
    for seed in range(options.seeds):
        wanted = [
            (setting, name)
            for setting in options.settings
            for name in ["Original", *methods]
            if name in (options.methods or [name])
            if not done.has(seed=seed, setting=setting, method=name)
        ]
        if not wanted:
            continue
        fitted = RetrainUnlearner(net, random_state=seed).fit(X, y)
        state = {k: v for k, v in vars(fitted).items() if k not in fitted.get_params(deep=False)}
        for setting, name in wanted:
            forget = np.flatnonzero(masks[setting])
            sets = {
                "forget": fitted._record.view(forget),
                "retain": fitted._record.view(np.flatnonzero(~masks[setting])),
                "test": Rows(X_test, y_test, np.arange(len(y_test))),
            }
            sets["test"].kept = y_test != 1 if setting == "class" else y_test >= 0
            names = {"seed": seed, "setting": setting, "method": name}
            if name == "Original":
                done.add(**names, **figures(fitted.estimator_, sets, fitted.classes_))
                continue
            unlearner = clone(methods[name](net, random_state=seed))
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    if unlearner_tags(unlearner).watches_training:
                        unlearner.fit(X, y, forget=masks[setting])
                    else:
                        vars(unlearner).update(state)
                        unlearner.unlearn(indices=forget)
                except UnlearningError as error:
                    done.add(**names, said=f"error: {str(error).split(':')[0]}")
                    continue
            said = sorted({w.category.__name__ for w in caught} - {"ClassForgottenWarning"})
            done.add(
                **names,
                **figures(unlearner.estimator_, sets, fitted.classes_),
                seconds=unlearner.deletions_[-1]["seconds"],
                epochs=len(unlearner.estimator_.history),
                said=", ".join(said),
            )


def table(rows):
    """Means over seeds, each method against the retrained net of its own seed."""
    frame = pd.DataFrame(rows)
    out = []
    if "UA" not in frame:
        return frame
    for (seed, setting), group in frame.groupby(["seed", "setting"]):
        group = group.set_index("method")
        if "Retrain" not in group.index:
            continue
        base = group.loc["Retrain"]
        for name, row in group.iterrows():
            if pd.isna(row["UA"]):  # it failed
                out.append(row.to_dict() | {"method": name, "seed": seed, "setting": setting})
                continue
            keys = ("UA", "RA", "TA", "MIA")
            out.append(
                row.to_dict()
                | {"method": name, "seed": seed, "setting": setting}
                | gap(row, base, keys)
            )
        # The band: the retrained net of another seed against this one.
        others = frame.query("setting == @setting and method == 'Retrain' and seed != @seed")
        for _, row in others.iterrows():
            out.append(
                {k: row[k] for k in (*keys, "AUC")}
                | {"method": "Retrain, other seed", "seed": seed, "setting": setting}
                | gap(row, base, keys)
            )
    return pd.DataFrame(out)


def gap(row, base, keys):
    found = {
        "average gap": average_gap({k: row[k] for k in keys}, {k: base[k] for k in keys}),
        "ToW": tug_of_war(*([1 - r["UA"], r["RA"], r["TA"]] for r in (row, base))),
    }
    if "seconds" in row and pd.notna(row.get("seconds", np.nan)):
        found["of retraining"] = row["seconds"] / base["seconds"]
    return found


def write(options, rows):
    frame = table(rows)
    frame["said"] = frame["said"].fillna("") if "said" in frame else ""
    lines = [
        "# All methods on CIFAR-10",
        "",
        f"{datetime.date.today()}, {options.machine or describe_machine(options)}; "
        f"`{command(options)}`.",
        "",
        f"`FastCIFARNet` of widths {tuple(options.widths)}, {options.rows:,} training rows, "
        f"{options.epochs} epochs. Every method at its defaults: **no tuning**. "
        f"{describe_seeds(options)}; UA, RA, TA, MIA and the average gap in per cent. UA: one "
        "minus the accuracy on the forget set. MIA: efficacy of an SVC. AUC: matched margin "
        "attack. The gap, ToW and time are against the retrained net of the same seed"
        + (
            '; "Retrain, other seed" is the band below which nothing can be told apart.'
            if options.seeds > 1
            else "."
        ),
    ]
    for setting in options.settings:
        title = "One class (automobiles)" if setting == "class" else "A random tenth of the rows"
        shown = frame[frame["setting"] == setting]
        lines += ["", f"## {title}", "", *markdown(shown)]
        found = {name.removesuffix("Unlearner") for name in shown["method"]}
        missing = [n for n in list_methods() if n.removesuffix("Unlearner") not in found]
        if missing:
            names = ", ".join(name.removesuffix("Unlearner") for name in missing)
            lines += ["", f"Not reached before the run was ended: {names}."]
    note = HERE / "words.md"
    if note.exists():
        lines += ["", note.read_text().strip()]
    (HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")


def describe_machine(options):
    here = f"{os.cpu_count()} cores ({platform.machine()})"
    if torch.device(options.device).type == "cuda":
        here = f"{torch.cuda.get_device_name()}, {here}"
    return f"{here}, torch {torch.__version__}"


def describe_seeds(options):
    if options.seeds == 1:
        return "One seed"
    return f"Means over {options.seeds} seeds, standard deviations in brackets"


def command(options):
    widths = " ".join(map(str, options.widths))
    return (
        f"benchmarks/cifar10/run.py --rows {options.rows} --epochs {options.epochs} --seeds "
        f"{options.seeds} --widths {widths}"
    )


def markdown(frame):
    groups = frame.groupby("method")
    mean, sd = groups[COLUMNS].mean(), groups[COLUMNS].std()
    first = [n for n in ("Original", "Retrain", "Retrain, other seed") if n in mean.index]
    order = first + mean.drop(index=first).sort_values("average gap").index.tolist()
    yield "| method | epochs | " + " | ".join(COLUMNS) + " | it warned |"
    yield "|---" * (len(COLUMNS) + 3) + "|"
    for name in order:
        rows = frame[frame["method"] == name]
        epochs = rows["epochs"].dropna() if "epochs" in rows else []
        cells = [cell(c, mean.loc[name, c], sd.loc[name, c]) for c in COLUMNS]
        said = ", ".join(sorted({w for s in rows["said"] for w in str(s).split(", ") if w}))
        shown = f"{int(epochs.iloc[0])}" if len(epochs) else ""
        yield f"| {name.removesuffix('Unlearner')} | {shown} | {' | '.join(cells)} | {said} |"


def cell(column, mean, sd):
    if pd.isna(mean):
        return ""
    if column in ("UA", "RA", "TA", "MIA", "average gap"):
        mean, sd, digits = 100 * mean, 100 * sd, 1
    else:
        digits = 1 if column == "seconds" else 3
    spread = f" ({sd:.{digits}f})" if pd.notna(sd) else ""
    return f"{mean:.{digits}f}{spread}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000, help="training rows (%(default)s)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--widths", type=int, nargs=3, default=[32, 128, 256])
    parser.add_argument("--settings", nargs="+", default=["class", "random"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--machine", help="for the table's heading (processor and cores)")
    parser.add_argument("--table", action="store_true", help="write the table again, run nothing")
    parser.add_argument("--methods", nargs="+", help="of these (short names) print the table only")
    options = parser.parse_args()
    key = f"{options.rows}-{options.epochs}-{options.widths}"
    done = Finished(HERE / "runs.jsonl", key)
    if not options.table:
        run(options, done)
    if options.methods is None:
        write(options, done.rows)
        return
    for setting, shown in table(done.rows).fillna({"said": ""}).groupby("setting"):
        print(setting, *markdown(shown), sep="\n")


if __name__ == "__main__":
    main()
