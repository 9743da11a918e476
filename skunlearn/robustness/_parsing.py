"""From names to conditions."""

from skunlearn.robustness._condition import Condition
from skunlearn.robustness.adversarial import ATTACKS
from skunlearn.robustness.conditions import Adversarial, Clean, Corruption, NearForgotten, Trigger
from skunlearn.robustness.corruptions import CORRUPTIONS


def parse(conditions):
    """A list of conditions, the clean one first, from names and conditions."""
    given = [conditions] if isinstance(conditions, str | Condition) else list(conditions)
    found = [Clean()]
    for item in given:
        found += _expand(item)
    unique = {}
    for condition in found:
        other = unique.setdefault((condition.name, condition.severity), condition)
        if other != condition:
            raise ValueError(f"two conditions are called {condition.name!r}; name them apart.")
    return list(unique.values())


def _expand(item):
    if isinstance(item, Condition):
        return [item]
    if item == "corruptions":
        return [Corruption(kind, s) for kind in CORRUPTIONS for s in range(1, 6)]
    if item in CORRUPTIONS:
        return [Corruption(item, s) for s in range(1, 6)]
    if item in ATTACKS:
        return [Adversarial(item)]
    simple = {"clean": Clean, "near forgotten": NearForgotten, "trigger": Trigger}
    if item in simple:
        return [simple[item]()]
    names = ("corruptions", *simple, *ATTACKS, *CORRUPTIONS)
    raise ValueError(
        f"conditions must be objects of skunlearn.robustness or among {', '.join(names)}; got "
        f"{item!r}."
    )
