"""Checks of the verb `unlearn`, for every unlearner, yours included.

scikit-learn's own checks know ``fit`` and ``predict`` only; run these beside them. Each trains
the estimator on 120 rows with some wrong labels.

==============================  =================================================================
`check_unfitted`                an unfitted estimator says so
`check_clone`                   a clone is unfitted and has equal parameters
`check_label_types`             labels of any type come back from ``predict``
`check_reads_forget_set`        other forget rows lead to another model
`check_reads_only_its_rows`     rows that are in neither of a method's views lead to no other model
`check_reads_as_declared`       forget rows, and their labels, are read if and only if it says so
`check_moves_toward_retrained`  on the forget rows, predictions come nearer to a retrained model's
`check_seeds`                   one seed repeats, two differ (nets)
`check_generators_untouched`    global generators of torch, numpy and Python stay as they were
`check_estimator_untouched`     the estimator that the user passed in stays as it was
`check_input_untouched`         so do the rows and labels, and read-only ones are accepted
`check_second_request`          what the first request forgot stays forgotten after the second
`check_ways_of_naming`          rows, ids, groups and indices lead to the same model
`check_fit_forget`              ``fit(forget=mask)`` equals ``fit`` and ``unlearn``
`check_bad_requests`            unknown, repeated, no, all rows and bad masks: refused, no change
`check_all_or_nothing`          an error or interrupt in the middle leaves the old model, bitwise
`check_pickle`                  pickles hold no forgotten row and no old weights, and go on working
`check_pickle_containers`       so they do after a fit to rows of other types
`check_files`                   files of ``save`` give the same model, which forgets more (nets)
`check_rows_of_request`         rows may come with a request, forget rows only where they are read
`check_log`                     ``deletions_`` and ``certificate()`` are valid JSON
`check_running_statistics`      they hold kept rows only, and no class comes back by them (nets)
==============================  =================================================================
"""

import copy
import json
import warnings
from functools import partial
from unittest import SkipTest

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from skunlearn._torch.skorch_nets import is_net
from skunlearn.exact import RetrainUnlearner
from skunlearn.utils._check_tools import (
    FORGET,
    N_ROWS,
    OTHER,
    Snapshot,
    count_events,
    faults,
    fitted,
    generators,
    is_classifier,
    must_raise,
    outcome,
    outcome_after,
    parameters,
    prepare,
    quietly,
    same_parameters,
    share,
    twin,
    with_fault,
)
from skunlearn.utils._keeping_checks import (
    check_files,
    check_pickle,
    check_pickle_containers,
    check_rows_of_request,
)
from skunlearn.utils._norm_checks import check_running_statistics, has_running_statistics
from skunlearn.utils._request_checks import (
    check_bad_requests,
    check_fit_forget,
    check_reads_as_declared,
    check_second_request,
    check_ways_of_naming,
)

__all__ = ["check_unlearner", "parametrize_with_unlearning_checks", "yield_unlearning_checks"]


def yield_unlearning_checks(estimator):
    """All checks that apply to an unlearner.

    Parameters
    ----------
    estimator : unlearner
        Unfitted; it is cloned.

    Yields
    ------
    check : callable
        ``check(estimator)`` raises AssertionError when the estimator fails.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.utils import yield_unlearning_checks
    >>> checks = list(yield_unlearning_checks(RetrainUnlearner(LogisticRegression())))
    >>> checks[0].__name__
    'check_unfitted'
    """
    yield from (check_unfitted, check_clone)
    if is_classifier(estimator):
        yield check_label_types
    yield from (check_reads_forget_set, check_reads_only_its_rows, check_reads_as_declared)
    yield check_moves_toward_retrained
    if is_net(estimator.estimator):
        yield check_seeds
    yield from (
        check_generators_untouched,
        check_estimator_untouched,
        check_input_untouched,
        check_second_request,
        check_ways_of_naming,
        check_fit_forget,
        check_bad_requests,
        check_all_or_nothing,
        check_pickle,
        check_pickle_containers,
        check_rows_of_request,
        check_log,
    )
    if is_net(estimator.estimator):
        yield check_files
    if has_running_statistics(estimator.estimator):
        yield check_running_statistics


