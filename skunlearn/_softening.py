"""Terms that keep class boundaries from tightening around the retained rows."""

from contextlib import contextmanager

from torch.nn.functional import log_softmax

from skunlearn import _skorch


@contextmanager
def softened(net, kind, strength, classes):
    """Add label smoothing or a confidence penalty to the net's loss inside the block.

    Label smoothing replaces the loss L by (1 − s)·L + s·mean_j(−log p_j); the confidence
    penalty adds −s·H(p).
    """
    if kind is None or strength == 0:
        yield
        return
    if classes is None:
        raise ValueError(f"softening={kind!r} is for classifiers; this is a regression.")

    def with_term(loss, y_pred):
        log_p = log_softmax(_skorch.class_logits(net, y_pred, len(classes)), dim=1)
        if kind == "label_smoothing":
            return (1 - strength) * loss - strength * log_p.mean()
        return loss + strength * (log_p.exp() * log_p).sum(dim=1).mean()

    with _skorch.extra_loss(net, with_term):
        yield
