"""What outputs alone say of classes, of doubt, and of rows that are easier than others."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from skorch import NeuralNetClassifier

from skunlearn._torch.observation import Evidence
from skunlearn._torch.parts.tasks import Classes, Labels, Values
from skunlearn._torch.row_scores import auc, class_weights
from skunlearn._unlearning.change import Change, Facts, lost_on_unseen
from skunlearn._unlearning.promises import Promises
from skunlearn._unlearning.traces import (
    class_ranks,
    doubts,
    level_of_knowing_more,
    lost_where_neighbours_agree,
    measure_move,
    measure_shift,
    measure_weights,
    unsure_of_classes,
)
from skunlearn._unlearning.unseen_rows import RIGHT, Apart
from tests.varied_nets import VariedMLP

KEPT = np.arange(9)  # class 9 is gone


def rows(y, named, confidence, lift=None):
    """Rows of ten classes, named with a confidence; class 9 lies at a height of its own."""
    rng = np.random.default_rng(len(y) + int(1000 * np.mean(confidence)))
    y, named, confidence = np.broadcast_arrays(y, named, np.asarray(confidence, dtype=float))
    logits = rng.normal(size=(len(y), 10))
    logits -= np.log(np.exp(logits).sum(axis=1))[:, None]
    if lift is not None:
        logits[:, 9] = lift + rng.normal(size=len(y))
    rest = np.exp(logits)
    rest[np.arange(len(y)), named] = 0
    logits[np.arange(len(y)), named] = np.log(rest.sum(axis=1) * confidence / (1 - confidence))
    return Evidence(y, logits, named.copy(), Classes(np.arange(10)))


def test_a_class_that_is_gone_ranks_alike_for_all_rows():
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 9, 300)
    for height in (-9.0, -2.5):  # below all others, and in their middle
        retained = rows(kinds, kinds, 0.98, height)
        sure_or_not = [rows(np.full(n, 9), rng.integers(0, 9, n), 0.5, height) for n in (5, 100)]
        assert [class_ranks(each, retained, KEPT) for each in sure_or_not] == [None, None]
    retained = rows(kinds, kinds, 0.98, -9.0)
    known = rows(np.full(100, 9), rng.integers(0, 9, 100), 0.5, -2.5)
    ours, theirs = class_ranks(known, retained, KEPT)
    assert ours < 0.8
    assert theirs > 0.99
    assert class_ranks(None, retained, KEPT) is None
    # Rows of another class look more like those that are gone: the net takes them for alike.
    likelier = rows(np.full(30, 0), np.full(30, 0), 0.98, -1.0)
    both = Evidence(
        np.r_[retained.y, likelier.y],
        np.r_[retained.logits, likelier.logits],
        np.r_[retained.predicted, likelier.predicted],
        retained.task,
    )
    assert class_ranks(known, both.take(both.y > 0), KEPT) is not None
    assert class_ranks(known, both.take(np.r_[kinds > 0, np.full(30, True)]), KEPT) is None


def test_a_guess_at_a_class_stands_out_where_others_are_known():
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 9, 300)
    retained = rows(kinds, kinds, 0.95, -9.0)
    unsure = rows(np.full(100, 9), rng.integers(0, 9, 100), 0.2, -9.0)
    ours, theirs = unsure_of_classes(unsure, retained, KEPT)
    assert ours > 0.85
    assert theirs < 0.2
    taken_for_others = rows(np.full(100, 9), rng.integers(0, 9, 100), 0.6, -9.0)
    assert unsure_of_classes(taken_for_others, retained, KEPT) is None
    guesses = rows(kinds, kinds, 0.2, -9.0)  # a net that has learnt little
    assert unsure_of_classes(unsure, guesses, KEPT) is None


def test_rows_that_are_known_better_than_said():
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 9, 400)
    retained = rows(kinds, kinds, 0.9)
    taught = rows(kinds[:100], np.where(rng.random(100) < 0.9, kinds[:100], 9), 0.5)
    right, confidence = doubts(taught, retained)
    assert right > 0.8
    assert confidence == pytest.approx(0.5)
    # Rows that it has never seen are named as the confidence says, at best.
    honest = rows(kinds[:100], np.where(rng.random(100) < 0.5, kinds[:100], 9), 0.5)
    assert doubts(honest, retained) is None
    # A net that never says what it knows says so of no row.
    modest = rows(kinds, kinds, 0.5)
    assert doubts(taught, modest) is None


def apart(forget, unseen, before=None):
    """How they are told apart, of a request before which all forget rows were right and sure."""
    known = rows(forget.y, forget.y, 0.999) if before is None else before
    return Change(known, None, forget, None, unseen, unseen).apart


def test_rows_that_are_easier_or_harder_are_not_taken_for_remembered():
    """At 0.6 sure a net is right on 0.6 of the rows it has not seen, whatever their number."""
    rng = np.random.default_rng(0)

    def never(n, share_sure):
        y, sure = rng.integers(0, 9, n), rng.random(n) < share_sure
        confidence = np.where(sure, 0.97, 0.6)
        return rows(y, np.where(rng.random(n) < confidence, y, (y + 1) % 9), confidence)

    unseen = never(600, 0.5)
    for share in (0.9, 0.5, 0.1):
        found = apart(never(150, share), unseen)
        assert abs(found.after[RIGHT]) < 3 * found.errors[RIGHT]
        assert found.remembered() is None
        assert not found.stands_out()
    assert found.after["margin"] < -0.1  # though an attack tells them
    y = rng.integers(0, 9, 150)
    assert apart(rows(y, y, np.where(rng.random(150) < 0.5, 0.97, 0.6)), unseen).remembered()
    wrong = rows(y, (y + 1) % 9, 0.97)  # of wrong labels, say
    assert apart(wrong, unseen).remembered() is None


def test_what_is_left_by_less_than_half_is_forgotten():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 9, 400)
    unseen = rows(y, np.where(rng.random(400) < 0.4, y, (y + 1) % 9), 0.8)
    mostly = rows(y[:200], np.where(rng.random(200) < 0.6, y[:200], (y[:200] + 1) % 9), 0.8)
    half = rows(y[:200], np.where(rng.random(200) < 0.55, y[:200], (y[:200] + 1) % 9), 0.8)
    assert apart(mostly, unseen).remembered() is None  # 0.2 of 0.6 are left
    assert apart(mostly, unseen, before=half).remembered() == RIGHT
    few = rows(y[:4], y[:4], 0.8)
    assert apart(few, unseen) is None


@pytest.mark.parametrize("weighted", [False, True])
def test_the_auc_is_that_of_scikit_learn(weighted):
    rng = np.random.default_rng(0)
    for n, m in ((1, 1), (30, 7), (50, 200)):
        members, others = rng.integers(0, 9, n) / 3, rng.integers(0, 9, m) / 3  # many ties
        weights = class_weights(rng.integers(0, 3, m), rng.integers(0, 3, 50)) if weighted else None
        truth, mass = np.repeat([1, 0], [n, m]), np.ones(n + m)
        if weighted:
            mass[n:] = weights
        expected = roc_auc_score(truth, np.r_[members, others], sample_weight=mass)
        assert auc(members, others, weights) == pytest.approx(expected)


def test_what_neighbours_name_as_well_need_not_be_known_by_heart():
    def knows_more(said, named):
        return level_of_knowing_more(said, named) < 0.01

    y = np.arange(100) % 9
    known, other = rows(y, y, 0.999), (y + 1) % 9
    named = np.where(np.arange(100) < 97, y, other)
    assert not knows_more(known, named)
    assert not knows_more(known, y)
    # Of a fifth of the rows the model knows labels that nobody could tell.
    assert knows_more(known, np.where(np.arange(100) < 81, y, other))
    assert knows_more(rows(y, named, 0.999), np.where(np.arange(100) < 70, y, other))
    # Of a few rows it may be chance.
    few = np.arange(5)
    assert not knows_more(known.take(few), other[few])
    assert knows_more(known.take(np.arange(7)), other[:7])
    assert not knows_more(rows(y, other, 0.9), other)


def test_a_model_that_is_as_it_was_has_not_moved():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 9
    before = rows(y, y, rng.uniform(0.9, 0.99, 200))
    ours, theirs = np.arange(50), np.arange(50, 200)

    def move(after):
        return measure_move(
            Change(before.take(ours), before.take(theirs), after.take(ours), after.take(theirs))
        )

    assert move(before) == 0
    sharper = Evidence(y, before.logits * 1.01, y, before.task)
    assert 0.01 < move(sharper) < 0.1
    assert move(rows(y, y, rng.uniform(0.9, 0.99, 200))) > 0.3
    # One that has lost the forget rows alone has moved.
    lost = before.logits.copy()
    lost[ours, y[ours]] -= 2
    assert move(Evidence(y, lost, lost.argmax(axis=1), before.task)) > 1
    assert measure_move(Change(None, before, None, before)) == np.inf


def test_losses_may_move_from_nothing_to_whatever_a_float_holds():
    moved = measure_shift(np.zeros(3), np.full(3, 100.0))
    assert moved == pytest.approx(np.log(100) - np.log(np.finfo(float).tiny))


def test_what_is_lost_where_neighbours_disagree_may_have_been_known_by_heart():
    y = np.arange(100) % 9
    named, before = np.where(np.arange(100) < 80, y, (y + 1) % 9), rows(y, y, 0.999)
    noise = rows(y, named, 0.9)  # as a model does that has let go of wrong labels
    assert lost_where_neighbours_agree(before, noise, named) == 0
    half = rows(y, np.where(np.arange(100) % 2, y, (y + 1) % 9), 0.9)
    assert lost_where_neighbours_agree(before, half, named) == pytest.approx(0.5)
    # Of wrong labels those say nothing that agree by chance.
    by_chance = np.random.default_rng(0).permutation(y)
    for named in ((y + 1) % 9, by_chance):
        assert lost_where_neighbours_agree(before, half, named) is None


def of_rows(before, after, right=0.05, margin=0.03):
    """Distances by margin, by entropy, and beyond equal confidence, of 100 rows or so."""
    names, errors = ("margin", "entropy", RIGHT), (margin, margin, right)
    return Apart(500, *(dict(zip(names, each, strict=True)) for each in (before, after, errors)))


def test_two_signs_together_are_seen_where_each_is_too_little():
    was = (0.17, 0.08, 0.23)
    assert of_rows(was, (0.085, 0.03, 0.09)).remembered() == "margin"  # 2.8 and 1.8 errors
    assert of_rows((0.1, 0.08, 0.1), (0.02, 0.03, 0.13)).remembered() is None
    assert of_rows(was, (0.07, 0.03, 0.09)).remembered() is None  # less than half is left
    assert of_rows(was, (0.1, 0.03, -0.05)).remembered() is None  # rows are easier than others
    unsure = of_rows((0.02, 0.02, 0.02), (-0.06, -0.07, 0.09))
    assert unsure.stands_out()
    assert not of_rows((0.02, 0.02, 0.02), (-0.06, -0.07, 0.06)).stands_out()
    assert not of_rows((0.02, 0.02, 0.02), (0.0, -0.04, 0.2)).stands_out()  # named, not unsure
    assert not of_rows((0.02, -0.09, 0.02), (-0.06, -0.07, 0.09)).stands_out()  # as it was


def test_rows_that_are_known_but_not_surely_are_not_hard():
    """As after SalUn at a fifth of the rate: a net is neither right nor sure of hard rows."""
    assert of_rows((0.19, 0.04, 0.39), (0.133, -0.37, 0.062), 0.086, 0.044).stands_out()
    assert not of_rows((0.19, 0.04, 0.39), (-0.2, -0.37, 0.03), 0.086, 0.044).stands_out()


def test_rows_of_a_class_that_is_gone_may_be_too_surely_taken_for_others():
    names = "margin", "entropy"
    sides = ({"margin": 0.2, "entropy": 0.24}, {"margin": 0.0, "entropy": 0.16})
    errors = dict.fromkeys(names, 0.04)
    assert Apart(100, *sides, errors).remembered() == "entropy"
    assert Apart(100, sides[0], {"margin": 0.0, "entropy": 0.1}, errors).remembered() is None


def test_weights_tell_a_net_that_is_as_it_was():
    def make(width=64):
        return NeuralNetClassifier(VariedMLP, module__width=width, verbose=0).initialize()

    net, near, far, other = make(), make(), make(), make(7)
    near.module_.load_state_dict(net.module_.state_dict())
    assert measure_weights(net, near) == 0
    with torch.no_grad():
        next(near.module_.parameters()).mul_(1.0005)
    assert 0 < measure_weights(net, near) < 0.001
    assert measure_weights(net, far) > 0.5
    assert measure_weights(net, other) == np.inf
    assert measure_weights(net, None) == np.inf


def test_a_head_that_is_learnt_anew_has_moved_whatever_lies_below():
    net = NeuralNetClassifier(VariedMLP, module__width=400, verbose=0).initialize()
    new = NeuralNetClassifier(VariedMLP, module__width=400, verbose=0).initialize()
    new.module_.load_state_dict(net.module_.state_dict())
    *_, head = (p for p in new.module_.parameters() if p.ndim > 1)
    with torch.no_grad():
        head.mul_(1.05)
    assert measure_weights(net, new) == pytest.approx(0.05, rel=1e-3)
    with torch.no_grad():  # biases begin at nothing, and any step is many times their size
        head.div_(1.05)
        [p.add_(1e-4) for p in new.module_.parameters() if p.ndim == 1]
    assert measure_weights(net, new) < 0.005


@pytest.mark.parametrize(("n", "known"), [(1, False), (2, False), (3, True)])
def test_of_a_row_or_two_another_seed_may_know_more(n, known):
    """A net that has its rows by heart names one row better, or less well, as it happens."""
    said = SimpleNamespace(forget_after=SimpleNamespace(y=np.zeros(n)))
    facts = SimpleNamespace(unmoved=False, level_of_neighbours=None, by_heart=True, change=said)
    assert Facts.may_know(facts, 0.05) is known


class Asked(SimpleNamespace):
    """`Facts` of a number of forget rows, that note whether neighbours were asked."""

    adds_noise = by_heart = unmoved = False
    losses, _unit = (1.0, 2.0), 1.0
    asked = False

    @property
    def level_of_neighbours(self):
        self.asked = True
        return self.level


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7, 9])
@pytest.mark.parametrize("moved", [0.01, 0.05, 0.2])
def test_neighbours_are_asked_where_they_decide(n, moved):
    y = np.zeros(n, dtype=int)
    for right, theirs in np.ndindex(n + 1, n + 1):
        said = SimpleNamespace(y=y, predicted=(np.arange(n) >= right).astype(int))
        for level in (level_of_knowing_more(said, (np.arange(n) >= theirs).astype(int)), None):
            # The rules, whatever it takes to look.
            raised = level is None or moved >= 0.1
            if not raised:
                raised = (
                    level > 0.5 if moved < 0.04 and n < 7 else level >= (0.2, 0.01)[moved > 0.04]
                )
            known = False if level is None else level < 0.05
            change = SimpleNamespace(forget_after=said, is_easy=False)
            facts = Asked(change=change, moved=moved, level=level)
            assert Facts.rose.func(facts) == raised
            decided = moved >= 0.1 or (n < 7 and (moved >= 0.04 or not right))
            assert facts.asked is not decided
            facts.asked = False
            assert Facts.may_know(facts, 0.05) == known
            assert facts.asked is (n > 2)


def test_fewer_rows_to_learn_from_may_cost_a_little():
    def usual(gone, task):
        record = SimpleNamespace(retained=np.ones(200))
        removal = SimpleNamespace(record=record, positions=np.arange(gone))
        known = SimpleNamespace(score=lambda: 0.8, task=task)
        return Facts._usual_loss(SimpleNamespace(removal=removal), known)

    names, values = Classes(np.arange(3)), Values()
    assert usual(50, names) - usual(0, names) == pytest.approx(0.2 * (1.25**0.25 - 1))
    assert usual(0, names) == pytest.approx(0.3 / np.sqrt(200))
    # Errors that are squared fall as the square does, and so do seeds differ.
    assert usual(50, values) - usual(0, values) == pytest.approx(0.2 * (np.sqrt(1.25) - 1))
    assert usual(0, values) == pytest.approx(0.2 * 2.5 / np.sqrt(200))


def test_what_unseen_rows_lose_is_measured_of_labels_and_of_values_too():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(100, 1))

    def change_of(sides, emptied=()):
        return Change(*[None] * 4, *sides, emptied)

    values = [Evidence(y, None, y + wrong, Values()) for wrong in (0.0, 0.5 * y)]
    lost, error, known = lost_on_unseen(change_of(values))
    assert lost == pytest.approx(values[0].score() - values[1].score())
    assert 0 < error < 0.1
    assert known is values[0]
    labels = y[:, :1] > np.array([[-1.0, 0.0, 1.0]])
    missed = labels.copy()
    missed[:20] = ~missed[:20]
    sides = [Evidence(labels, said * 2.0 - 1, said, Labels(3)) for said in (labels, missed)]
    assert lost_on_unseen(change_of(sides))[0] == pytest.approx(0.2)
    # A label that is gone is not to be named any more.
    missed = labels.copy()
    missed[:, 2] = False
    gone = [sides[0], Evidence(labels, missed * 2.0 - 1, missed, Labels(3))]
    assert lost_on_unseen(change_of(gone))[0] > 0
    assert lost_on_unseen(change_of(gone, (2,)))[0] == 0


def facts_of(sides, left=4000, epochs=20, learning=False):
    """Of a request for 100 rows, judged by what a net says of unseen ones, before and after."""
    net = NeuralNetClassifier(
        torch.nn.Linear, module__in_features=2, module__out_features=10, batch_size=100
    ).initialize()
    for _ in range(epochs):
        net.history.new_epoch()
    unlearner = SimpleNamespace(
        estimator=net,
        estimator_=net,
        deletions_=[],
        _record=range(left + 100),
        _make_promises=Promises,
    )
    record = SimpleNamespace(retained=np.ones(left, dtype=bool))
    given = SimpleNamespace(positions=None)
    removal = SimpleNamespace(record=record, positions=np.arange(100), others=given)
    change = Change(*[None] * 4, *sides)
    facts = Facts(unlearner, change, change.measure(), 0.1, removal)
    vars(facts)["learning"] = learning
    return facts


def test_a_net_that_was_still_learning_may_lose_more_after_few_steps_alone():
    """Of thousands of rows an epoch is many of them, and seven points are no luck of the seed."""
    y = np.arange(2000) % 10
    sides = [rows(y, np.where(np.arange(2000) < k, y, (y + 1) % 10), 0.5) for k in (1200, 1060)]
    lost = facts_of(sides, learning=True).damage.lost
    assert lost == pytest.approx(0.07)
    assert facts_of(sides, epochs=2, learning=True).damage is None
    assert facts_of(sides, epochs=2).damage.lost == lost
    later = facts_of(sides, epochs=2, learning=True)  # what has trained it since was short
    later.unlearner.deletions_.append({})
    later.unlearner.estimator.max_epochs = 20
    assert later.damage.lost == lost


@pytest.mark.parametrize(
    ("before", "after", "left", "how", "said"),
    [
        (0.97, 0.91, 4000, {}, True),  # three times the error
        (0.97, 0.94, 4000, {}, False),
        (0.4, 0.25, 4000, {}, True),
        (0.4, 0.25, 100, {}, False),  # as much as what a seed makes of a hundred rows
        (0.97, 0.87, 100, {}, True),
        (0.2, -0.6, 100, {}, True),
        (0.2, -0.6, 100, {"learning": True, "epochs": 2}, False),  # it knew next to nothing
        (0.2, -1.6, 100, {"learning": True, "epochs": 2}, True),
        (0.6, 0.2, 100, {"learning": True, "epochs": 2}, True),
    ],
)
def test_what_a_regression_may_lose_is_a_share_of_what_it_left_unexplained(
    before, after, left, how, said
):
    y, noise = np.random.default_rng(0).normal(size=(2, 1000, 1))
    noise -= noise.mean()
    sides = [
        Evidence(y, None, y + noise * y.std() / noise.std() * np.sqrt(1 - share), Values())
        for share in (before, after)
    ]
    assert sides[0].score() == pytest.approx(before)
    assert (facts_of(sides, left, **how).damage is not None) is said


@pytest.mark.parametrize(("n", "asked"), [(6, False), (60, True)])
def test_a_few_rows_of_a_class_that_is_gone_are_not_told_from_others(n, asked):
    """They are alike, so that one net is surer of all of them than of the next six."""
    sides = [rows(np.full(k, 9), np.full(k, 3), sure) for k, sure in ((n, 0.9), (n, 0.5))]
    change = Change(sides[0], None, sides[0], None, sides[1], sides[1], (9,))
    assert (change.apart is not None) is asked
    if asked:
        assert change.apart.remembered() == "entropy"
