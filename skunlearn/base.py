"""The verb `unlearn`: everything that the methods share, in one place."""

import time
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skunlearn import _caches, _held_out, _net_checks, _skorch, _training, _validation
from skunlearn._certificate import CertificateMixin, deletion_entry, plain
from skunlearn._diagnosis import known_by_heart, stands_out
from skunlearn._evidence import observe, summary
from skunlearn._from_scratch import name_trained, refuse_trained
from skunlearn._guard import Guard, refuse_drop
from skunlearn._norms import renew_statistics
from skunlearn._persistence import PersistenceMixin, clear_fit
from skunlearn._predicting import PredictorMixin
from skunlearn._requests import RequestMixin
from skunlearn._seeding import derive_seed, draw_seed, seeded
from skunlearn._tasks import Labels, task_of
from skunlearn._torch_errors import telling_torch_errors
from skunlearn._trained_before import walk
from skunlearn._transformers import kinds, steps_before
from skunlearn.exceptions import (
    ClassForgottenWarning,
    ModelDamagedWarning,
    NotForgottenWarning,
    UnlearningError,
)

_SAMPLE = 1000  # retained rows looked at before and after, to notice a destroyed model
_SAMPLE_EXACT = 100  # of methods that cannot destroy it: for the log
_STILL_KNOWN = 0.5  # share of the rows of a forgotten class, named correctly, worth a warning
_MOVED = 1e-3  # rise of the mean forget loss, relative to max(1, loss before), that counts


