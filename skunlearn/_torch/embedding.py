"""What a model's last layer is given: the embedding of rows by a net, or the rows themselves."""

import numpy as np
from scipy import sparse

from skunlearn._torch import inference, net_layers, skorch_nets


def embedding(net, rows):
    """Input of the last weighted layer in the forward pass, flat, float64; evaluation mode."""
    head = net_layers.last_layers(net, rows, 1)[0]
    seen = []
    handle = head.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach()))
    try:
        inference.outputs(skorch_nets.make_eager(net), rows)
    finally:
        handle.remove()
    features = np.concatenate([part.float().cpu().numpy() for part in seen])
    return features.reshape(len(rows), -1).astype(np.float64)


def features(model, rows):
    """`embedding` of a net; of any other model the rows as numbers, of shape (n, d)."""
    if skorch_nets.is_net(model):
        return embedding(model, rows)
    X = rows.arrays()[0]
    try:
        X = np.asarray(X.toarray() if sparse.issparse(X) else X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"The rows are no numbers ({error}), so that they have no place to compare by."
        ) from error
    return X.reshape(len(rows), -1)
