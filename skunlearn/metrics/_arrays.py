"""What users pass as arrays, tensors of a net among them."""

import numpy as np


def to_array(values, dtype=None):
    """An array of `values`: of a tensor too that is on a device, has a gradient, or is bfloat16."""
    if hasattr(values, "detach") and hasattr(values, "cpu"):  # torch need not be imported for it
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values
    return np.asarray(values, dtype=dtype)


def warn_of_probabilities(z, name):
    """Warn where rows of `z`, which are taken for logits, are what ``predict_proba`` returns."""
    if len(z) < 3 or z.min() < 0 or not np.allclose(z.sum(axis=1), 1, atol=1e-3):
        return
    if ((z > 0) & (z < 1)).any():  # else labels in columns, which are as sure as can be
        from skunlearn._rows.checking import warn  # with torch, which these metrics do without

        warn(
            f"{name} look like probabilities: no value is negative, and each row adds up to 1. "
            "They are taken for logits, and all that goes by how sure a model is comes out wrong. "
            "Pass the logits, or numpy.log of these.",
            UserWarning,
        )
