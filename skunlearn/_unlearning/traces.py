"""What outputs give away of forget rows, without a row that the model has never seen."""

from dataclasses import replace

import numpy as np
import torch
from scipy.stats import binomtest

from skunlearn._torch.parts.net_state import parts
from skunlearn._torch.parts.tasks import Values
from skunlearn._torch.row_scores import SQUARED, auc, auc_error, class_weights, scores_of
from skunlearn._torch.skorch_nets import is_net

MEMORISED = 0.05  # share of the loss of chance, ln C, below which a row counts as learnt by heart
_BY_HEART = 0.04  # the same of a net that has learnt wrong labels, too, of which it is less sure
_HARDLY = 1.75  # times the mean loss before, up to which such rows are as they were
_SURE = 0.95  # confidence that some unseen rows reach wherever most rows of the training do
SOME = 0.17  # at least as many unseen rows are: 17 % and up on ten nets, 24 % on 190 others
BLIND = 1.5  # times what noise costs retained rows: 0.5 to 1.2 on six nets for digits and a table
_FEW = 20  # retained rows of a class that say nothing yet
_FEWEST = 5  # forget rows that do not
LEVEL = 0.01  # of the test that they are fewer
DOUBT, DOUBTED = 0.04, 0.02  # more rows rightly named than the model says, and the test's level
RANKED = 0.08  # of the other classes, by which a forgotten one ranks higher for its own rows
UNSURE = 0.7  # of the way from the entropy of retained rows to that of a guess
_GUESSING = 0.6  # share of the latter from which even retained rows are guessed at
_PICKED = 2  # standard errors beyond which rows are no random draw
_AGREE = 0.2  # of the way from chance to always, up to which neighbours that agree say nothing
_LEARNT = 0.2  # share of the loss of chance up to which retained rows are learnt
_HARDLY_LEARNT = 0.65  # the same from which they hardly are
_NOTHING = 0.85  # the same from which nothing is learnt that could be forgotten
_LEARNT_WELL = 0.1  # the same below which nearly all of them are known by heart
_FELL = 0.05  # fall of a training's loss in its last fifth, as a share of it


def known_by_heart(before, after, chance, pushed):
    """Losses of forget rows that were known by heart and still are, before and after; else None.

    Of a method that pushed them away, the medians: a few rows with large losses hide that all
    others are as they were. They are, too, where the mean has hardly risen: so on digits with
    wrong labels at a small rate, after which an attack found more than before. Of a method that
    did not push, the means: half of the rows that it has never seen may be known as well, where a
    model generalises.

    Parameters
    ----------
    before, after : Evidence of the forget rows
    chance : float, the loss of a guess
    pushed : bool
    """
    if any(said.logits is None and said.by_row is None for said in (before, after)):
        return None
    losses = [evidence.losses() for evidence in (before, after)]
    means = [float(np.mean(each)) for each in losses]
    found = [float(np.median(each)) for each in losses] if pushed else means
    as_before = found[0] < _BY_HEART * chance and means[1] < _HARDLY * means[0]
    known = max(found) < MEMORISED * chance or (pushed and as_before)
    return found if known else None


def find_ease(forget, retained):
    """How much easier forget rows are than retained ones, for a model that was trained on both.

    The distances of an AUC from 0.5, by margin and by what else an attack sees. A model that has
    never seen such rows knows them better than others as well, by hardly more than as much (0.03
    at most on 114 nets trained anew, whose rows were picked by loss, by neighbours or by a
    logistic regression).

    Parameters
    ----------
    forget, retained : Evidence before the request, or None

    Returns
    -------
    ease : dict of str to float
        Below 0 where they are harder; {} where they may be a random draw.
    """
    sides = forget, retained
    if any(said is None or said.noisy or not said.is_finite() for said in sides):
        return {}
    weights = None
    if forget.task.has_one_class:
        if forget.logits is None:
            return {}
        forget = forget.take(np.isin(forget.y, retained.y))
        retained = retained.take(np.isin(retained.y, forget.y))
        weights = class_weights(retained.y, forget.y)
    if len(forget.y) < _FEWEST or len(retained.y) < _FEW:
        return {}
    ours, theirs = scores_of(forget), scores_of(retained)
    found = {name: auc(ours[name], theirs[name], weights) - 0.5 for name in ours}
    plain = _PICKED * auc_error(len(forget.y), len(retained.y))
    return found if abs(found.get("margin", found.get(SQUARED))) > plain else {}


