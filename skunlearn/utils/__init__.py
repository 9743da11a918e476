"""Tools for the authors of unlearners."""

from skunlearn.utils.estimator_checks import (
    check_unlearner,
    parametrize_with_unlearning_checks,
    yield_unlearning_checks,
)

__all__ = [
    "UnlearnerTags",
    "all_unlearners",
    "check_unlearner",
    "parametrize_with_unlearning_checks",
    "unlearner_table",
    "unlearner_tags",
    "yield_unlearning_checks",
]


def __getattr__(name):
    # They look at the whole package, which may be on its way of being imported.
    if name in ("UnlearnerTags", "all_unlearners", "unlearner_table", "unlearner_tags"):
        from skunlearn.utils import discovery

        return getattr(discovery, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
