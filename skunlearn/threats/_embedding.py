"""What a net's last layer is given: its embedding of the rows."""

import numpy as np

from skunlearn import _layers, _skorch


def embedding(net, rows):
    """Input of the last weighted layer in the forward pass, flat, float64; evaluation mode."""
    head = _layers.last_layers(net, rows, 1)[0]
    seen = []
    handle = head.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach()))
    try:
        _skorch.outputs(net, rows)
    finally:
        handle.remove()
    features = np.concatenate([part.float().cpu().numpy() for part in seen])
    return features.reshape(len(rows), -1).astype(np.float64)
