"""A scorer that attacks, for scikit-learn's searches and cross-validation."""

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils.validation import check_is_fitted

from skunlearn._fitted_model import model_of
from skunlearn._recipe import training
from skunlearn._recipe.from_scratch import check_reference
from skunlearn._rows import checking
from skunlearn._rows.containers import is_dataset
from skunlearn._torch import skorch_nets
from skunlearn._torch.parts.positions import Positions
from skunlearn._torch.parts.tasks import Values, task_of
from skunlearn._torch.row_scores import SQUARED
from skunlearn.metrics._attacks.blind import blind_attack
from skunlearn.metrics._attacks.comparing import compare_sides
from skunlearn.metrics._attacks.membership import compare_attacks
from skunlearn.metrics._scorers.observed import observe_aucs, observe_scores
from skunlearn.metrics._scorers.scoring import (
    Scorer,
    TrainingRowsError,
    final_unlearner,
    read_attacked,
    read_forgotten,
)
from skunlearn.metrics._scorers.shared_looks import look
from skunlearn.metrics._scorers.short_reference import SHARE, Reference, check_share, train_short

__all__ = ["MIAScorer"]

_KEPT_REFERENCES = 8  # retrained references that a scorer keeps, one per fold


class MIAScorer(Scorer):
    """Score an unlearner by a membership-inference attack on what it has forgotten.

    The attack compares the forget rows of the estimator's last unlearning (their logits are
    kept by the estimator) with the test rows, which the model has never seen. The score is minus
    the distance of the attack's AUC to its value for a net that never saw the rows: 0.5 stands in
    for that value unless a `reference` is given. Methods that push rows away look right by one
    score and are given away by another, so that by default every score is looked at, each against
    its own reference, and the largest distance counts. Both sides count: an AUC below the reference
    gives forgotten rows away as well. Every row counts once, also where ``fit`` was given sample
    weights (with which a reference is trained too).

    Parameters
    ----------
    attack : {"strongest", "learned", "margin", "loss", "confidence", "entropy", \
            "modified_entropy"}, default="strongest"
        "strongest" is the largest distance over the scores of `membership_scores`; "learned" a
        logistic regression on all of them (see `membership_inference`); the others are one score
        each. Ignored for regressors, which are attacked by their squared error.
    match : {"class", None}, default="class"
        Weight the test rows to the class proportions of the forget rows. None compares with all
        test rows; where a class is forgotten that sees the difference between classes and not
        memory, also in a perfectly retrained net.
    reference : {None, "retrain", "short"} or fitted estimator, default=None
        What a net without the rows would give. "retrain" trains one on the retained rows, once
        a fold (kept in the scorer, and in the estimator's ``memory=``). None takes 0.5, which
        is wrong for atypical rows (mislabelled ones, say). "retrain" refuses estimators that bring
        along what was trained before (a module instance, frozen parts), where the reference
        would know the forgotten rows as well. "short" stops that training after a share of the
        epochs: forgotten and unseen rows are alike to any net that never saw either, so that a
        short-trained one gives nearly the same AUC; by how much it was off in four tasks stands in
        the guide. An estimator without epochs is trained in full, and the outcome of `measure`
        says so.
    short : float, default=0.1
        Share of the epochs of ``reference="short"``; at least one is trained.
    per_class : bool, default=False
        Also attack class by class; see `measure`.
    confidence : float, default=0.95
        Level of the interval.
    random_state : int, RandomState instance or None, default=0
        Seed of bootstrap intervals, when one is needed.

    See Also
    --------
    RetainedScorer : Accuracy without the forgotten classes.
    ForgottenScorer : Accuracy on the forgotten classes, which the attack is blind to.
    skunlearn.model_selection.ForgetSplit : Folds with unseen rows to compare with.

    References
    ----------
    .. [1] R. Shokri et al., "Membership Inference Attacks Against Machine Learning Models",
       IEEE S&P 2017.
    .. [2] N. Carlini et al., "Membership Inference Attacks From First Principles", IEEE S&P
       2022; the margin as a test statistic.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_validate
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.metrics import MIAScorer
    >>> from skunlearn.model_selection import ForgetSplit
    >>> X, y = load_iris(return_X_y=True)
    >>> forget = np.arange(150) % 3 == 0
    >>> result = cross_validate(
    ...     RetrainUnlearner(LogisticRegression(max_iter=500)),
    ...     X,
    ...     y,
    ...     cv=ForgetSplit(3, forget=forget, random_state=0),
    ...     params={"forget": forget},
    ...     scoring={"accuracy": "accuracy", "forgetting": MIAScorer()},
    ... )
    >>> bool(result["test_forgetting"].mean() > -0.1)
    True
    """

    def __init__(
        self,
        attack="strongest",
        *,
        match="class",
        reference=None,
        short=SHARE,
        per_class=False,
        confidence=0.95,
        random_state=0,
    ):
        self.attack = attack
        self.match = match
        self.reference = reference
        self.short = short
        self.per_class = per_class
        self.confidence = confidence
        self.random_state = random_state
        self._references = {}
        self._told = False  # of training rows

    def __call__(self, estimator, X, y=None):
        """Minus the distance of the attack to its reference value.

        Parameters
        ----------
        estimator : fitted unlearner that has forgotten, or Pipeline that ends in one
            The rows of its last request are what is attacked.
        X, y : rows that the model has never seen, with labels
            To compare the forgotten rows with; of their classes, unless `match` is None. A torch
            Dataset has its labels with it, and `y` is None.

        Returns
        -------
        score : float
            At most 0; higher is better. NaN for training rows, of which an attack on forgotten
            against unseen rows says nothing.

        Warns
        -----
        UndefinedMetricWarning
            When `X` holds training rows, once. Searches by successive halving score these too,
            unless they are told ``return_train_score=False``; `measure` raises.
        """
        try:
            ours, reference, theirs = self._look(estimator, X, y)
        except TrainingRowsError as error:
            # An exception would be printed by scikit-learn, traceback and all, once a fit.
            if not self._told:
                self._told = True
                checking.warn(f"The score is NaN. {error}", UndefinedMetricWarning)
            return np.nan
        # The point estimates alone: a search has no use for intervals.
        found = self._aucs(ours)
        targets = dict.fromkeys(found, 0.5) if reference is None else self._aucs(theirs)
        return -max(abs(found[name] - targets[name]) for name in found)

    def measure(self, estimator, X, y=None):
        """The attack in full: AUC, interval, reference, verdict.

        Parameters
        ----------
        estimator : fitted unlearner that has forgotten, or Pipeline that ends in one
            The rows of its last request are what is attacked.
        X, y : rows that the model has never seen, with labels
            To compare the forgotten rows with; of their classes, unless `match` is None. A torch
            Dataset has its labels with it, and `y` is None.

        Returns
        -------
        result : MembershipInference

        Raises
        ------
        ValueError
            When nothing has been forgotten yet, when `X` holds training rows (as with
            ``return_train_score=True``), when a forgotten class has no unseen row, or when
            forgotten rows were read through a random augmentation and there is no `reference`.
        """
        ours, reference, theirs = self._look(estimator, X, y)
        how = {"confidence": self.confidence, "random_state": self.random_state}
        if reference is not None:
            how |= {"kind": reference.kind, "note": reference.note}
        task = ours[0].task
        if isinstance(task, Values | Positions):
            attack = SQUARED if isinstance(task, Values) else self.attack
            sides = [pair and observe_scores(*pair, attack) for pair in (ours, theirs)]
            return compare_sides(
                sides[0],
                np.ones(len(ours[1].y)),
                attack=attack,
                reference_sides=sides[1],
                **how,
            )
        return compare_attacks(
            *((e.logits, e.y) for e in ours),
            self.attack,
            names=final_unlearner(estimator)._classes if task.has_one_class else None,
            match=self.match,
            reference_outputs=None if theirs is None else [e.logits for e in theirs],
            per_class=self.per_class,
            **how,
        )

    def blind_baseline(self, estimator, X, y=None):
        """The same comparison by an attack that sees the rows only, never the model.

        Far from 0.5 it says that forget and test rows differ in distribution, and that the
        attack's figure says little about memory.

        Parameters
        ----------
        estimator : fitted unlearner that has forgotten, or Pipeline that ends in one
            The rows of its last request are what is attacked.
        X, y : rows that the model has never seen, with labels
            To compare the forgotten rows with; of their classes, unless `match` is None. A torch
            Dataset has its labels with it, and `y` is None.

        Returns
        -------
        result : MembershipInference
        """
        matched = self.match == "class"
        # No model is asked.
        unlearner, unseen = read_attacked(estimator, X, y, referenced=True, matched=matched)
        forget = read_forgotten(unlearner)
        classifier = task_of(unlearner._classes).has_one_class
        return blind_attack(
            _flat(forget.arrays()[0]),
            _flat(unseen.arrays()[0]),
            y_forget=forget.y if classifier else None,
            y_unseen=unseen.y if classifier else None,
            match=self.match if classifier else None,
            random_state=self.random_state,
        )

    def _look(self, estimator, X, y):
        """What a model says of forgotten and of unseen rows; the reference, and what it says."""
        how = {"referenced": self.reference is not None, "matched": self.match == "class"}
        unlearner, unseen = read_attacked(estimator, X, y, **how)
        model = unlearner.estimator_
        ours = [unlearner._evidence, look(model, unseen, unlearner._classes)]
        _check_probabilities(ours, model)
        if self.reference is None:
            return ours, None, None
        reference = self._reference_model(unlearner)
        rows = read_forgotten(unlearner), unseen
        theirs = [look(reference.model, side, unlearner._classes) for side in rows]
        _check_probabilities(theirs, reference.model)
        return ours, reference, theirs

    def _aucs(self, sides):
        how = {"match": self.match, "random_state": self.random_state}
        return observe_aucs(*sides, self.attack, **how)

    def _reference_model(self, unlearner):
        if self.reference not in ("retrain", "short"):
            if isinstance(self.reference, str):
                raise ValueError(
                    "reference must be None, 'retrain', 'short' or a fitted estimator, got "
                    f"{self.reference!r}."
                )
            check_is_fitted(self.reference)
            return Reference(model_of(self.reference))
        if self.reference == "short":
            check_share(self.short)
        if unlearner._make_promises().exact:
            if unlearner.deletions_[-1].get("trained_before"):
                self._check_recipe(unlearner)
            return Reference(unlearner.estimator_)
        rows = unlearner._record.view(np.flatnonzero(unlearner._record.retained))
        if is_dataset(rows.source):
            self._check_recipe(unlearner)
            return self._train(unlearner, rows)
        net = skorch_nets.unwrap(unlearner.estimator)
        key = training.key(net, rows, unlearner._seed, unlearner._classes), self.reference
        key += (self.short,) if self.reference == "short" else ()
        if key not in self._references:
            while len(self._references) >= _KEPT_REFERENCES:
                del self._references[next(iter(self._references))]
            self._check_recipe(unlearner)
            self._references[key] = self._train(unlearner, rows)
        return self._references[key]

    def _train(self, unlearner, rows):
        if self.reference == "short":
            return train_short(unlearner, rows, share=self.short)
        return Reference(unlearner._train(rows))

    def _check_recipe(self, unlearner):
        check_reference(
            skorch_nets.unwrap(unlearner.estimator),
            f"MIAScorer(reference={self.reference!r})",
            "Pass a fitted reference= that never saw the forget rows, or None.",
        )

    def __getstate__(self):
        return vars(self) | {"_references": {}}

    def __repr__(self):
        return (
            f"MIAScorer(attack={self.attack!r}, match={self.match!r}, reference={self.reference!r})"
        )


def _check_probabilities(sides, model):
    asked = not isinstance(sides[0].task, Values | Positions)
    if asked and any(said.logits is None for said in sides):
        raise ValueError(f"{type(model).__name__} gives no probabilities to attack.")


def _flat(X):
    if hasattr(X, "toarray"):
        X = X.toarray()
    return np.asarray(X).reshape(len(X), -1)
