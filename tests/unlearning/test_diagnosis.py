"""Warnings about forget rows, from what the model says of rows of its training alone."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from skunlearn import (
    FineTuneUnlearner,
    FisherForgettingUnlearner,
    MSGUnlearner,
    NoTUnlearner,
    RandomLabelUnlearner,
    RetrainUnlearner,
    SalUnUnlearner,
)
from skunlearn._torch.observation import Evidence
from skunlearn._torch.parts.tasks import Classes
from skunlearn._unlearning import change, diagnosis, traces
from skunlearn._unlearning.rules import Rule
from skunlearn._unlearning.traces import blurs_both, known_by_heart, stands_out
from skunlearn.datasets import load_digits_images
from skunlearn.exceptions import ModelDamagedWarning, NotForgottenWarning
from tests.instances import make_net

DOCS = Path(__file__).parents[2] / "docs"


def evidence(confidence, right):
    """Rows of ten classes, each named with this confidence, rightly or not."""
    confidence, right = np.broadcast_arrays(np.asarray(confidence, dtype=float), right)
    logits = np.log(np.repeat((1 - confidence)[:, None] / 9, 10, axis=1))
    logits[:, 3] = np.log(confidence)
    y = np.where(right, 3, 4)
    return Evidence(y, logits, logits.argmax(axis=1), Classes(np.arange(10)))


def test_the_median_tells_what_is_known_by_heart():
    before = evidence(np.full(100, 0.999), True)
    # The mean loss is 0.49, far beyond what counts as known: 13 rows of a hundred make it so.
    after = evidence(np.full(100, 0.98), np.arange(100) >= 13)
    assert after.losses().mean() > 0.45
    known = known_by_heart(before, after, np.log(10), True)
    assert known == pytest.approx([0.001, 0.0202], rel=0.01)
    assert known_by_heart(before, evidence(np.full(100, 0.8), True), np.log(10), True) is None
    # Of a method that pushed nothing away, most rows that were never seen may be known as well.
    assert known_by_heart(before, after, np.log(10), False) is None
    # Rows that were not known before are not known still.
    assert known_by_heart(evidence(np.full(100, 0.6), True), after, np.log(10), True) is None


def test_rows_that_were_taught_to_be_unsure_stand_out():
    rng = np.random.default_rng(0)
    retained = evidence(rng.uniform(0.9, 1, 400), rng.random(400) < 0.5)
    for right in (True, False):  # of their labels something may be left, or nothing
        unsure = evidence(rng.uniform(0.3, 0.8, 200), right)
        level, share = stands_out(unsure, retained)
        assert level == 0.95
        assert share == 0
    # Unseen rows: a third of them as sure as half of the retained ones, rightly or not.
    unseen = evidence(rng.uniform(0.85, 1, 200), rng.random(200) < 0.5)
    assert stands_out(unseen, retained) is None
    # A model that is unsure throughout is no news, and an estimator may give no probabilities.
    everywhere = evidence(rng.uniform(0.3, 0.8, 400), rng.random(400) < 0.5)
    assert stands_out(unsure, everywhere) is None
    assert stands_out(None, retained) is None
    # Nor is it one that is unsure of their class alone, or that has no other row of it.
    sure_of_others = Evidence(
        np.r_[np.full(400, 7), everywhere.y],
        np.r_[retained.logits, everywhere.logits],
        np.r_[retained.predicted, everywhere.predicted],
        retained.task,
    )
    assert stands_out(unsure, sure_of_others) is None
    others = Evidence(np.full(400, 7), retained.logits, retained.predicted, retained.task)
    assert stands_out(unsure, others) is None


def test_a_net_that_was_not_trained_to_its_end_is_not_accused_of_what_it_learns():
    X, y = load_digits_images(return_X_y=True)
    net = make_net(max_epochs=3, lr=0.03)
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X[:1000], y[:1000])
    unlearner.unlearn(indices=range(100))
    losses = unlearner.deletions_[0]["measured"]
    assert losses["forget_after"]["loss"] < losses["forget_before"]["loss"]


def test_a_few_rows_do_not_stand_out_by_chance():
    rng = np.random.default_rng(0)
    retained = evidence(rng.uniform(0.9, 1, 400), True)
    for n in (1, 5, 20, 100):
        found = 0
        for _ in range(300):
            sure = rng.random(n) < 0.17  # as on the net where the fewest unseen rows were
            found += stands_out(evidence(np.where(sure, 0.97, 0.6), True), retained) is not None
        assert found <= 6


def wrong_digits(n):
    """Digits with a fifth of the labels wrong; a fifth to forget."""
    X, y = load_digits_images(return_X_y=True)
    X, y = X[:n], y[:n].copy()
    rng = np.random.default_rng(0)
    wrong = rng.random(len(y)) < 0.2
    y[wrong] = (y[wrong] + rng.integers(1, 10, wrong.sum())) % 10
    return X, y, np.flatnonzero(rng.random(len(y)) < 0.2)


@pytest.fixture(scope="module")
def by_heart():
    """A net that learns them by heart."""
    X, y, forget = wrong_digits(1200)
    net = make_net(module__hidden=512, max_epochs=120)
    fitted = RetrainUnlearner(net, random_state=0).fit(X, y)
    state = {k: v for k, v in vars(fitted).items() if k not in fitted.get_params(deep=False)}
    return forget, net, state


@pytest.mark.parametrize(
    "cls, share, message",
    [
        (SalUnUnlearner, 0.01, "known by heart"),
        pytest.param(RandomLabelUnlearner, 0.01, "known by heart", marks=pytest.mark.long),
        (RandomLabelUnlearner, 1.0, "stand out"),
        pytest.param(SalUnUnlearner, 1.0, "stand out", marks=pytest.mark.long),
    ],
)
def test_random_labels_that_miss_say_so(by_heart, cls, share, message):
    """Too little at a small rate, where AUC stayed at 0.69; too much at the net's own, at 0.43."""
    forget, net, state = by_heart
    unlearner = cls(net, lr=share * net.lr, random_state=0)
    vars(unlearner).update(state)
    with pytest.warns(NotForgottenWarning, match=message):
        unlearner.unlearn(indices=forget)


