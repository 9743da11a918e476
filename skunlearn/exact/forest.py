"""Forests and bagging: only members whose draw held the rows are trained again."""

import copy
from dataclasses import replace
from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from skunlearn._recipe import training
from skunlearn._recipe.from_scratch import refuse_trained
from skunlearn._recipe.parameter_texts import warn_if_set_since, write_recipe
from skunlearn._rows import checking
from skunlearn._rows.constraints import check_parameters
from skunlearn._rows.seeding import derive_seed
from skunlearn._torch import skorch_nets
from skunlearn._torch.parts.outputs import Outputs
from skunlearn._unlearning import words
from skunlearn.base import BaseUnlearner
from skunlearn.exact._draws import Draws
from skunlearn.exact._frozen_forest import check_grown_on, refuse_unknown_draws
from skunlearn.exact._growing import (
    BAGGING,
    DRAWS_BY_WEIGHT,
    FORESTS,
    Plan,
    base_of,
    code_targets,
    fill,
    grow,
    is_forest,
    is_tree,
    shows_draws_only,
)
from skunlearn.exact._out_of_bag import set_out_of_bag
from skunlearn.exceptions import UnlearningError

__all__ = ["ForestUnlearner", "expected_regrown_share"]


class ForestUnlearner(BaseUnlearner):
    """Grow only those trees again whose draw held the rows (random forests, extra trees, bagging).

    Choose it for a forest or bagging ensemble, trained already or not: nothing has to be decided
    before the training. A tree that was grown on a bootstrap sample has never seen the rows
    outside it. Those whose sample missed all rows of a request stay as they are; the others are
    grown anew, each on a fresh draw of as many rows from those that are kept.

    What matters is `max_samples` of the forest. One row of n touches a share 1 − (1 − 1/n)^m of
    the trees at m draws each: 0.63 of them at n draws (scikit-learn's default), 0.39 at n/2 and
    0.10 at n/10. k rows in one request touch 1 − (1 − k/n)^m. `expected_regrown_share` computes
    it for any forest, `count_touched` counts a request's trees before it is made, and the log
    says how many were grown. Where most trees are touched, `ShardedUnlearner` costs less for
    requests that name all rows of a person: with ``groups=`` these lie in one shard, while they
    are in every tree's draw.

    Exact is the distribution: for rows that were chosen without looking at the forest or its
    seeds, the result is distributed as a forest grown on the kept rows with the same number of
    draws. For requests that were chosen after seeing the forest see the notes.

    Parameters
    ----------
    estimator : RandomForest*, ExtraTrees* or Bagging* estimator, or FrozenEstimator of one
        Members must be drawn fewer rows than there are, or with repeats: ``bootstrap=True`` (not
        the default of ExtraTrees*), or for Bagging* ``bootstrap=False`` and `max_samples` below 1.
        `max_samples` and thresholds like ``min_samples_leaf`` that are None or a share are the
        numbers that they were in ``fit`` from then on. Whatever is computed over all rows is
        refused (``class_weight="balanced"``; "balanced_subsample" looks at the draw alone).
        Forests take `y` of several outputs, a column for each, also of classes, without
        ``oob_score``.
        A trained one must have been trained on the rows that ``fit`` is given, with the same
        ``sample_weight`` (which forests take, Bagging* here not).
    random_state : int, RandomState instance or None, default=None
        Seed of the ensemble where it has none, and of all new draws. None takes these from the
        operating system, so that nobody can foresee them, and keeps the seed out of the log; an
        int repeats, and lets whoever knows it foresee them.
    store_data : bool, default=True
        Whether pickles hold the retained rows.
    verbose : int, default=0
        Not used; the ensemble has a ``verbose`` of its own.

    Attributes
    ----------
    estimator_ : estimator object
        The present ensemble. After a request it has no ``estimators_samples_`` any more, as its
        members drew from different sets of rows; ``oob_score_`` is that of the kept rows.
    classes_ : ndarray of shape (n_classes,), or list of such
        Labels seen by ``fit``, of each of several outputs; classifiers only.
    deletions_ : list of dict
        The log of requests. Entries also say how many members were trained again
        ("members_regrown") and what share of them that was ("share_regrown").

    Raises
    ------
    TypeError
        For another estimator.
    ValueError
        When every member sees every row, when something is computed over all rows, or when a
        trained ensemble was not trained on these rows.

    See Also
    --------
    ShardedUnlearner : For other models; shards are decided on before the training.
    RetrainUnlearner : All trees anew, for requests of any kind.

    Notes
    -----
    *Why it is exact.* A tree's draw is m positions, independent and uniform over the n rows. Given
    that none of them is among the k rows F of the request, they are independent and uniform over
    the n − k others: that is the distribution of a draw from the kept rows. The seed of the tree's
    splits is drawn apart. So a tree that stays is distributed as one grown on the kept rows, and
    a tree that is grown anew is one; trees are independent of each other, and the whole is a
    forest grown on the kept rows with m draws a tree. Draws without replacement keep the argument
    (uniform over subsets), as do draws by fixed class weights or by sample weights. The next
    request starts from such a forest, and so on.

    *Corrections.* Values have no part in which rows are drawn, but for fixed class weights, with
    which all trees are grown anew. A tree that drew none of the k rows stays; one that drew some is
    grown on another draw, uniform among those that hold one: so draws are those of a forest on the
    corrected rows.

    (Scikit-learn seeds a tree's draw and its splits with one number, from which both are computed
    apart; trees grown here have two.)

    *When it is not.* The argument needs F to be independent of the draws. If a request is chosen
    by somebody who has seen the forest, then which trees stay depends on what they looked like.
    What holds for any request: no tree in the result has seen a row of F, and new draws depend on
    nothing before. What need not hold is the distribution of the trees that stay, taken together
    with the request; the theory, and a remedy by noise, are in [1]_. For such requesters use
    ``RetrainUnlearner(forest)``.

    If a class loses its last row, of one output say, the whole ensemble is trained again; and where
    its parameters were set anew since, which a warning says.

    References
    ----------
    .. [1] V. Gupta et al., "Adaptive Machine Unlearning", NeurIPS 2021,
       https://arxiv.org/abs/2106.04378

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skunlearn import ForestUnlearner
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> forest = RandomForestClassifier(n_estimators=200, max_samples=0.1)
    >>> unlearner = ForestUnlearner(forest, random_state=0).fit(X, y)
    >>> unlearner.count_touched(indices=[7])
    14
    >>> unlearner.unlearn(indices=[7]).deletions_[0]["members_regrown"]
    14
    """

    _promises = replace(
        BaseUnlearner._promises,
        takes_nets=False,
        takes_outputs=True,
        made_for="forests, bagging",
        watches_training=True,  # which tree has drawn which rows
        exact=True,
        corrects=True,
        guarantee="the distribution of an ensemble trained without the rows",
        reads_forget_rows=False,
    )

    def __init__(self, estimator, *, random_state=None, store_data=True, verbose=0):
        super().__init__(
            estimator, random_state=random_state, store_data=store_data, verbose=verbose
        )

    @words.explained(BaseUnlearner.unlearn)
    def count_touched(self, X_forget=None, y_forget=None, *, ids=None, indices=None, groups=None):
        """Number of members that a request would train again; nothing is forgotten.

        Parameters
        ----------
        {X_forget, y_forget, ids, indices, groups}
            Name the rows in exactly one way.

        Returns
        -------
        members : int

        Raises
        ------
        UnknownRowsError
            When the request names rows that the model never saw, or that were forgotten.
        """
        check_is_fitted(self)
        checking.check_single_request(
            {}, X_forget=X_forget, ids=ids, indices=indices, groups=groups
        )
        if X_forget is not None:
            X_forget, y_forget = self._check_request(X_forget, y_forget, "forget")
        positions = self._record.find(X_forget, y_forget, ids=ids, indices=indices, groups=groups)
        return int(self._draws.mark_touched(positions).sum())

    # ------------------------------------------------------------------ fit

    def _first_model(self, rows):
        self._trained_before = super()._name_trained()
        recipe = skorch_nets.unwrap(self.estimator)
        self._written = write_recipe(recipe)
        if recipe.oob_score and isinstance(self._classes, Outputs):
            raise ValueError(
                "oob_score= is not kept up for classifiers of several outputs: set it to False."
            )
        if rows.weights is not None and not is_forest(recipe):
            raise TypeError(
                f"ForestUnlearner takes sample_weight for forests, not for {type(recipe).__name__}."
                " Use RetrainUnlearner."
            )
        if isinstance(self.estimator, FrozenEstimator):
            model = copy.deepcopy(recipe)
            self._plan = check_grown_on(model, rows, self._classes)
        elif shows_draws_only(recipe):
            model = super()._first_model(rows)
            self._plan = Plan.of(model, len(rows))
        else:
            model = self._one_member(rows, self._seed, recipe.max_samples)
            self._plan = Plan.of(model, len(rows))
        if not self._plan.replace and self._plan.n_draws >= len(rows):
            raise ValueError(_ALL_ROWS)
        if len(model.estimators_) < model.n_estimators:
            randomness = np.random.SeedSequence([self._seed, 1])
            model, self._draws = self._whole(model, rows, randomness)
        else:
            self._draws = Draws.of(model.estimators_samples_, len(rows))
        return model

    def _one_member(self, rows, seed, max_samples):
        """The recipe, fitted with a single member: an ensemble to be filled."""
        recipe = skorch_nets.unwrap(self.estimator)
        small = {"n_estimators": 1, "oob_score": False, "max_samples": max_samples}
        model = training.train(clone(recipe).set_params(**small), rows, self._classes, seed)
        return model.set_params(**{name: getattr(recipe, name) for name in small})

    def _whole(self, model, rows, randomness):
        """`model` with all members new, and their draws."""
        X, y = self._read_arrays(model, rows)
        grown = grow(self._plan, model, X, y, model.n_estimators, randomness, rows.weights)
        n = len(self._record)
        draws = Draws.of([rows.positions[drawn] for drawn in grown.samples], n)
        model = fill(model, grown.estimators, grown.features)
        set_out_of_bag(model, draws, rows.positions, X, y)
        return model, draws

    # ------------------------------------------------------------------ unlearn

    def _attempt(self, retain, forget, seed):
        if retain.positions is None:
            raise UnlearningError(
                "ForestUnlearner grows trees on draws from all retained rows: give them back with "
                "attach(X, y) instead of passing X_retain with the request."
            )
        gone, old = self._find_gone(retain), self.estimator_
        anew = self._renew_plan(retain, seed) or not self._has_all_classes(retain)
        self._refuse_few(retain)
        randomness = self._randomness(seed)
        if anew:
            return self._grow_all(retain, seed, randomness)
        touched = self._draws.mark_touched(gone)
        model = self._regrow(old, np.flatnonzero(touched), retain, randomness)
        self._note_cost(int(touched.sum()), model)
        return model

    def _renew_plan(self, retain, seed):
        """Whether the recipe was set anew, so that all members are grown by the new one."""
        recipe = skorch_nets.unwrap(self.estimator)
        if not warn_if_set_since(vars(self).get("_written"), recipe, self, "members"):
            return False
        model = self._one_member(retain, seed, recipe.max_samples)
        self._plan, self._written = Plan.of(model, len(retain)), write_recipe(recipe)
        return True

    def _grow_all(self, retain, seed, randomness):
        first = self._one_member(retain, seed, len(retain))
        model, self._draws = self._whole(first, retain, randomness)
        self._note_cost(len(model.estimators_), model)
        return model

    def _note_cost(self, regrown, model):
        members = len(model.estimators_)
        self._cost = {"members_regrown": regrown, "share_regrown": regrown / members}

    def _refuse_few(self, retain):
        if not self._plan.replace and self._plan.n_draws > len(retain):
            raise UnlearningError(
                f"Each member draws {self._plan.n_draws} rows without replacement, and only "
                f"{len(retain)} are left. Use bootstrap=True or a smaller max_samples."
            )

    def _find_gone(self, retain):
        return np.setdiff1d(np.flatnonzero(self._record.retained), retain.positions)

    def _attempt_correction(self, retain, old, seed):
        """Trees that drew a corrected row are grown anew, each on another draw that holds one.

        Those that drew a row that goes are drawn anew, whatever they come to hold.
        """
        renewed = self._renew_plan(retain, seed)
        self._refuse_few(retain)
        positions, model = self._removal.positions, self.estimator_
        randomness = self._randomness(seed)
        drawn = self._draws.mark_touched(self._find_gone(retain))
        changed = self._draws.mark_touched(positions) & ~drawn
        by_class = DRAWS_BY_WEIGHT and isinstance(getattr(model, "class_weight", None), dict | list)
        if renewed or by_class or not self._has_all_classes(retain):
            return self._grow_all(retain, seed, randomness)
        held = np.flatnonzero(np.isin(retain.positions, positions))
        if drawn.any():
            model = self._regrow(model, np.flatnonzero(drawn), retain, randomness)
        model = self._regrow(model, np.flatnonzero(changed), retain, randomness, held)
        self._note_cost(int((drawn | changed).sum()), model)
        return model

    def _regrow(self, old, touched, retain, randomness, held=None):
        X, y = self._read_arrays(old, retain)
        grown = grow(self._plan, old, X, y, len(touched), randomness, retain.weights, held)
        self._draws = self._draws.replace_draws(
            touched, [retain.positions[drawn] for drawn in grown.samples]
        )
        estimators = list(old.estimators_)
        features = None if grown.features is None else list(old.estimators_features_)
        for place, number in enumerate(touched):
            estimators[number] = grown.estimators[place]
            if features is not None:
                features[number] = grown.features[place]
        model = fill(old, estimators, features)
        set_out_of_bag(model, self._draws, retain.positions, X, y)
        return model

    def _train(self, rows, *, seed=None, write_checkpoints=False):
        """A(rows) with as many draws a member as ``fit`` had, for audits."""
        if not hasattr(self, "estimator_"):
            return super()._train(rows, seed=seed, write_checkpoints=write_checkpoints)
        seed = self._seed if seed is None else seed
        model = self._one_member(rows, seed, len(rows))
        X, y = self._read_arrays(model, rows)
        randomness = np.random.SeedSequence([seed, 1])
        grown = grow(self._plan, model, X, y, model.n_estimators, randomness, rows.weights)
        return fill(model, grown.estimators, grown.features)

    def _read_arrays(self, model, rows):
        """Rows, with codes of the model's own classes."""
        X, y = rows.arrays()
        return X, y if self._classes is None else code_targets(model, self._classes[y])

    def _has_all_classes(self, rows):
        """Whether `rows` are of all classes that the ensemble knows, and of no others."""
        known, classes = getattr(self.estimator_, "classes_", None), self._classes
        if known is None:
            return True
        if not isinstance(classes, Outputs):
            return np.array_equal(classes[np.unique(rows.y)], known)
        present = classes.split(rows.y.any(axis=0)[None])
        found = [labels[shown[0]] for labels, shown in zip(classes.classes, present)]
        return all(map(np.array_equal, found, known))

    def _randomness(self, seed):
        if self.random_state is None:
            return np.random.SeedSequence()
        return np.random.SeedSequence([derive_seed(seed, 2)])

    def _name_trained(self):
        # Members that no request touches stay as they were trained by an earlier recipe.
        earlier = [entry.get("trained_before", []) for entry in self.deletions_]
        names = [self._trained_before, *earlier, super()._name_trained()]
        return list(dict.fromkeys(name for group in names for name in group))

    def _describe_attempt(self):
        # Whoever knows the seed can foresee draws.
        return self._cost | ({"seed": None} if self.random_state is None else {})

    def _commit(self):
        vars(self).pop("_cost", None)

    # ------------------------------------------------------------------ parameters

    def _check_parameters(self):
        recipe, frozen = (
            skorch_nets.unwrap(self.estimator),
            isinstance(self.estimator, FrozenEstimator),
        )
        if type(recipe) not in (*FORESTS, *BAGGING):
            raise TypeError(
                "ForestUnlearner works on scikit-learn's RandomForest*, ExtraTrees* and Bagging* "
                f"estimators, got {recipe!r}. RetrainUnlearner and ShardedUnlearner take any "
                "classifier or regressor."
            )
        if frozen:
            check_is_fitted(recipe)
            if not hasattr(self, "estimator_"):  # after a request it knows its own draws
                refuse_unknown_draws(recipe)
        if not is_forest(recipe):
            refuse_trained(recipe, "ForestUnlearner")
        whole = recipe.max_samples is None or (
            isinstance(recipe.max_samples, float) and recipe.max_samples == 1
        )
        if not recipe.bootstrap and (is_forest(recipe) or whole):
            raise ValueError(_ALL_ROWS)
        base = recipe if is_forest(recipe) else base_of(recipe)
        if getattr(base, "class_weight", None) == "balanced" and (
            is_forest(recipe) or is_tree(base)
        ):
            raise ValueError(
                "class_weight='balanced' is computed over all rows, so that every deletion changes "
                "every tree. Use 'balanced_subsample', which a random forest computes from a "
                "tree's own draw, or fixed weights as a dict; or RetrainUnlearner."
            )
        check_parameters(self)


