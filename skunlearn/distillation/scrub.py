"""SCRUB: obey the teacher on retained rows, and disobey it on forget rows."""

from numbers import Integral

import numpy as np

from skunlearn._rows.constraints import COUNT, NOT_NEGATIVE, POSITIVE, Interval
from skunlearn._rows.views import Rows
from skunlearn._torch import inference
from skunlearn._torch.loop.learning_rates import scale_rates
from skunlearn._torch.loop.norms import FollowedStatistics
from skunlearn._torch.loop.optimizer_steps import clip_gradients, norms_at_rest
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.net_state import set_weights, weights
from skunlearn._torch.parts.tasks import task_of
from skunlearn._unlearning.phases import Phases
from skunlearn.ascent._bound import BOUND_CONSTRAINTS, BoundedAscent
from skunlearn.ascent._stopping import STOP_CONSTRAINTS, StopsInTime
from skunlearn.distillation._teacher import Remembered, copy_teacher
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.search_spaces import Integers, LogUniform


class SCRUBUnlearner(StopsInTime, BoundedAscent, NetUnlearner):
    """Disobey the original net on forget rows and obey it on retained ones (SCRUB, SCRUB+R).

    Choose it for whole classes and for mislabelled rows; with `rewind` for single rows,
    so that it does not forget more than unseen rows are unknown. `lr` and `max_steps_epochs`
    matter most.

    In each of the first epochs one pass over the forget rows drives predictions away from the
    teacher's; every epoch, one pass over the retained rows minimises
    γ·CE + α·KL(teacher ‖ student).

    Parameters
    ----------
    {estimator}
        Of a regression the squared distance of outputs takes the place of the divergence, and
        squared errors that of CE.
    alpha : float, default=0.001
        α, the paper's.
    gamma : float, default=0.99
        γ, the paper's.
    temperature : float, default=4.0
        Of the softmax in the divergence, which is multiplied by its square (the paper's). It
        cancels out in a regression.
    max_steps_epochs : int or None, default=None
        Epochs that begin with a pass over the forget rows; None takes two thirds of all, as 2 of
        3 in the paper.
    bound : "chance" or float, default="chance"
        Loss at which a forget row is left alone, see `GradientAscentUnlearner`: without a bound the
        divergence grows for ever.
    max_norm : float, default=5.0
        Length to which the gradient of a batch of forget rows is clipped.
    forget_batch_size : int or None, default=None
        None takes the batch size of the retained rows.
    rewind : pair of (X, y) or None, default=None
        SCRUB+R: rows that the net has never seen, and their labels. Every epoch is kept, and the
        one is returned whose error on the forget rows is nearest to that on the unseen rows of
        the same classes (of a regression: on all of them). Rows of the training set would not do:
        the net knows them.
    {stop}
    lr : float or None, default=None
        Learning rate; None takes a tenth of the net's own, which keeps a deep convolutional net
        whole, or the net's own for whole classes where normalisation layers have running
        statistics, see `GradientAscentUnlearner`. The student starts where the divergence has no
        slope: raise the rate when a warning says that rows are not forgotten.
    {max_epochs, batch_size, schedule, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    M. Kurmanji et al., "Towards Unbounded Machine Unlearning", NeurIPS 2023,
    https://arxiv.org/abs/2302.09880

    Examples
    --------
    >>> import warnings
    >>> from skunlearn import SCRUBUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.exceptions import ClassForgottenWarning
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = SCRUBUnlearner(
    ...     digits_classifier(max_epochs=20), lr=0.1, max_epochs=10, random_state=0
    ... )
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", ClassForgottenWarning)
    ...     unlearner = unlearner.fit(X, y).unlearn(X[y == 8], y[y == 8])
    >>> unlearner.deletions_[0]["classes_forgotten"]
    [8]
    """

    _lr_share = 0.1

    _parameter_constraints = {
        **NetUnlearner._parameter_constraints,
        **STOP_CONSTRAINTS,
        **BOUND_CONSTRAINTS,
        "alpha": [NOT_NEGATIVE],
        "gamma": [NOT_NEGATIVE],
        "temperature": [POSITIVE],
        "max_steps_epochs": [Interval(Integral, 0, None, closed="left"), None],
        "forget_batch_size": [COUNT, None],
        "rewind": "no_validation",
    }

    def __init__(
        self,
        estimator,
        *,
        alpha=0.001,
        gamma=0.99,
        temperature=4.0,
        max_steps_epochs=None,
        bound="chance",
        max_norm=5.0,
        forget_batch_size=None,
        rewind=None,
        stop=None,
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
        self.stop = stop
        self.alpha = alpha
        self.gamma = gamma
        self.temperature = temperature
        self.max_steps_epochs = max_steps_epochs
        self.bound = bound
        self.max_norm = max_norm
        self.forget_batch_size = forget_batch_size
        self.rewind = rewind

    def _unlearn(self, net, retain, forget):
        teacher = copy_teacher(net, self._classes, self.estimator_)
        unseen = None if self.rewind is None else self._unseen(forget)

        of_forget, of_retain = (Remembered(teacher, net, rows) for rows in (forget, retain))
        followed = FollowedStatistics(net, retain)
        rows = self._known_rows(net, forget, retain)
        hung = [
            ("skunlearn_followed", followed),
            clip_gradients(self.max_norm),
            ("skunlearn_known", rows),
        ]

        def apart(batch):
            student = inference.logits(net, batch.out, self._classes)
            _, known = rows.losses(batch, batch.out.detach())
            far = teacher.task.divergences(of_forget(batch), student, self.temperature)
            return -batch.mean(known * far)

        def near(batch):
            student = inference.logits(net, batch.out, self._classes)
            far = teacher.task.divergences(of_retain(batch), student, self.temperature)
            return self.gamma * batch.loss() + self.alpha * batch.mean(far)

        epochs, kept = net.max_epochs, []
        climbs = -(-2 * epochs // 3) if self.max_steps_epochs is None else self.max_steps_epochs
        scale_rates(net, self._speed(retain, forget, followed.norms))
        phases = Phases(net, self.schedule)
        for epoch in phases:
            if epoch < climbs:
                with norms_at_rest(net):
                    phases.train(
                        forget, callbacks=hung, loss=apart, batch_size=self.forget_batch_size
                    )
            phases.train(retain, loss=near)
            if unseen is not None:
                kept.append((self._gap(net, forget, unseen), weights(net)))
        if kept:
            set_weights(net, min(kept, key=lambda pair: pair[0])[1])

    def _gap(self, net, forget, unseen):
        seen = [observe(net, rows, self._classes) for rows in (forget, unseen)]
        # R² is relative to the spread of each set's own targets.
        errors = [e.losses().mean() if self._classes is None else e.score() for e in seen]
        return abs(errors[0] - errors[1])

    def _unseen(self, forget):
        """The unseen rows of the forget rows' classes."""
        X, y = self.rewind
        y = self._encode(np.asarray(y), "rewind")
        rows = Rows(X, y, np.arange(len(y)), reader=self._reader)
        strata = task_of(self._classes).strata
        alike = np.flatnonzero(np.isin(strata(rows.y), strata(forget.y)))
        if not len(alike):
            raise ValueError("rewind holds no row of the forget rows' classes to compare with.")
        return rows.take(alike)

    def _check_parameters(self):
        super()._check_parameters()
        if self.rewind is not None and not (
            isinstance(self.rewind, (tuple, list)) and len(self.rewind) == 2
        ):
            raise ValueError("rewind must be None or a pair (X, y) of rows never seen.")

    def _space(self):
        space = self._up_to(super()._space())
        return space | {
            "alpha": LogUniform(1e-4, 1.0),
            "max_steps_epochs": Integers(1, space["max_epochs"].high),
        }