def level_of_knowing_more(said, named):
    """Chance of as many more of the forget rows named rightly than by neighbours that are left.

    What a model has by heart they do not know; what one names that has never seen the rows they
    name as often, but for chance.

    Parameters
    ----------
    said : Evidence of the forget rows after the request
    named : ndarray of int, what their neighbours are
    """
    ours, theirs = said.predicted == said.y, named == said.y
    apart, more = int((ours ^ theirs).sum()), int((ours & ~theirs).sum())
    return float(binomtest(more, apart, 0.5, alternative="greater").pvalue) if apart else 1.0


def measure_move(change):
    """How far a request has moved a model: the larger `measure_shift` of forget and retained rows.

    A training anew moved one that had learnt its rows by 0.06 and more, in 110 recipes.

    Parameters
    ----------
    change : Change
    """
    pairs = [
        (change.forget_before, change.forget_after),
        (change.retain_before, change.retain_after),
    ]
    if any(said is None for pair in pairs for said in pair):
        return np.inf
    return max(measure_shift(*(said.losses() for said in pair)) for pair in pairs)


def measure_shift(before, after):
    """Median change of the logs of losses of rows, up or down; 0 where all are 0."""
    least, some = np.finfo(float).tiny, before + after > 0  # of 0 and 0 there is no more to say
    moved = np.abs(np.log(after + least) - np.log(before + least))[some]  # the ratio may overflow
    return float(np.median(moved)) if len(moved) else 0.0


def measure_weights(old, new):
    """How far what a net learns has moved, relative to its size; infinity where that is no answer.

    The whole, or the layer that has moved most: a head may be learnt anew above layers that were
    learnt elsewhere, which hardly a training moves.

    Parameters
    ----------
    old, new : models
    """
    if not (is_net(old) and is_net(new)):
        return np.inf
    ours, theirs = (
        {
            f"{name}.{key}": value.detach().float()
            for name, part in parts(net)
            for key, value in part.named_parameters()
            if value.requires_grad
        }
        for net in (old, new)
    )
    if not ours or [(k, v.shape) for k, v in ours.items()] != [
        (k, v.shape) for k, v in theirs.items()
    ]:
        return np.inf
    sizes = _square(ours.values())
    moved = _square(theirs[key] - value for key, value in ours.items())
    if not sizes.any():
        return np.inf
    layers = np.array([value.ndim > 1 for value in ours.values()]) & (sizes > 0)
    shares = [moved.sum() / sizes.sum(), *(moved[layers] / sizes[layers])]
    return float(np.sqrt(max(shares)))


def has_layers(net):
    """Whether more than one layer of a net learns, so that its loss has more than one minimum."""
    learn = [p for _, part in parts(net) for p in part.parameters() if p.requires_grad]
    return sum(p.ndim > 1 for p in learn) > 1


def has_new_statistics(old, new):
    """Whether two nets of the same layers differ in buffers: in running statistics, say."""
    if not (is_net(old) and is_net(new)):
        return False
    ours, theirs = (
        {f"{name}.{key}": value for name, part in parts(net) for key, value in part.named_buffers()}
        for net in (old, new)
    )
    shared = [(value, theirs[key]) for key, value in ours.items() if key in theirs]
    return any(a.is_floating_point() and not torch.equal(a, b) for a, b in shared)


def _square(values):
    """Sum of the squares of each tensor."""
    sums = [value.square().sum() for value in values]
    return torch.stack([one.to(sums[0].device) for one in sums]).cpu().numpy()  # one wait


def lost_where_neighbours_agree(before, after, named):
    """Accuracy lost on retained rows of the label that their neighbours have.

    What a model loses on the others may be labels that it knew by heart, wrong ones say. None where
    neighbours agree hardly more often than by chance, as those of sequences of words: of which
    labels are wrong they say nothing.

    Parameters
    ----------
    before, after : Evidence of the same retained rows
    named : ndarray of int, what their neighbours are
    """
    agree = named == after.y
    by_chance = np.square(np.bincount(after.y) / len(agree)).sum()
    if agree.mean() <= by_chance + _AGREE * (1 - by_chance):
        return None
    right = [(said.predicted == said.y)[agree].mean() for said in (before, after)]
    return float(right[0] - right[1])


