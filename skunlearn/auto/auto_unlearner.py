"""Forgetting without a choice of a method."""

from dataclasses import replace
from functools import partial
from math import ceil, inf
from numbers import Real

import numpy as np

from skunlearn._fitted_model import read_unseen
from skunlearn._rows import checking
from skunlearn._rows.constraints import POSITIVE, Interval, StrOptions
from skunlearn._rows.seeding import derive_seed
from skunlearn._torch import skorch_nets
from skunlearn._torch.batches.batching import n_batches
from skunlearn._torch.parts.positions import Positions
from skunlearn._torch.parts.tasks import task_of
from skunlearn._unlearning.announcing import announce_training
from skunlearn.auto._adapting import LEAST, Adapting, LateDecay
from skunlearn.auto._few import LEVEL, rarity
from skunlearn.auto._judge import CORRECT, NAMED, Judge, strongest
from skunlearn.auto._keeping import Keeping, score_own
from skunlearn.auto._renewing import Unused, find_sparse, shrink_evenly
from skunlearn.auto._rescaling import rescale
from skunlearn.auto._settling import Confidence, silence
from skunlearn.auto._trying import FEWEST, Trial, is_ordinary
from skunlearn.exceptions import NotForgottenWarning, UnlearningError
from skunlearn.finetuning._shrinking import new_net, shrink
from skunlearn.finetuning.shrink_perturb import ShrinkPerturbUnlearner
from skunlearn.metrics._scorers.short_reference import train_short
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.search_spaces import Uniform

# Share of the recipe's epochs, epochs, and steps, beyond all of which little is gained.
_ENOUGH = 0.17, 10, 100
# Epochs below which, where they have fewer steps than these, shrunk weights stay untrained.
_FEWEST = 4, 150
_REFERENCE = 0.2  # share of these for the reference
_FEWEST_TRIED = 4  # epochs of a request, of which one may be spent on a trial
_LOST = 0.1  # accuracy on unseen rows that is worth a warning


