"""The steps of scikit-learn's pipelines in front of an unlearner that is being fitted."""

import sys

from sklearn.pipeline import Pipeline

from skunlearn._unlearning.fitted import find_origin


def find_steps_before(unlearner):
    """Steps of Pipelines whose ``fit`` is just fitting `unlearner` as their last step.

    Nothing but the call stack tells an estimator that others stand before it.
    """
    frame, last, steps = sys._getframe(1), find_origin(unlearner), []
    while frame is not None:
        # To read the variables of a frame keeps them alive in it, so no others are looked at.
        owner = frame.f_locals.get("self") if frame.f_code.co_name == "fit" else None
        if isinstance(owner, Pipeline) and owner.steps and owner.steps[-1][1] is last:
            last, steps = find_origin(owner), [*owner.steps[:-1], *steps]
        frame = frame.f_back
    return steps
