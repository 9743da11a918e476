"""UNSIR: impair the class with noise that it would maximally err on, then repair."""

from dataclasses import replace

import numpy as np
import torch

from skunlearn._rows import checking
from skunlearn._rows.constraints import COUNT, SHARE
from skunlearn._torch.batches.batching import n_batches
from skunlearn._torch.batches.net_rows import encode_targets
from skunlearn._torch.loop.fit_loop import batches
from skunlearn._torch.loop.learning_rates import mean_reach, rates, set_rates
from skunlearn._torch.loop.optimizer_steps import clip_gradients
from skunlearn._torch.loop.task_loss import TaskLoss, scratch_history
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.net_state import named_tensors, set_weights
from skunlearn._torch.parts.tasks import task_of
from skunlearn._torch.skorch_nets import drop_last_steps, has_schedule, overridden, unwrap
from skunlearn._unlearning.phases import Phases
from skunlearn.ascent._floating_rows import floating_rows, refuse_other_rows
from skunlearn.exceptions import UnlearningError, UnsuitableMethodWarning
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.search_spaces import Integers, LogUniform, Uniform

_WAY = 75.0  # length that the steps of an impair epoch are to add up to, of gradients of one
_MOST = 5.0  # times the net's own rate, at most
_MOST_OF_OTHERS = 3.0  # of a schedule's highest, or of a rate of steps of another length
_ROWS = 1000  # retained ones, of which it is seen whether the net comes back
_DOES = "UNSIRUnlearner makes noise in the place of rows by gradient ascent"
_RUINED = 0.8  # of the way from their loss to that of chance


class UNSIRUnlearner(NetUnlearner):
    """Teach the forgotten class noise on which the net errs most, then repair (UNSIR).

    Choose it for whole classes whose rows may not be read any more: it needs their labels only. A
    class that stays is spoilt as well, and it warns. `noise_share` and `lr` matter most.

    Parameters
    ----------
    {estimator}
        A classifier with floating-point rows.
    noise_rows : int, default=20
        Rows of noise for each class. The authors' code makes 256 and shows each of them 20 times.
    noise_steps : int, default=40
        Steps of Adam, with rate 0.1, that make them (the authors').
    noise_share : float, default=0.1
        Weight of the noise in the loss of the impair epoch.
    impair_epochs : int, default=1
        Epochs on noise and retained rows; the other ones repair.
    lr : float or None, default=None
        Learning rate; None takes that at which the steps of the impair epochs add up to a length
        of 75 for gradients of length 1, to which they are clipped, between a fifth of the net's own
        and five times it, or three times with other optimizers than SGD and where callbacks of the
        net set it. Noise that is not learnt by then leaves the class as it was, and a low rate
        leaves what was learnt of single rows by heart. Where the training diverges, or retained
        rows end near the loss of chance, it begins again at half of the rate. With a length of 25,
        and three times the net's own at most, the worst AUC of five attacks was 0.188, 0.178 and
        0.222 from that of retrained nets on classes of digits (an MLP, a convolutional net) and of
        a table, with wrong labels, and is 0.072, 0.133 and 0.146, with 1 to 3 points more accuracy.
        Ten times its own came nearer still, and took deep nets apart. Under ``schedule="net"`` it
        is a fifth.
    {max_epochs, batch_size, schedule, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    Notes
    -----
    The noise maximises the loss, less a tenth of the mean square of its values. The authors' code
    takes the sum of squares over a row, which draws noise of many columns to zero: an attack then
    found a little less of classes of digits known by heart, while nets that do not know theirs so
    ended farther from retrained ones, and an MLP less accurate. It also mixes noise into batches of
    retained rows, so that a batch normalisation takes up its statistics.

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

    def _first_model(self, rows):
        refuse_other_rows(self, rows, _DOES)
        return super()._first_model(rows)

    def _unlearn(self, net, retain, forget):
        if not self._whole_classes(retain, forget):
            checking.warn(
                "UNSIRUnlearner spoils whole classes, also the retained rows of the forget rows' "
                "classes. Use it for whole classes, or another method for these rows.",
                UnsuitableMethodWarning,
            )
        noise, labels = self._noise(net, retain, forget)
        if self.lr is not None or self.schedule == "net":
            self._impair_and_repair(net, retain, noise, labels)
            return
        rows, chance = retain.sample(_ROWS, self._seed), task_of(self._classes).chance(retain.y)
        before, own = self._look(net, rows), rates(net)
        speed = self._speed(net, retain)
        while True:
            set_rates(net, own, speed)
            try:
                self._impair_and_repair(net, retain, noise, labels)
                lost = self._look(net, rows) - before
            except UnlearningError:  # it diverged
                if speed == 1:
                    raise
                lost = np.inf
            if speed == 1 or not lost > _RUINED * (chance - before):
                break
            speed = max(1.0, speed / 2)
            set_weights(drop_last_steps(net), named_tensors(self.estimator_))
            net.initialize_history()
        set_rates(net, own)

    def _look(self, net, rows):
        return float(observe(net, rows, self._classes).losses().mean())

    def _impair_and_repair(self, net, retain, noise, labels):
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
        plain = isinstance(net.optimizer_, torch.optim.SGD)
        fixed = has_schedule(unwrap(self.estimator))
        most = _MOST if plain and not fixed else _MOST_OF_OTHERS
        return float(np.clip(_WAY / (steps * mean_reach(net)), 1, most / self._lr_share))

    def _noise(self, net, retain, forget):
        """Rows of noise on which the net errs most, and their labels."""
        # For its shape; forget rows are not looked at.
        x = floating_rows(net, next(batches(net, retain)).x, _DOES)
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
        most = _MOST / 3 * space["lr"].high / self._lr_share
        return space | {
            "lr": LogUniform(space["lr"].low, most),
            "noise_share": Uniform(0.05, 0.5),
            "impair_epochs": Integers(1, 3),
        }
