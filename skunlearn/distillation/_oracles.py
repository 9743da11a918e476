"""Oracles: nets that are trained on the retained rows until they know the task."""

import copy

import numpy as np
from skorch.callbacks import Callback

from skunlearn._recipe import training
from skunlearn._torch.loop.fit_loop import StopTraining
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.net_state import set_weights, weights
from skunlearn._torch.parts.tasks import task_of

# Of the present net's skill. What it knows of retained rows is partly known by heart, which no
# short training reaches; rows that it has never seen show what can be learnt.
_ENOUGH_RETAINED, _ENOUGH_UNSEEN = 2 / 3, 0.8
_FEWEST = 50  # unseen rows from which skill is told
_MOST = 1000  # rows that are looked at after an epoch


def train_oracles(recipe, rows, classes, seeds, *, share, skill, spare, verbose=0):
    """Train a net by each seed until it is skilled, and for all of the recipe at most.

    Parameters
    ----------
    recipe : skorch net
    rows : Rows
        The retained ones.
    classes : see `task_of`
    seeds : list of int
        Later ones are left out where the epochs together would be more than those of the recipe.
    share : float
        Epochs at least, as a share of the recipe's.
    skill : Skill
    spare : int
        Epochs' worth of what follows. A training that is not skilled in time for both to take less
        than the recipe goes on to its end: what follows would cost more than it spares.
    verbose : int, default=0

    Returns
    -------
    oracles : list of nets
    epochs : int
        Those of the longest training.
    is_whole : bool
        Whether there is one only, trained for all of the recipe.
    """
    oracles, spent = [], []
    least = max(1, round(share * recipe.max_epochs))
    latest = recipe.max_epochs - spare - 1
    for seed in seeds:
        if spent and sum(spent) + max(spent) + spare > recipe.max_epochs:
            break
        stop = StopWhenSkilled(skill, least, recipe.max_epochs if spent else latest)
        net = training.train(
            recipe,
            rows,
            classes,
            seed,
            verbose=verbose,
            callbacks=[("skunlearn_skilled", stop)],
        )
        oracles.append(net)
        spent.append(stop.epochs)
        if not stop.is_skilled:
            return oracles[-1:], stop.epochs, True
    return oracles, max(spent), False


class Skill:
    """Whether a net knows the task nearly as well as another.

    By accuracy above that of naming one class always, or by R², on rows that the other net has
    never seen, or, where there are few, on retained ones.

    Parameters
    ----------
    net : skorch net before the request
    retain : Rows
    unseen : Rows or None
    classes : see `task_of`
    seed : int
    """

    def __init__(self, net, retain, unseen, classes, seed):
        self.classes, enough = classes, _ENOUGH_UNSEEN
        if unseen is not None and task_of(classes).has_one_class:
            unseen = unseen.take(np.flatnonzero(np.isin(unseen.y, retain.y)))
        if unseen is None or len(unseen) < _FEWEST:
            unseen, enough = retain, _ENOUGH_RETAINED
        self.rows = unseen.sample(_MOST, seed)
        known = self._score(net)
        self.least = self.chance + enough * (known - self.chance)

    @property
    def chance(self):
        """Score of a net that knows nothing of a row."""
        if not task_of(self.classes).has_one_class:
            return 0.0
        return np.unique(self.rows.y, return_counts=True)[1].max() / len(self.rows)

    def is_reached(self, net):
        """Whether `net` has it."""
        return self._score(net) >= self.least

    def _score(self, net):
        score = observe(net, self.rows, self.classes).score()
        return -np.inf if score is None or not np.isfinite(score) else score


class StopWhenSkilled(Callback):
    """Ends a training after the first epoch from the `least` on at which a net is skilled.

    Parameters
    ----------
    skill : Skill
    least : int
        Epochs before the first look.
    latest : int
        Epochs after which nobody looks any more.

    Attributes
    ----------
    epochs : int
        That were run.
    is_skilled : bool
        Whether it has ended a training.
    """

    def __init__(self, skill, least, latest):
        self.skill, self.least, self.latest = skill, least, latest
        self.epochs, self.is_skilled = 0, False

    def on_epoch_end(self, net, **kwargs):
        """Look at the net as it is."""
        self.epochs += 1
        if not self.least <= self.epochs <= self.latest:
            return
        self.is_skilled = self.skill.is_reached(net)
        net._set_training(True)
        if self.is_skilled:
            raise StopTraining


class Start:
    """Where a training of a net starts: its weights, buffers and optimizers as they are now."""

    def __init__(self, net):
        self.weights = weights(net)
        self.optimizers = copy.deepcopy({n: getattr(net, n + "_").state_dict() for n in _of(net)})

    def restore(self, net):
        """Put the net back there."""
        set_weights(net, self.weights)
        for name, state in self.optimizers.items():
            getattr(net, name + "_").load_state_dict(copy.deepcopy(state))


def _of(net):
    """Names of its optimizers."""
    return [name for name in net._optimizers if getattr(net, name + "_", None) is not None]
