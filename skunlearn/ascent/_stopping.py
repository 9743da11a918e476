"""Methods that push forget rows away stop where a net that never saw them would be."""

from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
from scipy.optimize import brentq
from skorch.callbacks import Callback

from skunlearn._fitted_model import read_unseen
from skunlearn._recipe import training
from skunlearn._rows.checking import warn
from skunlearn._rows.constraints import StrOptions
from skunlearn._rows.seeding import derive_seed
from skunlearn._torch import skorch_nets
from skunlearn._torch.batches.batching import n_batches
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.net_state import set_weights, weights
from skunlearn._torch.parts.tasks import task_of
from skunlearn._torch.row_scores import auc, auc_error, class_weights, scores_of
from skunlearn.exceptions import NotForgottenWarning

STOP_CONSTRAINTS = {"stop": [None, StrOptions({"reference"})]}
_SHARE = 0.1  # of the recipe's epochs, for the reference
_LOOKS = 10
_FEWEST = 5  # rows from which an AUC is taken
_MOST = 2000  # rows of a side that are looked at
_NEAR = 0.03  # distance that is no reason to warn, beside what chance shows
_KEPT = 500  # retained rows that are looked at for the accuracy, where no unseen rows are
_ENOUGH = 50  # unseen rows from which it is measured on these
_LOST = 0.03  # accuracy on them that a state may have lost, beside what chance shows


