"""Terms that keep class boundaries from tightening around the retained rows."""

from skunlearn._torch import inference
from skunlearn._torch.parts.tasks import task_of


def soften_loss(net, kind, strength, classes):
    """The net's loss with label smoothing or a confidence penalty, as a function of a batch.

    Label smoothing replaces the loss L by (1 − s)·L + s·mean_j(−log p_j); the confidence
    penalty adds −s·H(p); of several labels both are averaged over them. None stands for the
    net's own loss.
    """
    if kind is None or strength == 0:
        return None
    if classes is None:
        raise ValueError(f"softening={kind!r} is for classifiers; this is a regression.")

    def loss(batch):
        log_p = task_of(classes).log_p(inference.logits(net, batch.out, classes))
        if kind == "label_smoothing":
            return (1 - strength) * batch.loss() - strength * batch.mean(_by_row(log_p.mean(-1)))
        return batch.loss() + strength * batch.mean(_by_row((log_p.exp() * log_p).sum(-1)))

    return loss


def _by_row(values):
    return values if values.ndim == 1 else values.mean(dim=1)
