"""Potion: dampening, as far as poison that is known in part asks for."""

import functools
import itertools
import math
from dataclasses import replace

import numpy as np
import torch

from skunlearn._rows import checking
from skunlearn._rows.constraints import COUNT, SHARE
from skunlearn._torch import inference
from skunlearn._torch.gradients.fisher import sizes_of_each
from skunlearn._torch.loop.norms import renew_statistics
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.net_state import keep_weights
from skunlearn._torch.pieces import in_pieces
from skunlearn.editing._weight_editor import WeightEditor
from skunlearn.editing.ssd import dampen
from skunlearn.exceptions import NotForgottenWarning
from skunlearn.search_spaces import Uniform

_ROWS = 1000  # of the known poison, by which a step is judged
_START, _GROWTH = 1 / 25, 1.1  # of the known share of the rows: the authors' first s, and its steps


class PotionUnlearner(WeightEditor):
    """Dampen weights until rows of poison no longer do what they were made for (Potion).

    Choose it when a net learnt from poisoned rows (a backdoor's trigger and a false label) of which
    only a part is known: forget the known ones, with the labels that they had in training. Not for
    ordinary rows, which no few weights stand for: it then dampens all that it may, mostly to no
    use, and warns. `left` matters most.

    The importance of a weight is the mean absolute derivative of ‖f(x)‖ by it, f(x) the net's raw
    output for a row: I_f of the known poison, I_r of the other rows, the unknown poison among
    them. Where I_f > α I_r the weight is multiplied by min(I_r / I_f, 1). α is the percentile
    100 − ln(1 + 100 s) of all ratios I_f / I_r; s grows from a twenty-fifth of the known rows'
    share of all rows by a tenth at a time, until the net gives at most `left` times as many of the
    known rows their poisoned label as it did.

    Parameters
    ----------
    {estimator}
        A classifier with one class per row.
    left : float in [0, 1], default=0.1
        ρ, the share of the accuracy on the known poison, by its poisoned labels, at which the
        search ends. The authors try 0 to 0.75. 0 is reached only where a net without poison would
        give no such row that label.
    importance_rows : int, default=1000
        Rows, of the known poison and of the others, from which importances are estimated, one
        gradient each.
    {random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_}
    deletions_ : list of dict
        The log of requests; ``"dampened"`` holds α and the share of the weights that were changed.

    See Also
    --------
    SSDUnlearner : Of which it is a descendant; for whole classes.
    skunlearn.forget_sets.backdoor_forget_set : Plants poison, to try it out.
    skunlearn.metrics.backdoor_success_rate : How often the trigger still works.

    Notes
    -----
    What it is held against is a net trained on the clean rows, which no request knows. A training
    on what is retained learns the unknown poison again: of 50 poisoned digits among 1,078, ten of
    them known, the trigger worked on 0.990 of unseen images of other classes, after a retraining
    without the known rows on 0.969, after one of the floor's length (a fifth of the epochs) on
    0.881, after SSD on 0.989, after random labels on 0.882, and after this on 0.114 (0.065 at
    ``left=0``), where a net that never saw poison has 0.000. With 25 known these are 0.935, 0.863,
    0.983, 0.480 and 0.069 (0.060). Of clean unseen images 0.991 were named rightly before and
    after, and 0.984 by the clean net. So it beats the floor as long as poison is unknown; with all
    50 known the retrained nets had 0.000 and this 0.048. (A convolutional net, means of three
    seeds, of one in the last sentence.) Few known rows tell little: of 15 that a net learnt in half
    as many epochs it left 0.46 of the unknown ones with their label.

    Running statistics of normalisation layers are taken anew at each step of the search, which is
    for the first step that will do, by doubling and halving: the accuracy on the known poison
    is taken to fall with s.

    References
    ----------
    S. Schoepf, J. Foster, A. Brintrup, "Potion: Towards Poison Unlearning", Journal of
    Data-centric Machine Learning Research 2024, https://arxiv.org/abs/2406.09173

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn import PotionUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.forget_sets import backdoor_forget_set
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> poison = backdoor_forget_set(X, y, target=0, size=60, known=0.5, random_state=0)
    >>> unlearner = PotionUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> unlearner = unlearner.fit(*poison.data(X, y)).unlearn(indices=np.flatnonzero(poison.mask))
    >>> unknown = poison.X[poison.planted & ~poison.mask]
    >>> bool((unlearner.predict(unknown) == 0).mean() < 0.2)
    True
    """

    _promises = replace(WeightEditor._promises, takes_labels=False, takes_values=False)
    _parameter_constraints = {
        **WeightEditor._parameter_constraints,
        "left": [SHARE],
        "importance_rows": [COUNT],
    }

    def __init__(
        self,
        estimator,
        *,
        left=0.1,
        importance_rows=1000,
        random_state=None,
        memory=None,
        store_data=True,
        verbose=0,
    ):
        super().__init__(
            estimator,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.left = left
        self.importance_rows = importance_rows

    def _unlearn(self, net, retain, forget):
        params = [p for p in net.module_.parameters() if p.requires_grad]
        samples = [rows.sample(self.importance_rows, self._seed) for rows in (retain, forget)]
        theirs, ours = sizes_of_each(net, samples, params, output_length, squared=False)
        found = Thresholds(ours, theirs, len(forget) / (len(forget) + len(retain)))
        alphas = [found[step] for step in range(found.last + 1)]
        del found  # it is as large as the net
        starts = list(keep_weights(params, net, self.estimator_).values())
        known = forget.sample(_ROWS, self._seed)
        before = observe(net, known, self._classes).score()

        def score(step):
            with torch.no_grad():
                for p, start in zip(params, starts, strict=True):
                    p.copy_(start)
            dampen(params, ours, theirs, alphas[step], 1.0)
            renew_statistics(net, retain, self._seed)
            return observe(net, known, self._classes).score()

        step = first(lambda step: score(step) <= self.left * before, len(alphas) - 1)
        after = score(step)
        if after > self.left * before:
            checking.warn(
                f"PotionUnlearner has dampened all weights that matter more to these rows than to "
                f"the others, and {100 * after:.0f} % of them still have the label of their poison "
                f"({100 * before:.0f} % before). Look at more of the data for poison, allow a "
                "larger left=, or use RandomLabelUnlearner.",
                NotForgottenWarning,
            )
        pairs = zip(params, starts, strict=True)
        moved = sum(int((p != start).count_nonzero()) for p, start in pairs)
        share = moved / sum(p.numel() for p in params)
        self._dampened = {"alpha": round(alphas[step], 4), "weights": round(share, 6)}

    def _describe_attempt(self):
        return super()._describe_attempt() | {"dampened": self._dampened}

    def _commit(self):
        super()._commit()
        vars(self).pop("_dampened", None)

    def _space(self):
        return {"left": Uniform(0.0, 0.5)}


def output_length(net, batch):
    """Length of the net's output for a row."""
    out = inference.infer(net, batch[0])
    return torch.linalg.vector_norm(out.reshape(len(out), -1), dim=1).mean()


class Thresholds:
    """α at every step of the search, from large ones to small ones.

    Parameters
    ----------
    ours, theirs : list of tensor
        Importances for the known poison and for the other rows.
    share : float
        Of the known poison among all rows.

    Attributes
    ----------
    last : int
        The first step at which every weight is dampened that can be: that of an α up to 1.
    """

    def __init__(self, ours, theirs, share):
        kind = functools.reduce(torch.promote_types, [f.dtype for f in ours], torch.float32)
        ratios = torch.empty(sum(f.numel() for f in ours), dtype=kind)
        parts = ratios.split([f.numel() for f in ours])
        for whole in zip(parts, ours, theirs, strict=True):
            for part, f, d in in_pieces(*(tensor.reshape(-1) for tensor in whole)):
                part.copy_(f / d)
        ratios, self.share = ratios.numpy(), share
        ratios.sort()  # in its place: there is one for each weight of the net
        self.ratios = ratios[
            : np.searchsorted(ratios, ratios.dtype.type(np.inf))
        ]  # behind them infinity and NaN
        self.last = next(k for k in itertools.count() if self[k] <= 1)

    def __getitem__(self, step):
        cut = 1 - math.log1p(100 * _START * self.share * _GROWTH**step) / 100
        if not len(self.ratios) or cut <= 0:
            return min(1.0, float(self.ratios[0])) if len(self.ratios) else 1.0
        # As numpy's percentile, which would look at all of them at every step.
        place = cut * (len(self.ratios) - 1)
        low = int(place)
        at, above = (float(self.ratios[i]) for i in (low, min(low + 1, len(self.ratios) - 1)))
        return at + (place - low) * (above - at)


def first(holds, last):
    """The first step from 0 to `last` at which something holds, or `last`.

    It is taken to hold at all steps behind that.
    """
    low, high, width = -1, 0, 1
    while high < last and not holds(high):
        low, high = high, min(last, high + width)
        width *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
