"""The verb `unlearn`: everything that the methods share, in one place."""

import copy
import time
from dataclasses import replace

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skunlearn._files import tensor_files
from skunlearn._recipe import caches, training
from skunlearn._recipe.from_scratch import name_trained, refuse_trained
from skunlearn._recipe.step_kinds import kinds
from skunlearn._recipe.trained_before import walk
from skunlearn._rows import checking
from skunlearn._rows.seeding import derive_seed, draw_seed, seeded
from skunlearn._torch import held_out_rows, net_checks, skorch_nets
from skunlearn._torch.loop.norms import renew_statistics
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.torch_errors import telling_torch_errors
from skunlearn._unlearning import persistence
from skunlearn._unlearning.accuracy_guard import refuse_drop
from skunlearn._unlearning.certificate.content import deletion_entry, names_of, weights_change
from skunlearn._unlearning.certificate.recording import RecordingMixin, note_file
from skunlearn._unlearning.change import Change
from skunlearn._unlearning.diagnosis import emptied_classes, warn_if_wrong
from skunlearn._unlearning.drafts import drafted, note_own_state, share_all
from skunlearn._unlearning.fitted import Fitted, fitted
from skunlearn._unlearning.predictor import PredictorMixin
from skunlearn._unlearning.removal import Removal, carry_out
from skunlearn._unlearning.row_reader import read_request, read_training
from skunlearn._unlearning.steps_before import steps_before

_SAMPLE = 1000  # retained rows looked at before and after, to notice a destroyed model
_SAMPLE_EXACT = 100  # of methods that cannot destroy it: for the log


