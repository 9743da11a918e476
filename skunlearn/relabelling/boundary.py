"""Boundary unlearning: shrink or expand the forgotten class."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from skunlearn._rows import checking
from skunlearn._rows.constraints import POSITIVE, StrOptions
from skunlearn._torch import inference, net_layers, skorch_nets
from skunlearn._torch.batches.device_rows import send_tensor
from skunlearn._torch.loop.fit_loop import gives_plain_rows
from skunlearn._torch.loop.optimizer_steps import renew_optimizer
from skunlearn._torch.parts import net_kinds
from skunlearn._torch.row_losses import row_losses
from skunlearn.ascent._bound import BOUND_CONSTRAINTS, ForgetOnly
from skunlearn.exceptions import UnlearningError, UnsuitableMethodWarning
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.relabelling._moved_rows import climb, movable, refuse_unmovable
from skunlearn.search_spaces import LogUniform

_SHRINKING = "kind='shrink'", "kind='expand'"
_NO_HEAD = (
    "kind='expand' adds an output to the last layer, which must be linear with one output per "
    "class; {}. Use kind='shrink'."
)


class BoundaryUnlearner(ForgetOnly, NetUnlearner):
    """Move the decision boundary over the forget rows (boundary shrink, boundary expand).

    Choose it for whole classes when hardly a retained row is at hand. Shrinking hands each row to
    the class across the nearest boundary; expanding hands all to a new class that is then cut off.
    On single rows of classes that stay it forgets too much, and warns. `lr` matters most.

    Parameters
    ----------
    {estimator}
        A classifier whose last layer is linear (for "expand"), with floating-point rows (for
        "shrink").
    kind : {"shrink", "expand"}, default="shrink"
        "shrink" hands each row to the class across the nearest boundary; "expand" hands all to a
        new class, which is then cut off.
    step : float, default=0.1
        Length of the step to the neighbouring class, as a share of the range of values in a
        batch; the paper's 0.1 for images in [0, 1].
    bound : "chance" or float, default="chance"
        Loss at which a row is left alone, see `GradientAscentUnlearner`: it is forgotten then, and
        more would cost other classes.
    {max_norm}
    lr : float or None, default=None
        Learning rate; None takes three hundredths of the net's own, for whole classes up to all
        of it, see `GradientAscentUnlearner`.
    max_epochs : int or None, default=None
        Passes over the forget rows at most: the last ends when hardly any row is below `bound`.
        None takes as many as the net's own training had.
    {batch_size, schedule, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    M. Chen et al., "Boundary Unlearning: Rapid Forgetting of Deep Networks via Shifting the
    Decision Boundary", CVPR 2023, https://arxiv.org/abs/2303.11570

    Examples
    --------
    >>> import warnings
    >>> from skunlearn import BoundaryUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.exceptions import ClassForgottenWarning
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = BoundaryUnlearner(digits_classifier(max_epochs=5), lr=0.05, random_state=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", ClassForgottenWarning)
    ...     unlearner = unlearner.fit(X, y).unlearn(X[y == 8], y[y == 8])
    >>> unlearner.deletions_[0]["classes_forgotten"]
    [8]
    """

    _promises = replace(
        ForgetOnly._promises, class_only=True, takes_labels=False, takes_values=False
    )

    _parameter_constraints = {
        **NetUnlearner._parameter_constraints,
        **BOUND_CONSTRAINTS,
        "kind": [StrOptions({"shrink", "expand"})],
        "step": [POSITIVE],
    }

    def __init__(
        self,
        estimator,
        *,
        kind="shrink",
        step=0.1,
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
        self.kind = kind
        self.step = step
        self.bound = bound
        self.max_norm = max_norm

    def _first_model(self, rows):
        if self.kind == "shrink":
            refuse_unmovable(self, rows, *_SHRINKING)
        else:
            # Which layer is the last is seen at the request, as rows pass through the net.
            net = skorch_nets.look_inside(skorch_nets.unwrap(self.estimator), self._seed)
            linear = any(isinstance(m, nn.Linear) for m in net.module_.modules())
            if not linear or net_kinds.is_binary(net):
                raise ValueError(_NO_HEAD.format("there is none" if not linear else "it has one"))
        return super()._first_model(rows)

    def _unlearn(self, net, retain, forget):
        if not self._whole_classes(retain, forget):
            checking.warn(
                "BoundaryUnlearner takes rows away from their own class, which a retrained net "
                "would not do to rows of classes that stay: it forgets too much. Use it for whole "
                "classes, or another method for these rows.",
                UnsuitableMethodWarning,
            )
        if self.kind == "shrink":
            self._shrink(net, retain, forget)
        else:
            self._expand(net, retain, forget)

    def _shrink(self, net, retain, forget):
        original = skorch_nets.copy_to_ask(net, self.estimator_)
        rows = self._known_rows(net, forget, retain)
        original._set_training(False)
        n_classes = len(self._classes)
        unseen = np.setdiff1d(np.arange(n_classes), self._row_reader.seen_columns)
        # Of rows that are the same in every epoch the original is asked once.
        asked = np.zeros(len(forget), dtype=bool)
        table = torch.zeros(len(forget), dtype=torch.int64, device=net.device)
        same = gives_plain_rows(net, forget)

        def find_neighbours(batch):
            places = batch.rows if same and not batch.mixed else None
            if places is not None and asked[places.numpy()].all():
                return table[send_tensor(places, table.device)]
            y = rows.labels(batch)
            found = neighbouring_class(original, batch.x, y, self.step, n_classes, unseen)
            if places is not None:
                asked[places.numpy()] = True
                table[send_tensor(places, table.device)] = found
            return found

        def loss(batch):
            neighbours = find_neighbours(batch)
            _, known = rows.losses(batch, batch.out.detach())
            return batch.mean(known * row_losses(net, batch.out, neighbours, self._classes))

        self._run_on_forget(net, retain, forget, rows, loss)

    def _expand(self, net, retain, forget):
        head = net_layers.layers_in_order(net, forget)[-1]
        if not isinstance(head, nn.Linear) or net_kinds.is_binary(net):
            raise UnlearningError(_NO_HEAD.format(f"it is {type(head).__name__}"))
        name = next(n for n, m in net.module_.named_modules() if m is head)
        wide = nn.Linear(head.in_features, head.out_features + 1, bias=head.bias is not None)
        wide = wide.to(head.weight)
        with torch.no_grad():
            wide.weight[:-1] = head.weight
            if head.bias is not None:
                wide.bias[:-1] = head.bias
        for name_, p in head.named_parameters():
            wide.get_parameter(name_).requires_grad_(p.requires_grad)
        extra = head.out_features
        _replace(net, name, wide)
        renew_optimizer(net)

        rows = self._known_rows(net, forget, retain)

        def loss(batch):
            # Judged without the added output, as the net is in the end.
            out = batch.out
            _, known = rows.losses(batch, out[:, :extra].detach())
            new = torch.full((len(out),), extra, device=out.device)
            return batch.mean(known * nn.functional.cross_entropy(out, new, reduction="none"))

        self._run_on_forget(net, retain, forget, rows, loss)
        with torch.no_grad():  # the added output goes again
            head.weight.copy_(wide.weight[:-1])
            if head.bias is not None:
                head.bias.copy_(wide.bias[:-1])
        _replace(net, name, head)
        renew_optimizer(net)

    def _space(self):
        return super()._space() | {"step": LogUniform(0.01, 0.5)}


def neighbouring_class(net, x, y, step, n_classes, unseen=()):
    """Class that the net names after a step along the sign of the loss's gradient.

    Where that is still the row's own, the likeliest of the others.

    Parameters
    ----------
    net : skorch net, in evaluation mode
    x : tensor of rows, floating point
    y : tensor of encoded classes
    step : float, share of the range of `x`
    n_classes : int
    unseen : sequence of int
        Columns that are no row's label.

    Returns
    -------
    neighbours : tensor like `y`, int64
    """
    x = movable(net, x, *_SHRINKING)
    y = y.long().view(-1, 1)
    _, gradient = climb(net, x, y, n_classes, *_SHRINKING)
    with torch.no_grad():
        moved = x + step * (x.max() - x.min()) * gradient.sign()
        logits = inference.class_logits(net, inference.infer(net, moved), n_classes).float()
        logits[:, torch.as_tensor(unseen, dtype=torch.long)] = float("-inf")
        return logits.scatter(1, y, float("-inf")).argmax(dim=1)


def _replace(net, name, new):
    parent, _, last = name.rpartition(".")
    if last:
        setattr(net.module_.get_submodule(parent), last, new)
    else:  # the module is this layer
        vars(net)["module_"] = new
