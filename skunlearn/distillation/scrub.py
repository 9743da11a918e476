"""SCRUB: obey the teacher on retained rows, and disobey it on forget rows."""

from numbers import Integral, Real

import numpy as np

from skunlearn import _skorch, _validation
from skunlearn._evidence import observe
from skunlearn._losses import Targets, divergence
from skunlearn._seeding import derive_seed
from skunlearn._steps import new_phase, normalisation
from skunlearn.distillation._teacher import copied
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.search_spaces import Integers, LogUniform


class SCRUBUnlearner(NetUnlearner):
    """Disobey the original net on forget rows and obey it on retained ones (SCRUB, SCRUB+R).

    Choose it for whole classes and for mislabelled rows; with ``rewind=True`` for single rows,
    so that it does not forget more than unseen rows are unknown. `lr` and `max_steps_epochs`
    matter most.

    In each of the first epochs one pass over the forget rows drives predictions away from the
    teacher's; every epoch, one pass over the retained rows minimises
    γ·CE + α·KL(teacher ‖ student).

    Parameters
    ----------
    estimator : skorch net or FrozenEstimator of one
        See `FineTuneUnlearner`; a classifier.
    alpha : float, default=0.001
        α, the paper's.
    gamma : float, default=0.99
        γ, the paper's.
    temperature : float, default=4.0
        Of the softmax in the divergence, which is multiplied by its square (the paper's).
    max_steps_epochs : int or None, default=None
        Epochs that begin with a pass over the forget rows; None takes two thirds of all, as 2 of
        3 in the paper.
    forget_batch_size : int or None, default=None
        None takes the batch size of the retained rows.
    rewind : bool, default=False
        SCRUB+R: keep every epoch, and return the one whose error on the forget rows is nearest to
        the error on retained rows of the same classes that were held out of this run.
    validation_fraction : float, default=0.1
        Share of the retained rows to hold out for `rewind`. The net has seen them in ``fit``: their
        error is a lower bound of that on unseen rows.
    lr : float or None, default=None
        Learning rate; None takes a tenth of the net's own.
    max_epochs, batch_size, schedule
        See `FineTuneUnlearner`.
    random_state, memory, store_data, verbose
        See `FineTuneUnlearner`.

    Attributes
    ----------
    estimator_, classes_, deletions_
        See `FineTuneUnlearner`.

    References
    ----------
    M. Kurmanji et al., "Towards Unbounded Machine Unlearning", NeurIPS 2023,
    https://arxiv.org/abs/2302.09880

    Examples
    --------
    >>> from skunlearn import SCRUBUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = SCRUBUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> unlearner.fit(X, y).unlearn(X[:20], y[:20]).deletions_[0]["rows"]
    20
    """

    _lr_share = 0.1

    def __init__(
        self,
        estimator,
        *,
        alpha=0.001,
        gamma=0.99,
        temperature=4.0,
        max_steps_epochs=None,
        forget_batch_size=None,
        rewind=False,
        validation_fraction=0.1,
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
        self.alpha = alpha
        self.gamma = gamma
        self.temperature = temperature
        self.max_steps_epochs = max_steps_epochs
        self.forget_batch_size = forget_batch_size
        self.rewind = rewind
        self.validation_fraction = validation_fraction

    def _unlearn(self, net, retain, forget):
        teacher, targets = copied(net, self._classes), Targets(net, retain)
        task, size = _skorch.task_loss(net), net.batch_size
        held_out = None
        if self.rewind:
            retain, held_out = self._hold_out(retain, forget)

        def apart(out, i, x):
            return -self._distance(net, teacher(x), out)

        def near(out, i, x):
            return self.gamma * task(out, targets[i]) + self.alpha * self._distance(
                net, teacher(x), out
            )

        epochs, kept = net.max_epochs, []
        climbs = -(-2 * epochs // 3) if self.max_steps_epochs is None else self.max_steps_epochs
        for epoch in range(epochs):
            rate = self._rate_at(net, epoch, epochs)
            if epoch < climbs:
                new_phase(net, lr=rate, max_epochs=1, batch_size=self.forget_batch_size or size)
                with normalisation(net, "eval"):
                    _skorch.train(net, forget, shuffle=True, loss=apart)
            new_phase(net, lr=rate, max_epochs=1, batch_size=size)
            _skorch.train(net, retain, shuffle=True, loss=near)
            if self.rewind:
                kept.append((self._gap(net, forget, held_out), _skorch.weights(net)))
        if kept:
            _skorch.set_weights(net, min(kept, key=lambda pair: pair[0])[1])

    def _distance(self, net, taught, out):
        student = _skorch.class_logits(net, out, len(self._classes))
        return divergence(taught, student, self.temperature)

    def _gap(self, net, forget, held_out):
        scores = [observe(net, rows, self._classes).score() for rows in (forget, held_out)]
        return abs(scores[0] - scores[1])

    def _hold_out(self, retain, forget):
        """Retained rows of the forget rows' classes, where there are any."""
        rng = np.random.default_rng(derive_seed(self._seed, 1))
        alike = np.flatnonzero(np.isin(retain.y, forget.y))
        pool = alike if len(alike) else np.arange(len(retain))
        size = max(1, round(self.validation_fraction * len(pool)))
        chosen = np.sort(rng.permutation(pool)[:size])
        return retain.take(np.setdiff1d(np.arange(len(retain)), chosen)), retain.take(chosen)

    def _check_parameters(self):
        super()._check_parameters()
        check = _validation.check_number
        check(self, "alpha", Real, low=0.0)
        check(self, "gamma", Real, low=0.0)
        check(self, "temperature", Real, low=0.0, exclusive=True)
        check(self, "validation_fraction", Real, low=0.0, high=1.0, exclusive=True)
        for name, low in (("max_steps_epochs", 0), ("forget_batch_size", 1)):
            if getattr(self, name) is not None:
                check(self, name, Integral, low=low)

    def _space(self):
        space = super()._space()
        return space | {
            "alpha": LogUniform(1e-4, 1.0),
            "max_steps_epochs": Integers(1, space["max_epochs"].high),
        }
