"""One forget set: its rows, and the models that are looked at."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.base import clone

from skunlearn._recipe import caches
from skunlearn._rows.checking import check_forget_mask, warn
from skunlearn._rows.containers import digest_of
from skunlearn._rows.seeding import draw_seed, seeded
from skunlearn._unlearning.fitted import note_own_state, share_state
from skunlearn._unlearning.validation import check_targets, encode
from skunlearn.evaluation._reference_models import check_recipe, other_references
from skunlearn.exact import RetrainUnlearner
from skunlearn.exceptions import UnlearningError
from skunlearn.forget_sets.results import ForgetSet, PlantedForgetSet

ORIGINAL, RETRAINED, UNPLANTED = "original", "retrained", "without any planted"


@dataclass(frozen=True, eq=False)
class Task:
    """The rows of one forget set, encoded, and what knows how to train on them.

    Attributes
    ----------
    name : str
    base : RetrainUnlearner, for the rows with everything planted; see `untrained`
    mask : bool ndarray of shape (n,), rows to forget
    planted : bool ndarray of shape (n,) or None, when more rows are planted than are known
    X_test, y_test, X_forget, y_forget : ndarrays
    kept : bool ndarray of shape (n_test,), whether retained rows have the class
    trigger, target : of a backdoor, or None
    value_range : pair of float
    """

    name: str
    base: RetrainUnlearner
    mask: np.ndarray
    planted: np.ndarray | None
    X_test: np.ndarray
    y_test: np.ndarray
    X_forget: np.ndarray
    y_forget: np.ndarray
    kept: np.ndarray
    trigger: object
    target: int | None
    value_range: tuple

    @property
    def classes(self):
        """Labels of the columns."""
        return self.base._classes

    @property
    def all_test(self):
        """Positions of all test rows."""
        return np.arange(len(self.X_test))

    @property
    def all_forget(self):
        """Positions of all forget rows."""
        return np.arange(len(self.X_forget))

    def front(self, model):
        """An unlearner that stands for `model`: it knows the classes."""
        new = clone(self.base)
        share_state(new, self.base)
        new._change(model=model)
        return new

    def recipe(self):
        """Digest of the forget set and of the rows that it was planted in."""
        record = self.base._record
        parts = [record.label_digests, self.mask]
        parts += [b"" if self.planted is None else self.planted]
        if self.trigger is not None:
            parts.append(np.asarray(self.trigger(self.X_test[:16])))
        return digest_of(*parts)

    def train(self, names, unlearners, n_seeds, seed):
        """Yield name and model of the models called `names`; the original is trained but once."""
        positions = np.flatnonzero(self.mask)
        if not hasattr(self.base, "estimator_"):
            record = self.base._record
            self.base._change(model=self.base._train(record.view(np.arange(len(record)))))
        if ORIGINAL in names:
            yield ORIGINAL, self.base.estimator_
        if RETRAINED in names:
            yield RETRAINED, self._forgotten(clone(self.base), positions)
        retain = self.base._record.view(np.flatnonzero(~self.mask))
        # All are trained when one is asked for: their seeds depend on their order.
        if any(name.startswith(f"{RETRAINED} (") for name in names):

            def train(seed):
                return self.base._train(retain, seed=seed)

            yield from other_references(self.base._seed, train, n_seeds)
        if UNPLANTED in names:
            rows = self.base._record.view(np.flatnonzero(~self.planted))
            yield UNPLANTED, self.base._train(rows)
        for name, unlearner in unlearners.items():
            if name in names:
                yield name, self._unlearn_copy(name, unlearner, positions, seed)

    def _unlearn_copy(self, name, unlearner, positions, seed):
        new = clone(unlearner).set_params(estimator=self.base.estimator)
        if "memory" in new.get_params(deep=False):
            new.set_params(memory=self.base.memory)
        try:
            if new._make_promises().watches_training:
                record = self.base._record
                new.set_params(random_state=seed)
                X, y = record._X, self.classes[record._y]
                how = {}
                if record.reader is not None and not record.reader.noisy:
                    how["measure_on"] = record.reader.transform
                return new.fit(X, y, forget=self.mask, **how).estimator_
            return self._forgotten(new, positions)
        except UnlearningError as error:
            warn(f"{name} failed on {self.name!r}, and is left out: {error}", UserWarning)
            return None

    def _forgotten(self, new, positions):
        share_state(new, self.base)
        with caches.kept():  # nobody asked to delete these rows
            return new.unlearn(indices=positions).estimator_


def make_untrained(net, X, y, seed, memory, measure_on=None):
    """An unlearner that knows its rows, but whose model has not been trained yet."""
    base = RetrainUnlearner(net, random_state=seed, memory=memory)
    base._check_parameters()
    check_recipe(net, "robustness_report")
    seed, names = draw_seed(seed), set(vars(base))
    with seeded(seed):
        base._begin(seed, X, y, measure_on=measure_on)
    note_own_state(base, names)
    return base


def names_of(task, unlearners, n_seeds):
    """Names of all models, the retrained one first: the others are held against it."""
    extra = [f"{RETRAINED} ({k})" for k in range(2, n_seeds + 1)]
    cured = [] if task.planted is None else [UNPLANTED]
    return [RETRAINED, ORIGINAL, *unlearners, *extra, *cured]


def name_sets(forget_sets):
    """A dict of forget sets from a dict, a list or one of them; masks are sets of no kind."""
    if isinstance(forget_sets, ForgetSet | np.ndarray):
        forget_sets = [forget_sets]
    if not isinstance(forget_sets, dict):
        sets = [_as_set(s) for s in forget_sets]
        kinds = [s.kind for s in sets]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"kinds of forget sets repeat: {kinds}. Pass a dict of names to sets.")
        forget_sets = dict(zip(kinds, sets))
    if not forget_sets:
        raise ValueError("forget_sets is empty.")
    return {name: _as_set(s) for name, s in forget_sets.items()}


def make_task(name, forget_set, base, X, X_test, y_test, value_range):
    """The rows of one forget set around a fitted original."""
    record = base._record
    mask, classes = check_forget_mask(forget_set.mask, len(record)), base._classes
    y = record._y
    kept = np.isin(y_test, np.unique(y[~mask]))
    planted = getattr(forget_set, "planted", None)
    trigger = getattr(forget_set, "trigger", None)
    target = forget_set.details.get("target") if trigger is not None else None
    return Task(
        name=name,
        base=base,
        mask=mask,
        planted=None if planted is None or np.array_equal(planted, mask) else planted,
        X_test=X_test,
        y_test=y_test,
        X_forget=X[mask],
        y_forget=y[mask],
        kept=kept,
        trigger=None if target is None else _on_arrays(trigger, forget_set.X),
        target=None if target is None else int(encode([target], classes)[0]),
        value_range=value_range,
    )


def _on_arrays(trigger, X):
    """The trigger as a function of arrays, where it was planted in a tensor."""
    if not isinstance(X, torch.Tensor):
        return trigger
    return lambda array: trigger(torch.as_tensor(array)).numpy(force=True)


def encode_targets(y_test, classes, n):
    """Test labels as columns."""
    return encode(check_targets(y_test, n, classifier=True), classes, "y_test")


def _as_set(value):
    if isinstance(value, ForgetSet):
        return value
    return ForgetSet(np.asarray(value), "mask", "rows that a mask names.")


def is_changed(forget_set):
    """Whether the forget set brings training rows or labels of its own."""
    return isinstance(forget_set, PlantedForgetSet) and (
        forget_set.X is not None or forget_set.y is not None
    )
