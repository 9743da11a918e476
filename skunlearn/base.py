"""The verbs `fit` and `unlearn`: what every unlearner does, step by step.

``fit`` gets to know the rows (`_begin`) and trains the first model on them (`_train_first`).
``unlearn`` checks the request, finds its rows, and lets a draft of the unlearner forget them, whose
state is then taken over whole or not at all (`removal.carry_out`). ``_forget`` is the request
itself: look the rows up, look at the model, renew it by the method's own ``_attempt``, look again,
log, judge, take over.
"""

import time
import weakref

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.frozen import FrozenEstimator

from skunlearn._recipe import public_parts, training
from skunlearn._recipe.from_scratch import name_trained
from skunlearn._recipe.step_kinds import sort_steps
from skunlearn._rows import checking
from skunlearn._rows.constraints import HasMethods, check_parameters
from skunlearn._rows.seeding import draw_seed, seeded
from skunlearn._torch import held_out_rows, skorch_nets
from skunlearn._unlearning import (
    attachment,
    correction,
    inner_estimator,
    notebook,
    persistence,
    words,
)
from skunlearn._unlearning.announcing import announce_fit, announce_fitted
from skunlearn._unlearning.certificate import recording
from skunlearn._unlearning.certificate.content import write_content
from skunlearn._unlearning.certificate.deletion_log import log_entry
from skunlearn._unlearning.change import Change
from skunlearn._unlearning.diagnosis import warn_if_wrong
from skunlearn._unlearning.fitted import (
    Fitted,
    HoldsFitted,
    drafted,
    find_steps_before,
    refuse_unasked,
    succeeding,
)
from skunlearn._unlearning.predictor import PredictorMixin
from skunlearn._unlearning.promises import Promises
from skunlearn._unlearning.removal import (
    Removal,
    carry_out,
    judge,
    look_before,
    look_up,
    observe_all,
    purge_caches,
    renew_model,
    take_over,
)
from skunlearn._unlearning.row_reader import read_request, read_rows, read_training

__all__ = ["BaseUnlearner", "Promises"]