def check_unlearner(estimator):
    """Run every check on an unlearner.

    Parameters
    ----------
    estimator : unlearner
        Unfitted; it is cloned. Settings under which it forgets small data in a moment are best.

    Raises
    ------
    AssertionError
        At the first check that fails; the message names what is wrong.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.utils import check_unlearner
    >>> check_unlearner(RetrainUnlearner(LogisticRegression()))
    """
    for check in yield_unlearning_checks(estimator):
        try:
            check(estimator)
        except SkipTest as reason:
            warnings.warn(f"{check.__name__} was skipped: {reason}", UserWarning, stacklevel=2)


def parametrize_with_unlearning_checks(estimators):
    """Pytest decorator that runs a test once for every estimator and check.

    Parameters
    ----------
    estimators : list of unlearners
        Not fitted; each is cloned for every check.

    Returns
    -------
    decorator : ``pytest.mark.parametrize`` over ``estimator, check``

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.utils import parametrize_with_unlearning_checks
    >>> @parametrize_with_unlearning_checks([RetrainUnlearner(LogisticRegression())])
    ... def test_unlearning(estimator, check):
    ...     check(estimator)
    """
    import pytest

    cases = []
    for i, estimator in enumerate(estimators):
        inner = type(getattr(estimator, "estimator", None)).__name__
        name = f"{type(estimator).__name__}-{inner}-{i}"
        cases += [
            pytest.param(estimator, check, id=f"{name}-{check.__name__}")
            for check in yield_unlearning_checks(estimator)
        ]
    return pytest.mark.parametrize("estimator, check", cases)


def check_unfitted(estimator):
    """An unfitted estimator raises NotFittedError."""
    new, X, _ = prepare(estimator)
    for act in (partial(new.unlearn, X[:2]), partial(new.predict, X), new.certificate):
        must_raise(NotFittedError, act, "an unfitted estimator was used")


@quietly
def check_clone(estimator):
    """A clone of a fitted estimator is unfitted and has equal parameters."""
    new, X, _ = fitted(estimator)
    new.unlearn(indices=FORGET)
    again = clone(new)
    learnt = [name for name in vars(again) if name.endswith("_") and not name.startswith("_")]
    assert not learnt, f"the clone has {learnt}"
    assert not any(np.array_equal(value, X) for value in vars(again).values())
    ours, theirs = new.get_params(deep=False), again.get_params(deep=False)
    ours.pop("estimator"), theirs.pop("estimator")
    assert ours == theirs, "the clone has other parameters"


@quietly
def check_label_types(estimator):
    """String, float, 1-based and object labels come back, and lead to the same model."""
    new, X, y = prepare(estimator)
    expected = None
    for labels in (
        np.array([0, 1]),
        np.array([3, 10**6], dtype=np.int32),  # no columns of any net
        np.array([0.0, 2.0]),
        np.array(["no", "yes"]),
        np.array(["no", "yes"], dtype=object),
    ):
        clone_ = clone(new).fit(X, labels[y])
        clone_.unlearn(X[FORGET], labels[y][FORGET])
        assert np.array_equal(clone_.classes_, labels), f"classes_ of {labels.tolist()}"
        predicted = clone_.predict(X)
        assert set(predicted) <= set(labels), f"predict returned {set(predicted)}"
        assert clone_.score(X, labels[y]) == np.mean(predicted == labels[y])
        codes = np.searchsorted(labels, predicted)
        expected = codes if expected is None else expected
        assert np.array_equal(codes, expected), f"labels {labels.tolist()} led to another model"


@quietly
def check_reads_forget_set(estimator):
    """Forgetting other rows leads to another model."""
    one, other = (outcome_after(estimator, rows) for rows in (FORGET, OTHER))
    assert not np.array_equal(one, other), "two forget sets led to the same model"


