"""Warnings: a request that did not forget, or that destroyed the model."""

from functools import cache, partial

import numpy as np

from skunlearn._rows.checking import warn
from skunlearn._rows.neighbours import name_by_neighbours
from skunlearn._torch.parts.tasks import Labels, task_of
from skunlearn._unlearning.certificate.deletion_log import to_plain
from skunlearn._unlearning.promises import Promises
from skunlearn._unlearning.traces import (
    blurs_both,
    class_ranks,
    doubts,
    has_learnt_nothing,
    is_learning,
    known_by_heart,
    knows_by_heart,
    level_of_knowing_more,
    lost_where_neighbours_agree,
    measure_move,
    measure_shift,
    share_above_chance,
    stands_out,
    unsure_of_classes,
)
from skunlearn._unlearning.unseen_rows import RIGHT
from skunlearn.exceptions import ClassForgottenWarning, ModelDamagedWarning, NotForgottenWarning

_STILL_KNOWN = 0.02  # share of the rows of a forgotten class, named correctly, worth a warning
_MOVED = 1e-3  # rise of the mean forget loss, relative to max(1, loss before), that counts
_GREW = 0.3  # the same of a small loss, relative to itself
_SHAKEN = 0.3  # change of the log of a loss, of easy rows in nets trained anew: 0.34 to 2.8
_LOST = 0.03  # accuracy on unseen rows that is worth a warning, beside what chance shows
_ENOUGH = 50  # unseen rows from which that is measured
_DRAWN = 0.3  # over √n for n retained rows: what two seeds differ by where these are few
_WRECKED = 0.5  # share of what a net that was still learning knew: two seeds differ by less
_MOST = 0.15  # points that they do, of nets that know little yet
# See `measure_move`: a model is as it was; one that has its rows by heart, and one that knows the
# forget rows better than their neighbours do. Nets trained anew: 0.06 and up, and 0.22 by heart.
_UNMOVED, _UNMOVED_BY_HEART, _HARDLY_MOVED = 0.04, 0.2, 0.1
_BETTER, _LIKELY, _PERHAPS = 0.01, 0.05, 0.2  # levels of the test of `_knows_more`
_ASKED = 1000  # forget rows for which neighbours are looked up, at most


def find_emptied(unlearner, record, forget, positions=None, retain=None):
    """Encoded classes, or labels, of which a request removes every row, with a warning.

    `record` is as the request leaves it. Where it holds no rows, `retain` are those that came
    with the request, those at `positions` go, and of the others digests tell.
    """
    if unlearner._classes is None:
        return ()
    task = task_of(unlearner._classes)
    if not record.has_data:
        gone = _recall_emptied(task, record, forget, positions, retain)
    elif forget is None:
        return ()
    else:
        gone = task.find_emptied(record.retained_y, forget.y)
    if len(gone):
        names = to_plain(unlearner._row_reader.name(gone))
        warn(
            f"The request removes every retained row of {names}: the model forgets the whole "
            "class. Judge it on unseen rows of that class, and its accuracy on the others.",
            ClassForgottenWarning,
        )
    return tuple(gone.tolist())


def _recall_emptied(task, record, forget, positions, retain):
    """As ``find_emptied``, of rows that are not at hand; none where nobody can say."""
    codes = range(len(task.labels)) if task.has_one_class else ()
    if forget is not None:
        gone = forget.y
    elif task.has_one_class:
        gone = record.recall_labels(positions, codes)
        gone = gone[gone >= 0]
    else:
        return np.array([], dtype=int)
    emptied = task.find_emptied(retain.y, gone)
    if len(retain) == record.retained.sum() or not len(emptied):
        return emptied
    # The request has brought a part of those that are left.
    left = record.recall_labels(np.flatnonzero(record.retained), codes)
    known = task.has_one_class and (left >= 0).all()
    return emptied[~np.isin(emptied, left)] if known else emptied[:0]


