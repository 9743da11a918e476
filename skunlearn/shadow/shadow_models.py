"""Shadow models, trained once for LiRA, U-LiRA and RMIA."""

from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from joblib import hash as joblib_hash
from sklearn.base import BaseEstimator
from sklearn.utils import check_scalar
from tqdm import tqdm

from skunlearn._fitted_model import read_rows
from skunlearn._recipe import training
from skunlearn._recipe.from_scratch import check_reference
from skunlearn._rows.containers import digest_of, is_dataset, row_digests
from skunlearn._rows.row_names import read_groups
from skunlearn._rows.seeding import derive_seed, draw_seed, seeded
from skunlearn._torch import skorch_nets
from skunlearn._torch.parts.positions import refuse_positions
from skunlearn.exact import RetrainUnlearner
from skunlearn.metrics._logits import margin
from skunlearn.shadow import _stacked
from skunlearn.shadow._attacking import AttackMixin
from skunlearn.shadow._design import draw_membership
from skunlearn.shadow._lending import LendingMixin
from skunlearn.shadow._margin_store import Store
from skunlearn.shadow._purging import PurgeMixin
from skunlearn.shadow._working import train_one

_STACK = 32  # nets trained at once; after each stack the results are on disk


class ShadowModels(AttackMixin, LendingMixin, PurgeMixin, BaseEstimator):
    """Train models on random halves of some rows, and keep what each says about every row.

    One run serves `lira`, `u_lira` and `rmia`, for any number of attacked models of the same
    recipe. Only margins are kept, four bytes per model and row; the models are thrown away. With
    `keep_outputs` they serve as oracles too, ``OracleMatchingUnlearner(net, oracle=shadows)``.

    Parameters
    ----------
    estimator : skorch net, scikit-learn classifier or unlearner
        The recipe of the attacked model. An unlearner is trained on its half and then made to
        forget the candidates in it, which is what `u_lira` needs.
    n_models : int, default=64
        Each candidate is in half of them. More can be added later to the same `folder`.
    backend : {"auto", "stacked", "sequential"}, default="auto"
        "stacked" trains many nets at once with batched operations (``torch.func.vmap``), with
        the same results up to rounding; "auto" does so for small nets without convolutions,
        buffers or dropout, and for whatever can be stacked on a GPU.
    n_jobs : int or None, default=None
        Processes of joblib, for "sequential". A Dask cluster works under
        ``joblib.parallel_config(backend="dask")``.
    folder : path-like or None, default=None
        Where finished models' margins are kept. A run that was killed goes on from there. They
        know the rows: see `purge` for what to do when one of these is to be forgotten.
    keep_outputs : bool, default=False
        Whether what each model says of every row is kept beside the margin, four bytes per model,
        row and class: for `lend`.
    random_state : int, RandomState instance or None, default=None
        Of halves and trainings. Resuming needs an int.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    margins_ : ndarray of shape (n_models, n) or (n_models, n, n_labels), float32
        Margin of each row under each model; of a multi-label net the margin of each label.
    membership_ : bool ndarray of shape (n_models, n)
        Which model was trained on which row (before forgetting, for an unlearner).
    candidates_ : ndarray of int
        Rows that are in some models only.
    population_margins_ : ndarray like `margins_`, of the population, or None
    outputs_ : ndarray of shape (n_models, n, n_classes), float32, or None
        Logits or log-probabilities of each row under each model.
    classes_ : ndarray of shape (n_classes,)

    References
    ----------
    Carlini et al. (2022), "Membership inference attacks from first principles",
    https://arxiv.org/abs/2112.03570

    Hayes et al. (2024), "Inexact unlearning needs more careful evaluations to avoid a false sense
    of privacy", https://arxiv.org/abs/2403.01218

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skunlearn.shadow import ShadowModels
    >>> X, y = make_classification(300, flip_y=0.3, random_state=0)
    >>> tree = DecisionTreeClassifier(min_samples_leaf=3, random_state=0)
    >>> shadows = ShadowModels(tree, n_models=16, random_state=0).fit(X, y)
    >>> original = tree.fit(X[:150], y[:150])  # has seen the first half
    >>> result = shadows.attack(original, forget=range(75), unseen=range(150, 300))
    >>> result.attack, result.auc > 0.6
    ('lira', True)
    """

    def __init__(
        self,
        estimator,
        *,
        n_models=64,
        backend="auto",
        n_jobs=None,
        folder=None,
        keep_outputs=False,
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.n_models = n_models
        self.backend = backend
        self.n_jobs = n_jobs
        self.folder = folder
        self.keep_outputs = keep_outputs
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        candidates=None,
        groups=None,
        X_population=None,
        y_population=None,
        measure_on=None,
    ):
        """Train the models, or read those that are finished from `folder`.

        Parameters
        ----------
        X : rows as for `estimator`
            Everything that the attacked model may have seen, and the unseen rows to compare with.
        y : array of shape (n,) or (n, n_labels)
            Labels of any type, or an indicator matrix of several labels, 0 or 1.
        sample_weight : array of shape (n,), default=None
            Weights that every model is trained with, see `FineTuneUnlearner.fit`; the attacked
            model should have been trained with the same. Attacks count every row once.
        candidates : bool array of shape (n,), default=None
            Rows to be attacked, forgotten and unseen ones; the others are in every model, as
            retained rows are in the attacked one. All rows when None.
        groups : array-like of shape (n,), default=None
            Whose each row is: a person, say. The candidates of a group are all in the training set
            of a model or none of them, so that half of the models have seen nothing of it. Where
            rows of a group resemble each other, models that saw some know the others as well.
        X_population, y_population : rows and labels, default=None
            Rows that no model is trained on, neither the attacked one; for `rmia`.
        measure_on : torch Dataset or callable, default=None
            How to read rows as they are where they are augmented at random; see
            `BaseUnlearner.fit`.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            When `estimator` brings along what was trained before.
        ValueError
            When something passed in is wrong, or `folder` holds another task.
        """
        self._check_parameters()
        check_reference(
            self._recipe(),
            "ShadowModels",
            "Shadow models must be trained on their own rows alone: pass an estimator that "
            "trains all of its parts.",
        )
        seed = draw_seed(self.random_state)
        front = RetrainUnlearner(self._recipe())
        front._check_parameters()
        with seeded(seed):
            front._begin(seed, X, y, sample_weight, measure_on=measure_on)
            record = front._record
        if front._classes is None:
            raise ValueError("ShadowModels is for classifiers; this is a regression.")
        everything = record.view(np.arange(len(record)))
        population = None
        if X_population is not None:
            population = read_rows(front, X_population, y_population)
        refuse_positions(front._classes, type(self).__name__)
        candidates = _check_candidates(candidates, len(record))
        groups = _number_groups(groups, candidates)
        membership = draw_membership(candidates, self.n_models, seed, groups)
        key = self._key(everything, population, candidates, groups, front, seed)
        store = Store(self.folder, key, record, self.keep_outputs)
        task = (everything, population, front._classes)
        self._train_missing(store, membership, candidates, task, seed)
        found = np.stack([store.get(i) for i in range(self.n_models)])
        self.margins_, rest = found[:, : len(record)], found[:, len(record) :]
        self.population_margins_ = rest if population is not None else None
        self.outputs_ = None
        if self.keep_outputs:
            self.outputs_ = np.stack([store.get_outputs(i) for i in range(self.n_models)])
        self.membership_, self.candidates_ = membership, np.flatnonzero(candidates)
        self.classes_, self._columns = front.classes_, front._classes
        self._rows, self._population = everything, population
        return self

    # ------------------------------------------------------------------ training

    def _train_missing(self, store, membership, candidates, task, seed):
        todo = [i for i in range(self.n_models) if not store.has(i)]
        stacked = self._stacks(task)
        with tqdm(
            total=self.n_models,
            initial=self.n_models - len(todo),
            desc="shadow models",
            disable=not self.verbose,
        ) as progress:
            if stacked:
                sizes = membership.sum(axis=1)
                for size in np.unique(sizes[todo]):
                    same = [i for i in todo if sizes[i] == size]
                    for k in range(0, len(same), _STACK):
                        part = same[k : k + _STACK]
                        for i, *found in zip(part, *self._stack(part, membership, task, seed)):
                            store.put(i, *found)
                        progress.update(len(part))
                return
            jobs = (
                delayed(train_one)(
                    store if store.folder is not None else None,
                    i,
                    self.estimator,
                    np.flatnonzero(membership[i]),
                    np.flatnonzero(membership[i] & candidates),
                    task,
                    derive_seed(seed, 1, i),
                    self.keep_outputs,
                )
                for i in todo
            )
            run = Parallel(n_jobs=self.n_jobs, return_as="generator_unordered")
            for i, found in run(jobs):
                if found is not None:
                    store.put(i, *found)
                progress.update()

    def _stack(self, part, membership, task, seed):
        everything, population, classes = task
        predict = _stacked.train_stacked(
            self.estimator,
            [everything.take(np.flatnonzero(membership[i])) for i in part],
            classes,
            [derive_seed(seed, 1, i) for i in part],
        )
        logits = predict(everything)
        found = [np.stack([margin(z, everything.y) for z in logits])]
        if population is not None:
            found.append(np.stack([margin(z, population.y) for z in predict(population)]))
        margins = np.concatenate(found, axis=1).astype(np.float32)
        return margins, logits if self.keep_outputs else [None] * len(part)

    def _stacks(self, task):
        if self.backend == "sequential":
            return False
        everything, _, classes = task
        reason = "the estimator is no skorch net"
        if self._forgets():
            reason = "the estimator is an unlearner"
        elif skorch_nets.is_net(self.estimator):
            reason = _stacked.why_not(self.estimator, everything, classes)
        if self.backend == "stacked" and reason is not None:
            raise ValueError(f"backend='stacked' cannot train these models: {reason}.")
        if self.backend == "auto" and reason is None:
            return _stacked.pays(self.estimator, everything, classes)
        return reason is None

    # ------------------------------------------------------------------ small things

    def _recipe(self):
        estimator = self.estimator.estimator if self._forgets() else self.estimator
        if estimator is not skorch_nets.unwrap(estimator):
            raise ValueError("Pass the estimator itself, not FrozenEstimator: it is trained anew.")
        return estimator

    def _check_parameters(self):
        check_scalar(self.n_models, "n_models", Integral, min_val=4)
        if self.backend not in ("auto", "stacked", "sequential"):
            raise ValueError(
                f"backend must be 'auto', 'stacked' or 'sequential', got {self.backend!r}."
            )
        if self.folder is not None and not isinstance(self.random_state, Integral):
            raise ValueError(
                "folder= needs an int random_state: results of other seeds would not fit."
            )

    def _key(self, everything, population, candidates, groups, front, seed):
        if self.folder is None:
            return ""
        if is_dataset(everything.source):
            raise ValueError(
                "folder= needs rows that can be compared, which those of a torch Dataset cannot."
            )
        parts = [training.key(self._recipe(), everything, seed, front._classes).encode()]
        if population is not None:
            parts += [row_digests(population.source), population.y]
        if self._forgets():
            params = self.estimator.get_params(deep=False)
            for name in ("estimator", "memory", "verbose", "store_data", "random_state"):
                params.pop(name)
            parts.append(joblib_hash([type(self.estimator), params]).encode())
        if groups is not None:
            parts.append(groups)
        return digest_of(*parts, candidates)


def _number_groups(groups, candidates):
    """A number for each row's group, in the order in which they come."""
    if groups is None:
        return None
    digests = read_groups(groups, len(candidates)).digests
    _, first, places = np.unique(digests, axis=0, return_index=True, return_inverse=True)
    numbers = first[places.ravel()]
    if len(np.unique(numbers[candidates])) < 2:
        raise ValueError("All candidates are of one group: no model could be trained without it.")
    return numbers


def _check_candidates(candidates, n):
    if candidates is None:
        return np.ones(n, dtype=bool)
    candidates = np.asarray(candidates)
    if candidates.dtype != bool or candidates.shape != (n,):
        raise ValueError(
            f"candidates must be a boolean mask of shape ({n},), got {candidates.dtype} of shape "
            f"{candidates.shape}."
        )
    if candidates.sum() < 2:
        raise ValueError("candidates must mark at least two rows.")
    return candidates