class AutoUnlearner(NetUnlearner):
    r"""Forget rows or classes in one call, and look from every side whether it has.

    Choose it first. It needs no choice of a method: within `budget` it trains a reference on the
    retained rows for a few epochs, draws the weights towards the reference's and trains them on the
    retained rows, similar to `ShrinkPerturbUnlearner`, and looks on the way whether the net still
    knows the forget rows better than the reference, which never saw them. As long as it does it is
    shrunk again, so that the method ends where training anew for the same budget would, when
    nothing less forgets. Of whole classes nothing of the weights is kept where the reference names
    the same class as the net of nearly all unseen rows. What was done, and how far the result is
    from the reference, is in the log.

    Vectors of an embedding, and columns of a layer, that forget rows use and no retained row does
    (those of a user who goes, or of a rare word) become those of an untrained net at once: no
    training on the other rows would move them. In the end they are made as much smaller as those
    are that other rows use, which were shrunk and have not grown back. How sure a net is of such
    rows, whatever their labels, is no sign of memory then, and is left out. Of an embedding that
    began near zero, and so is all training, less is kept than of other layers, by as many times as
    it has grown, and so of a linear layer whose inputs are nearly all zero, as those of bags of
    words and of categories are.

    Two things a short training leaves undone are done at its end, in the layer that makes the
    logits, if there is one: they are scaled up until the net is as sure of unseen rows as it was
    before (the mean entropy of its outputs), as a net that was retrained in full would be, but by
    two at most, and no farther than to the loss on these rows that it had before (not of nets that
    name a class for each position of a row); and those of
    classes that are gone are lowered until 0.0001 of the mass of their rows is left to them, or as
    much as half of the retained rows leave them (with smoothed labels, say). Neither changes which
    of the classes that stay is named. The values f of a regression become a · f + b, where the last
    layer has a bias and makes them alone: a and b of each output are found by least squares on
    retained rows, and hold nothing of single ones. That is done where it takes a twentieth or more
    of a squared, absolute or Huber loss, as of targets that are not standardised, whose size a
    short training does not reach.

    How much of the old weights it begins with depends on what they know. Of forget rows that the
    reference knows as badly as hardly any unseen row of their classes (one in twenty), and the net
    better, as those with wrong labels, hardly anything is kept, 0.12, where they are 0.3 of the
    request or more: no attack by few rows would show what a net that is half sure of them has left.
    It is less sure of such rows than of others, so that an entropy of either sign counts as
    knowledge. Of a request of other rows it depends on the rest. Where the reference is nearly as
    good on unseen rows as the net is, the rest was known by heart, and a quarter is kept. Where
    most of what the net knows beyond the reference holds for unseen rows as well, as after a
    training of few epochs, which the budget would not bring back, it is nearly all; where half of
    it does, and the request has fewer than 10 epochs, as much as leaves no more than `target`. From
    10 epochs on 0.7 is kept at most, and of rows that are surely known as much as leaves `target`,
    as these bring the rest back. Where the forget rows are too few to tell memory from chance,
    unseen rows that are named nearly as rightly as its own say that little was known by heart.

    To look it needs rows that the net has never seen, with labels: those of ``unlearn(..., X_val=,
    y_val=)``, or of the net's ``predefined_split``. Without any it says in the log that nobody has
    looked; whole classes are judged by how often they are named. How much it keeps a trial decides
    then: a fifth of the epochs on half of the old weights and four of five retained rows. What was
    known by heart goes, so that a net which still names the withheld rows as rightly as before
    knows what holds for any row: 0.7 is kept of it, half where a whole class goes, or forget rows
    that are no longer named, 0.35 where these are known all the same, and 0.12 where they are known
    as badly as hardly any withheld row is, as those with wrong labels are. As many of the withheld
    rows are lost, or as far as an attack by losses tells them from those of the trial, the share
    falls, to a quarter. No trial is made with fewer than 50 retained rows or 4 epochs, of
    regressions, which keep 0.4, and of rows with several labels or classes, which keep a quarter.
    Where the request has fewer than 10 epochs and the net does not even name 97 % of its own rows
    rightly, up to 0.7 is kept (0.65 of whole classes), and no more of rows that stand out than was
    said. Fewer than five rows to forget keep as much as others where none of them is known better
    than unseen rows are, half where one is, and what a trial says where there are too few unseen
    rows to tell. The logits are scaled, without unseen rows, by the retained ones that the net
    names rightly before and after, as a retrained net is as sure of those; and so they are where
    the request is about rows with wrong labels, a fifth of it or more, which made the net unsure of
    unseen rows.

    What nobody can know without a net that was retrained in full is how near to it the result is,
    and whether training anew for the same budget (``RetrainUnlearner(max_epochs=...)``, which
    leaves no trace of a row) would have come nearer. The reference stands for it in what it names
    and ranks, up to the ``"errors"`` in the log, which of 100 rows are 0.03 of an AUC; without
    unseen rows nothing does. Of 20 faces, where they are 0.06 to 0.09, it was 0.03 away in the
    mean of 18 runs, as training anew for the same budget was, and 0.08 in one. Who needs certainty
    takes `RetrainUnlearner`.

    Parameters
    ----------
    estimator : skorch net or FrozenEstimator of one
        Classifier or regression, built from a module class, as it also trains a reference from
        scratch.
    budget : float in (0, 1], default=0.35
        Epochs of a request, as a share of those of the net's own training, the reference's among
        them. Of long trainings 0.17, and at least 10 epochs and 100 steps, are enough, and no
        more are taken, but of nets that name a class for each position, which learn the texts that
        stay by heart again. Fewer than 4 epochs, where these have fewer than 150 steps, would leave
        shrunk weights untrained: so many are taken. A net whose own training has no more of
        either is trained anew by its recipe, which is exact.
    target : float > 0, default=0.03
        By how much more than the reference a net that has forgotten may know of the rows: the
        largest difference, over the AUCs of all scores of `skunlearn.metrics.membership_scores`
        (of the squared error in regressions) and for whole classes the share of rows that is named
        rightly.
    on_failure : {"warn", "retrain", "raise"}, default="warn"
        What to do when the difference is larger in the end, by more than two standard errors:
        warn, train anew on the retained rows at full length, or raise and leave the model as it
        was.
    {lr, batch_size, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_}
    deletions_ : list of dict
        The log of requests. ``"auto"`` of an entry holds ``"epochs"``, ``"reference_epochs"``,
        ``"recipe_epochs"``, those of the net's own training, which may have ended early;
        ``"trial"``, of requests that unseen rows do not judge, its ``"epochs"`` (beside the
        others), the ``"score"`` of the withheld rows before and after, ``"hard"``, the share of
        forget rows that stand out, ``"left"``, the mean probability of their labels, and
        ``"told"``, how far an attack tells rows of the trial from withheld ones (its AUC beyond 0.5
        and its standard error);
        ``"shares"`` of the old weights after each shrinking; ``"judged"``, whether there was
        anything to judge by; ``"looks"``, how far it was from the reference on the way;
        ``"before"`` and ``"after"``, the differences to the reference by score, but for the
        entropy of rows that alone use a vector of an embedding, and ``"errors"``, standard errors
        of these, all None where nothing was judged; ``"accuracy"`` (R² of regressions) on unseen
        rows of classes that stay, before and after, None where there are none, as retained rows
        cannot show it, and ``"accuracy_rows"``, how many these were; ``"confidence"``, the factor
        of the logits, ``"lowered"``, by how much those of classes that are gone, and ``"scale"``,
        the factors a of a regression, all None where nothing was done; ``"rarity"`` of few rows: in
        what share of requests of unseen rows one would stand out as much; ``"odd"``, the share of
        forget rows that a net without them knows as badly as hardly any other row (0 of
        whole classes), None where nobody asked; ``"retrained"``.

    See Also
    --------
    RetrainUnlearner : Exact, and as slow as the first training.
    skunlearn.evaluation.audit : A report on the result.

    References
    ----------
    J. Ash, R. Adams, "On Warm-Starting Neural Network Training", NeurIPS 2020,
    https://arxiv.org/abs/1910.08475, for the shrinking.

    Examples
    --------
    >>> from sklearn.model_selection import train_test_split
    >>> from skunlearn import AutoUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> X, X_val, y, y_val = train_test_split(X, y, test_size=0.2, random_state=0)
    >>> unlearner = AutoUnlearner(digits_classifier(max_epochs=12), random_state=0).fit(X, y)
    >>> unlearner = unlearner.unlearn(X[:100], y[:100], X_val=X_val, y_val=y_val)
    >>> done = unlearner.deletions_[0]["auto"]
    >>> done["judged"], done["epochs"] + done["reference_epochs"]
    (True, 4)
    """

    _promises = replace(
        NetUnlearner._promises,
        trains_from_scratch=True,
        accuracy_drop=ShrinkPerturbUnlearner._promises.accuracy_drop,
        reads_validation_rows=True,
        judges_itself=True,
        takes_positions=True,
    )
    # Settings of a training that are none of the user's here.
    max_epochs = None
    schedule = "constant"

    _parameter_constraints = {
        **NetUnlearner._parameter_constraints,
        "budget": [Interval(Real, 0, 1, closed="right")],
        "target": [POSITIVE],
        "on_failure": [StrOptions({"warn", "retrain", "raise"})],
    }

    def __init__(
        self,
        estimator,
        *,
        budget=0.35,
        target=0.03,
        on_failure="warn",
        lr=None,
        batch_size=None,
        random_state=None,
        memory=None,
        store_data=True,
        verbose=0,
    ):
        self.estimator = estimator
        self.budget = budget
        self.target = target
        self.on_failure = on_failure
        self.lr = lr
        self.batch_size = batch_size
        self.random_state = random_state
        self.memory = memory
        self.store_data = store_data
        self.verbose = verbose

    def _unlearn(self, net, retain, forget):
        recipe, seeds = skorch_nets.unwrap(self.estimator), self._seeds()
        unseen = read_unseen(self)
        one_class = task_of(self._classes).has_one_class
        whole = one_class and self._whole_classes(retain, forget)
        own_epochs = self._own_epochs(recipe)
        total, first = self._all_epochs(net, retain, own_epochs)
        self._auto = {
            "epochs": total,
            "reference_epochs": 0,
            "recipe_epochs": own_epochs,
            "trial": None,
            "shares": [],
            "looks": [],
            "judged": False,
            "accuracy": [None, None],
            "accuracy_rows": 0,
            **dict.fromkeys(["confidence", "lowered", "scale", "before", "after", "errors"]),
            **dict.fromkeys(["rarity", "odd"]),
            "retrained": False,
        }
        if total >= own_epochs:
            # Says where a training anew would build other layers.
            shrink(net, new_net(recipe, retain, self._classes, seeds[1]), 1.0)
            self._auto["retrained"] = True
            return self._train(retain)
        unused = Unused(net, retain, forget, self._classes)
        sparse = find_sparse(net, retain, self._classes)
        judge = None
        if (unseen is not None or whole) and first:
            if self.verbose:
                announce_training("a reference, without the rows", first)
            new = train_short(self, retain, epochs=first, seed=seeds[0]).model
            judge = Judge(self._classes, forget, unseen, new, whole, seeds[2], unused.share)
            self._auto["reference_epochs"] = first
            total -= first
        else:
            new = new_net(recipe, retain, self._classes, seeds[1])
        seen, accuracy = (None, None) if judge is None else judge.look_well(net)
        self._auto["accuracy_rows"] = len(judge.kept) if judge is not None and judge.kept else 0
        kind = "class" if whole else "rows"
        own = partial(score_own, net, retain, self._classes, seeds[2])
        keeping = Keeping(self._classes, own)
        before = None if judge is None else judge.differences(seen)
        few = None
        if judge is not None and not judge.sees and judge.kept:
            few = rarity(net, new, forget, judge.kept, self._classes)
        given = total + self._auto["reference_epochs"]
        share = keeping.choose(judge, seen, before, accuracy, kind, self.target, given, few)
        self._auto["odd"] = keeping.odd
        asked = None if one_class and keeping.is_about_odd else judge and judge.kept
        confidence = self._confidence(net, asked, retain, np.unique(forget.y) if whole else [])
        blind = judge is None or (judge.unseen is None and few is None)
        enough = total >= _FEWEST_TRIED and len(retain) >= FEWEST
        # Of several labels it would cost as much as it saves: with wrong ones 8 points on digits.
        tried = first if blind and one_class and enough else 0
        if whole and confidence is not None and confidence.agrees(new):
            share, tried = 0.0, 0  # what it would keep no longer helps
        share = self._start(net, new, retain, forget, share, tried, seeds[2], sparse)
        unused.renew(net, new)
        self._auto |= {"epochs": total - tried, "shares": [round(share, 4)]}
        vars(net)["max_epochs"] = total - tried
        if self.verbose:
            announce_training("the net itself", total - tried)
        if judge is None or not judge.sees:
            self._run(net, retain, [("skunlearn_decay", LateDecay([share]))])
            unused.fit_in(net)
            self._settle(net, retain, forget, whole, confidence)
            if judge is not None:
                self._auto["accuracy"] = [accuracy, judge.look_well(net)[1]]
            return self._judge_few(net, retain, forget, judge and new, judge and judge.kept)
        margin = keeping.memory * self.target
        adapting = Adapting(judge, new, share, margin, LEAST[kind], keeping.kept, sparse)
        decay = LateDecay(adapting.shares_)
        self._run(net, retain, [("skunlearn_adapting", adapting), ("skunlearn_decay", decay)])
        unused.fit_in(net)
        named = self._settle(net, retain, forget, whole, confidence)
        seen, accuracy_after = judge.look_well(net)
        after = judge.differences(seen)
        for found in (before, after):
            found.pop(CORRECT, None)  # says how much to shrink; what it shows the others do then
        errors = {name: judge.error(seen, name) for name in after}
        self._auto |= {
            "shares": [round(s, 4) for s in adapting.shares_],
            "looks": adapting.seen_,
            "judged": True,
            "accuracy": [accuracy, accuracy_after],
            **{
                key: {name: round(float(value), 4) for name, value in found.items()}
                for key, found in (("before", before), ("after", after), ("errors", errors))
            },
        }
        # A class that lower logits alone keep from being named is not forgotten.
        named = {} if named is None else {NAMED: named}
        return self._answer(retain, judge.remembered(after | named), errors)

    def _start(self, net, new, retain, forget, share, epochs, seed, sparse):
        """Shrink the net, as much as a trial of so many epochs asks for; what is left of it."""
        if not epochs:
            shrink_evenly(net, new, share, sparse)
            return share
        if self.verbose:
            announce_training("the net on trial, half of it new", epochs)
        trial = Trial(net, new, retain, forget, self._classes, epochs, seed, sparse)
        self._auto |= {"trial": trial.describe(), "odd": trial.odd}
        share = trial.choose(share)
        trial.leave(share)
        return share

    def _judge_few(self, net, retain, forget, reference, unseen):
        """What `on_failure` asks for, where so few rows are still known that no AUC shows it."""
        if not unseen:
            return None
        found = rarity(net, reference, forget, unseen, self._classes)
        self._auto["rarity"] = None if found is None else round(found, 4)
        if found is None or found >= LEVEL:
            return None
        return self._fail(
            retain,
            f"After {self._auto['epochs']} epochs a forget row is known better than a reference "
            f"knows it that never saw it, by more than {100 * (1 - found):.1f} % of requests of "
            "unseen rows would be",
        )

    def _confidence(self, net, unseen, retain, gone):
        """How sure the net is of rows, before anything is done to it; None if unknown."""
        if self._classes is None or isinstance(self._classes, Positions):
            return None
        if unseen is not None:
            return Confidence(net, unseen, self._classes, gone)
        if not task_of(self._classes).has_one_class:
            return None
        return Confidence(net, retain, self._classes, gone, trained=True)

    def _settle(self, net, retain, forget, whole, confidence):
        """Do what a short training leaves undone; share of whole classes named before, or None."""
        factor = None if confidence is None else confidence.match(net)
        lowered, named = None, None
        if whole:
            lowered, named = silence(net, forget, retain, self._classes)
        found = {"lowered": lowered, "confidence": factor}
        self._auto |= {k: None if v is None else round(v, 4) for k, v in found.items()}
        if self._classes is None and (scale := rescale(net, retain)) is not None:
            self._auto["scale"] = [float(f"{factor:.4g}") for factor in scale]
        return named

    def _answer(self, retain, after, errors):
        """What `on_failure` asks for, where a difference is left."""
        over = {k: d for k, d in after.items() if d > self.target + 2 * errors[k]}
        if not over:
            return None
        name, value = strongest(over)
        what = f"the AUC by {name}"
        if name == NAMED:
            what = "the share of forget rows named rightly"
        said = (
            f"After {self._auto['epochs']} epochs {what} is {value:+.3f} away from that of a "
            f"reference that never saw the forget rows (standard error {errors[name]:.3f}, "
            f"target {self.target})"
        )
        if name == NAMED and self._auto["lowered"]:
            said += (
                ". That was before the last step, which lowered what the net says for the "
                "forgotten class: it may name it no more, but knew its rows until then"
            )
        return self._fail(retain, said)

    def _fail(self, retain, said):
        if self.on_failure == "raise":
            raise UnlearningError(f"{said}. The model is as it was. Try a larger budget.")
        if self.on_failure == "retrain":
            self._auto["retrained"] = True
            return self._train(retain)
        checking.warn(f"{said}. Try a larger budget, or on_failure='retrain'.", NotForgottenWarning)
        return None

    def _seeds(self):
        return [derive_seed(self._seed, 6 + i, len(self.deletions_)) for i in range(3)]

    def _own_epochs(self, recipe):
        """Of the net's own training, which a callback may have ended before the recipe's last."""
        for entry in self.deletions_:  # the history of a net after a request is that of the request
            if "auto" in entry:
                return entry["auto"]["recipe_epochs"]
        return min(recipe.max_epochs, len(self.estimator_.history) or recipe.max_epochs)

    def _all_epochs(self, net, retain, epochs):
        """Of a request in all, and of the reference among them, of a training's `epochs`."""
        share, few, enough = _ENOUGH
        fewest, steps = _FEWEST
        batches = max(1, n_batches(net, len(retain)))
        most = inf if isinstance(self._classes, Positions) else max(few, enough / batches)
        total = round(min(self.budget * epochs, max(share * epochs, most)))
        total = min(epochs, max(total, min(fewest, ceil(steps / batches))))
        if epochs * batches <= steps:
            return epochs, 0
        return total, max(1, round(_REFERENCE * total)) if total > 1 else 0

    def _epochs(self):
        return skorch_nets.unwrap(self.estimator).max_epochs  # until the rows are known

    def _has_judged(self):
        return self._auto["judged"] or self._auto["rarity"] is not None

    def _has_retrained(self):
        return self._auto["retrained"]

    def _describe_attempt(self):
        return {"auto": self._auto}

    def _commit(self):
        vars(self).pop("_auto", None)

    def _warn_if_wrong(self, change, measured, most_lost):
        if self._auto["retrained"]:
            return  # what is exact needs no measuring
        trial = self._auto["trial"]
        if self._has_judged() or (trial is not None and is_ordinary(trial, self._auto["shares"])):
            # What was seen on the way is better evidence than the losses of forget rows alone.
            measured = measured | {"forget_before": {"loss": None, "score": None}}
            if None not in self._auto["accuracy"]:
                measured["asked"] = "rows that it has never seen"
                # On rows of the training it falls as wrong labels are no longer known by heart.
                by_chance = 2 * np.sqrt(0.5 / self._auto["accuracy_rows"])
                most_lost = max(most_lost - self._make_promises().accuracy_drop + _LOST, by_chance)
                for key, score in zip(("before", "after"), self._auto["accuracy"], strict=True):
                    measured[f"retain_{key}"] = measured[f"retain_{key}"] | {"score": score}
        super()._warn_if_wrong(change, measured, most_lost)

    def _space(self):
        return {"budget": Uniform(0.1, 0.5)}
