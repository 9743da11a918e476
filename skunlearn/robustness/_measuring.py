"""All models under all conditions of one forget set."""

import numpy as np
from joblib import hash as joblib_hash

from skunlearn._rows.containers import digest_of
from skunlearn._rows.seeding import derive_seed
from skunlearn._rows.views import Rows
from skunlearn._torch.observation import observe
from skunlearn.robustness import _condition_figures
from skunlearn.robustness._task import ORIGINAL, RETRAINED, names_of

_COLUMNS = ["forget set", "condition", "severity", "model", "metric", "value", "low", "high"]


class Work:
    """What is to be measured for one forget set.

    Parameters
    ----------
    task : Task
    conditions : list of Condition
    unlearners : dict of str to unlearner
    n_seeds, seed, confidence
        See `robustness_report`.
    """

    def __init__(self, task, conditions, unlearners, n_seeds, seed, confidence):
        self.task, self.unlearners, self.n_seeds = task, unlearners, n_seeds
        self.seed, self.confidence = seed, confidence
        self.conditions = [c for c in conditions if c.suits(task)]
        self.names = names_of(task, unlearners, n_seeds)
        self.keys = self._keys()

    def __len__(self):
        return len(self.keys)

    def _keys(self):
        """Key of each measurement: the same for the same question, whatever its name."""
        whose = self.task.recipe()
        recipes = {name: _recipe(u) for name, u in self.unlearners.items()}
        return {
            (c, name): digest_of(
                f"{whose} {c.recipe(self.task)} {recipes.get(name, name)}".encode()
            )
            for c in self.conditions
            for name in self.names
        }

    def run(self, store, progress):
        """Measure what is not in the store yet."""
        missing = {pair for pair, key in self.keys.items() if key not in store}
        progress.update(len(self) - len(missing))
        wanted = {name for _, name in missing}
        if any(c.white_box for c, _ in missing):
            wanted.add(RETRAINED)  # some of its rows are put to the others
        models = {}
        if wanted:
            models |= self.task.train(wanted, self.unlearners, self.n_seeds, self.seed)
        for condition in self.conditions:
            todo = [name for name in self.names if (condition, name) in missing]
            self._under(condition, todo, models, store, progress)

    def _under(self, condition, names, models, store, progress):
        if not names:
            return
        seed = derive_seed(self.seed, int(digest_of(condition.name.encode())[:8], 16))
        task, rows, foreign = self.task, None, None
        if condition.white_box:
            foreign = condition.foreign(task, seed, models[RETRAINED])
        else:
            rows = condition.perturb(task, seed)
        for name in names:
            if models[name] is not None:
                mine = condition.perturb(task, seed, models[name]) if rows is None else rows
                record = self._record(condition, models[name], mine, foreign, name, store)
                store.put(self.keys[condition, name], record)
            progress.update()

    def _record(self, condition, model, rows, foreign, name, store):
        """One model under one condition, from one forward pass."""
        task, n = self.task, len(rows.test)
        parts = [(rows.test, task.y_test[rows.test_rows])]
        if rows.forget is not None:
            y_forget = task.y_forget[rows.forget_rows]
            parts += [(X, y_forget) for X in (rows.forget, foreign) if X is not None]
        X, y = (np.concatenate(side) for side in zip(*parts))
        looked_at = Rows(X, y, np.arange(len(y)), reader=task.base._reader)
        logits = observe(model, looked_at, task.classes).logits
        if logits is None:
            raise ValueError(f"{type(model).__name__} gives no probabilities.")
        found = _condition_figures.of_test_rows(
            logits[:n], rows.test_rows, task, condition, self.confidence
        )
        record = {"figures": found}
        if rows.forget is not None:
            right = (logits.argmax(axis=1) == y)[n:]
            right, known = right[: len(y_forget)], right[-len(y_forget) :]
            clean = self._bits("right", self.conditions[0], name, store, len(task.X_forget))
            clean = right if clean is None else clean[rows.forget_rows]
            theirs = self._bits("known", condition, RETRAINED, store, len(known))
            theirs = known if theirs is None else theirs
            found |= _condition_figures.of_forget_rows(
                right, clean, known, theirs, condition, self.confidence
            )
            record |= {
                "right": _condition_figures.pack_booleans(right),
                "known": _condition_figures.pack_booleans(known),
            }
        record["figures"] = {
            metric: [None if np.isnan(v) else float(v) for v in values]
            for metric, values in found.items()
        }
        return record

    def _bits(self, which, condition, name, store, n):
        """Which rows a model was right about; None while it is measured itself."""
        key = self.keys[condition, name]
        return _condition_figures.unpack_booleans(store[key][which], n) if key in store else None

    def rows(self, store):
        """Rows of the report: the original first, the retrained models last."""
        last = [name for name in self.names if name.startswith(RETRAINED)]
        first = [ORIGINAL, *self.unlearners]
        others = [name for name in self.names if name not in (*first, *last)]
        for condition in self.conditions:
            for name in (*first, *others, *last):
                key = self.keys[condition, name]
                figures = store[key]["figures"] if key in store else {}
                for metric in (m for m in _condition_figures.DIRECTIONS if m in figures):
                    values = [np.nan if v is None else v for v in figures[metric]]
                    place = self.task.name, condition.name, condition.severity
                    yield dict(zip(_COLUMNS, (*place, name, metric, *values)))


def tidy(works, store):
    """The data frame of a report."""
    import pandas as pd

    rows = [row for work in works for row in work.rows(store)]
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    place = ["forget set", "condition", "severity", "metric"]
    for name in (ORIGINAL, RETRAINED):
        theirs = frame[frame["model"] == name].set_index(place)["value"].rename(name)
        frame = frame.join(theirs, on=place)
    for name in (ORIGINAL, RETRAINED):
        frame[f"drop from {name}"] = frame[name] - frame["value"]
    frame["direction"] = frame["metric"].map(_condition_figures.DIRECTIONS)
    return frame


def _recipe(unlearner):
    params = unlearner.get_params(deep=False)
    for name in ("estimator", "memory", "verbose", "store_data", "random_state", "folder"):
        params.pop(name, None)
    try:
        return joblib_hash([type(unlearner), sorted(params), params])
    except Exception as error:  # whatever pickle raises for a parameter
        raise ValueError(
            f"{type(unlearner).__name__} has parameters that cannot be pickled, and so cannot be "
            f"told from others: {error}"
        ) from error