_ALL_ROWS = (
    "bootstrap=False shows every row to every member, so that a deletion would train all of them. "
    "Use bootstrap=True (or, for Bagging*, max_samples below the number of rows), or "
    "RetrainUnlearner."
)


def expected_regrown_share(n_rows, n_draws=None, n_requests=1, *, bootstrap=True):
    """Expected share of a forest's trees that a batch of deletions touches.

    Parameters
    ----------
    n_rows : int
        Training rows n before the request.
    n_draws : int or None, default=None
        Rows m that a tree draws (`max_samples` as a number); None for as many as there are.
    n_requests : int, default=1
        Rows k forgotten in one call. Calls one after the other cost as much as one row each.
    bootstrap : bool, default=True
        Whether a row can be drawn twice.

    Returns
    -------
    share : float
        1 − (1 − k/n)^m; without repeats 1 − C(n − k, m) / C(n, m).

    Examples
    --------
    >>> from skunlearn.exact import expected_regrown_share
    >>> round(expected_regrown_share(1200), 2), round(expected_regrown_share(1200, 120), 3)
    (0.63, 0.095)
    >>> round(expected_regrown_share(1200, 120, n_requests=10), 2)
    0.63
    """
    n_draws = n_rows if n_draws is None else n_draws
    for name, value, most in (
        ("n_rows", n_rows, None),
        ("n_draws", n_draws, None if bootstrap else n_rows),
        ("n_requests", n_requests, n_rows),
    ):
        check_scalar(value, name, Integral, min_val=1, max_val=most)
    if bootstrap:
        return float(1 - (1 - n_requests / n_rows) ** n_draws)
    if n_requests + n_draws > n_rows:
        return 1.0
    kept = np.arange(n_requests)
    return float(1 - np.prod(1 - n_draws / (n_rows - kept)))