def is_named_as_well(said, named):
    """Whether a model names rows as well as their neighbours do.

    Below that, more is lost than what it knew by heart; above, nobody can say.

    Parameters
    ----------
    said : Evidence
    named : ndarray
        What neighbours say: a class of each row, shares of its labels, or values.
    """
    if isinstance(said.task, Values):
        return said.losses().mean() <= replace(said, predicted=named).losses().mean()
    named = named if said.task.has_one_class else named > 0.5
    return bool((said.predicted == said.y).mean() >= (named == said.y).mean())


def blurs_both(measured):
    """Whether noise cost the forget rows hardly more than the retained rows.

    Parameters
    ----------
    measured : dict
        Losses before and after, as in the log.
    """
    losses = {key: said["loss"] for key, said in measured.items()}
    if None in losses.values():
        return False
    raised = [losses[f"{key}_after"] - losses[f"{key}_before"] for key in ("forget", "retain")]
    return 0 < raised[0] <= BLIND * raised[1]


def stands_out(forget, retained):
    """Whether the model was taught to be unsure of the forget rows, as by random labels.

    Of rows that it has never seen it is as sure as of many a row of its training, if not always
    rightly so. Where it is unsure of their whole classes they do not stand out.

    Parameters
    ----------
    forget, retained : Evidence after the request

    Returns
    -------
    level, share : float
        A confidence that half of the retained rows of their classes reach, and the share of forget
        rows that do. None where these are not conspicuously few.
    """
    ours, theirs = _alike(forget, retained)
    if ours is None:
        return None
    level = min(_SURE, float(np.median(theirs[0])))
    sure = ours[0] >= level
    few = binomtest(int(sure.sum()), len(sure), SOME, alternative="less").pvalue < LEVEL
    return (level, float(sure.mean())) if few else None


def doubts(forget, retained):
    """Whether the model knows forget rows better than it says, and others not as much so.

    Rows that it has never seen it names less often rightly, for the confidence that it has, than
    those of its training. More often it does where it knows rows and was taught not to show it,
    and with easy rows, of which it is as sure as of retained ones.

    Parameters
    ----------
    forget, retained : Evidence after the request

    Returns
    -------
    right, confidence : float
        Share of forget rows that are named rightly, and mean confidence in what they are named;
        None where they do not differ as described.
    """
    ours, theirs = _alike(forget, retained)
    if ours is None or len(ours[0]) < 2:
        return None
    (sure, right), (theirs_sure, theirs_right) = ours, theirs
    if sure.mean() >= theirs_sure.mean():
        return None
    usual = float(np.clip(sure.mean() + theirs_right.mean() - theirs_sure.mean(), 0, 1))
    many = binomtest(int(right.sum()), len(right), usual, alternative="greater").pvalue < DOUBTED
    if not many or right.mean() - usual <= DOUBT:
        return None
    return float(ours[1].mean()), float(ours[0].mean())


def class_ranks(forget, retained, kept):
    """Whether a class that is gone is likelier for its own rows than for others.

    The logit of a class that a model has never met is lowered by all rows alike, so that as many
    of the other classes lie above it for rows of that class as for those of the training.

    Parameters
    ----------
    forget : Evidence of rows of such classes
    retained : Evidence
    kept : ndarray of int
        The classes of which rows are left.

    Returns
    -------
    ours, theirs : float
        Share of the `kept` classes that are likelier than the one that is gone, for rows of it and
        for retained rows; None where they are alike.
    """
    if any(evidence is None or evidence.logits is None for evidence in (forget, retained)):
        return None
    if len(kept) < 3:  # a rank among two says little
        return None
    own = forget.logits[np.arange(len(forget.y)), forget.y]
    ours = (forget.logits[:, kept] > own[:, None]).mean(axis=1)
    theirs = np.zeros(len(retained.y))
    for gone, share in zip(*_shares(forget.y), strict=True):
        above = retained.logits[:, kept] > retained.logits[:, [gone]]
        theirs += share * above.mean(axis=1)
    error = max(ours.std(), theirs.std()) / np.sqrt(len(ours))
    if theirs.mean() - ours.mean() <= max(RANKED, 1 / len(kept), 3 * error):
        return None
    # Rows of one class are alike: where those of another one look more like them, it is no trace.
    if ours.mean() > min(theirs[retained.y == kind].mean() for kind in np.unique(retained.y)):
        return None
    return float(ours.mean()), float(theirs.mean())