class BaseUnlearner(HoldsFitted, PredictorMixin, MetaEstimatorMixin, BaseEstimator):
    """Base class of all unlearners.

    A subclass implements ``_attempt(retain, forget, seed)`` and returns a new model; deep
    methods derive from `NetUnlearner` and implement ``_unlearn(net, retain, forget)``. Validation,
    look-up of rows, roll-back, verification and the log are done here. The global random
    generators of torch, numpy and Python are left as they were, but for one draw from numpy's by
    ``fit`` when `random_state` is None.

    Parameters
    ----------
    estimator : skorch net or FrozenEstimator of one
        Of any class of skorch: ``NeuralNetClassifier``, ``NeuralNetBinaryClassifier``,
        ``NeuralNetRegressor``, or ``NeuralNet``, of which the criterion says what it predicts
        (several labels per row with ``BCEWithLogitsLoss``, a class for each position of a row, of
        a text say, with ``CrossEntropyLoss``). It is never changed.
        ``FrozenEstimator(net)`` means "already trained on the rows that ``fit`` is given".
    random_state : int, RandomState instance or None, default=None
        Seed of the training in ``fit`` and of all that is drawn in ``unlearn``, the order of
        batches among it.
    memory : None, str or joblib.Memory, default=None
        Cache of the model that ``fit`` trains, by recipe, rows and seed; needs an int
        `random_state` to be of use. It keeps models on disk that have seen rows forgotten
        later: clear it when that matters.
    store_data : bool, default=True
        Whether pickles hold the retained rows.
    verbose : int, default=0
        1 says what each verb does and what came of it, and prints skorch's table of epochs.

    Attributes
    ----------
    estimator_ : estimator object
        The current model.
    classes_ : ndarray of shape (n_classes,)
        Labels seen by ``fit``; classifiers only.
    deletions_ : list of dict
        The log of requests, an entry for each: when, which method with which parameters, how many
        rows, the classes that went, and loss and accuracy of forgotten and retained rows before
        and after.

    Notes
    -----
    A line such as ``{random_state, memory}`` under Parameters or Attributes of a subclass becomes
    what its base classes say of these names.
    """

    # With metadata routing on, `fit` takes these without a set_fit_request by the user.
    # `unlearn` stays out of routing: scikit-learn's list of methods is closed.
    __metadata_request__fit = {"forget": True, "ids": True, "groups": True, "measure_on": True}

    _promises = Promises()

    _parameter_constraints = {
        "estimator": "no_validation",
        "random_state": ["random_state"],
        "memory": [None, str, HasMethods(["cache"])],
        "store_data": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        words.inherit_entries(cls)

    def __init__(self, estimator, *, random_state=None, memory=None, store_data=True, verbose=0):
        self.estimator = estimator
        self.random_state = random_state
        self.memory = memory
        self.store_data = store_data
        self.verbose = verbose

    # ------------------------------------------------------------------ the two verbs

    @words.described(words.FIT)
    def fit(
        self, X, y=None, sample_weight=None, *, forget=None, ids=None, groups=None, measure_on=None
    ):
        named = {"ids": ids, "groups": groups, "measure_on": measure_on}
        return self._fit(X, y, sample_weight, forget, named)

    @words.described(words.UNLEARN)
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
        given, guard = (X_retain, y_retain), (max_accuracy_drop, X_val, y_val)
        return carry_out(self, X_forget, y_forget, ids, indices, groups, given, guard, unknown)

    # ------------------------------------------------------------------ their steps

    def _fit(self, X, y, sample_weight, forget, named, **own):
        """The verb `fit`; `own` is put on the estimator before the model is trained."""
        inner_estimator.refuse_frozen_clone(self)
        refuse_unasked(self, forget)
        checking.refuse_other_order(X, forget=forget, ids=named["ids"], groups=named["groups"])
        with drafted(self, anew=True) as draft:
            vars(draft).update(own)
            draft._check_parameters()
            seed = draw_seed(self.random_state)
            with seeded(seed):
                draft._begin(seed, X, y, sample_weight, **named)
                checked = weakref.ref(self.estimator)
                draft._change(steps_before=sort_steps(find_steps_before(self)), recipe=checked)
                draft._train_first(forget)
        self._commit()
        return self

    def _forget(self, removal):
        """One request; of a draft, which nobody else has seen yet."""
        started = time.perf_counter()
        removal = look_up(self, removal)
        self._change(removal=removal)
        before = look_before(self, removal)
        model, kept = self._renew_model(removal)
        after = observe_all(model, removal, self._classes, before=before.said)
        rows = removal.forget, removal.retain, removal.others
        change = Change.between(before.said, after, removal.emptied, rows, model)
        seconds = time.perf_counter() - started
        entry = log_entry(self, before, change, model, kept, seconds)
        judge(self, model, change, entry["measured"])
        take_over(self, model, change, entry)

    # ------------------------------------------------------------------ what a method writes

    def _attempt(self, retain, forget, seed):
        """Return a new model that has forgotten; ``self.estimator_`` must stay untouched.

        Parameters
        ----------
        retain, forget : Rows
            `forget` is None when the rows are not at hand and the method promises not to read them.
        seed : int
        """
        raise NotImplementedError(f"{type(self).__name__} does not define _attempt")

    def _attempt_correction(self, retain, old, seed):
        """As ``_attempt``, where `retain` holds new values of the rows whose old ones are `old`."""
        return self._attempt(retain, old, seed)

    def _describe_attempt(self):
        """What the method adds to the entry of the log, in JSON's types."""
        return {}

    def _state_proof(self):
        """What is proved of the present model, in JSON's types; {} when nothing is."""
        return {}

    def _advise_more(self):
        """What forgets more, for warnings that too little was forgotten."""
        ways = {"max_epochs": "more epochs", "lr": "a larger learning rate"}
        ours = [way for name, way in ways.items() if name in self._get_param_names()]
        return " or ".join(ours or ["stronger parameters"])

    def _commit(self):
        """Called when ``fit`` or a request has succeeded and nothing will be put back."""

    def _make_promises(self):
        """The promises of this very unlearner, where they depend on its parameters or its log."""
        return self._promises

    def _check_parameters(self):
        """Raise where parameters, or the estimator inside, are not what the method takes."""
        known = self._recipe if self.__sklearn_is_fitted__() else None
        promises = self._make_promises()
        # What `fit` has looked at is looked at again by those that begin with its first weights.
        scratch = promises.trains_from_scratch or promises.exact
        if scratch or known is None or known() is not self.estimator:
            inner_estimator.check_inner(self)
        check_parameters(self)

    # ------------------------------------------------------------------ the steps of both verbs

    def _begin(self, seed, X, y, sample_weight=None, **named):
        """Know the rows; no model has been trained on them yet."""
        record, row_reader = read_training(self, X, y, sample_weight, **named)
        self._fitted = Fitted(seed, record, row_reader)

    def _train_first(self, forget):
        """The model of ``fit``, which has seen all rows, and then has forgotten some of them."""
        record = self._record
        if forget is not None:
            forget = checking.check_forget_mask(forget, len(record))
        started = time.perf_counter()
        if self.verbose:
            announce_fit(self, forget)
        rows, recipe = record.view(np.arange(len(record))), skorch_nets.unwrap(self.estimator)
        if skorch_nets.is_net(self.estimator):
            held_out_rows.check_given(recipe, rows)
        self._change(model=skorch_nets.restore_split(self._first_model(rows), recipe))
        if skorch_nets.is_net(self.estimator) and not self._name_trained():
            self._change(split=held_out_rows.write_split(recipe))
        if forget is not None:
            self._forget(Removal(np.flatnonzero(forget)))
        if self.verbose:
            announce_fitted(self, time.perf_counter() - started)

    def _first_model(self, rows):
        if not isinstance(self.estimator, FrozenEstimator):
            return skorch_nets.drop_last_steps(self._train(rows, write_checkpoints=True))
        return training.copy_trained(
            self.estimator.estimator, rows, self._classes, verbose=self.verbose
        )

    def _train(self, rows, *, seed=None, write_checkpoints=False, callbacks=()):
        """A(rows): a freshly trained estimator, taken from ``memory`` when it is there.

        `callbacks`, pairs of name and callback, watch the training of a net without `memory`.
        """
        return training.train(
            skorch_nets.unwrap(self.estimator),
            rows,
            self._classes,
            self._seed if seed is None else seed,
            memory=self.memory,
            verbose=self.verbose,
            write_checkpoints=write_checkpoints,
            callbacks=callbacks,
        )

    _renew_model = renew_model

    def _has_judged(self):
        """Whether a method that judges itself (see `Promises`) could do so, in this request."""
        return False

    def _has_retrained(self):
        """Whether the method has trained from the first weights after all, in this request."""
        return False

    def _warn_if_wrong(self, change, measured, most_lost):
        """Warn when the model was damaged, or has not forgotten; see `diagnosis`."""
        promises = self._make_promises()
        # Of a proof what its noise cost is asked; corrected rows may be close to what they were.
        if promises.certified or not (promises.exact or self._removal.corrected):
            warn_if_wrong(self, change, measured, most_lost, self._removal)

    def _count_held_out(self, retain):
        """How many retained rows the trainings of a request hold out; None where none would be."""
        recipe = skorch_nets.unwrap(self.estimator)
        if skorch_nets.is_net(recipe) and skorch_nets.own_split(recipe) is None:
            return None
        return held_out_rows.count(recipe, retain)

    def _name_trained(self):
        """Names of what the estimator brings along that no training from scratch learns anew."""
        return name_trained(skorch_nets.unwrap(self.estimator))

    def _name_declared(self):
        """What is declared of public backbones below the estimator's nets; see `public_parts`."""
        return public_parts.list_declarations(skorch_nets.unwrap(self.estimator))

    def _successor(self, positions, forget=None, retain=None, **known):
        """A copy of this estimator that has forgotten; this one stays as it is.

        The caller calls ``_commit`` of the copy once nothing will be put back. `known` goes to
        the `Removal`.
        """
        with succeeding(self) as new:
            new._forget(Removal(positions, forget, retain, **known))
        return new

    def _clean_up(self, before):
        """Let go of what knows the forgotten rows still; `before` is the state before."""
        self._drop_copies()
        purge_caches(self, ["memory"], self._record)

    def _purge_caches(self, before, gone):
        purge_caches(self, ["memory"], before._record.without(gone))

    def _drop_copies(self):
        if self._record.owned:
            # Nobody else can delete the forgotten rows from a copy that `fit` made.
            self._change(record=self._record.without_forgotten(), forgotten=None)

    # ------------------------------------------------------------------ what it tells and keeps

    _check_request, _read_rows = read_request, read_rows
    correct, _put, _read_new = correction.correct, correction.put, correction.read_new
    attach, detach = attachment.attach, attachment.detach
    save, load = persistence.save, persistence.load
    certificate, record = recording.certificate, recording.record
    log_key, exclusion_manifest = recording.log_key, recording.exclusion_manifest
    __repr__, _repr_html_inner = notebook.write_text, notebook.write_html
    _repr_mimebundle_ = notebook.write_bundle
    _sk_visual_block_, _get_doc_link = notebook.draw_block, notebook.link_to_docs
    _get_params_html, _get_fitted_attr_html = notebook.list_parameters, notebook.list_fitted

    def _certified_content(self):
        """What the certificate holds before it is sealed."""
        return write_content(self)

    def _list_artefacts(self):
        """What this method has on disk of its own: dicts with "what", "state" and "detail".

        The state is one of those of `record`'s `derived`, after the last request.
        """
        return []

    def __getstate__(self):
        return attachment.leave_out_rows(self, super().__getstate__())

    def __sklearn_clone__(self):
        return inner_estimator.clone_unlearner(self)
