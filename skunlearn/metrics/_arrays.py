"""What users pass as arrays, tensors of a net among them."""

import numpy as np


def to_array(values, dtype=None):
    """An array of `values`: of a tensor too that is on a device, has a gradient, or is bfloat16."""
    if hasattr(values, "detach") and hasattr(values, "cpu"):  # torch need not be imported for it
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values
    return np.asarray(values, dtype=dtype)
