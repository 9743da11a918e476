"""What a model's logits under a condition amount to."""

import numpy as np

from skunlearn.evaluation.figures import share
from skunlearn.metrics._calibration import expected_calibration_error
from skunlearn.metrics._poison_effects import backdoor_success_rate

DIRECTIONS = {
    "retained accuracy": "higher",
    "forgotten accuracy": "retrained",
    "forget accuracy": "retrained",
    "comes back": "retrained",
    "residual knowledge": "lower",
    "calibration error": "lower",
    "backdoor success": "retrained",
}


def of_test_rows(logits, rows, task, condition, confidence):
    """Figures on test rows: name to (value, low, high)."""
    y, kept = task.y_test[rows], task.kept[rows]
    right = logits.argmax(axis=1) == y
    found = {}
    if kept.any():
        found["retained accuracy"] = share(right[kept], confidence)
        error = expected_calibration_error(logits[kept], y[kept])
        found["calibration error"] = (error, np.nan, np.nan)
    if not kept.all():
        found["forgotten accuracy"] = share(right[~kept], confidence)
    if condition.name == "trigger":
        rate = backdoor_success_rate(y, logits.argmax(axis=1), task.target, confidence=confidence)
        found["backdoor success"] = (rate.estimate, rate.low, rate.high)
    return found


def of_forget_rows(right, clean, known, retrained_known, condition, confidence):
    """Figures on forget rows.

    Parameters
    ----------
    right, clean : bool ndarrays
        Which of the rows the model names correctly under the condition, and as they are.
    known, retrained_known : bool ndarrays
        Which of the rows for residual knowledge it knows, and which the retrained model knows.
    """
    found = {"forget accuracy": share(right, confidence)}
    if condition.name != "clean":
        found["comes back"] = share(right & ~clean, confidence)
    found["residual knowledge"] = share(known & ~retrained_known, confidence)
    return found


def pack_booleans(bits):
    """Booleans as text."""
    return np.packbits(bits).tobytes().hex()


def unpack_booleans(text, n):
    """The first `n` booleans in a text."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=n).astype(bool)
