"""Parameters of a pipeline's ``fit`` on their way to its steps."""

from sklearn import get_config
from sklearn.utils.metadata_routing import process_routing

_OWN = ("forget", "ids", "groups", "measure_on")


def step_parameters(pipeline, **given):
    """The pipeline's own parameters as its unlearner's."""
    given = {key: value for key, value in given.items() if value is not None}
    if get_config()["enable_metadata_routing"]:
        return given
    return {f"{pipeline.steps[-1][0]}__{key}": value for key, value in given.items()}


def check_step_parameters(pipeline, params, *, refit):
    """Refuse what a step would be given in ``fit`` and lack when it is fitted anew.

    `refit` names the innermost transformers that may be.
    """
    last = pipeline.steps[-1][0]
    wrong = [f"{last}__{key}" for key in _OWN if f"{last}__{key}" in params]
    if wrong:
        raise TypeError(
            f"Pass {', '.join(_OWN)} to fit itself, without the name of a step; got {wrong}."
        )
    if not params or not refit:
        return
    if get_config()["enable_metadata_routing"]:
        routed = process_routing(pipeline, "fit", **params)
        reached = {name for name, _ in pipeline.steps[:-1] if any(routed[name].values())}
    else:
        reached = {key.partition("__")[0] for key in params} - {last}
    stateful = {name.partition(" ")[0].partition("__")[0] for name in refit}
    if reached & stateful:
        raise TypeError(
            f"fit was given parameters for the steps {sorted(reached & stateful)}, which "
            "unlearn would have to fit anew without them. Use refit_transformers=False, or steps "
            "that take no parameters in fit."
        )
