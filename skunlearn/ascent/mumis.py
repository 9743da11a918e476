"""MU-Mis: take back how sensitive a net's outputs are to the forget rows."""

from dataclasses import replace

import torch

from skunlearn._rows import checking
from skunlearn._rows.seeding import derive_seed
from skunlearn._torch import inference
from skunlearn._torch.batches.device_rows import send_tensor
from skunlearn._torch.parts import net_kinds
from skunlearn._torch.skorch_nets import make_eager
from skunlearn.ascent._bound import BOUND_CONSTRAINTS, ForgetOnly
from skunlearn.ascent._floating_rows import floating_rows, refuse_other_rows
from skunlearn.exceptions import UnlearningError, UnsuitableMethodWarning
from skunlearn.net_unlearner import NetUnlearner

_DOES = "MUMisUnlearner takes gradients by the rows"
_ONE_CLASS = "MUMisUnlearner sets a row's class against another, and all rows are of one class."


class MUMisUnlearner(ForgetOnly, NetUnlearner):
    """Take back how sensitive the net's outputs are to the forget rows (MU-Mis).

    Choose it for whole classes when hardly a retained row is at hand. Single rows of classes that
    stay it hardly moves before the others suffer, and it warns. `lr` matters most.

    What a row has added to a net shows in the gradient of the output of its class by the row
    itself. The mean over forget rows x of class c is minimised of

    ‖∇ₓ f_c(x)‖² − ‖∇ₓ f_c'(x)‖²,

    f the logits, c' another class, drawn anew for every row of a batch. That has no minimum: a row
    whose loss has reached `bound` is left alone, and gradients are clipped. The last few rows
    below it may still drive the loss of the others far beyond.

    Parameters
    ----------
    {estimator}
        A classifier whose rows are one tensor of floating-point numbers and whose layers have
        second derivatives. Where two classes share one output, it alone is flattened.
    bound : "chance" or float, default="chance"
        Loss at which a row counts as forgotten, see `GradientAscentUnlearner`.
    {max_norm}
    lr : float or None, default=None
        Learning rate; None takes three hundredths of the net's own, and ten times that for whole
        classes, or up to the net's own, see `GradientAscentUnlearner`.
    max_epochs : int or None, default=None
        Passes over the forget rows at most: the last ends when hardly any row is below `bound`.
        None takes as many as the net's own training had.
    {batch_size, schedule, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    See Also
    --------
    JiTUnlearner : Needs no labels either.
    GradientAscentUnlearner : Climbs the loss itself.

    Notes
    -----
    It did not beat the floor, a retraining in a fifth of the epochs. For a class of 1,000 digits, a
    fifth of them wrongly labelled, attacks were 0.255 (an MLP) and 0.173 AUC (a convolutional net)
    from retrained nets, where the floor had 0.044 and 0.074, gradient ascent 0.247 and 0.204 and an
    unchanged net 0.239 and 0.274. The class was named 0.00 and 0.06 of the time, and unseen rows of
    the others were named rightly 1.4 and 9.1 points less often than by retrained nets (4.0 and 5.1
    after gradient ascent, 2.5 and 3.8 before). For a tenth of the rows it is 0.214 and 0.262, where
    unchanged nets have 0.207 and 0.257, and it warns (``benchmarks/bench_defaults.py``,
    means over three seeds). It is for those who have no retained rows.

    When to stop is decided as in this package's other methods that train on forget rows alone, by
    `bound`, and not by a threshold of the sensitivities.

    References
    ----------
    X. Cheng, Z. Huang, W. Zhou, Z. He, R. Yang, Y. Wu, X. Huang, "Remaining-data-free Machine
    Unlearning by Suppressing Sample Contribution", ICLR 2026, https://arxiv.org/abs/2402.15109

    Examples
    --------
    >>> import warnings
    >>> from skunlearn import MUMisUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = MUMisUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # that a class goes
    ...     unlearner = unlearner.fit(X, y).unlearn(X[y == 8], y[y == 8])
    >>> measured = unlearner.deletions_[0]["measured"]
    >>> measured["forget_after"]["score"] < 0.5 < measured["retain_after"]["score"]
    True
    """

    _promises = replace(
        ForgetOnly._promises, class_only=True, takes_labels=False, takes_values=False
    )
    _faster = 10  # times the rate, for whole classes
    _parameter_constraints = {**NetUnlearner._parameter_constraints, **BOUND_CONSTRAINTS}

    def __init__(
        self,
        estimator,
        *,
        bound="chance",
        max_norm=1.0,
        lr=None,
        max_epochs=None,
        batch_size=None,
        schedule="linear",
        random_state=None,
        memory=None,
        store_data=True,
        verbose=0,
    ):
        super().__init__(
            estimator,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            schedule=schedule,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.bound = bound
        self.max_norm = max_norm

    def _first_model(self, rows):
        if len(self._row_reader.seen_columns) < 2:
            raise ValueError(_ONE_CLASS)
        refuse_other_rows(self, rows, _DOES)
        return super()._first_model(rows)

    def _unlearn(self, net, retain, forget):
        if not self._whole_classes(retain, forget):
            checking.warn(
                "MUMisUnlearner is made for whole classes: single rows of classes that stay it "
                "hardly moves towards a retrained net before the others suffer.",
                UnsuitableMethodWarning,
            )
        rows = self._known_rows(net, forget, retain)
        n_classes, one_output = len(self._classes), net_kinds.is_binary(net)
        others = OtherClasses(
            self._row_reader.seen_columns, derive_seed(self._seed, len(self.deletions_), 11)
        )

        def excess(x, y):
            if one_output:  # the logit of the second class, and of the first with another sign
                return sensitivities(net, x, torch.ones_like(y)[:, None], n_classes)[:, 0]
            pairs = torch.stack([y, others.draw(y)], dim=1)
            own, other = sensitivities(net, x, pairs, n_classes).T
            return own - other

        def loss(batch):
            y = rows.labels(batch).long().view(-1)
            _, known = rows.losses(batch, batch.out.detach())
            return batch.mean(known * excess(batch.x, y))

        self._run_on_forget(net, retain, forget, rows, loss)

    def _speed(self, retain, forget, norms):
        return self._faster if self.lr is None and self._whole_classes(retain, forget) else 1


class OtherClasses:
    """Draws for every row a class other than its own.

    Parameters
    ----------
    classes : sequence of int
        Those that some row has.
    seed : int
    """

    def __init__(self, classes, seed):
        self.classes = torch.as_tensor(sorted(classes), dtype=torch.long)
        self.generator = torch.Generator().manual_seed(seed)
        if len(self.classes) < 2:
            raise UnlearningError(_ONE_CLASS)

    def draw(self, y):
        """Classes of shape (b,), on the device of `y`."""
        self.classes = self.classes.to(y.device)  # what is drawn goes there; nothing comes back
        own = torch.searchsorted(self.classes, y)
        steps = torch.randint(1, len(self.classes), own.shape, generator=self.generator)
        return self.classes[(own + send_tensor(steps, y.device)) % len(self.classes)]


def sensitivities(net, x, columns, n_classes):
    """Squared length of the gradient of logits by the row; it has a gradient by the weights.

    Parameters
    ----------
    net : skorch net
    x : floating-point tensor of b rows
    columns : int64 tensor of shape (b, k)
        The logits that are asked about.
    n_classes : int

    Returns
    -------
    sizes : float32 tensor of shape (b, k)
    """
    net = make_eager(net)  # derivatives of derivatives go through no compiled module
    x = floating_rows(net, x, _DOES).requires_grad_()
    logits = inference.class_logits(net, inference.infer(net, x), n_classes)
    chosen = logits.gather(1, columns.to(logits.device))
    slopes = [
        torch.autograd.grad(column.sum(), x, create_graph=True, allow_unused=True)[0]
        for column in chosen.unbind(1)
    ]
    if any(slope is None for slope in slopes):
        raise UnlearningError(
            "MUMisUnlearner takes gradients by the rows, and none reaches them: the module lets "
            "them through a part under torch.no_grad() or detach(). Use GradientAscentUnlearner."
        )
    return torch.stack([slope.float().flatten(1).square().sum(1) for slope in slopes], dim=1)
