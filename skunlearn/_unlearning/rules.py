"""Rules by which a request did not forget, or destroyed the model, and what each says of it.

`DAMAGE` and `FORGETTING` are read from above to below: the first rule that applies and finds
something says it, and nothing more is asked of that table.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skunlearn._torch.parts.tasks import task_of
from skunlearn._torch.row_peaks import FEWEST, find_lonely, level_beyond, measure_peaks
from skunlearn._torch.skorch_nets import is_net
from skunlearn._unlearning import traces
from skunlearn._unlearning.accuracy_guard import advise_less
from skunlearn._unlearning.change import (
    BETTER,
    ENOUGH,
    EVEN,
    GREW,
    HARDLY_MOVED,
    LIKELY,
    LOST,
    MOST,
    MOVED,
    PERHAPS,
    SETTLED,
    STEADY,
    UNMOVED,
    UNMOVED_BY_HEART,
    WRECKED,
)
from skunlearn._unlearning.unseen_rows import APART, BEYOND, NEAR, RIGHT, TOGETHER
from skunlearn._unlearning.unseen_rows import FEWEST as FEWEST_APART

PEAKED = 0.06  # mean peak at rows that is none, see `row_peaks`
SURE = 2.5  # standard errors beyond it
_STILL_KNOWN = 0.02  # share of the rows of a forgotten class, named correctly, worth a warning


class Rule(NamedTuple):
    """One thing that may be wrong after a request.

    Attributes
    ----------
    name : str
    asks : str
        What it looks at, and when.
    limit : str
        From where on it says something.
    seen : str
        What the limit was measured on.
    say : callable
        From `Facts` to a text, or None.
    needs : tuple of str
        Facts without which it does not apply; see `Facts.hold`.
    """

    name: str
    asks: str
    limit: str
    seen: str
    say: Callable
    needs: tuple = ()


# ---------------------------------------------------------------------------- damage


def _say_lost(facts):
    damage = facts.damage
    if damage.is_doubtful:
        return None
    return f"{_say_cost(facts)}. {_advise_less(facts)}"


def _say_perhaps_lost(facts):
    advice, least = _advise_less(facts), facts.damage.least
    beside = "which may all have been known by heart"
    if not facts.damage.may_be_heart:
        beside = f"and {100 * max(least, 0.0):.0f} on those whose neighbours have the same label"
    what = "Labels that it knew by heart, wrong ones say, are no accuracy to keep"
    if facts.unlearner._classes is None:
        what = "The noise of targets that it knew by heart is nothing to keep"
    return (
        f"{_say_cost(facts)}, {beside}. {what}. Whether it knows less than it did, rows tell that "
        f"it has never seen: pass some as X_val=. If so: {advice[0].lower()}{advice[1:]}"
    )


def _say_cost(facts):
    damage = facts.damage
    lost = f"{100 * damage.lost:.0f} points of accuracy"
    if facts.unlearner._classes is None:
        lost = f"{damage.lost:.2f} of R²"
    return f"{facts.name} cost {damage.rows} {lost}"


def _advise_less(facts):
    if facts.promises.certified:
        return "That is the noise of its proof: allow a larger epsilon, or use RetrainUnlearner."
    return f"Try {advise_less(facts.unlearner)}, or RetrainUnlearner."


# ---------------------------------------------------------------------------- forgetting


def _say_not_raised(facts):
    leans = facts.apart is not None and facts.apart.leans()
    if not facts.may_know(PERHAPS if leans else LIKELY):
        return None
    # A net that was not trained to its end may have learnt what they share with unseen rows.
    tell = " Unseen rows, as X_val=, would tell." if facts.apart is None else ""
    if len(facts.change.forget_after.y) < FEWEST_APART:  # which these do not tell, either
        level = facts.level_of_neighbours
        easy = level is not None and level > EVEN
        tell = " Retained neighbours name them as well, so that this may be little." * easy
        tell += " Of so few AutoUnlearner can tell, with X_val=."
    before, after = facts.losses
    losses = f"{before:.4g} before, {after:.4g} after"
    if facts.rose or facts.plainly_alike:  # it is the weights that tell
        known = (
            " Unseen rows it knows as well, so that this may be little." if facts.alike else tell
        )
        return (
            f"{facts.name} moved the weights by {100 * facts.weights_moved:.1g} % of their size: "
            "the model is as it was, and what it knew of the forget rows it still knows (loss "
            f"{losses}).{known} Try {facts.unlearner._advise_more()}."
        )
    return (
        f"{facts.name} did not raise the loss on the forget rows ({losses}): they may still be "
        f"remembered.{tell} Try {facts.unlearner._advise_more()}."
    )


def _say_blurred(facts):
    if not traces.blurs_both(facts.measured):
        return None
    losses = {key: said["loss"] for key, said in facts.measured.items()}
    return (
        f"The noise of {facts.name} blurs forget and retained rows alike: it raised the loss on "
        f"forget rows from {losses['forget_before']:.3g} to {losses['forget_after']:.3g}, and on "
        f"retained rows from {losses['retain_before']:.3g} to {losses['retain_after']:.3g}. What "
        "tells them from rows that it has never seen is still there: look at MIAScorer or "
        "skunlearn.evaluation.audit. Use AutoUnlearner, NoTUnlearner or RetrainUnlearner."
    )


def _say_known_by_heart(facts):
    change, promises = facts.change, facts.promises
    # One that only looks at them pushes none away.
    pushed = promises.reads_forget_rows and not promises.judges_itself
    chance = _chance(facts.unlearner, change.retain_after)
    losses = traces.known_by_heart(change.forget_before, change.forget_after, chance, pushed)
    if losses is None or not facts.may_know(BETTER):
        return None
    look = "look at MIAScorer or skunlearn.evaluation.audit"
    if facts.change.unseen_after is None:
        look = f"pass some as X_val=, or {look}"
    return (
        f"After {facts.name} forget rows are still known by heart: "
        f"{'half of them have a loss of at most' if pushed else 'their mean loss is'} "
        f"{losses[1]:.3g} ({losses[0]:.3g} before, {chance:.3g} for chance). "
        f"Unless a model knows unseen rows as well, it has not forgotten them: {look}. What "
        "forgets more: "
        f"{facts.unlearner._advise_more()}; and AutoUnlearner, NoTUnlearner and, of classifiers, "
        "AMUNUnlearner."
    )


def _chance(unlearner, sample):
    """Loss of a guess at a class or at labels; 0 for a regression."""
    if unlearner._classes is None:
        return 0.0
    seen = unlearner._row_reader.seen_classes
    return task_of(seen).chance(sample.y) or float(np.log(2))


def _say_still_named(facts):
    # A model that never saw a class never names it, or as often for whatever row.
    change = facts.change
    task = task_of(facts.unlearner._classes)
    if not task.covers(facts.labels_left, facts.removal.forget.y):
        return None
    named = task.still_named(change.forget_after, list(facts.emptied))
    others = change.retain_after
    if others is not None and task.has_one_class:
        named_others = np.isin(others.predicted, facts.emptied).mean()
    else:
        named_others = 0.0
    if named <= _STILL_KNOWN + named_others:
        return None
    return (
        f"{facts.name} still names {100 * named:.0f} % of the rows of forgotten "
        f"classes correctly. Try {facts.unlearner._advise_more()}."
    )


def _say_remembered(facts):
    """Of rows that the model has never seen."""
    apart, level = facts.apart, None
    way = apart.remembered()
    if way == RIGHT:
        level = facts.level_of_neighbours
    if level is not None and level >= PERHAPS:
        way = apart.remembered(but=RIGHT)  # these happen to be easier than the others
    if way is None:
        return None
    if way == RIGHT:
        now, was = (100 * distance[RIGHT] for distance in (apart.after, apart.before))
        return (
            f"After {facts.name} {now:.0f} % more of the forget rows are named rightly than of the "
            f"unseen rows of which the model is as sure ({was:.0f} % before): they are still "
            f"remembered. Try {facts.unlearner._advise_more()}, or use AutoUnlearner."
        )
    now, was = (0.5 + distance[way] for distance in (apart.after, apart.before))
    return (
        f"After {facts.name} an attack by {way} tells forget rows from unseen rows "
        f"with an AUC of {now:.2f} ({was:.2f} before). Unless they are easier than these, they "
        f"are still remembered: try {facts.unlearner._advise_more()}, or use AutoUnlearner."
    )


def _say_less_sure_than_of_unseen(facts):
    apart = facts.apart
    if not apart.stands_out():
        return None
    return (
        f"After {facts.name} the forget rows stand out: an attack by entropy tells them from the "
        f"unseen rows with an AUC of {0.5 + apart.after['entropy']:.2f} "
        f"({0.5 + apart.before['entropy']:.2f} before), as the model is less sure of them. Try a "
        "smaller learning rate or fewer epochs, or use AutoUnlearner."
    )


def _say_class_ranks(facts):
    ranks = traces.class_ranks(*facts.gone_and_kept[0])
    if ranks is None:
        return None
    return (
        f"After {facts.name} the rows of forgotten classes still speak for their class: "
        f"{100 * ranks[0]:.0f} % of the classes that stay are likelier for them, and "
        f"{100 * ranks[1]:.0f} % for retained rows. For a model that never met a class it is "
        "as unlikely for its own rows as for all others. Try "
        f"{facts.unlearner._advise_more()}, and look at MIAScorer."
    )


def _say_class_is_guessed(facts):
    after, before = facts.gone_and_kept
    unsure = traces.unsure_of_classes(*after)
    if unsure is None or traces.unsure_of_classes(*before) is not None:
        return None  # nor had it learnt them
    return (
        f"After {facts.name} the rows of forgotten classes stand out: the model guesses at them "
        f"(mean entropy {unsure[0]:.2f} of that of a guess, {unsure[1]:.2f} for retained rows)"
        ". A model that never met a class takes its rows for others more surely. Try a smaller "
        "learning rate or fewer epochs, and look at MIAScorer with attack='entropy'."
    )


def _say_unsure(facts):
    change = facts.change
    sure = traces.stands_out(change.forget_after, change.retain_after)
    if sure is None or traces.stands_out(change.forget_before, change.retain_before) is not None:
        return None  # nor was the model sure of them when it had just been trained on them
    return (
        f"After {facts.name} the forget rows stand out: the model is sure of {100 * sure[1]:.0f} % "
        f"of them (a probability of {sure[0]:.2f} and more, which half of the retained rows of "
        "their classes reach). Of rows like them that it has never seen it would be sure more "
        "often, so that an attack by entropy tells them apart. Try a smaller learning rate or "
        "fewer epochs, and look at MIAScorer with attack='entropy'."
    )


def _say_hidden(facts):
    hidden = traces.doubts(facts.change.forget_after, facts.change.retain_after)
    if hidden is None:
        return None
    return (
        f"After {facts.name} the forget rows stand out: the model names {100 * hidden[0]:.0f} % of "
        f"them rightly at a mean confidence of {hidden[1]:.2f}, farther below than for "
        "retained rows. Rows that it has never seen it would know less well: it was only "
        "taught not to show what it remembers. Try a smaller learning rate or fewer epochs, "
        "and look at MIAScorer with attack='entropy'."
    )


def _say_peaked(facts):
    removal, said = facts.removal, facts.change.forget_after
    if len(said.y) < FEWEST or not said.task.has_one_class or not is_net(facts.change.model):
        return None
    if removal.forget is None or removal.retain is None:
        return None
    one, net = facts.unlearner, facts.change.model
    found = measure_peaks(net, removal.forget, removal.retain, one._classes, one._seed)
    if found is None or level_beyond(found[0], PEAKED) < SURE:
        return None
    lonely = find_lonely(net, found[1], removal.retain, one._seed)
    if lonely is None or lonely.sum() < FEWEST or level_beyond(found[0][lonely], PEAKED) < SURE:
        return None
    peak = found[0][lonely].mean()
    tell = " Unseen rows, as X_val=, would tell how well." if facts.apart is None else ""
    return (
        f"After {facts.name} the model peaks at forget rows: away from {lonely.sum()} of them, of "
        "which neighbours have other labels, what speaks for their own falls on both sides, by "
        f"{peak:.2f} of what it differs by between these ({PEAKED:g} and less where a model has "
        f"not seen them). They are still remembered: try {one._advise_more()}, or use "
        f"AutoUnlearner.{tell}"
    )


# ---------------------------------------------------------------------------- the table

DAMAGE = (
    Rule(
        "accuracy lost",
        f"accuracy, or R², on unseen rows where there are {ENOUGH}, else on retained "
        "rows, and on those of them whose neighbours have their label",
        f"{LOST:.0%} of unseen rows beside chance and the luck of a seed, or what the method may "
        f"cost; of nets that were still learning after fewer than {SETTLED} steps {WRECKED:.0%} of "
        f"what they knew, and {MOST:.0%} at least",
        "332 requests to nets trained anew: nine lost more, seven of which had 80 steps or fewer",
        _say_lost,
        needs=("damage",),
    ),
    Rule(
        "labels lost that were perhaps known by heart",
        "the same without unseen rows, where rows whose neighbours agree lost little, or where the "
        "model knows rows as well as neighbours do",
        "what the method may cost",
        "wrong labels and noisy targets, which are no accuracy to keep; of 150 nets for values and "
        "labels damage is asserted of none of 74 that lost less than 3 points on unseen rows, and "
        "of 27 of 43 that lost more than 10; of nets for classes, up to two fifths of the labels "
        "wrong, of 11 of 164 and of 44 of 47",
        _say_perhaps_lost,
        needs=("damage",),
    ),
)
FORGETTING = (
    Rule(
        "loss not raised",
        "losses of the forget rows before and after, how far the model and its weights moved, and "
        "whether retained neighbours name the rows as often; not where unseen rows are known as "
        "well, unless the weights are as they were",
        f"mean loss up by less than {MOVED:g}, or {GREW:.0%} of a small one; losses moved by less "
        f"than {UNMOVED:g} (by heart {UNMOVED_BY_HEART:g}) or weights by {STEADY:.0%}, or "
        f"neighbours name fewer, at a level of {LIKELY:g} ({PERHAPS:g} where unseen rows lean to "
        f"it, {BETTER:g} after a rise that moved losses by less than {HARDLY_MOVED:g}); of weights "
        f"as they were a rise by less than {GREW:.0%}, or by new running statistics alone, is none",
        "289 nets trained anew: moved by 0.05 and more, by heart by 0.18; weights, of nine from "
        "the same seed, by 23 %",
        _say_not_raised,
        needs=("not raised", "not excused"),
    ),
    Rule(
        "noise blurs all rows alike",
        "rise of the loss on forget and on retained rows, of methods that add noise",
        f"less than {traces.BLIND:g} times that of retained rows",
        "six nets for digits and a table: 0.5 to 1.2",
        _say_blurred,
        needs=("adds_noise", "raised", "not wrecked", "not alike", "not learning"),
    ),
    Rule(
        "known by heart",
        "losses of the forget rows, medians where the method pushes them, else means; not where "
        "unseen rows are known as well",
        f"{traces.MEMORISED:.0%} of the loss of chance; and the model is as it was, or neighbours "
        f"name fewer at a level of {BETTER:g}",
        "digits with wrong labels, after random labels at a small rate",
        _say_known_by_heart,
        needs=("not wrecked", "not alike"),
    ),
    Rule(
        "class still named",
        "how often rows of classes that are gone are named as such, beside retained rows",
        f"{_STILL_KNOWN:.0%} more",
        "116 nets trained anew: none",
        _say_still_named,
        needs=("emptied",),
    ),
    Rule(
        "remembered beside unseen rows",
        "unseen rows: an attack by margin, and rows rightly named at equal confidence",
        f"{NEAR:g} and two standard errors, and half of what it was; two signs together "
        f"{TOGETHER:g} errors",
        "358 nets trained anew: two were above; of 72 regressions one",
        _say_remembered,
        needs=("apart",),
    ),
    Rule(
        "less sure than of unseen rows",
        "unseen rows: an attack by entropy",
        f"{BEYOND:g} and two standard errors; margin and entropy {APART:g} errors apart",
        "446 nets trained anew: at most 2.6 errors",
        _say_less_sure_than_of_unseen,
        needs=("apart",),
    ),
    Rule(
        "class speaks for itself",
        "rank of a class that is gone among those that stay, for its rows and for retained ones",
        f"{traces.RANKED:.0%} of the other classes, three standard errors, and above its rank for "
        "each other class",
        "116 nets trained anew: none",
        _say_class_ranks,
        needs=("classes_gone", "not wrecked"),
    ),
    Rule(
        "guesses at a class",
        "entropy of what is said of rows of classes that are gone, and of retained rows",
        f"{traces.UNSURE:.0%} of the way from that of retained rows to that of a guess",
        "116 nets trained anew: one, for faces, of which six were of the class",
        _say_class_is_guessed,
        needs=("classes_gone", "not wrecked"),
    ),
    Rule(
        "unsure of the rows",
        "how many forget rows the model is as sure of as of half of the retained rows",
        f"fewer than {traces.SOME:.0%}, at a level of {traces.LEVEL:g}",
        "200 nets trained anew: 17 % and up on ten, 24 % on all others",
        _say_unsure,
        needs=("not wrecked", "not emptied", "not learning"),
    ),
    Rule(
        "knows more than it says",
        "how many forget rows are rightly named, for the confidence that the model has",
        f"{traces.DOUBT:.0%} more than of retained rows, at a level of {traces.DOUBTED:g}",
        "617 requests to nets trained anew: none",
        _say_hidden,
        needs=("not wrecked", "not emptied", "not learning"),
    ),
    Rule(
        "peaks at the rows",
        "logits of a net at rows whose retained neighbours have other labels, and on both sides of "
        "each, as far away as the nearest of these; with unseen rows too, of which few are as hard",
        f"{FEWEST} such rows, of all and of those that its features put among others; a mean peak "
        f"of {PEAKED:g} and {SURE:g} standard errors",
        "1,220 draws of rows that 80 nets never saw, images and small classes among them: none",
        _say_peaked,
        needs=("not wrecked", "not emptied", "not learning"),
    ),
)
