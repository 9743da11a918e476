"""How alike classes are to a net, by the weights of its last layer."""

import torch
from torch.nn.functional import cosine_similarity

from skunlearn._torch.net_layers import last_layers
from skunlearn.exceptions import UnlearningError

_SHARPNESS = 10.0  # of cosines: the likest class of the digits nets got 0.2 to 0.5 of all


@torch.no_grad()
def class_similarities(net, rows, n_classes, kept):
    """Similarity of every class to those that are kept.

    The softmax of the sharpened cosines between the classes' weights, less their mean.

    Parameters
    ----------
    net : skorch net
    rows : Rows, of which one shows the order of the layers
    n_classes : int
    kept : int tensor or ndarray, classes that retained rows have

    Returns
    -------
    similarities : float32 tensor of shape (n_classes, n_classes)
        A row sums to one, is zero at the class itself and at those that are not kept.
    """
    weight = getattr(last_layers(net, rows, 1)[-1], "weight", None)
    if weight is None or weight.ndim != 2 or len(weight) != n_classes:
        raise UnlearningError(
            "tilt= compares classes by the weights of a last layer that is linear, with a row for "
            f"each of the {n_classes} classes, which this net has not. Leave tilt= at 0."
        )
    centred = weight.float() - weight.float().mean(dim=0)
    cosines = cosine_similarity(centred[:, None], centred[None], dim=-1)
    out = torch.ones(n_classes, dtype=torch.bool, device=weight.device)
    out[torch.as_tensor(kept, device=weight.device)] = False
    left_out = out[None] | torch.eye(n_classes, dtype=torch.bool, device=weight.device)
    return (_SHARPNESS * cosines).masked_fill(left_out, float("-inf")).softmax(dim=1)
