"""UNSIR: impair the class with noise that it would maximally err on, then repair."""

from dataclasses import replace

import numpy as np
import torch

from skunlearn._rows import checking
from skunlearn._rows.constraints import COUNT, SHARE
from skunlearn._torch.batches.batching import n_batches
from skunlearn._torch.batches.net_rows import encode_targets
from skunlearn._torch.loop.fit_loop import batches
from skunlearn._torch.loop.learning_rates import mean_reach, scale_rates
from skunlearn._torch.loop.optimizer_steps import clip_gradients
from skunlearn._torch.loop.task_loss import TaskLoss, scratch_history
from skunlearn._torch.skorch_nets import overridden
from skunlearn._unlearning.phases import Phases
from skunlearn.exceptions import UnlearningError, UnsuitableMethodWarning
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.search_spaces import Integers, LogUniform, Uniform

_WAY = 25.0  # length that the steps of an impair epoch are to add up to, of gradients of one
_MOST = 3.0  # times the net's own rate, at most


class UNSIRUnlearner(NetUnlearner):
    """Teach the forgotten class noise on which the net errs most, then repair (UNSIR).

    Choose it for whole classes whose rows may not be read any more: it needs their labels only. A
    class that stays is spoilt as well, and it warns. `noise_share` and `lr` matter most.

    Parameters
    ----------
    {estimator}
        A classifier with floating-point rows.
    noise_rows : int, default=20
        Rows of noise for each class (the paper's).
    noise_steps : int, default=40
        Steps of Adam, with rate 0.1, that make them (the paper's).
    noise_share : float, default=0.1
        Weight of the noise in the loss of the impair epoch.
    impair_epochs : int, default=1
        Epochs on noise and retained rows; the other ones repair.
    lr : float or None, default=None
        Learning rate; None takes a fifth of the net's own, which one that was trained at a high
        rate needs to stay whole, or more, up to thrice its own, where the steps of the impair
        epochs would not add up to a length of 25 for gradients of length 1, to which they are
        clipped: noise that is not learnt by then leaves the class as it was. Under
        ``schedule="net"`` a fifth. An MLP with batch normalisation for digits, trained at rate
        0.05, names a digit 0 to 2 % of the time then. One that was trained at 0.01 names it 72
        to 98 % of the time, and the method warns: ten times its own rate left 0 to 13 %.
    {max_epochs, batch_size, schedule, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    A. Tarun et al., "Fast Yet Effective Machine Unlearning", IEEE TNNLS 2023,
    https://arxiv.org/abs/2111.08947

    Examples
    --------
    >>> import warnings
    >>> from skunlearn import UNSIRUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.exceptions import ClassForgottenWarning
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = UNSIRUnlearner(digits_classifier(max_epochs=5), lr=0.05, random_state=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", ClassForgottenWarning)
    ...     unlearner = unlearner.fit(X, y).unlearn(X[y == 8], y[y == 8])
    >>> unlearner.deletions_[0]["classes_forgotten"]
    [8]
    """

    _promises = replace(
        NetUnlearner._promises, class_only=True, takes_labels=False, takes_values=False
    )
    _lr_share = 0.2

    _parameter_constraints = {
        **NetUnlearner._parameter_constraints,
        "noise_rows": [COUNT],
        "noise_steps": [COUNT],
        "noise_share": [SHARE],
        "impair_epochs": [COUNT],
    }

    def __init__(
        self,
        estimator,
        *,
        noise_rows=20,
        noise_steps=40,
        noise_share=0.1,
        impair_epochs=1,
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
        self.noise_rows = noise_rows
        self.noise_steps = noise_steps
        self.noise_share = noise_share
        self.impair_epochs = impair_epochs

    def _unlearn(self, net, retain, forget):
        if not self._whole_classes(retain, forget):
            checking.warn(
                "UNSIRUnlearner spoils whole classes, also the retained rows of the forget rows' "
                "classes. Use it for whole classes, or another method for these rows.",
                UnsuitableMethodWarning,
            )
        if self.lr is None and self.schedule != "net":
            scale_rates(net, self._speed(net, retain))
        noise, labels = self._noise(net, retain, forget)
        task = TaskLoss(net)

        def impair(batch):
            yield (1 - self.noise_share) * batch.loss()
            # The statistics of noise are not to become those of the net.
            net._set_training(False)
            spoilt = task(net.infer(noise), labels, noise)
            net._set_training(True)
            yield self.noise_share * spoilt

        # What was impaired has to be repaired.
        phases = Phases(net, self.schedule, at_least=self.impair_epochs + 1)
        for epoch in phases:
            impairs = epoch < self.impair_epochs
            # Noise with huge losses would throw the weights out of reach of any repair.
            clip = [clip_gradients()] if impairs else []
            phases.train(retain, callbacks=clip, loss=impair if impairs else None)

    def _speed(self, net, retain):
        """Factor of a learning rate that nobody has set, where impairing takes few or short steps.

        Noise that is not learnt when they end leaves the class as it was.
        """
        steps = self.impair_epochs * max(1, n_batches(net, len(retain)))
        return float(np.clip(_WAY / (steps * mean_reach(net)), 1, _MOST / self._lr_share))

    def _noise(self, net, retain, forget):
        """Rows of noise on which the net errs most, and their labels."""
        x = next(batches(net, retain)).x  # for its shape; forget rows are not looked at
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            raise UnlearningError(
                "UNSIRUnlearner makes rows of noise by gradient ascent, for which rows must be one "
                "tensor of floating-point numbers. Convert them (images to float32, tokens to "
                "their embeddings)."
            )
        classes = torch.as_tensor(sorted(set(forget.y.tolist()))).repeat_interleave(self.noise_rows)
        labels = torch.as_tensor(encode_targets(net, classes.numpy())).to(net.device)
        noise = torch.randn(len(classes), *x.shape[1:], dtype=x.dtype).to(net.device)
        noise.requires_grad_()
        task, optimizer = TaskLoss(net), torch.optim.Adam([noise], lr=0.1)
        net._set_training(False)
        for _ in range(self.noise_steps):
            with overridden(net, history_=scratch_history(net)):
                loss = -task(net.infer(noise), labels, noise) + 0.1 * noise.square().mean()
            optimizer.zero_grad()
            noise.grad = torch.autograd.grad(loss, noise)[0]
            optimizer.step()
        return noise.detach(), labels

    def _space(self):
        space = super()._space()
        # Nets that were trained at a low rate want a larger one than their own.
        most = space["lr"].high / self._lr_share
        return space | {
            "lr": LogUniform(space["lr"].low, most),
            "noise_share": Uniform(0.05, 0.5),
            "impair_epochs": Integers(1, 3),
        }