@quietly
def check_reads_only_its_rows(estimator):
    """Rows to be forgotten are read through the view of them, those forgotten before not at all."""
    new, X, _ = fitted(estimator)
    new.unlearn(indices=OTHER)
    kept = np.setdiff1d(np.arange(N_ROWS), [*FORGET, *OTHER])
    rng = np.random.default_rng(1)
    noise, mixed = rng.normal(size=X.shape), rng.permutation(new._record._y)
    outcomes = []
    for spoilt in (False, True):
        run, records = copy.copy(new), []
        for shown in (kept, FORGET):
            rows, labels = X.copy(), new._record._y.copy()
            hidden = np.setdiff1d(np.arange(N_ROWS), shown)
            if spoilt:
                rows[hidden], labels[hidden] = noise[hidden], mixed[hidden]
            records.append(new._record.with_rows(rows, labels, np.arange(N_ROWS)))
        run._change(record=records[0])
        done = run._successor(FORGET, records[1].view(FORGET), records[0].view(kept))
        outcomes.append(outcome(done, X))
    assert np.array_equal(*outcomes), (
        "the method reads rows that are not in the view it reads them through: rows to be "
        "forgotten among the retained ones, or rows that were forgotten before. `source` of a view "
        "holds the whole training set; `X` and `y` are what the view shows."
    )


@quietly
def check_moves_toward_retrained(estimator):
    """On the forget rows, predictions come nearer to those of a retrained model."""
    if prepare(estimator)[0]._make_promises().adds_noise:
        raise SkipTest("noise has no direction")
    new, X, y = fitted(estimator)
    # Methods for whole classes are asked to forget one.
    forget = np.flatnonzero(y == 1) if new._make_promises().class_only else FORGET
    before = outcome(new, X)[forget]
    after = outcome_after(estimator, forget, new)[forget]
    # An exact method is its own reference: that of shards is a model of shards.
    if new._make_promises().exact:
        kept = np.delete(np.arange(len(y)), forget)
        target = outcome(clone(new).fit(X[kept], y[kept]), X)[forget]
    else:
        inner = estimator.estimator
        key = "retrained", id(inner), tuple(forget)
        _, target = share(key, lambda: (inner, _ask_retrained(inner, X, y, forget)))
    was, is_ = np.abs(before - target).mean(), np.abs(after - target).mean()
    if was == 0:
        raise SkipTest("the model has memorised nothing of the forget rows")
    assert is_ < was, (
        f"the mean distance to a retrained model's predictions did not fall: {was:.4g} before, "
        f"{is_:.4g} after"
    )


def _ask_retrained(inner, X, y, forget):
    reference = RetrainUnlearner(clone(inner), random_state=0).fit(X, y)
    return outcome(reference.unlearn(indices=forget), X)[forget]


@quietly
def check_seeds(estimator):
    """One seed repeats bit for bit, two seeds differ, in fit and in unlearn."""
    new, X, y = prepare(estimator)
    runs = {}
    for name, seed in (("b", 0), ("c", 1)):
        run = clone(new).set_params(random_state=seed).fit(X, y)
        runs[name] = outcome(run, X), outcome(run.unlearn(indices=FORGET), X)
    new, *_ = fitted(estimator)
    runs["a"] = outcome(new, X), outcome_after(estimator, start=new)
    for step, name in enumerate(("fit", "unlearn")):
        a, b, c = (runs[key][step] for key in "abc")
        assert np.array_equal(a, b), f"a seed did not repeat in {name}"
        assert not np.array_equal(a, c), f"{name} ignores the seed"


@quietly
def check_generators_untouched(estimator):
    """Neither fit nor unlearn changes a global random generator."""
    new, X, y = prepare(estimator)
    before = generators()
    new.fit(X, y)
    assert generators() == before, "fit changed a global random generator"
    new.unlearn(indices=FORGET)
    assert generators() == before, "unlearn changed a global random generator"


