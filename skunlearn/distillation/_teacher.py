"""A frozen copy of a net that answers for itself."""

import torch

from skunlearn import _skorch
from skunlearn._first_weights import find_fixed_weights, shorten
from skunlearn._fit_loop import gives_plain_rows
from skunlearn._from_scratch import refuse_trained, warn_of_start
from skunlearn._tasks import task_of
from skunlearn.exceptions import UnlearningError

_MOST = 2**28  # bytes of remembered logits


class Teacher:
    """Logits of a copy of `net`, in evaluation mode and without gradients.

    It sees the very batch that the student sees, augmentation included.

    Parameters
    ----------
    net : skorch net
    classes : see `task_of`

    Attributes
    ----------
    task : object
        Of what the logits are.
    """

    def __init__(self, net, classes):
        if classes is None:
            raise UnlearningError("distillation here is for classifiers; this is a regression.")
        self.net, self.classes, self.task = net, classes, task_of(classes)
        self.net._set_training(False)

    @torch.no_grad()
    def __call__(self, x):
        return _skorch.logits(self.net, _skorch.infer(self.net, x), self.classes)


class Remembered:
    """What a teacher says about rows, asked once for each.

    Where batches are plain rows: a Dataset of the user's own may give others each time. It takes
    a float32 for each row and class, and is not done where that would be much.

    Parameters
    ----------
    teacher : Teacher
    net : skorch net that is trained on the rows
    rows : Rows
    """

    def __init__(self, teacher, net, rows):
        self.teacher, n = teacher, len(rows)
        small = 4 * n * len(teacher.classes) <= _MOST
        self.table = self.known = None
        if small and gives_plain_rows(net, rows):
            self.table = torch.empty(n, len(teacher.classes))
            self.known = torch.zeros(n, dtype=torch.bool)

    def __call__(self, batch):
        """Logits of the rows of a batch."""
        if self.table is None or batch.rows is None:
            return self.teacher(batch.x)
        i = batch.rows
        if not self.known[i].all():
            said = self.teacher(batch.x)
            self.table = self.table.to(said.device)
            self.table[i.to(said.device)], self.known[i] = said, True
            return said
        return self.table[i.to(self.table.device)]


def copied(net, classes):
    """A teacher with the weights of `net` as they are now; it shares none of them."""
    return Teacher(_skorch.copy_net(net), classes)


def untrained(net, classes):
    """A teacher with new random weights."""
    refuse_trained(net, "The untrained teacher")
    fixed, _ = find_fixed_weights(net)
    warn_of_start([shorten(fixed)] if fixed else [], "The untrained teacher")
    return Teacher(_skorch.fresh_net(net, verbose=0), classes)
