"""DELETE: distil the original without the forgotten class."""

from dataclasses import replace

import numpy as np

from skunlearn._rows import checking
from skunlearn._rows.constraints import NOT_NEGATIVE
from skunlearn._torch import inference
from skunlearn.ascent._bound import BOUND_CONSTRAINTS, ForgetOnly
from skunlearn.ascent._stopping import STOP_CONSTRAINTS, StopsInTime
from skunlearn.distillation._class_similarity import class_similarities
from skunlearn.distillation._teacher import Remembered, copy_teacher
from skunlearn.exceptions import UnsuitableMethodWarning
from skunlearn.net_unlearner import NetUnlearner


class DELETEUnlearner(StopsInTime, ForgetOnly, NetUnlearner):
    """Learn the original's predictions on forget rows with the true class taken out (DELETE).

    Choose it for whole classes when hardly a retained row is at hand: it keeps what the original
    thinks of all other classes. On single rows of classes that stay it forgets too much, and warns.
    `lr` matters most.

    Parameters
    ----------
    {estimator}
        A classifier.
    bound : "chance" or float, default="chance"
        Loss at which a row is left alone, see `GradientAscentUnlearner`: it is forgotten then, and
        more would cost other classes.
    {max_norm}
    tilt : float, default=0.0
        Of what is taught towards classes that are like the forgotten one, as a net that was
        trained without it takes its rows for theirs (RWFT, TRW [2]_): the probability of class k
        is taken times exp(`tilt` · s_k). The similarities s_k are the softmax of the sharpened
        cosines between the classes' weights in the last layer, which must be linear; how sharp is
        ours (10 times the cosine). 0 is DELETE's own target [1]_, which spreads the probability of
        the forgotten class over the others in proportion to theirs; [2]_ takes 10. By
        `class_spread_attack` 3 and 10 were no better: see the guide.
    {stop}
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
    .. [1] Y. Zhou et al., "Decoupled Distillation to Erase: A General Unlearning Method for Any
       Class-centric Tasks", CVPR 2025, https://arxiv.org/abs/2503.23751
    .. [2] Y. Wang, A. Ebrahimpour-Boroojeny, H. Sundaram, "On the Necessity of Output Distribution
       Reweighting for Effective Class Unlearning", 2025, https://arxiv.org/abs/2506.20893

    Examples
    --------
    >>> import warnings
    >>> from skunlearn import DELETEUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.exceptions import ClassForgottenWarning
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = DELETEUnlearner(digits_classifier(max_epochs=5), lr=0.05, random_state=0)
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
        **STOP_CONSTRAINTS,
        **BOUND_CONSTRAINTS,
        "tilt": [NOT_NEGATIVE],
    }

    def __init__(
        self,
        estimator,
        *,
        bound="chance",
        max_norm=1.0,
        tilt=0.0,
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
        self.bound = bound
        self.max_norm = max_norm
        self.tilt = tilt

    def _unlearn(self, net, retain, forget):
        if not self._whole_classes(retain, forget):
            checking.warn(
                "DELETEUnlearner takes rows away from their own class, which a retrained net "
                "would not do to rows of classes that stay: it forgets too much. Use it for whole "
                "classes, or another method for these rows.",
                UnsuitableMethodWarning,
            )
        teacher = copy_teacher(net, self._classes, self.estimator_)
        task, teacher = teacher.task, Remembered(teacher, net, forget)
        rows = self._known_rows(net, forget, retain)
        likeness = None
        if self.tilt:
            kept = np.unique(retain.y)
            likeness = class_similarities(net, forget, len(self._classes), kept)

        def loss(batch):
            own = rows.labels(batch).long().view(-1, 1)
            taught = teacher(batch).scatter(1, own, float("-inf"))
            if likeness is not None:
                taught = taught + self.tilt * likeness.to(taught.device)[own.view(-1)]
            student = inference.logits(net, batch.out, self._classes)
            _, known = rows.losses(batch, batch.out.detach())
            return batch.mean(known * task.divergences(taught, student))

        self._run_on_forget(net, retain, forget, rows, loss)