@quietly
def check_estimator_untouched(estimator):
    """The user's estimator keeps its weights, parameters and history, trained or not."""
    new, X, y = prepare(estimator)
    inner = new.estimator
    before = set(vars(inner))
    new.fit(X, y).unlearn(indices=FORGET)
    assert new.estimator is inner, "the parameter `estimator` was replaced"
    assert set(vars(inner)) == before, "the user's estimator was fitted"
    if not is_net(inner):
        return
    _, trained = share(("trained", id(inner)), lambda: (inner, _train(inner, X, y)))
    trained = twin(trained, lambda: trained)
    state, history = parameters(trained), repr(trained.history)
    settings = {key: id(value) for key, value in vars(trained).items()}
    frozen = clone(new).set_params(estimator=FrozenEstimator(trained))
    try:
        frozen.fit(X, y).unlearn(indices=FORGET)
    except (TypeError, ValueError) as error:
        raise SkipTest(f"trained nets are refused: {error}") from error
    assert same_parameters(parameters(trained), state), "the user's weights were changed"
    assert repr(trained.history) == history, "the user's history was changed"
    assert {k: id(v) for k, v in vars(trained).items()} == settings, "the user's net was changed"


def _train(inner, X, y):
    return RetrainUnlearner(inner, random_state=0).fit(X, y).estimator_


@quietly
def check_input_untouched(estimator):
    """Rows and labels are left as they are, and may be read-only."""
    new, X, y = prepare(estimator)
    given, labels = X.astype(np.float32), y.copy()
    X, y = given.copy(), labels.copy()
    X.flags.writeable = y.flags.writeable = False
    new.fit(X, y).unlearn(X[FORGET], y[FORGET])
    assert np.array_equal(X, given), "the rows were changed"
    assert np.array_equal(y, labels), "the labels were changed"


@quietly
def check_all_or_nothing(estimator):
    """An error or interrupt at any step leaves the old model bitwise, and the next call works."""
    new, X, y = prepare(estimator)
    new = with_fault(new).fit(X, y)
    expected = twin(new, lambda: clone(new).fit(X, y))
    events = count_events(new, lambda: expected.unlearn(indices=FORGET))
    state = Snapshot(new, X)
    # First, last and a few steps between; tests of ours go through all.
    for at in sorted({0, 1, 2, 3, events // 2, events - 2, events - 1} & set(range(events))):
        for error in (RuntimeError, KeyboardInterrupt):
            what = f"event {at} of {events}"
            if error is KeyboardInterrupt:
                what += (
                    " (skorch's own fit and partial_fit take it for their end, self._run does not)"
                )
            with faults(new, error, at):
                must_raise(error, partial(new.unlearn, indices=FORGET), what)
            state.check(f"{error.__name__} at event {at} of {events}")
    new.unlearn(indices=FORGET)
    assert np.array_equal(outcome(new, X), outcome(expected, X)), "the next call was affected"


@quietly
def check_log(estimator):
    """``deletions_`` and ``certificate()`` are valid JSON and say what was done."""
    new, X, y = prepare(estimator)
    new.fit(X, y, ids=[f"user-{i}" for i in range(N_ROWS)])
    assert new.deletions_ == []
    new.unlearn(indices=FORGET)
    entry = json.loads(_write_strictly(new.deletions_))[0]
    assert entry["rows"] == len(FORGET)
    assert entry["method"] == type(new).__name__
    assert entry["seconds"] > 0
    text = new.certificate()
    certificate = json.loads(text, parse_constant=_refuse_constant)
    assert certificate["deletions"] == [entry]
    assert certificate["retained_rows"] == N_ROWS - len(FORGET)
    assert "user-0" not in text, "the certificate names the deleted records"
    for claim in ("epsilon", "ε"):
        assert claim not in text or new._make_promises().certified, "an unproved claim"


def _write_strictly(value):
    return json.dumps(value, allow_nan=False)


def _refuse_constant(name):
    raise AssertionError(f"{name} is not JSON")
