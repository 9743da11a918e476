"""A frozen copy of a net that answers for itself."""

import torch

from skunlearn._recipe.from_scratch import refuse_trained, warn_of_start
from skunlearn._torch import inference, skorch_nets
from skunlearn._torch.batches.device_rows import send_tensor
from skunlearn._torch.first_weights import find_fixed_weights, shorten
from skunlearn._torch.loop.fit_loop import gives_plain_rows
from skunlearn._torch.parts.tasks import task_of

_MOST = 2**28  # bytes of remembered logits


class Teacher:
    """Logits, or values, of a copy of `net`, in evaluation mode and without gradients.

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
        self.net, self.classes, self.task = net, classes, task_of(classes)
        self.net._set_training(False)

    @torch.no_grad()
    def __call__(self, x):
        return inference.logits(self.net, inference.infer(self.net, x), self.classes).float()


class Remembered:
    """What a teacher says about rows, asked once for each.

    Where batches are plain rows: a Dataset of the user's own may give others each time. It takes
    a float32 for each row and output, and is not done where that would be much.

    Parameters
    ----------
    teacher : Teacher
    net : skorch net that is trained on the rows
    rows : Rows
    """

    def __init__(self, teacher, net, rows):
        self.teacher, self.table = teacher, None
        self.known, self.left = torch.zeros(len(rows), dtype=torch.bool), len(rows)
        self.remembers = gives_plain_rows(net, rows)

    def __call__(self, batch):
        """Logits, or values, of the rows of a batch."""
        i = batch.rows
        if not self.remembers or i is None:
            return self.teacher(batch.x)
        if self.table is None:
            said = self.teacher(batch.x)
            size = len(self.known), said.shape[1]
            self.remembers = 4 * size[0] * size[1] <= _MOST
            if not self.remembers:
                return said
            self.table = torch.empty(size, device=said.device)
            self.table[send_tensor(i, said.device)], self.known[i] = said, True
        if self.left and not self.known[i].all():
            said = self.teacher(batch.x)
            self.table[send_tensor(i, said.device)], self.known[i] = said, True
            self.left = len(self.known) - int(self.known.sum())
            return said
        return self.table[send_tensor(i, self.table.device)]


def copy_teacher(net, classes, old=None):
    """A teacher with the weights of `net` as they are now, or of `old`; see `copy_to_ask`."""
    return Teacher(skorch_nets.copy_to_ask(net, old), classes)


def make_untrained_teacher(net, classes):
    """A teacher with new random weights."""
    refuse_trained(net, "The untrained teacher")
    fixed, _ = find_fixed_weights(net)
    warn_of_start([shorten(fixed)] if fixed else [], "The untrained teacher")
    return Teacher(skorch_nets.fresh_net(net, verbose=0), classes)