def warn_if_damaged(unlearner, change, measured, most_lost, removal):
    """Warn when a request has damaged the model; whether it wrecked it.

    Where there are rows that the model has never seen they are asked: retained rows may have been
    known by heart, which is no accuracy to keep. Without them that is told by their neighbours.

    Parameters
    ----------
    unlearner : BaseUnlearner
    change : Change
    measured : dict
        Losses and scores before and after, as in the log.
    most_lost : float
        The loss of accuracy on retained rows that is worth a warning.
    removal : Removal
        Looked up.
    """
    if has_learnt_nothing(change.retain_before):
        return False
    name, least = type(unlearner).__name__, None
    learning = is_learning(unlearner.estimator_, change.retain_before)
    unseen = None if change.unseen_after is None else lost_on_unseen(change)
    if unseen is not None:
        lost, error = unseen
        by_chance = error + _DRAWN / np.sqrt(max(1, removal.record.retained.sum()))
        what, too_much = "rows that it has never seen", lost > min(most_lost, _LOST + by_chance)
        known = change.unseen_before.take(~np.isin(change.unseen_before.y, change.emptied))
    else:
        scores = measured["retain_before"]["score"], measured["retain_after"]["score"]
        lost = 0.0 if None in scores else scores[0] - scores[1]
        if np.isfinite(most_lost) and most_lost > Promises.accuracy_drop:
            lost = _lost_by_label(unlearner, change, lost)
        what, too_much, known = "the retained rows", lost > most_lost, change.retain_before
        # Methods that lose what was known by heart may lose more: of that alone.
        most_lost = min(most_lost, Promises.accuracy_drop) if np.isfinite(most_lost) else most_lost
        if lost > most_lost and not (learning or unlearner._has_judged()):
            least = _lost_at_least(unlearner, change, removal)
            too_much = too_much or (least is not None and least > most_lost)
    if too_much and learning:
        too_much = lost > max(_MOST, _WRECKED * share_above_chance(known))
    if not too_much or not np.isfinite(most_lost):
        return False
    text = f"{name} cost {what} {100 * lost:.0f} points of accuracy"
    advice = "Try a smaller learning rate, fewer epochs or a larger penalty."
    if unlearner._make_promises().certified:
        advice = "That is the noise of its proof: allow a larger epsilon, or use RetrainUnlearner."
    if least is None or least > most_lost:
        warn(f"{text}. {advice}", ModelDamagedWarning)
        return lost > most_lost
    warn(
        f"{text}, and {100 * max(least, 0.0):.0f} on those whose neighbours have the same label. "
        "Labels that it knew by heart, wrong ones say, are no accuracy to keep. Whether it knows "
        "less than it did, rows tell that it has never seen: pass some as X_val=. If so: "
        f"{advice[0].lower()}{advice[1:]}",
        ModelDamagedWarning,
    )
    return False


def _lost_by_label(unlearner, change, lost):
    """Accuracy lost on retained rows; of labels, of which a row has many, that of any of them.

    Of six that were known by heart, one wrong label makes the whole row wrong: where a twelfth of
    them was let go of, that was two fifths of the rows.
    """
    sides = change.retain_before, change.retain_after
    if unlearner._has_judged() or not isinstance(sides[1].task, Labels):
        return lost
    before, after = ((said.predicted == said.y).mean() for said in sides)
    return float(before - after)


def _lost_at_least(unlearner, change, removal):
    """Accuracy lost on retained rows that nobody need know by heart; None where nobody can say."""
    before, after = change.retain_before, change.retain_after
    if removal.sample is None or after.noisy or not after.task.has_one_class:
        return None
    named = name_by_neighbours(removal.sample, None, unlearner._seed)
    return None if named is None else lost_where_neighbours_agree(before, after, named)


def warn_if_wrong(unlearner, change, measured, most_lost, removal):
    """Warn when a request has damaged the model, or when it has not forgotten.

    Parameters
    ----------
    unlearner : BaseUnlearner
        Whose method is neither exact nor certified.
    change : Change
    measured : dict
        Losses and scores before and after, as in the log.
    most_lost : float
        The loss of accuracy on retained rows that is worth a warning.
    removal : Removal
        Looked up.
    """
    name, said = type(unlearner).__name__, change
    if warn_if_damaged(unlearner, change, measured, most_lost, removal):
        said = None  # what a wrecked model is sure of says nothing of what it remembers
    before, after = measured["forget_before"]["loss"], measured["forget_after"]["loss"]
    if before is None or after is None or has_learnt_nothing(change.retain_before):
        return
    text = None
    # Where unseen rows are known as well, rows that are known are not remembered.
    alike = change.apart is not None and change.apart.are_alike()
    raised = after - before > min(_MOVED * max(1.0, before), _GREW * before)
    moved = measure_move(change)
    more = cache(partial(_knows_more, unlearner, change.forget_after, removal))
    if not raised and change.is_easy:
        # Of these a net trained anew knows some less well and others better.
        sides = change.forget_before.losses(), change.forget_after.losses()
        raised = measure_shift(*sides) > _SHAKEN
    by_heart = knows_by_heart(change.retain_before)
    unmoved = moved < (_UNMOVED_BY_HEART if by_heart else _UNMOVED)
    leaning = change.apart is not None and change.apart.leans()

    def may_know(level):
        return unmoved or (by_heart if more() is None else more() < level)

    # By next to nothing, of rows that others do not give away.
    if raised and moved < _HARDLY_MOVED and more() is not None:
        raised = more() >= (_PERHAPS if moved < _UNMOVED else _BETTER)
    unlike = not alike or change.is_easy
    if not raised and unlike and may_know(_PERHAPS if leaning else _LIKELY):
        text = _say_not_raised(unlearner, before, after, change.apart is None)
    if not alike:
        if raised and said is not None and unlearner._make_promises().adds_noise:
            text = _say_blurred(unlearner, said, measured)
        if text is None and said is not None:
            text = _say_known_by_heart(unlearner, said)
            text = text if text is None or may_know(_BETTER) else None
    if text is None:
        text = _say_still_named(unlearner, removal, change)
    if text is None:
        text = _say_apart(unlearner, change, more)
    if text is None and said is not None:
        if said.emptied:
            text = _say_class_is_known(unlearner, said, removal)
        elif not is_learning(unlearner.estimator_, change.retain_before):  # and unsure of many
            text = _say_stands_out(name, said)
    if text is not None:
        warn(text, NotForgottenWarning)