class BaseUnlearner(RecordingMixin, PredictorMixin, MetaEstimatorMixin, BaseEstimator):
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
    _not_in_files = ()  # what the method puts on itself and `save` leaves out without a warning

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
        named = {"ids": ids, "groups": groups, "measure_on": measure_on}
        return self._fit(X, y, sample_weight, forget, named)

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
        given, guard = (X_retain, y_retain), (max_accuracy_drop, X_val, y_val)
        return carry_out(self, X_forget, y_forget, ids, indices, groups, given, guard, unknown)

    # ------------------------------------------------------------------ what it tells and keeps

    def detach(self):
        """Let go of the training rows; their digests stay.

        Until then the estimator refers to the arrays that ``fit`` was given, in which forgotten
        rows still stand as long as their owner keeps them there.

        Returns
        -------
        self : object
        """
        check_is_fitted(self)
        self._change(record=self._record.detach(), forgotten=None)
        return self

    def attach(self, X, y=None, *, measure_on=None):
        """Give the retained rows back to an estimator that does not hold them.

        Parameters
        ----------
        X : rows as in ``fit``
            All retained rows, in any order. A Dataset must be the one that ``fit`` was given,
            forgotten rows in their places (they are not read).
        y : array of shape (n,), default=None
        measure_on : torch Dataset or callable, default=None
            As in ``fit``, for the rows of `X` in their order.

        Returns
        -------
        self : object

        Raises
        ------
        AlreadyForgottenError
            When `X` holds rows that were forgotten.
        UnknownRowsError, ValueError
            When rows are missing, unknown or have other labels than in ``fit``.
        """
        check_is_fitted(self)
        self._change(record=persistence.give_back(self, X, y, measure_on))
        return self

    def save(self, path):
        """Write the model, the log and the digests of the rows to one safetensors file.

        No rows and no labels are written, and nothing from before the last unlearning. The file
        is complete or absent: it is written beside `path` and renamed. Of the net it holds
        parameters and buffers; what else was changed on its modules after they were built (a head
        that was replaced, hooks, a dropout rate) is named in a warning, and `load` wants it from
        a ``FrozenEstimator`` around a net that was changed in the same way.

        Parameters
        ----------
        path : str or path-like

        Warns
        -----
        IncompleteFileWarning
            When `load` into an estimator of the same parameters would give another net.

        Raises
        ------
        TypeError
            When the model is not a skorch net; pickle such an estimator instead.
        """
        tensors, state = self._saved()
        tensor_files.write(path, tensors, state)
        note_file(self, path)
        persistence.warn_of_lost(path, state["lost"])

    def load(self, path):
        """Read what `save` wrote into this estimator, whose net gives the architecture.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        self : object
            Fitted; it holds no rows until ``attach`` is called.

        Warns
        -----
        IncompleteFileWarning
            When `save` has said that the file does not hold all of the net, and the estimator is
            no ``FrozenEstimator`` to take the rest from.

        Raises
        ------
        ValueError
            When the file was not written by ``save`` of this class, or the net does not fit.
        """
        self._restored(*tensor_files.read(path), path)
        note_file(self, path)
        return self

    def _saved(self):
        check_is_fitted(self)
        return persistence.describe(self)

    def _restored(self, tensors, state, path):
        return persistence.restore_from(self, tensors, state, path)

    def __getstate__(self):
        return persistence.getstate(self, super().__getstate__())

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
        if self._is_exact or not skorch_nets.is_net(model):
            return skorch_nets.settle(model), None
        if model is self.estimator_:
            model = skorch_nets.copy_net(model)
        return skorch_nets.settle(model), renew_statistics(model, retain, seed)

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
        report = caches.purge(estimator or self, record, training.cached, parts)
        if report is not None:
            self._log([*self.deletions_[:-1], self.deletions_[-1] | {"caches": report}])

    def _train(self, rows, *, seed=None, write_checkpoints=False):
        """A(rows): a freshly trained estimator, taken from ``memory`` when it is there."""
        return training.train(
            skorch_nets.unwrap(self.estimator),
            rows,
            self._classes,
            self._seed if seed is None else seed,
            memory=self.memory,
            verbose=self.verbose,
            write_checkpoints=write_checkpoints,
        )

    # ------------------------------------------------------------------ fit, step by step

    def _fit(self, X, y, sample_weight, forget, named, **own):
        """The verb `fit`; `own` is put on the estimator before the model is trained."""
        self._refuse_frozen_clone()
        with drafted(self, anew=True) as draft:
            vars(draft).update(own)
            draft._check_parameters()
            seed = draw_seed(self.random_state)
            with seeded(seed):
                draft._begin(seed, X, y, sample_weight, **named)
                draft._change(steps_before=kinds(steps_before(self)))
                record = draft._record
                if forget is not None:
                    forget = checking.check_forget_mask(forget, len(record))
                rows = record.view(np.arange(len(record)))
                if skorch_nets.is_net(self.estimator):
                    held_out_rows.check_given(self.estimator, rows)
                model = draft._first_model(rows)
                draft._change(
                    model=held_out_rows.restore(model, skorch_nets.unwrap(self.estimator))
                )
                if forget is not None:
                    draft._forget(Removal(np.flatnonzero(forget)))
        self._settled()
        return self

    def _begin(self, seed, X, y, sample_weight=None, **named):
        """Know the rows; no model has been trained on them yet."""
        record, row_reader = read_training(self, X, y, sample_weight, **named)
        self._fitted = Fitted(seed, record, row_reader)

    def _check_parameters(self):
        estimator, name = skorch_nets.unwrap(self.estimator), type(self).__name__
        frozen = isinstance(self.estimator, FrozenEstimator)
        net_checks.refuse_module(estimator, name)
        if skorch_nets.is_net(estimator):
            net_checks.check_net(estimator, name)
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
                net_checks.refuse_sampler(net, path)
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
            return skorch_nets.settle(self._train(rows, write_checkpoints=True))
        return training.copy_trained(
            self.estimator.estimator, rows, self._classes, verbose=self.verbose
        )

    def _count_held_out(self, retain):
        """How many retained rows the trainings of a request hold out; None where none would be."""
        return held_out_rows.count(skorch_nets.unwrap(self.estimator), retain)

    # ------------------------------------------------------------------ unlearn, step by step

    def _successor(self, positions, forget=None, retain=None, **known):
        """A copy of this estimator that has forgotten; this one stays as it is.

        The caller calls ``_settled`` of the copy once nothing will be put back. `known` goes to
        the `Removal`.
        """
        new = copy.copy(self)
        with seeded(self._seed):
            new._check_parameters()
            new._forget(Removal(positions, forget, retain, **known))
        new._drop_copies()
        note_own_state(new, set(vars(self)))
        return new

    def _forget(self, removal):
        """Take over a model that has forgotten; of a draft, which nobody else has seen yet."""
        started = time.perf_counter()
        self._record.check_unchanged(removal.positions)
        record = self._record.without(removal.positions)
        removal = self._look_up(removal, record)
        emptied = emptied_classes(self, record, removal.forget)
        sample = self._sample(removal.retain)
        before = removal.before or self._observe(self.estimator_, removal.forget, sample)
        # What came along trained, and no training renews, takes an exact method its guarantee.
        brought = self._name_trained() if self._is_exact else []
        model, kept = self._renew_model(removal)
        change = Change(*before, *self._observe(model, removal.forget, sample))
        change.refuse_divergence()
        measured = change.measured()
        entry = deletion_entry(
            self,
            rows=len(removal.positions),
            named=names_of(record, removal.positions),
            classes_forgotten=emptied,
            seconds=time.perf_counter() - started,
            measured=measured,
        )
        entry |= self._describe(record, removal.retain, kept, brought)
        entry["weights"] = weights_change(self.estimator_, model)
        self._judge(change, measured, removal, record, emptied, len(sample))
        self._change(
            model=model,
            record=record,
            deletions=[*self.deletions_, entry],
            evidence=change.forget_after,
            forgotten=removal.forget,
        )
        if isinstance(self.estimator, FrozenEstimator):
            # The trained net that the user froze still knows the rows; this object lets go of it.
            self.estimator = FrozenEstimator(model)

    def _look_up(self, removal, record):
        """The request with its rows, where it did not bring them; `record` is that after it."""
        if removal.retain is not None:
            return removal
        return replace(
            removal,
            forget=self._record.view(removal.positions),
            retain=record.view(np.flatnonzero(record.retained)),
        )

    def _sample(self, retain):
        return retain.sample(_SAMPLE_EXACT if self._is_exact else _SAMPLE, self._seed)

    def _observe(self, model, forget, sample):
        return [observe(model, rows, self._classes) for rows in (forget, sample)]

    def _renew_model(self, removal):
        """The model after a request, and what `renew_statistics` could not renew in it."""
        seed = derive_seed(self._seed, len(self.deletions_))
        self._unseen_given = removal.unseen
        model, kept = self._new_model(removal.retain, removal.forget, seed)
        del self._unseen_given
        return held_out_rows.restore(model, skorch_nets.unwrap(self.estimator)), kept

    def _describe(self, record, retain, kept, brought):
        """What an entry of the log holds besides what was measured, where there is something."""
        entry, held_out = {}, self._count_held_out(retain)
        if record.weights is not None:
            entry["weighted"] = True
        if kept is not None:
            entry["statistics_kept"] = kept
        if brought:
            entry |= {"exact": False, "trained_before": brought}
        if held_out is not None:
            entry["held_out"] = held_out
        return entry | self._logged()

    def _judge(self, change, measured, removal, record, emptied, n_sample):
        """Refuse what costs too much, and warn of what went wrong."""
        scores = [measured[key]["score"] for key in ("retain_before", "retain_after")]
        where = f"{n_sample} retained rows"
        refuse_drop(type(self).__name__, *scores, removal.most_lost, where)
        # Who sets a limit needs no other.
        most_lost = self._damage if removal.most_lost is None else np.inf
        self._warn_if_wrong(
            measured, most_lost, emptied, change=change, record=record, forget=removal.forget
        )

    def _warn_if_wrong(self, measured, most_lost, emptied, **known):
        """Warn when the model was damaged, or has not forgotten; see `diagnosis`."""
        if not (self._is_exact or self._is_certified):  # what is proved needs no measuring
            warn_if_wrong(self, measured, most_lost, emptied, **known)

    def _name_trained(self):
        """Names of what the estimator brings along that no training from scratch learns anew."""
        return name_trained(skorch_nets.unwrap(self.estimator))

    def _log(self, deletions):
        self._change(deletions=deletions)

    def _clean_up(self, before):
        """Let go of what knows the forgotten rows still; `before` is the state before."""
        self._drop_copies()
        self._purge_caches(["memory"], self._record)

    def _drop_copies(self):
        if self._record.owned:
            # Nobody else can delete the forgotten rows from a copy that `fit` made.
            self._change(record=self._record.without_forgotten(), forgotten=None)

    # ------------------------------------------------------------------ the fitted state

    estimator_, deletions_ = fitted("model"), fitted("deletions")
    _seed, _record = fitted("seed"), fitted("record")
    _evidence, _forgotten = fitted("evidence"), fitted("forgotten")
    _steps_before, _row_reader = fitted("steps_before"), fitted("row_reader")
    _records, _saved_files, _key = fitted("records"), fitted("files"), fitted("key")

    def _change(self, **changed):
        self._fitted = replace(self._fitted, **changed)

    @property
    def classes_(self):
        """Labels that ``fit`` has seen; regressors have none."""
        labels = self._row_reader.labels
        if labels is None:
            raise AttributeError(f"This {type(self).__name__} is a regressor: it has no classes_.")
        return labels

    @property
    def _classes(self):
        """The label of each column of the model, `Labels`, or None for a regression."""
        return self._row_reader.classes

    @property
    def _reader(self):
        """How rows are read to be measured, or None."""
        return self._record.reader if "_fitted" in vars(self) else None

    def _encode(self, y, name="y"):
        return self._row_reader.encode(y, name, self._record.y_dtype)

    def _check_request(self, X, y, name):
        return read_request(self, X, y, name)

    def __sklearn_is_fitted__(self):
        return "_fitted" in vars(self) and self._fitted.model is not None

    def __copy__(self):
        return share_all(self)

    def __sklearn_clone__(self):
        net = self.estimator
        if skorch_nets.is_net(net):  # whose callbacks scikit-learn's own clone may refuse
            bare = copy.copy(self)
            bare.estimator = None
            new = super(BaseUnlearner, bare).__sklearn_clone__()
            new.estimator = skorch_nets.clone_net(net)
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
