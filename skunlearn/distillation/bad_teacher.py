"""Bad Teacher: learn from an untrained net what to say of forget rows."""

from dataclasses import replace
from numbers import Real

import torch

from skunlearn._rows.constraints import POSITIVE, Interval
from skunlearn._torch import inference
from skunlearn._torch.batches.device_rows import send_tensor
from skunlearn._torch.loop.fit_loop import batches
from skunlearn.ascent._stopping import STOP_CONSTRAINTS, StopsInTime
from skunlearn.distillation._teacher import Remembered, copy_teacher, make_untrained_teacher
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.search_spaces import Uniform


class BadTeacherUnlearner(StopsInTime, NetUnlearner):
    """Imitate an untrained net on forget rows and the original on some retained ones.

    Choose it when few retained rows can be read. Forget rows end near uniform predictions, which
    a retrained net does not give to single rows: they stand out, and the attack sees it. `lr`
    matters most.

    Parameters
    ----------
    {estimator}
        Built from a class and not from a module instance: the untrained teacher is another net of
        this recipe. Of a regression the squared distance of outputs takes the place of the
        divergence.
    retain_share : float in (0, 1], default=0.3
        Share of the retained rows to learn from (the paper's).
    temperature : float, default=1.0
        Of the softmax in the divergence (the paper's). It cancels out in a regression.
    {stop, lr, max_epochs, batch_size, schedule, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    References
    ----------
    V. Chundawat et al., "Can Bad Teaching Induce Forgetting? Unlearning in Deep Networks using an
    Incompetent Teacher", AAAI 2023, https://arxiv.org/abs/2205.08096

    Examples
    --------
    >>> from skunlearn import BadTeacherUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> unlearner = BadTeacherUnlearner(digits_classifier(max_epochs=5), random_state=0)
    >>> unlearner.fit(X, y).unlearn(X[:20], y[:20]).deletions_[0]["rows"]
    20
    """

    _promises = replace(
        NetUnlearner._promises,
        reads_forget_labels=False,
        trains_from_scratch=True,  # the untrained teacher
    )

    _parameter_constraints = {
        **NetUnlearner._parameter_constraints,
        **STOP_CONSTRAINTS,
        "retain_share": [Interval(Real, 0, 1, closed="right")],
        "temperature": [POSITIVE],
    }

    def __init__(
        self,
        estimator,
        *,
        retain_share=0.3,
        temperature=1.0,
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
        self.retain_share = retain_share
        self.temperature = temperature

    def _unlearn(self, net, retain, forget):
        good = copy_teacher(net, self._classes, self.estimator_)
        bad = make_untrained_teacher(net, self._classes)
        sample = retain.sample(max(1, round(self.retain_share * len(retain))), self._seed)
        rows = sample.union(forget)
        bad(next(batches(net, rows.take([0]))).x)  # gives lazy modules their shapes
        task = good.task
        good, bad = (Remembered(teacher, net, rows) for teacher in (good, bad))

        def loss(batch):
            gone = batch.places(type(self).__name__) >= len(sample)
            good_says, bad_says = good(batch), bad(batch)
            taught = torch.where(send_tensor(gone, good_says.device)[:, None], bad_says, good_says)
            student = inference.logits(net, batch.out, self._classes)
            return batch.mean(task.divergences(taught, student, self.temperature))

        self._run(net, rows, loss=loss)

    def _space(self):
        return super()._space() | {"retain_share": Uniform(0.1, 1.0)}