class StopsInTime:
    """Mixin of methods with the parameter `stop`.

    Parameters
    ----------
    stop : {None, "reference"}, default=None
        When to stop. None runs to the end. "reference" trains a net on the retained rows for a
        tenth of the recipe's epochs, looks at the forget rows about ten times, or once an epoch
        where nothing else is trained on, and keeps the state that is nearest to it: the one with
        the smallest of the largest distances over the AUCs of loss, margin, confidence, entropy
        and modified entropy (of the squared error in regressions), and over the share of rows of
        whole classes that are named rightly. Of classifiers a state is kept only where it has lost
        at most 3 points of accuracy on unseen rows, or 10 on retained ones where there are none,
        beside what chance shows. With rows that the net has never seen, ``unlearn(...,
        X_val=, y_val=)``, the AUC of forget against unseen rows is compared to the reference's;
        without, its scores of the forget rows are, at the temperature at which it is as sure of
        retained rows as the net was: a poor guide, which stops too soon. For whole classes these
        are the entropy's and the share named alone. It warns where more than half of a distance is
        left, and with unseen rows also where the net went too far. Fewer than five forget rows
        cannot be judged: it runs to the end. What was seen is in the log, under ``"stop"``. It is
        not the default: over 35 requests with unseen rows (seven methods; rows and classes of
        digits and of a table, with wrong labels) the largest difference of an AUC to retrained nets
        fell from 0.23 to 0.17 in the mean, but a request took 0.73 of a retraining's time in place
        of 0.28 (medians), and nearly all warned as before.
    """

    def _make_promises(self):
        promises = super()._make_promises()
        if self.stop is None:
            return promises
        return replace(
            promises,
            trains_from_scratch=True,
            reads_validation_rows=True,
            reads_retain_rows=True,
            reads_forget_labels=True,
            takes_positions=False,  # a reference that was stopped early has no temperature there
        )

    def _watched(self, net, retain, forget):
        if self.stop is None:
            return nullcontext()
        if len(forget) < _FEWEST:
            self._stop = {"judged": False, "looks": []}
            return nullcontext()
        return self._stopping(net, retain, forget)

    @contextmanager
    def _stopping(self, net, retain, forget):
        """Keep the nearest of the states that the training inside the block goes through."""
        recipe = skorch_nets.unwrap(self.estimator)
        epochs = max(1, round(_SHARE * recipe.max_epochs))
        seed = derive_seed(self._seed, 16, len(self.deletions_))
        reference = training.train(
            recipe, retain, self._classes, seed, memory=self.memory, epochs=epochs
        )
        unseen = read_unseen(self)
        whole = task_of(self._classes).has_one_class and self._whole_classes(retain, forget)
        rows = [None if r is None else r.sample(_MOST, seed) for r in (forget, retain, unseen)]
        likeness = Likeness(net, reference, *rows, self._classes, whole)
        accuracy = AccuracyKept(net, *rows[1:], self._classes, self._promises.accuracy_drop)
        if not self._promises.reads_retain_rows:
            every = n_batches(net, len(forget))  # few steps may be enough
        else:
            every = -(-net.max_epochs * n_batches(net, len(retain)) // _LOOKS)
        nearest = NearestState(likeness, accuracy, max(1, every))
        net.callbacks_ = [*net.callbacks_, ("skunlearn_nearest", nearest)]
        try:
            nearest.look(net)
            yield
            nearest.look(net)
        finally:
            net.callbacks_ = [named for named in net.callbacks_ if named[1] is not nearest]
        set_weights(net, nearest.state)
        first, best = nearest.seen[0], nearest.seen[nearest.best]
        self._stop = {
            "judged": True,
            "unseen_rows": likeness.n_unseen,
            "reference_epochs": epochs,
            "error": round(likeness.error, 4),
            "looks": [{k: round(float(v), 4) for k, v in found.items()} for found in nearest.seen],
            "accurate": nearest.accurate,
            "chosen": nearest.best,
            "missed": likeness.find_missed(first, best),
        }
        if self.verbose:
            print(
                f"{type(self).__name__} keeps look {nearest.best} of {len(nearest.seen)}: distance "
                f"to the reference {largest(best):.3f}, {largest(first):.3f} before."
            )

    def _describe_attempt(self):
        stopped = vars(self).get("_stop")
        return super()._describe_attempt() | ({} if stopped is None else {"stop": stopped})

    def _commit(self):
        super()._commit()
        vars(self).pop("_stop", None)

    def _warn_if_wrong(self, change, measured, most_lost):
        stopped = vars(self).get("_stop")
        if stopped is None or not stopped.get("missed"):
            super()._warn_if_wrong(change, measured, most_lost)
            return
        unsaid = {"forget_before": {"loss": None, "score": None}}
        super()._warn_if_wrong(change, measured | unsaid, most_lost)
        first, best = (stopped["looks"][i] for i in (0, stopped["chosen"]))
        name = max(stopped["missed"], key=lambda key: abs(best[key]))
        what = "share of rows named rightly" if name == "named" else f"AUC by {name}"
        side = "stand out" if best[name] < 0 else "are still known"
        did = "came no nearer to" if stopped["chosen"] == 0 else "stopped nearest to"
        warn(
            f"{type(self).__name__} {did} a reference that never saw the forget rows where the "
            f"{what} is {best[name]:+.3f} away from the reference's ({first[name]:+.3f} before), "
            f"so that they {side}. Try another learning rate or "
            "more epochs, or use AutoUnlearner or RetrainUnlearner.",
            NotForgottenWarning,
        )


class NearestState(Callback):
    """Looks at a net between the batches of its training, and keeps its nearest state.

    Parameters
    ----------
    likeness : Likeness
    accuracy : AccuracyKept
    every : int
        Batches between two looks.

    Attributes
    ----------
    seen : list of dict
        Distances by name, at each look.
    accurate : list of bool
        Whether the net had kept its accuracy then.
    best : int
        The look with the smallest of the largest distances, among those where it had.
    state : dict
        Weights and buffers then.
    """

    def __init__(self, likeness, accuracy, every):
        self.likeness, self.accuracy, self.every = likeness, accuracy, every
        self.steps, self.seen, self.accurate, self.best, self.state = 0, [], [], None, None

    def on_batch_begin(self, net, training=False, **kwargs):
        """Look; here others have done with the step before, as those who freeze weights."""
        if not training:
            return
        if self.steps and self.steps % self.every == 0:
            self.look(net)
        self.steps += 1

    def look(self, net):
        """Look at the net as it is."""
        self.seen.append(self.likeness.distances(net))
        self.accurate.append(self.accuracy.is_kept(net))
        nearer = self.best is None or largest(self.seen[-1]) < largest(self.seen[self.best])
        if nearer and self.accurate[-1]:
            self.best, self.state = len(self.seen) - 1, weights(net)
        net._set_training(True)


class AccuracyKept:
    """Whether a net is as accurate as before a request; of regressions nothing is asked.

    Parameters
    ----------
    net : skorch net before the request
    retain : Rows
    unseen : Rows or None
        Those of classes that stay are asked, where there are enough.
    classes : see `task_of`
    most_lost : float
        What may be lost on retained rows, where these are asked.
    """

    def __init__(self, net, retain, unseen, classes, most_lost):
        self.classes, self.rows, self.most_lost = classes, None, most_lost
        if classes is None:
            return
        if unseen is not None and task_of(classes).has_one_class:
            unseen = unseen.take(np.flatnonzero(np.isin(unseen.y, retain.y)))
        if unseen is not None and len(unseen) >= _ENOUGH:
            self.rows, self.most_lost = unseen, _LOST
        else:
            self.rows = retain.sample(_KEPT, 0)
        self.before = self._name(net)

    def is_kept(self, net):
        """Whether it has lost no more than is allowed, beside what chance shows."""
        if self.rows is None:
            return True
        now = self._name(net)
        error = np.sqrt(np.sum(now ^ self.before)) / len(now)
        return bool(self.before.mean() - now.mean() <= self.most_lost + error)

    def _name(self, net):
        """Which rows are named rightly, with all of their labels."""
        said = observe(net, self.rows, self.classes)
        return (said.predicted == said.y).reshape(len(said.y), -1).all(axis=1)


class Likeness:
    """Distances of a net to a reference that never saw the forget rows, by what an attack sees.

    Parameters
    ----------
    net : skorch net before the request
    reference : skorch net
    forget, retain : Rows
    unseen : Rows or None
    classes : see `task_of`
    whole : bool, whether whole classes are forgotten
    """

    def __init__(self, net, reference, forget, retain, unseen, classes, whole):
        self.classes, self.forget, self.whole = classes, forget, whole
        self.unseen, self.weights = self._twins(unseen), None
        if self.unseen is not None and task_of(classes).has_one_class:
            self.weights = class_weights(self.unseen.y, forget.y)
        said = self._observe(reference, forget)
        self.named = said.score() if whole else None
        if self.unseen is not None:
            sides = scores_of(said), scores_of(self._observe(reference, self.unseen))
            self.aucs = {key: auc(sides[0][key], sides[1][key], self.weights) for key in sides[0]}
        else:
            both = (self._observe(model, retain) for model in (net, reference))
            self.scores = scores_of(said, _sharpening(*both))

    @property
    def n_unseen(self):
        """How many unseen rows are looked at."""
        return 0 if self.unseen is None else len(self.unseen)

    @property
    def error(self):
        """Standard error of an AUC by chance."""
        return auc_error(len(self.forget), self.n_unseen or len(self.forget))

    def distances(self, net):
        """Of each AUC, and of the share of rows of whole classes that are named rightly."""
        said = self._observe(net, self.forget)
        if not said.is_finite():
            return {"diverged": np.inf}
        ours = scores_of(said)
        if self.unseen is None:
            found = {key: auc(ours[key], theirs) - 0.5 for key, theirs in self.scores.items()}
        else:
            other = scores_of(self._observe(net, self.unseen))
            found = {
                key: auc(ours[key], other[key], self.weights) - theirs
                for key, theirs in self.aucs.items()
            }
        if not self.whole:
            return found
        if self.unseen is None:
            # Nothing taught the reference how unlikely a class is that it has never met.
            found = {"entropy": found["entropy"]}
        return found | {"named": said.score() - self.named}

    def find_missed(self, first, best):
        """Names of the distances of which more than half is left, beyond what chance shows.

        Without unseen rows a short reference is too sure of the rows at the net's temperature:
        a net that was trained anew lies below it, and only what is above says anything.
        """
        at_first = max((abs(d) for name, d in first.items() if name != "named"), default=0.0)
        missed = []
        for name, distance in best.items():
            half = abs(first["named"] if name == "named" else at_first) / 2
            blind = self.unseen is None and name != "named"
            far = distance if blind else abs(distance)
            if far > max(_NEAR + 2 * self.error, half) and not (blind and self.whole):
                missed.append(name)
        return missed

    def _observe(self, net, rows):
        return observe(net, rows, self.classes)

    def _twins(self, unseen):
        """Unseen rows of the forget rows' classes, where there are enough."""
        if unseen is not None and task_of(self.classes).has_one_class:
            unseen = unseen.take(np.flatnonzero(np.isin(unseen.y, self.forget.y)))
        return None if unseen is None or len(unseen) < _FEWEST else unseen


def largest(distances):
    """The largest distance."""
    return max(map(abs, distances.values()))


def _sharpening(ours, theirs):
    """Factor of the reference's logits at which it is as sure of the rows as the net is.

    A net that was trained for a short time is less sure, of rows that it has never seen too.
    """
    if ours.logits is None:
        return 1.0
    wanted = scores_of(ours)["entropy"].mean()

    def lacks(exponent):
        return scores_of(theirs, np.exp(exponent))["entropy"].mean() - wanted

    least, most = -4.0, 4.0
    if lacks(least) >= 0 or lacks(most) <= 0:
        return 1.0
    return float(np.exp(brentq(lacks, least, most, xtol=1e-3)))