class BaseUnlearner(
    CertificateMixin,
    PersistenceMixin,
    PredictorMixin,
    RequestMixin,
    MetaEstimatorMixin,
    BaseEstimator,
):
    """Base class of all unlearners.

    A subclass implements ``_attempt(retain, forget, seed)`` and returns a new model; deep
    methods derive from `NetUnlearner` and implement ``_unlearn(net, retain, forget)``. Validation,
    look-up of rows, roll-back, verification and the log are done here. The global random
    generators of torch, numpy and Python are left as they were, but for one draw from numpy's by
    ``fit`` when `random_state` is None.

    Parameters
    ----------
    estimator : skorch net or FrozenEstimator of one
    random_state : int, RandomState instance or None, default=None
    memory : None, str or joblib.Memory, default=None
    store_data : bool, default=True
    verbose : int, default=0
    """

    # With metadata routing on, `fit` takes these without a set_fit_request by the user.
    # `unlearn` stays out of routing: scikit-learn's list of methods is closed.
    __metadata_request__fit = {"forget": True, "ids": True, "groups": True, "measure_on": True}

    # What `skunlearn.utils.unlearner_tags` reports.
    _takes_any_estimator = False
    _takes_nets = True
    _made_for = "classes, rows"  # a word for the table of methods
    _is_exact = False
    _exactness = "retrained without the rows"  # what the certificate says of exact methods
    _rounding = 0.0  # relative difference to a training without the rows, of exact methods
    _is_certified = False
    _needs_forget_rows = True  # whether `_attempt` reads them
    _needs_retain_rows = True
    _needs_labels = True  # of the forget rows
    _adds_noise = False  # changes weights at random, and in no direction
    _class_only = False  # made for forgetting whole classes
    _takes_new_inputs = False  # nothing but the weights ties it to the rows as `fit` saw them
    _watches_training = False  # cannot start from a trained net
    _damage = 0.1  # loss of retained accuracy, as a share of the rows, that is worth a warning
    _judges = False  # looks at rows that the model has never seen
    _starts_afresh = False  # trains the recipe from scratch, inside a FrozenEstimator too

    def __init__(self, estimator, *, random_state=None, memory=None, store_data=True, verbose=0):
        self.estimator = estimator
        self.random_state = random_state
        self.memory = memory
        self.store_data = store_data
        self.verbose = verbose

    # ------------------------------------------------------------------ the two verbs

    def fit(
        self,
        X,
        y=None,
        sample_weight=None,
        *,
        forget=None,
        ids=None,
        groups=None,
        measure_on=None,
    ):
        """Train the model and remember which rows it has seen.

        Parameters
        ----------
        X : array, tensor, data frame, sparse matrix, mapping or torch Dataset of n rows
            Referred to, not copied.
        y : array of shape (n,) or (n, n_targets), default=None
            Labels of any type, or regression targets. A multi-label net, skorch's ``NeuralNet``
            with a criterion such as ``BCEWithLogitsLoss``, takes an indicator matrix of 0 and 1,
            dense or sparse. With a criterion of its own ``NeuralNet`` takes whole numbers and
            text for classes, 0 and 1 in several columns for labels whose logits the module
            returns, and floats for a regression. May be None when `X` is a Dataset that
            gives them: every item is then read once, unless torchvision's data sets say them in
            ``targets`` or ``labels``.
        sample_weight : array of shape (n,), default=None
            Weight of each row, not negative. A net is trained on the weighted mean of the losses
            of a batch's rows (or its own ``get_loss`` takes ``sample_weight``); scikit-learn's
            estimators are given them. Requests keep the weights of the rows that stay.
        forget : bool array of shape (n,), default=None
            Rows to forget right after the training, as ``unlearn`` would.
        ids : sequence of n hashable values, default=None
            Unique record identifiers that later requests may name.
        groups : sequence of n hashable values, default=None
            Group of each row (the person it is about, say); a request may name groups.
        measure_on : torch Dataset of n items, or callable, default=None
            How to read rows as they are, where training augments them at random (a Dataset with
            random crops as `X`, or a net with such a ``dataset=``): a Dataset of the same rows in
            the same order without the augmentation, or the transform to leave out, the very
            object that the Dataset applies. The log, warnings, guards, attacks, reports and
            ``score`` then use rows as they are. None: an AugmentedRowsWarning where a row that is
            read twice differs.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            When something passed in is wrong, or `sample_weight` is given to an estimator that
            takes none; a fitted estimator stays as it was.
        """
        with _all_or_nothing(self):
            self._refuse_frozen_clone()
            self._check_parameters()
            clear_fit(self)
            self._seed = draw_seed(self.random_state)
            with seeded(self._seed):
                named = {"ids": ids, "groups": groups, "measure_on": measure_on}
                record = self._new_record(X, y, sample_weight, **named)
                if forget is not None:
                    forget = _validation.check_forget_mask(forget, len(record))
                self._record = record
                self._steps_before = kinds(steps_before(self))
                self.deletions_ = []
                self._evidence = self._forgotten = None
                rows = record.view(np.arange(len(record)))
                if _skorch.is_net(self.estimator):
                    _held_out.check_given(self.estimator, rows)
                model = self._first_model(rows)
                self.estimator_ = _held_out.restore(model, _skorch.unwrap(self.estimator))
                if forget is not None:
                    self._forget(np.flatnonzero(forget))
        self._settled()
        return self

    def unlearn(
        self,
        X_forget=None,
        y_forget=None,
        *,
        ids=None,
        indices=None,
        groups=None,
        X_retain=None,
        y_retain=None,
        max_accuracy_drop=None,
        X_val=None,
        y_val=None,
        **unknown,
    ):
        """Forget training rows, as if the model had never seen them.

        Name the rows in exactly one way: by content, ids, indices or groups. A second request
        forgets more; what was forgotten earlier stays forgotten. The rows to forget, and a sample
        of the others, are compared with what ``fit`` was given.

        Parameters
        ----------
        X_forget : rows as in ``fit``, default=None
            Found in the training record by their content; all duplicates of a row go.
        y_forget : array of shape (n_forget,), default=None
            Labels, to tell apart equal rows with different labels.
        ids : sequence of identifiers given to ``fit``, default=None
        indices : array of int, default=None
            Positions among the rows that ``fit`` was given.
        groups : sequence of groups given to ``fit``, default=None
        X_retain, y_retain : rows and labels, default=None
            Retained training rows to work with, instead of all of them; needed when the
            estimator does not hold its rows. The forget rows need not be at hand for methods
            that work on the retained rows alone.
        max_accuracy_drop : float, default=None
            Undo the request when it costs more accuracy than this, a share in [0, 1]: 0.05 is
            five points. Of regressors it is R², which may fall by more than 1. It is
            measured on the log's sample of retained rows, at most 1000 (100 for exact methods) and
            within this request, or on `X_val`. None: no limit, but a ModelDamagedWarning at ten
            points.
        X_val, y_val : rows and labels, default=None
            Measure the drop on these instead: rows that ``fit`` was not given. It then counts
            from the first request that was measured on the same rows, so that many small
            requests cannot add up. `AutoUnlearner` compares the forget rows with them.
        **unknown : dict
            Nothing else is taken; the error says how rows are named.

        Returns
        -------
        self : object

        Raises
        ------
        AccuracyDropError
            When the request costs more than `max_accuracy_drop`; it says what was measured.
        UnknownRowsError
            When the request names rows that the model never saw.
        AlreadyForgottenError
            When it names rows that an earlier request removed.
        DataChangedError
            When the rows that ``fit`` was given were sorted, scaled or otherwise changed in place.
        UnlearningError
            When the training diverged. After any error or interrupt the estimator is exactly
            as it was.
        """
        check_is_fitted(self)
        _validation.check_single_request(
            unknown, X_forget=X_forget, ids=ids, indices=indices, groups=groups
        )
        if y_forget is not None and X_forget is None:
            raise TypeError("y_forget needs X_forget.")
        guard = Guard(self, max_accuracy_drop, X_val, y_val)
        with _all_or_nothing(self), seeded(self._seed):
            self._check_parameters()
            if X_forget is not None:
                X_forget, y_forget = self._check_request(X_forget, y_forget, "forget")
            positions = self._record.find(
                X_forget, y_forget, ids=ids, indices=indices, groups=groups
            )
            given = ()
            if X_retain is not None or y_retain is not None:
                given = self._given_rows(positions, X_forget, y_forget, X_retain, y_retain)
            self._forget(positions, *given, most_lost=guard.on_sample, unseen=guard.unseen)
            self.deletions_ = guard.check(self)
            self._drop_copies()
            self._purge_caches(["memory"], self._record)
        self._settled()
        return self

    # ------------------------------------------------------------------ for subclasses

    def _attempt(self, retain, forget, seed):
        """Return a new model that has forgotten; ``self.estimator_`` must stay untouched.

        Parameters
        ----------
        retain, forget : Rows
            `forget` is None when the rows are not at hand and ``_needs_forget_rows`` is False.
        seed : int
        """
        raise NotImplementedError(f"{type(self).__name__} does not define _attempt")

    def _new_model(self, retain, forget, seed):
        """The model of ``_attempt``, settled, and what `renew_statistics` could not renew in it."""
        with telling_torch_errors(type(self).__name__, self._is_exact):
            model = self._attempt(retain, forget, seed)
        if self._is_exact or not _skorch.is_net(model):
            return _skorch.settle(model), None
        if model is self.estimator_:
            model = _skorch.copy_net(model)
        return _skorch.settle(model), renew_statistics(model, retain, seed)

    def _logged(self):
        """What the method adds to the entry of the log, in JSON's types."""
        return {}

    def _proved(self):
        """What is proved of the present model, in JSON's types; {} when nothing is."""
        return {}

    def _settled(self):
        """Called when ``fit`` or a request has succeeded and nothing will be put back."""

    def _purge_caches(self, parts, record, estimator=None):
        """Delete what ``memory=`` holds of forgotten rows, and write down what was deleted."""
        report = _caches.purge(estimator or self, record, _training.cached, parts)
        if report is not None:
            entry = self.deletions_[-1] | {"caches": report}
            self.deletions_ = [*self.deletions_[:-1], entry]

    def _train(self, rows, *, seed=None, write_checkpoints=False):
        """A(rows): a freshly trained estimator, taken from ``memory`` when it is there."""
        return _training.train(
            _skorch.unwrap(self.estimator),
            rows,
            self._classes,
            self._seed if seed is None else seed,
            memory=self.memory,
            verbose=self.verbose,
            write_checkpoints=write_checkpoints,
        )

    # ------------------------------------------------------------------ fit, step by step

    def _check_parameters(self):
        estimator, name = _skorch.unwrap(self.estimator), type(self).__name__
        frozen = isinstance(self.estimator, FrozenEstimator)
        _net_checks.refuse_module(estimator, name)
        if _skorch.is_net(estimator):
            _net_checks.check_net(estimator, name)
        elif not self._takes_any_estimator:
            raise TypeError(
                f"{name} works on skorch nets, got {type(estimator).__name__}. Wrap the PyTorch "
                "module in skorch's NeuralNetClassifier, or use RetrainUnlearner."
            )
        elif (
            isinstance(estimator, type)
            or not hasattr(estimator, "__sklearn_tags__")
            or get_tags(estimator).estimator_type not in ("classifier", "regressor")
        ):
            raise TypeError(
                f"{name} needs a scikit-learn classifier or regressor, or a skorch net, got "
                f"{estimator!r}."
            )
        else:
            for path, net in walk(estimator, "estimator").nets:
                _net_checks.refuse_sampler(net, path)
        if frozen:
            check_is_fitted(estimator)
        if self._starts_afresh or not frozen:
            refuse_trained(estimator, name)

    def _refuse_frozen_clone(self):
        if isinstance(self.estimator, FrozenEstimator) and getattr(self, "_is_clone", False):
            raise ValueError(
                f"This {type(self).__name__} is a clone around an already trained model, as "
                "cross-validation makes them: the model has seen the rows of the test folds too, "
                "so forgetting would look better than it is. Pass the net itself instead of "
                "FrozenEstimator(net), so that every fold trains its own (memory= trains each "
                "only once)."
            )

    def _first_model(self, rows):
        if not isinstance(self.estimator, FrozenEstimator):
            return _skorch.settle(self._train(rows, write_checkpoints=True))
        return _training.copy_trained(
            self.estimator.estimator, rows, self._classes, verbose=self.verbose
        )

    def _count_held_out(self, retain):
        """How many retained rows the trainings of a request hold out; None where none would be."""
        return _held_out.count(_skorch.unwrap(self.estimator), retain)

    # ------------------------------------------------------------------ unlearn, step by step

    def _successor(self, positions, forget=None, retain=None, **known):
        """A copy of this estimator that has forgotten; this one stays as it is.

        The caller calls ``_settled`` of the copy once nothing will be put back. `known` goes to
        ``_forget``.
        """
        new = object.__new__(type(self))
        vars(new).update(vars(self))
        with seeded(self._seed):
            new._check_parameters()
            new._forget(positions, forget, retain, **known)
        new._drop_copies()
        return new

    def _name_trained(self):
        """Names of what the estimator brings along that no training from scratch learns anew."""
        return name_trained(_skorch.unwrap(self.estimator))

    def _drop_copies(self):
        if self._record.owned:
            # Nobody else can delete the forgotten rows from a copy that `fit` made.
            vars(self).update(_record=self._record.without_forgotten(), _forgotten=None)

    def _sample(self, retain):
        return retain.sample(_SAMPLE_EXACT if self._is_exact else _SAMPLE, self._seed)

    def _forget(
        self, positions, forget=None, retain=None, before=None, most_lost=None, unseen=None
    ):
        # `before` holds what the present model says of the forget rows and of a sample of the
        # others, where it is to be asked in another way than about the rows of this request.
        # `most_lost` is what the request may cost in accuracy on that sample; `unseen` are rows
        # with labels that the model has never seen, for methods that judge themselves.
        started = time.perf_counter()
        self._record.check_unchanged(positions)
        record = self._record.without(positions)
        if retain is None:
            forget = self._record.view(positions)
            retain = record.view(np.flatnonzero(record.retained))
        emptied = self._announce_classes(record, forget)
        sample = self._sample(retain)
        if before is None:
            before = [observe(self.estimator_, rows, self._classes) for rows in (forget, sample)]

        trained_before = self._name_trained() if self._is_exact else []
        seed = derive_seed(self._seed, len(self.deletions_))
        self._unseen_given = unseen
        model, kept = self._new_model(retain, forget, seed)
        del self._unseen_given
        _held_out.restore(model, _skorch.unwrap(self.estimator))

        after = observe(model, forget, self._classes)
        after_sample = observe(model, sample, self._classes)
        for evidence in (after, after_sample):
            if evidence is not None and not evidence.is_finite():
                raise UnlearningError(
                    "The training diverged: the new model's outputs hold NaN or infinity. The "
                    "model is as it was before. Try a smaller learning rate."
                )
        measured = {
            "forget_before": summary(before[0]),
            "forget_after": summary(after),
            "retain_before": summary(before[1]),
            "retain_after": summary(after_sample),
        }
        entry = deletion_entry(
            self,
            rows=len(positions),
            identifiers=record.identifiers(positions),
            classes_forgotten=emptied,
            seconds=time.perf_counter() - started,
            measured=measured,
            when=datetime.now(UTC),
        )
        if record.weights is not None:
            entry["weighted"] = True
        if kept is not None:
            entry["statistics_kept"] = kept
        if trained_before:
            entry |= {"exact": False, "trained_before": trained_before}
        held_out = self._count_held_out(retain)
        if held_out is not None:
            entry["held_out"] = held_out
        entry |= self._logged()
        scores = [measured[key]["score"] for key in ("retain_before", "retain_after")]
        where = f"{len(sample)} retained rows"
        refuse_drop(type(self).__name__, *scores, most_lost, where)
        most_lost = self._damage if most_lost is None else np.inf  # who sets a limit needs no other
        self._warn_if_wrong(
            measured,
            most_lost,
            emptied,
            still_named=self._still_named(record, forget, after, emptied),
            chance=self._chance(after_sample),
            said=(before[0], after, after_sample),
        )
        changed = {
            "estimator_": model,
            "_record": record,
            "deletions_": [*self.deletions_, entry],
            "_evidence": after,
            "_forgotten": forget,
        }
        if isinstance(self.estimator, FrozenEstimator):
            # The trained net that the user froze still knows the rows; this object lets go of it.
            changed["estimator"] = FrozenEstimator(model)
        vars(self).update(changed)

    def _announce_classes(self, record, forget):
        if self._classes is None or not record.has_data or forget is None:
            return []
        gone = task_of(self._classes).emptied(record.retained_y, forget.y)
        labels = self.classes_ if isinstance(self._classes, Labels) else self._classes
        names = [plain(label) for label in labels[gone]]
        if names:
            _validation.warn(
                f"The request removes every retained row of {names}: the model forgets the whole "
                "class. Judge it on unseen rows of that class, and its accuracy on the others.",
                ClassForgottenWarning,
            )
        return names

    def _warn_if_wrong(self, measured, most_lost, emptied, *, still_named, chance, said):
        # `said` is the evidence of the forget rows before and after, and of the sample after.
        if self._is_exact or self._is_certified:
            return  # what is proved needs no measuring
        lost = _drop(measured["retain_before"], measured["retain_after"])
        if lost > most_lost:
            _validation.warn(
                f"{type(self).__name__} cost the retained rows {100 * lost:.0f} points of "
                "accuracy. Try a smaller learning rate, fewer epochs or a larger penalty.",
                ModelDamagedWarning,
            )
            said = None  # what a wrecked model is sure of says nothing of what it remembers
        before = measured["forget_before"]["loss"]
        after = measured["forget_after"]["loss"]
        if before is None or after is None:
            return
        pushed = self._needs_forget_rows
        if after - before <= _MOVED * max(1.0, before):
            _validation.warn(
                f"{type(self).__name__} did not raise the loss on the forget rows ({before:.4g} "
                f"before, {after:.4g} after): they may still be remembered. Try more epochs, a "
                "larger learning rate or a smaller penalty.",
                NotForgottenWarning,
            )
        elif said and (losses := known_by_heart(*said[:2], chance, pushed)) is not None:
            _validation.warn(
                f"After {type(self).__name__} forget rows are still known by heart: "
                f"{'half of them have a loss of at most' if pushed else 'their mean loss is'} "
                f"{losses[1]:.3g} ({losses[0]:.3g} before, {chance:.3g} for chance). "
                "Unless a model knows unseen rows as well, it has not forgotten them: look at "
                "MIAScorer or skunlearn.evaluation.audit. More epochs, a larger learning rate or a "
                "smaller penalty forget more; so do RandomLabelUnlearner, SalUnUnlearner and "
                "NegGradPlusUnlearner.",
                NotForgottenWarning,
            )
        elif still_named > _STILL_KNOWN:
            # A model that never saw a class never names it.
            _validation.warn(
                f"{type(self).__name__} still names {100 * still_named:.0f} % of the rows of "
                "forgotten classes correctly. Try more epochs, a larger learning rate or a smaller "
                "penalty.",
                NotForgottenWarning,
            )
        elif said and not emptied and (sure := stands_out(*said[1:])) is not None:
            level, share = sure
            _validation.warn(
                f"After {type(self).__name__} the forget rows stand out: the model is sure of "
                f"{100 * share:.0f} % of them (a probability of {level:.2f} and more, which half "
                "of the retained rows of their classes reach). Of rows like them that it has never "
                "seen it would be sure more often, so that an attack by entropy tells them apart. "
                "Try a smaller learning rate or fewer epochs, and look at MIAScorer with "
                "attack='entropy'.",
                NotForgottenWarning,
            )

    def _still_named(self, record, forget, after, emptied):
        """Share of forget rows whose class is still named, when all are of emptied classes."""
        task = task_of(self._classes)
        if not emptied or not task.covers(record.retained_y, forget.y):
            return 0.0
        return task.still_named(after, task.emptied(record.retained_y, forget.y))

    def _chance(self, sample):
        """Loss of a guess at a class or at labels; 0 for a regression."""
        if self._classes is None:
            return 0.0
        return task_of(self._seen_classes).chance(sample.y) or float(np.log(2))

    def __sklearn_clone__(self):
        net = self.estimator
        if _skorch.is_net(net):  # whose callbacks scikit-learn's own clone may refuse
            bare = object.__new__(type(self))
            vars(bare).update(vars(self), estimator=None)
            new = super(BaseUnlearner, bare).__sklearn_clone__()
            new.estimator = _skorch.clone_net(net)
            return new
        new = super().__sklearn_clone__()
        if isinstance(self.estimator, FrozenEstimator):
            new._is_clone = True
        return new


def model_of(estimator):
    """The model inside a fitted unlearner, or the estimator itself.

    Scikit-learn's ensembles have an ``estimator_`` too, which is something else.
    """
    return estimator.estimator_ if isinstance(estimator, BaseUnlearner) else estimator


@contextmanager
def _all_or_nothing(estimator):
    """Put every attribute back when the block ends with an exception or an interrupt."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        # One assignment, which no second interrupt can cut in half.
        estimator.__dict__ = before
        raise


def _drop(before, after):
    if before["score"] is None or after["score"] is None:
        return 0.0
    return before["score"] - after["score"]