def lost_on_unseen(change):
    """Accuracy lost on unseen rows of classes that stay, and its standard error; None without."""
    sides = change.unseen_before, change.unseen_after
    if any(said is None or said.noisy or not said.task.has_one_class for said in sides):
        return None
    right = [(said.predicted == said.y)[~np.isin(said.y, change.emptied)] for said in sides]
    n = len(right[0])
    if n < _ENOUGH:
        return None
    return float(right[0].mean() - right[1].mean()), float(np.sqrt(np.sum(right[0] ^ right[1])) / n)


def _say_not_raised(unlearner, before, after, unjudged):
    # A net that was not trained to its end may have learnt what they share with unseen rows.
    tell = " Unseen rows, as X_val=, would tell." if unjudged else ""
    return (
        f"{type(unlearner).__name__} did not raise the loss on the forget rows ({before:.4g} "
        f"before, {after:.4g} after): they may still be remembered.{tell} Try "
        f"{unlearner._advise_more()}."
    )


def _say_blurred(unlearner, change, measured):
    # Seeds of a net that was still learning differ by as much as noise.
    if is_learning(unlearner.estimator_, change.retain_before) or not blurs_both(measured):
        return None
    name = type(unlearner).__name__
    losses = {key: said["loss"] for key, said in measured.items()}
    return (
        f"The noise of {name} blurs forget and retained rows alike: it raised the loss on forget "
        f"rows from {losses['forget_before']:.3g} to {losses['forget_after']:.3g}, and on retained "
        f"rows from {losses['retain_before']:.3g} to {losses['retain_after']:.3g}. What tells "
        "them from rows that it has never seen is still there: look at MIAScorer or "
        "skunlearn.evaluation.audit. Use AutoUnlearner, NoTUnlearner or RetrainUnlearner."
    )


def _say_known_by_heart(unlearner, change):
    promises = unlearner._make_promises()
    # One that only looks at them pushes none away.
    pushed = promises.reads_forget_rows and not promises.judges_itself
    chance = _chance(unlearner, change.retain_after)
    losses = known_by_heart(change.forget_before, change.forget_after, chance, pushed)
    if losses is None:
        return None
    return (
        f"After {type(unlearner).__name__} forget rows are still known by heart: "
        f"{'half of them have a loss of at most' if pushed else 'their mean loss is'} "
        f"{losses[1]:.3g} ({losses[0]:.3g} before, {chance:.3g} for chance). "
        "Unless a model knows unseen rows as well, it has not forgotten them: pass some as X_val=, "
        "or look at MIAScorer or skunlearn.evaluation.audit. What forgets more: "
        f"{unlearner._advise_more()}; and AutoUnlearner, NoTUnlearner and, of classifiers, "
        "AMUNUnlearner."
    )


def _knows_more(unlearner, said, removal):
    """Level of a test that more of the forget rows are named rightly than by retained neighbours.

    None where nobody can say.
    """
    if said is None or removal.forget is None or removal.retain is None:
        return None
    if not said.task.has_one_class:
        return None
    n = len(removal.forget)
    some = np.random.default_rng(unlearner._seed).permutation(n)[:_ASKED]
    named = name_by_neighbours(removal.forget.take(some), removal.retain, unlearner._seed)
    return None if named is None else level_of_knowing_more(said.take(some), named)


def _chance(unlearner, sample):
    """Loss of a guess at a class or at labels; 0 for a regression."""
    if unlearner._classes is None:
        return 0.0
    seen = unlearner._row_reader.seen_classes
    return task_of(seen).chance(sample.y) or float(np.log(2))


