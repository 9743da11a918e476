"""One request, from the verb `unlearn` to a state that has forgotten."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skunlearn._recipe import caches, training
from skunlearn._rows.checking import check_single_request, warn
from skunlearn._rows.record import TrainingRecord
from skunlearn._rows.seeding import derive_seed, seeded
from skunlearn._rows.views import DigestsOfRows, Rows
from skunlearn._torch.lookups import find_left_behind
from skunlearn._torch.loop.norms import renew_statistics
from skunlearn._torch.loop.run_guards import telling_torch_errors
from skunlearn._torch.observation import Evidence, observe, observe_forgotten
from skunlearn._torch.parts.net_state import has_buffers, list_tables
from skunlearn._torch.parts.positions import Positions
from skunlearn._torch.skorch_nets import (
    copy_net,
    drop_last_steps,
    is_net,
    is_predefined,
    restore_split,
    unwrap,
)
from skunlearn._unlearning.accuracy_guard import Guard, of_validation, refuse_drop
from skunlearn._unlearning.announcing import announce_request, announce_result
from skunlearn._unlearning.certificate.model_digests import model_digest
from skunlearn._unlearning.change import Before
from skunlearn._unlearning.diagnosis import find_emptied
from skunlearn._unlearning.fitted import drafted
from skunlearn._unlearning.unseen_rows import find_held_out, read_unseen, view_held_out
from skunlearn.exceptions import NotForgottenWarning

_SAMPLE = 1000  # retained rows looked at before and after, to notice a destroyed model, at most
_SHARE, _FEW = 0.2, 400  # without a limit a fifth of the rows does, and no fewer than these
_SAMPLE_EXACT = 100  # of methods that cannot destroy it: for the log


@dataclass(frozen=True)
class Removal:
    """What a model is to forget, and how it is judged.

    Attributes
    ----------
    positions : ndarray of int
        Of the rows among those that ``fit`` was given.
    forget, retain : Rows or None
        Where they come with the request; else the record gives them.
    trained_on : (Rows, Rows) or None
        Retained and forget rows as the present model was trained on them, where those of this
        request are shown in another way, and the method is to work on the former.
    before : (Evidence, Evidence, Evidence) or None
        What the present model says of the forget rows, of a sample of the others, and of `unseen`
        (None where there are none), where it is to be asked in another way than about the rows of
        this request.
    most_lost : float or None
        What the request may cost in accuracy on that sample.
    unseen : (rows, labels) or None
        Rows that the model has never seen, by which the request is judged.
    record : TrainingRecord or None
        As the request leaves it; known once it is looked up, as are the following.
    sample : Rows or None
        Of the retained rows, by which damage is noticed.
    others : Rows or None
        Of `unseen`, as the model reads them; else those that the net has never been trained on.
    never_trained : ndarray of int, or None
        Positions of the latter, in the training of the request and all before it.
    emptied : tuple of int
        Encoded classes, or labels, of which no retained row is left.
    corrected : bool
        Whether the rows stay, with new values, and `forget` are the old ones.
    made_from : str or None
        Digest of the weights before, where the model is there already: the request before has made
        it, in one training, without these rows.
    """

    positions: np.ndarray
    forget: Rows | None = None
    retain: Rows | None = None
    trained_on: tuple[Rows, Rows | None] | None = None
    before: tuple[Evidence | None, Evidence | None, Evidence | None] | None = None
    most_lost: float | None = None
    unseen: tuple | None = None
    record: TrainingRecord | None = None
    sample: Rows | None = None
    others: Rows | None = None
    never_trained: np.ndarray | None = None
    emptied: tuple = ()
    corrected: bool = False
    made_from: str | None = None


def look_before(estimator, removal):
    """The model of a fitted unlearner before the request, its `Before`."""
    model, exact = estimator.estimator_, estimator._make_promises().exact
    weights = removal.made_from or model_digest(model)["digest"]
    known = removal.before or (None, None, None)
    if removal.before is None and estimator._looked is not None:
        known = None, _recall_look(estimator, removal, weights), None
    said = observe_all(model, removal, estimator._classes, known)
    brought = estimator._name_trained() if exact else []
    declared = estimator._name_declared() if exact else []
    return Before(weights, said, brought, declared)


def observe_all(model, removal, classes, known=(None, None, None), before=None):
    """What a model says of the rows of a request, where that is not `known`.

    Of the forget rows, of the sample of the others, and of rows that it has never seen; None where
    there are none. `before` is the same of the model before, where it was asked of these rows.
    """
    rows = removal.forget, removal.sample, removal.others
    heard, asked = [], (observe if is_net(model) else observe_forgotten, observe, observe)
    earlier = before if before is not None and removal.before is None else (None, None, None)
    for said, part, ask, then in zip(known, rows, asked, earlier):
        answered = [then] if then is not None and then.answers else []  # by members of an ensemble
        heard.append(said if said or part is None else ask(model, part, classes, *answered))
    return tuple(heard)


def carry_out(estimator, X_forget, y_forget, ids, indices, groups, given, guard, unknown):
    """The verb `unlearn`, of an unlearner and of a pipeline: the whole request, or nothing of it.

    Parameters
    ----------
    estimator : fitted BaseUnlearner or UnlearningPipeline
    X_forget, y_forget, ids, indices, groups : see `BaseUnlearner.unlearn`
    given : (X_retain, y_retain)
    guard : (max_accuracy_drop, X_val, y_val)
    unknown : dict of arguments that ``unlearn`` does not take
    """
    if not estimator.__sklearn_is_fitted__():
        check_is_fitted(estimator)  # for scikit-learn's words; it asks for all tags first
    named = {"ids": ids, "indices": indices, "groups": groups}
    check_single_request(unknown, X_forget=X_forget, **named)
    if y_forget is not None and X_forget is None:
        raise TypeError("y_forget needs X_forget.")
    guard = Guard(estimator, *guard) if any(part is not None for part in guard) else None
    with drafted(estimator) as draft, seeded(estimator._seed):
        draft._check_parameters()
        if X_forget is not None:
            X_forget, y_forget = draft._check_request(X_forget, y_forget, "forget")
        positions = draft._record.find(X_forget, y_forget, **named)
        if draft.verbose:
            announce_request(draft, len(positions))
        forget = retain = None
        if any(part is not None for part in given):
            forget, retain = _view_given(draft, positions, X_forget, y_forget, *given)
        removal = Removal(positions, forget, retain)
        if guard is not None:
            removal = replace(removal, most_lost=guard.on_sample, unseen=guard.unseen)
        draft._forget(removal)
        if guard is not None:
            draft._change(deletions=guard.check(draft))
        draft._clean_up(estimator)
    estimator._commit()
    if estimator.verbose:
        announce_result(estimator)
    return estimator


def look_up(estimator, removal):
    """The request with its rows, where it did not bring them, and the record after it."""
    if removal.record is not None:
        return removal
    record, positions = estimator._record, removal.positions
    record.check_unchanged(positions)
    left, forget, retain = record.without(positions), removal.forget, removal.retain
    if retain is None:
        forget = record.view(positions, compared=True)
        retain = left.view(np.flatnonzero(left.retained), compared=True)
    emptied = find_emptied(estimator, left, forget, positions, retain)
    sample = draw_sample(estimator, retain, removal.most_lost is not None)
    others, held, net = None, None, unwrap(estimator.estimator)
    promises = estimator._make_promises()
    judged = not (promises.exact or promises.judges_itself)
    splits = judged and getattr(net, "train_split", None) is not None
    if splits and removal.retain is None and not removal.corrected:
        held = find_held_out(estimator, net, retain)
    if judged and (removal.unseen or is_predefined(net)):
        with of_validation(removal.unseen):
            others = read_unseen(estimator, removal.unseen, forget)
    elif held is not None:
        others = view_held_out(estimator, held, forget)
    looked = {"sample": sample, "others": others, "never_trained": held, "emptied": emptied}
    return replace(removal, forget=forget, retain=retain, record=left, **looked)


def draw_sample(estimator, retain, limited=False):
    """Retained rows that are looked at before and after a request.

    Which they are depends on what is retained alone, and those of a request are mostly those of
    the one before, see `_recall_look`. `limited` says that a limit is set on what may be lost.
    """
    n = len(estimator._record)
    if estimator._make_promises().exact:
        size = _SAMPLE_EXACT
    else:
        size = _SAMPLE if limited else min(_SAMPLE, max(_FEW, round(_SHARE * n)))
    if isinstance(estimator._classes, Positions):
        size = min(size, estimator._classes.most_looked_at)
    if len(retain) <= size:
        return retain
    if retain.positions is None or len(retain) < n // 2:
        return retain.sample(size, estimator._seed)
    drawn = np.zeros(n, dtype=bool)
    drawn[np.random.default_rng(estimator._seed).choice(n, size, replace=False)] = True
    return retain.take(np.flatnonzero(drawn[retain.positions]))


def _recall_look(estimator, removal, weights):
    """What the present model said of the sample when the last request had made it, or None.

    It counts as long as the model's weights are those of then; `weights` is their digest now.
    """
    looked, sample = estimator._looked, removal.sample
    if sample is None or sample.positions is None:
        return None
    if estimator.deletions_[-1]["weights"]["digest"] != weights:
        return None
    positions, evidence = looked
    same = np.isin(positions, sample.positions)
    return evidence.take(same) if np.array_equal(positions[same], sample.positions) else None


def renew_model(unlearner, removal):
    """The model after a request, and what `renew_statistics` could not renew in it."""
    seed, kept = derive_seed(unlearner._seed, len(unlearner.deletions_)), None
    if removal.made_from is not None:
        return unlearner.estimator_, kept
    exact = unlearner._make_promises().exact
    with telling_torch_errors(type(unlearner).__name__, exact):
        attempt = unlearner._attempt_correction if removal.corrected else unlearner._attempt
        model = attempt(*(removal.trained_on or (removal.retain, removal.forget)), seed)
    trained_on = is_net(model) and not exact
    if trained_on and model is unlearner.estimator_:
        model = copy_net(model)
    model = drop_last_steps(model)
    if trained_on and has_buffers(model):
        kept = renew_statistics(model, removal.retain, seed)
    return restore_split(model, unwrap(unlearner.estimator)), kept


def take_over(draft, model, change, entry):
    """Let a draft be what its request has made of it."""
    removal, said = draft._removal, change.retain_after
    can_recall = said is not None and not said.noisy and removal.sample.positions is not None
    draft._change(
        model=model,
        record=removal.record,
        deletions=[*draft.deletions_, entry],
        evidence=change.forget_after,
        forgotten=removal.forget,
        looked=(removal.sample.positions, said) if can_recall else None,  # see `_recall_look`
        never_trained=removal.never_trained,
        removal=None,
    )
    if isinstance(draft.estimator, FrozenEstimator):
        # The trained net that the user froze still knows the rows; this object lets go of it.
        draft.estimator = FrozenEstimator(model)


def judge(unlearner, model, change, measured):
    """Refuse what costs too much, and warn of what went wrong, in the middle of a request."""
    limit, tolerated = unlearner._removal.most_lost, unlearner._make_promises().accuracy_drop
    if limit is not None:
        scores = [measured[key]["score"] for key in ("retain_before", "retain_after")]
        where = f"{len(unlearner._removal.sample)} retained rows"
        refuse_drop(unlearner, *scores, limit, where)
        tolerated = np.inf  # who sets a limit needs no other
    unlearner._warn_if_wrong(change, measured, tolerated)
    tables = list_tables(unlearner.estimator_) if is_net(model) else {}
    # Rows of a table that are hardly trained are those of the first weights, whoever trains them.
    if tables and not unlearner._has_retrained():
        _warn_of_tables(unlearner, model, tables)


def _warn_of_tables(unlearner, model, tables):
    """Warn of rows of embedding tables that a method has left as the forgotten rows made them."""
    removal, exact = unlearner._removal, unlearner._make_promises().exact
    if exact or removal.made_from is not None or removal.forget is None or removal.retain is None:
        return
    left = find_left_behind(unlearner.estimator_, model, tables, removal.forget, removal.retain)
    if left:
        n, where = sum(left.values()), ", ".join(left)
        rows, them = ("rows", "them") if n > 1 else ("row", "it")
        warn(
            f"{type(unlearner).__name__} left {n} {rows} of embeddings ({where}) as before: none "
            f"but forgotten rows look {them} up, so that no training on the others reaches what "
            f"was learnt of these. Take AutoUnlearner or RetrainUnlearner, which start anew.",
            NotForgottenWarning,
        )


def purge_caches(unlearner, parts, record, estimator=None):
    """Delete what ``memory=`` holds of forgotten rows, and write down what was deleted."""
    if estimator is None and unlearner.memory is None and is_net(unwrap(unlearner.estimator)):
        return  # a net has no cache of its own
    report = caches.purge(estimator or unlearner, record, training.make_cached, parts)
    if report is not None:
        *earlier, entry = unlearner.deletions_
        unlearner._change(deletions=[*earlier, entry | {"caches": report}])


def _view_given(estimator, positions, X_forget, y_forget, X_retain, y_retain):
    """Views of rows that come with the request, each checked against the record."""
    if X_retain is None or y_retain is None:
        raise ValueError("X_retain and y_retain come together: rows and their labels.")
    record = estimator._record
    X_retain, y_retain = estimator._check_request(X_retain, y_retain, "retain")
    kept = record.locate_brought(positions, X_retain, y_retain)
    if len(kept) == 0:
        raise ValueError("X_retain is empty: nothing would be left to train on.")
    digests = None if record.is_dataset else DigestsOfRows(X_retain)
    weights = None if record.weights is None else record.weights[kept]
    retain = Rows(X_retain, y_retain, np.arange(len(kept)), digests, weights=weights)
    if record.has_data:
        return record.view(positions), retain
    if X_forget is not None and y_forget is not None:
        sources = record.find_sources(positions, X_forget, y_forget)
        weights = None if record.weights is None else record.weights[positions]
        return Rows(X_forget, y_forget, sources, weights=weights), retain
    if estimator._make_promises().reads_forget_rows:
        raise ValueError(
            f"{type(estimator).__name__} works on the forget rows too, and this estimator does "
            "not hold its rows: the request must bring X_forget and y_forget beside "
            "X_retain and y_retain."
        )
    return None, retain
