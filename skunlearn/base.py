"""The verb `unlearn`: everything that the methods share, in one place."""

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_scalar, get_tags
from sklearn.utils.validation import check_is_fitted

from skunlearn import _skorch, _training, _validation
from skunlearn._certificate import CertificateMixin, deletion_entry
from skunlearn._data import is_dataset, n_rows
from skunlearn._evidence import observe
from skunlearn._persistence import PersistenceMixin
from skunlearn._predicting import PredictorMixin
from skunlearn._record import Rows, TrainingRecord, request_rows
from skunlearn._seeding import derive_seed, draw_seed, seeded
from skunlearn.callbacks import LinearDecay
from skunlearn.exceptions import (
    AlreadyForgottenError,
    ClassForgottenWarning,
    ModelDamagedWarning,
    NotForgottenWarning,
)

_SAMPLE = 1000  # retained rows looked at before and after, to notice a destroyed model
_DAMAGE = 0.1  # loss of retained accuracy, as a share of the rows, that is worth a warning
_MOVED = 1e-3  # rise of the mean forget loss, relative to max(1, loss before), that counts


class BaseUnlearner(
    CertificateMixin, PersistenceMixin, PredictorMixin, MetaEstimatorMixin, BaseEstimator
):
    """Base class of all unlearners.

    A subclass implements ``_attempt(retain, forget, seed)`` and returns a new model; deep
    methods derive from `NetUnlearner` and implement ``_unlearn(net, retain, forget)``. Validation,
    look-up of rows, roll-back, verification and the log are done here.

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
    __metadata_request__fit = {"forget": True, "ids": True, "groups": True}

    _takes_any_estimator = False
    _is_exact = False

    def __init__(self, estimator, *, random_state=None, memory=None, store_data=True, verbose=0):
        self.estimator = estimator
        self.random_state = random_state
        self.memory = memory
        self.store_data = store_data
        self.verbose = verbose

    # ------------------------------------------------------------------ the two verbs

    def fit(self, X, y=None, *, forget=None, ids=None, groups=None):
        """Train the model and remember which rows it has seen.

        Parameters
        ----------
        X : array, tensor, data frame, sparse matrix, mapping or torch Dataset of n rows
            Referred to, not copied.
        y : array of shape (n,), default=None
            Labels of any type, or regression targets. May be None when `X` is a Dataset that
            gives them.
        forget : bool array of shape (n,), default=None
            Rows to forget right after the training, as ``unlearn`` would.
        ids : sequence of n hashable values, default=None
            Unique record identifiers that later requests may name.
        groups : sequence of n hashable values, default=None
            Group of each row (the person it is about, say); a request may name groups.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            When something passed in is wrong; a fitted estimator stays as it was.
        """
        with _all_or_nothing(self):
            self._check_parameters()
            record = self._new_record(X, y, ids, groups)
            mask = None if forget is None else _validation.check_forget_mask(forget, len(record))
            self._seed = draw_seed(self.random_state)
            self._record = record
            self.deletions_ = []
            self._evidence = self._forgotten = None
            self.estimator_ = self._first_model(record.view(np.arange(len(record))))
            if mask is not None:
                self._forget(np.flatnonzero(mask), None)
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
    ):
        """Forget training rows, as if the model had never seen them.

        Name the rows in exactly one way: by content, ids, indices or groups. A second request
        forgets more; what was forgotten earlier stays forgotten.

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
            estimator does not hold its rows.

        Returns
        -------
        self : object

        Raises
        ------
        UnknownRowsError
            When the request names rows that the model never saw.
        AlreadyForgottenError
            When it names rows that an earlier request removed.
        UnlearningError
            When the training diverged. After any error or interrupt the estimator is exactly
            as it was.
        """
        check_is_fitted(self)
        _validation.check_single_request(X_forget=X_forget, ids=ids, indices=indices, groups=groups)
        with _all_or_nothing(self):
            if X_forget is not None:
                X_forget, y_forget = self._check_request(X_forget, y_forget, "forget")
            positions = self._record.find(
                X_forget, y_forget, ids=ids, indices=indices, groups=groups
            )
            forget = retain = None
            if X_retain is not None:
                forget, retain = self._given_rows(positions, X_forget, y_forget, X_retain, y_retain)
            self._forget(positions, forget, retain)
        return self

    # ------------------------------------------------------------------ for subclasses

    def _attempt(self, retain, forget, seed):
        """Return a new model that has forgotten; ``self.estimator_`` must stay untouched.

        Parameters
        ----------
        retain, forget : Rows
        seed : int
        """
        raise NotImplementedError(f"{type(self).__name__} does not define _attempt")

    def _train(self, rows):
        """A(rows): a freshly trained estimator, taken from ``memory`` when it is there."""
        return _training.train(
            _skorch.unwrap(self.estimator),
            rows,
            self._classes,
            self._seed,
            memory=self.memory,
            verbose=self.verbose,
        )

    @property
    def _classes(self):
        return getattr(self, "classes_", None)

    # ------------------------------------------------------------------ fit, step by step

    def _check_parameters(self):
        estimator, name = _skorch.unwrap(self.estimator), type(self).__name__
        frozen = isinstance(self.estimator, FrozenEstimator)
        if _skorch.is_net(estimator):
            _skorch.check_net(estimator, name, trained=frozen)
        elif not self._takes_any_estimator:
            raise TypeError(
                f"{name} works on skorch nets, got {type(estimator).__name__}. Wrap the PyTorch "
                "module in skorch's NeuralNetClassifier, or use RetrainUnlearner."
            )
        elif get_tags(estimator).estimator_type not in ("classifier", "regressor"):
            raise TypeError(f"{name} needs a classifier or a regressor, got {estimator!r}.")
        if frozen and getattr(self, "_is_clone", False):
            raise ValueError(
                f"This {name} is a clone around an already trained model, as cross-validation "
                "makes them: the model has seen the rows of the test folds too, so forgetting "
                "would look better than it is. Pass the net itself instead of FrozenEstimator("
                "net), so that every fold trains its own (memory= trains each only once)."
            )

    def _new_record(self, X, y, ids, groups):
        classifier = get_tags(self).estimator_type == "classifier"
        if y is None and is_dataset(X):
            y = _validation.dataset_targets(X)
        X = _validation.check_X(self, X, reset=True)
        n = len(X) if is_dataset(X) else n_rows(X)
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target "
                "y is None."
            )
        if n < 1:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        y = _validation.check_targets(y, n, classifier=classifier)
        if classifier:
            self.classes_ = self._find_classes(X, y)
            y = _validation.encode(y, self.classes_)
        else:
            self._n_targets = y.shape[1] if y.ndim == 2 else None
        return TrainingRecord(X, y, ids=ids, groups=groups)

    def _find_classes(self, X, y):
        net = _skorch.unwrap(self.estimator)
        if not _skorch.is_net(net):
            return np.unique(y)
        if getattr(net, "classes", None) is not None and len(net.classes):
            return np.asarray(net.classes)
        if not isinstance(self.estimator, FrozenEstimator):
            return np.unique(y)
        return _skorch.trained_classes(net, X, y)

    def _first_model(self, rows):
        if not isinstance(self.estimator, FrozenEstimator):
            return self._train(rows)
        check_is_fitted(self.estimator.estimator)
        return _skorch.copy_trained(self.estimator.estimator, rows, verbose=self.verbose)

    # ------------------------------------------------------------------ unlearn, step by step

    def _check_request(self, X, y, name):
        if is_dataset(X) or self._record.is_dataset:
            return X, y
        like = self._record.row_like()
        if hasattr(X, "columns") and hasattr(self, "feature_names_in_"):
            X = _validation.check_X(self, X)
        X = request_rows(X, like, f"X_{name}")
        if y is not None:
            y = np.asarray(y)
            if len(y) != n_rows(X):
                raise ValueError(
                    f"X_{name} has {n_rows(X)} rows, but y_{name} has {len(y)} entries."
                )
            y = self._encode(y, f"y_{name}")
        return X, y

    def _encode(self, y, name="y"):
        if self._classes is not None:
            return _validation.encode(y, self.classes_, name)
        return np.asarray(y, dtype=self._record.y_dtype)

    def _given_rows(self, positions, X_forget, y_forget, X_retain, y_retain):
        """Views of rows that come with the request, each checked against the record."""
        if y_retain is None:
            raise ValueError("X_retain needs y_retain.")
        X_retain, y_retain = self._check_request(X_retain, y_retain, "retain")
        kept = self._record.find(X_retain, y_retain)
        if np.isin(kept, positions).any():
            raise AlreadyForgottenError("X_retain holds rows of the forget set; leave them out.")
        retain = Rows(X_retain, y_retain, np.arange(n_rows(X_retain)))
        if self._record.has_data:
            return None, retain
        if X_forget is None or y_forget is None:
            raise ValueError(
                "This estimator does not hold its rows, so the request must bring X_forget and "
                "y_forget beside X_retain and y_retain."
            )
        return Rows(X_forget, y_forget, np.arange(n_rows(X_forget))), retain

    def _forget(self, positions, forget=None, retain=None):
        started = time.perf_counter()
        record = self._record.without(positions)
        forget = self._record.view(positions) if forget is None else forget
        retain = record.view(np.flatnonzero(record.retained)) if retain is None else retain
        emptied = self._announce_classes(record, forget)
        sample = retain.sample(_SAMPLE, self._seed)
        before = observe(self.estimator_, forget, self._classes)
        before_sample = observe(self.estimator_, sample, self._classes)

        model = self._attempt(retain, forget, derive_seed(self._seed, len(self.deletions_)))

        after = observe(model, forget, self._classes)
        measured = {
            "forget_before": before.summary(),
            "forget_after": after.summary(),
            "retain_before": before_sample.summary(),
            "retain_after": observe(model, sample, self._classes).summary(),
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
        self._warn_if_wrong(measured)
        # The caller restores the old attributes if anything fails up to here.
        vars(self).update(
            estimator_=model,
            _record=record,
            deletions_=[*self.deletions_, entry],
            _evidence=after,
            _forgotten=forget,
        )
        if isinstance(self.estimator, FrozenEstimator):
            # The trained net that the user froze still knows the rows; this object lets go of it.
            self.estimator = FrozenEstimator(model)

    def _announce_classes(self, record, forget):
        if self._classes is None or not record.has_data:
            return []
        left = np.bincount(record.retained_y, minlength=len(self.classes_))
        names = [self.classes_[i].item() for i in np.unique(forget.y) if left[i] == 0]
        if names:
            _validation.warn(
                f"The request removes every retained row of {names}: the model forgets the whole "
                "class. Judge it on unseen rows of that class, and its accuracy on the others.",
                ClassForgottenWarning,
            )
        return names

    def _warn_if_wrong(self, measured):
        lost = _drop(measured["retain_before"], measured["retain_after"])
        if lost > _DAMAGE:
            _validation.warn(
                f"{type(self).__name__} cost the retained rows {100 * lost:.0f} points of "
                "accuracy. Try a smaller learning rate, fewer epochs or a larger penalty.",
                ModelDamagedWarning,
            )
        before = measured["forget_before"]["loss"]
        after = measured["forget_after"]["loss"]
        if self._is_exact or before is None or after is None:
            return
        if after - before <= _MOVED * max(1.0, before):
            _validation.warn(
                f"{type(self).__name__} did not move the loss on the forget rows ({before:.4g} "
                f"before, {after:.4g} after): they may still be remembered. Try more epochs, a "
                "larger learning rate or a smaller penalty.",
                NotForgottenWarning,
            )

    def __sklearn_clone__(self):
        new = super().__sklearn_clone__()
        if isinstance(self.estimator, FrozenEstimator):
            new._is_clone = True
        return new


class NetUnlearner(BaseUnlearner):
    """Base class of unlearners that go on training a copy of the current net.

    Parameters
    ----------
    estimator : skorch net or FrozenEstimator of one
    lr : float or None, default=None
        Learning rate; None takes the net's own.
    max_epochs : int or None, default=None
        Passes over the retained rows; None takes a fifth of the net's own, rounded up.
    batch_size : int or None, default=None
        None takes the net's own.
    schedule : {"linear", "constant", "net"}, default="linear"
        Learning rate over the passes: falling to zero, constant, or whatever the LRScheduler
        among the net's callbacks does. That one was laid out for a full training, so that a
        short run sees its first part only; hence the default.
    random_state, memory, store_data, verbose
        See `BaseUnlearner`.
    """

    def __init__(
        self,
        estimator,
        *,
        lr=None,
        max_epochs=None,
        batch_size=None,
        schedule="linear",
        random_state=None,
        memory=None,
        store_data=True,
        verbose=0,
    ):
        super().__init__(
            estimator,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.lr = lr
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.schedule = schedule

    def _unlearn(self, net, retain, forget):
        """Change `net`, a copy of the current one, or return another."""
        raise NotImplementedError(f"{type(self).__name__} does not define _unlearn")

    def _attempt(self, retain, forget, seed):
        with seeded(seed):
            own = {"lr": self.lr, "batch_size": self.batch_size, "max_epochs": self._epochs()}
            net = _skorch.copy_net(
                self.estimator_,
                verbose=self.verbose,
                keep_schedule=self.schedule == "net",
                **{key: value for key, value in own.items() if value is not None},
            )
            return self._unlearn(net, retain, forget)

    def _run(self, net, rows, callbacks=()):
        """Train `net` on `rows` for the epochs and under the schedule asked for."""
        callbacks = list(callbacks)
        if self.schedule == "linear":
            steps = net.max_epochs * _skorch.n_batches(net, rows)
            callbacks.append(("skunlearn_decay", LinearDecay(steps)))
        return _skorch.train(net, rows, callbacks=callbacks, shuffle=True)

    def _epochs(self):
        if self.max_epochs is not None:
            return self.max_epochs
        return -(-_skorch.unwrap(self.estimator).max_epochs // 5)

    def _check_parameters(self):
        super()._check_parameters()
        for name, kind, low in (
            ("lr", Real, 0.0),
            ("max_epochs", Integral, 1),
            ("batch_size", Integral, 1),
        ):
            value = getattr(self, name)
            if value is not None:
                check_scalar(
                    value,
                    name,
                    kind,
                    min_val=low,
                    include_boundaries="neither" if name == "lr" else "left",
                )
        if self.schedule not in ("linear", "constant", "net"):
            raise ValueError(
                f"schedule must be 'linear', 'constant' or 'net', got {self.schedule!r}."
            )


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