def _say_still_named(unlearner, removal, change):
    # A model that never saw a class never names it, or as often for whatever row.
    if not removal.emptied:
        return None
    task, left = task_of(unlearner._classes), _list_left(removal)
    if not task.covers(left, removal.forget.y):
        return None
    named = task.still_named(change.forget_after, list(removal.emptied))
    others = change.retain_after
    if others is not None and task.has_one_class:
        named_others = np.isin(others.predicted, removal.emptied).mean()
    else:
        named_others = 0.0
    if named <= _STILL_KNOWN + named_others:
        return None
    return (
        f"{type(unlearner).__name__} still names {100 * named:.0f} % of the rows of forgotten "
        f"classes correctly. Try {unlearner._advise_more()}."
    )


def _list_left(removal):
    """Labels of the retained rows; where none is held, of those that came with the request."""
    return removal.record.retained_y if removal.record.has_data else removal.retain.y


def _say_stands_out(name, change):
    sides = change.forget_after, change.retain_after
    sure, hidden = stands_out(*sides), doubts(*sides)
    if sure is not None and stands_out(change.forget_before, change.retain_before) is not None:
        sure = None  # nor was the model sure of them when it had just been trained on them
    if sure is None and hidden is not None:
        return (
            f"After {name} the forget rows stand out: the model names {100 * hidden[0]:.0f} % of "
            f"them rightly at a mean confidence of {hidden[1]:.2f}, farther below than for "
            "retained rows. Rows that it has never seen it would know less well: it was only "
            "taught not to show what it remembers. Try a smaller learning rate or fewer epochs, "
            "and look at MIAScorer with attack='entropy'."
        )
    if sure is None:
        return None
    return (
        f"After {name} the forget rows stand out: the model is sure of {100 * sure[1]:.0f} % of "
        f"them (a probability of {sure[0]:.2f} and more, which half of the retained rows of their "
        "classes reach). Of rows like them that it has never seen it would be sure more often, so "
        "that an attack by entropy tells them apart. Try a smaller learning rate or fewer epochs, "
        "and look at MIAScorer with attack='entropy'."
    )


def _say_class_is_known(unlearner, change, removal):
    """Of rows of classes that are gone, where the net still tells them by what it says."""
    ours, name = change.forget_after, type(unlearner).__name__
    if not ours.task.has_one_class:
        return None
    gone = np.isin(ours.y, change.emptied)
    kept = np.unique(_list_left(removal))
    sides = ours.take(gone), change.retain_after
    ranks = class_ranks(*sides, kept)
    if ranks is not None:
        return (
            f"After {name} the rows of forgotten classes still speak for their class: "
            f"{100 * ranks[0]:.0f} % of the classes that stay are likelier for them, and "
            f"{100 * ranks[1]:.0f} % for retained rows. For a model that never met a class it is "
            "as unlikely for its own rows as for all others. Try "
            f"{unlearner._advise_more()}, and look at MIAScorer."
        )
    unsure = unsure_of_classes(*sides, kept)
    before = change.forget_before.take(gone), change.retain_before
    if unsure is None or unsure_of_classes(*before, kept) is not None:
        return None  # nor had it learnt them
    return (
        f"After {name} the rows of forgotten classes stand out: the model guesses at them (mean "
        f"entropy {unsure[0]:.2f} of that of a guess, {unsure[1]:.2f} for retained rows)"
        ". A model that never met a class takes its rows for others more surely. Try a smaller "
        "learning rate or fewer epochs, and look at MIAScorer with attack='entropy'."
    )


def _say_apart(unlearner, change, more):
    """Of rows that the model has never seen, where the request brought any."""
    apart, name = change.apart, type(unlearner).__name__
    if apart is None:
        return None
    way = apart.remembered()
    if way == RIGHT and more() is not None and more() >= _PERHAPS:
        way = apart.remembered(but=RIGHT)  # these happen to be easier than the others
    if way == RIGHT:
        now, was = (100 * distance[RIGHT] for distance in (apart.after, apart.before))
        return (
            f"After {name} {now:.0f} % more of the forget rows are named rightly than of the "
            f"unseen rows of which the model is as sure ({was:.0f} % before): they are still "
            f"remembered. Try {unlearner._advise_more()}, or use AutoUnlearner."
        )
    if way is not None:
        now, was = (0.5 + distance[way] for distance in (apart.after, apart.before))
        return (
            f"After {name} an attack by {way} tells forget rows from the request's unseen rows "
            f"with an AUC of {now:.2f} ({was:.2f} before). Unless they are easier than these, they "
            f"are still remembered: try {unlearner._advise_more()}, or use AutoUnlearner."
        )
    if not apart.stands_out():
        return None
    return (
        f"After {name} the forget rows stand out: an attack by entropy tells them from the unseen "
        f"rows of the request with an AUC of {0.5 + apart.after['entropy']:.2f} "
        f"({0.5 + apart.before['entropy']:.2f} before), as the model is less sure of them. Try a "
        "smaller learning rate or fewer epochs, or use AutoUnlearner."
    )
