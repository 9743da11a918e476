"""Terms that keep class boundaries from tightening around the retained rows."""

from torch.nn.functional import log_softmax

from skunlearn import _skorch


def softened(net, kind, strength, classes):
    """The net's loss with label smoothing or a confidence penalty, as a function of a batch.

    Label smoothing replaces the loss L by (1 − s)·L + s·mean_j(−log p_j); the confidence
    penalty adds −s·H(p). None stands for the net's own loss.
    """
    if kind is None or strength == 0:
        return None
    if classes is None:
        raise ValueError(f"softening={kind!r} is for classifiers; this is a regression.")

    def loss(batch):
        log_p = log_softmax(_skorch.class_logits(net, batch.out, len(classes)), dim=1)
        if kind == "label_smoothing":
            return (1 - strength) * batch.loss() - strength * batch.mean(log_p.mean(dim=1))
        return batch.loss() + strength * batch.mean((log_p.exp() * log_p).sum(dim=1))

    return loss