@pytest.mark.parametrize("cls", [NoTUnlearner, MSGUnlearner])
def test_methods_that_forget_are_not_accused(by_heart, cls):
    forget, net, state = by_heart
    unlearner = cls(net, random_state=0)
    vars(unlearner).update(state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelDamagedWarning)
        warnings.simplefilter("error", NotForgottenWarning)
        unlearner.unlearn(indices=forget)


@pytest.fixture(scope="module")
def nearly():
    """A net that knows nearly all of 600 rows by heart, half of them with a loss below 0.064."""
    X, y, forget = wrong_digits(600)
    net = make_net(module__hidden=128, max_epochs=60)
    fitted = RetrainUnlearner(net, random_state=0).fit(X, y)
    state = {k: v for k, v in vars(fitted).items() if k not in fitted.get_params(deep=False)}
    return forget, net, state


@pytest.mark.parametrize("cls", [RandomLabelUnlearner, SalUnUnlearner])
def test_rows_whose_mean_loss_hardly_rises_are_known_by_heart(nearly, cls):
    """At a hundredth of the rate half of them have a loss of 0.12, and all are as known as before.

    At the net's own rate they are forgotten.
    """
    forget, net, state = nearly
    unlearner = cls(net, lr=0.01 * net.lr, random_state=0)
    vars(unlearner).update(state)
    with pytest.warns(NotForgottenWarning, match="known by heart"):
        unlearner.unlearn(indices=forget)
    unlearner = cls(net, random_state=0)
    vars(unlearner).update(state)
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotForgottenWarning)
        unlearner.unlearn(indices=forget)


def test_the_mean_tells_it_of_rows_that_were_pushed_only():
    before = evidence(np.where(np.arange(100) < 60, 0.95, 0.6), True)
    after = evidence(np.where(np.arange(100) < 60, 0.87, 0.6), True)
    known = known_by_heart(before, after, np.log(10), True)
    assert known == pytest.approx([0.0513, 0.139], rel=0.01)
    assert known_by_heart(before, after, np.log(10), False) is None
    # Forgetting some of them raises the mean.
    some = evidence(np.where(np.arange(100) < 60, 0.87, 0.6), np.arange(100) >= 20)
    assert known_by_heart(before, some, np.log(10), True) is None


def test_noise_that_blurs_all_rows_alike_says_so(nearly):
    """It costs the retained rows as much as the forget rows."""
    forget, net, state = nearly
    unlearner = FisherForgettingUnlearner(net, alpha=0.03, random_state=0)
    vars(unlearner).update(state)
    with pytest.warns(NotForgottenWarning, match="blurs forget and retained rows alike"):
        unlearner.unlearn(indices=forget)
    measured = unlearner.deletions_[0]["measured"]
    assert measured["retain_before"]["score"] - measured["retain_after"]["score"] > 0.04
    assert blurs_both(measured)
    assert not blurs_both(measured | {"forget_after": {"loss": 5.0}})  # they lose far more
    assert not blurs_both(measured | {"retain_after": {"loss": None}})


class Facts:
    """Holds what it is told to; whatever else is asked fails."""

    def __init__(self, **facts):
        vars(self).update(facts)

    hold = change.Facts.hold


def test_rules_are_asked_in_their_order_and_one_is_heard():
    asked = []

    def rule(name, text, *needs):
        return Rule(name, "", "", "", lambda facts: asked.append(name) or text, needs)

    rules = (
        rule("does not apply", "never", "emptied"),
        rule("nor this", "never", "not wrecked", "alike"),
        rule("finds nothing", None, "not emptied"),
        rule("speaks", "this one"),
        rule("comes too late", "never"),
    )
    with pytest.warns(NotForgottenWarning) as caught:
        # `alike` is not even looked up.
        diagnosis._ask(rules, Facts(emptied=(), wrecked=True), NotForgottenWarning)
    assert [str(w.message) for w in caught] == ["this one"]
    assert asked == ["finds nothing", "speaks"]


def test_each_rule_needs_facts_that_there_are_and_stands_in_the_docs():
    rules = [*diagnosis.DAMAGE, *diagnosis.FORGETTING]
    own = set(vars(change.Facts)) | {"adds_noise", "emptied", "classes_gone", "apart"}
    assert {need.removeprefix("not ") for rule in rules for need in rule.needs} <= own
    assert len({rule.name for rule in rules}) == len(rules)
    sys.path.insert(0, str(DOCS / "_ext"))
    import rule_table

    text = "\n".join(rule_table.lines())
    places = [text.index(f"* - {rule.name}") for rule in rules]
    assert places == sorted(places)
    assert all(rule.seen in text for rule in rules)
    for figure in (
        change.UNMOVED,
        change.UNMOVED_BY_HEART,
        f"{100 * change.WRECKED:.0f} %",
        traces.BLIND,
    ):
        assert str(figure) in text
    page = (DOCS / "guide" / "deletion_requests.rst").read_text(encoding="utf-8")
    assert "generated/rule_table.rst" in page