def unsure_of_classes(forget, retained, kept):
    """Whether a model guesses at rows of classes that are gone, and at others not.

    A model that has never met a class takes its rows for this or that other one, if less surely.

    Parameters
    ----------
    forget, retained, kept
        See `class_ranks`.

    Returns
    -------
    ours, theirs : float
        Mean entropy of both sides, as a share of that of a guess at a class that is kept; None
        where they do not differ as described.
    """
    if any(evidence is None or evidence.logits is None for evidence in (forget, retained)):
        return None
    if len(kept) < 3:
        return None
    sides = [-scores_of(said)["entropy"] / np.log(len(kept)) for said in (forget, retained)]
    ours, theirs = (float(side.mean()) for side in sides)
    error = sides[0].std() / np.sqrt(len(sides[0]))
    least = theirs + UNSURE * (1 - theirs)
    return (ours, theirs) if theirs < _GUESSING and ours - error > least else None


def _alike(forget, retained):
    """Confidences, and what is right, of forget rows and of retained rows of their classes."""
    if any(evidence is None or evidence.logits is None for evidence in (forget, retained)):
        return None, None
    retained = retained.take(np.isin(retained.y, forget.y)) if forget.y.ndim == 1 else retained
    sides = []
    for said in (forget, retained):
        sure = said.task.confidences(said.logits)
        if sure is None:
            return None, None
        sides.append((sure, said.predicted == said.y))
    return sides if len(retained.y) >= _FEW else (None, None)


def _shares(y):
    kinds, counts = np.unique(y, return_counts=True)
    return kinds, counts / counts.sum()


def is_learning(model, said):
    """Whether a training of more epochs would have taught a net more, and other seeds other things.

    Two such nets of one recipe were up to 0.45 apart in accuracy on unseen rows, of 110 recipes.

    Parameters
    ----------
    model : estimator
        Before a request.
    said : Evidence or None
        What it says of retained rows.
    """
    share = _share_of_chance(said)
    if share is None or not is_net(model):
        return False
    return share > _LEARNT and (share > _HARDLY_LEARNT or _still_fell(model))


def score_rows(said, emptied):
    """What each row adds to a score: whether it is right, with all of its labels, or its R².

    Of a class for each position the share that is right.

    Parameters
    ----------
    said : Evidence
    emptied : tuple of int
        Labels that are not asked.
    """
    if said.by_row is not None:
        return said.by_row["right"]
    right = said.predicted == said.y
    if said.task.has_one_class:
        return right.astype(float)
    if right.dtype == bool and said.logits is not None:
        return np.delete(right, emptied, axis=1).all(axis=1).astype(float)
    return 1 - said.losses() / max(said.task.chance(said.y), np.finfo(float).tiny)


def has_learnt_nothing(said):
    """Whether a model names its own rows hardly better than by chance; None counts as no."""
    share = _share_of_chance(said)
    return share is not None and share > _NOTHING


def knows_by_heart(said):
    """Whether a model has learnt nearly all of its own rows by heart; None counts as no."""
    share = _share_of_chance(said)
    return share is not None and share < _LEARNT_WELL


def _share_of_chance(said):
    """Mean loss over that of chance; None without."""
    losses = None if said is None else said.losses()
    chance = 0.0 if said is None else said.task.chance(said.y)
    return float(losses.mean()) / chance if losses is not None and chance else None


def _still_fell(net):
    """Whether its loss still fell at the end; so too where its history does not tell."""
    try:
        losses = [float(epoch["train_loss"]) for epoch in net.history]
    except (AttributeError, KeyError, TypeError):
        losses = []
    if len(losses) < 2:
        return True
    return losses[-1] < (1 - _FELL) * losses[-1 - max(1, len(losses) // 5)]


def share_above_chance(said):
    """A score, of `Evidence`, beyond that of naming the most frequent label; of R² itself."""
    score = said.score()
    if score is None:
        return 0.0
    y = said.y
    if said.by_row is not None:
        y = y[y != said.task.ignored]
    elif not said.task.has_one_class:
        return score
    return score - np.unique(y, return_counts=True)[1].max() / len(y)
