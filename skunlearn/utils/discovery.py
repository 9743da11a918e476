"""All unlearners, and what each of them needs."""

from dataclasses import dataclass

import skunlearn
from skunlearn.base import BaseUnlearner
from skunlearn.net_unlearner import NetUnlearner

__all__ = ["UnlearnerTags", "all_unlearners", "unlearner_table", "unlearner_tags"]


@dataclass(frozen=True)
class UnlearnerTags:
    """What a method needs and promises.

    Attributes
    ----------
    needs_retain : bool
        Whether it trains on retained rows, or reads them.
    needs_forget : bool
        Whether it reads the forget rows; otherwise their deletion can be done after they are
        gone.
    needs_labels : bool
        Whether it reads the labels of forget rows.
    class_only : bool
        Whether it is made for forgetting whole classes; on other rows it warns.
    exact : bool
        Whether the result is that of a training without the rows.
    certified : bool
        Whether it states an ε.
    any_estimator : bool
        Whether it takes scikit-learn estimators, and not only skorch nets.
    watches_training : bool
        Whether it must watch the training, so that it cannot start from a trained net.
    nets : bool
        Whether it takes skorch nets.
    """

    needs_retain: bool
    needs_forget: bool
    needs_labels: bool
    class_only: bool
    exact: bool
    certified: bool
    any_estimator: bool
    watches_training: bool
    nets: bool


def unlearner_tags(unlearner):
    """Tags of an unlearner.

    Parameters
    ----------
    unlearner : unlearner or its class
        Of a class the tags hold for its instances with default parameters.

    Returns
    -------
    tags : UnlearnerTags

    Examples
    --------
    >>> from skunlearn import FineTuneUnlearner
    >>> from skunlearn.utils import unlearner_tags
    >>> unlearner_tags(FineTuneUnlearner).needs_forget
    False
    """
    one = isinstance(unlearner, type)
    promises = unlearner._promises if one else unlearner._make_promises()
    return UnlearnerTags(
        needs_retain=promises.reads_retain_rows,
        needs_forget=promises.reads_forget_rows,
        needs_labels=promises.reads_forget_labels and promises.reads_forget_rows,
        class_only=promises.class_only,
        exact=promises.exact,
        certified=promises.certified,
        any_estimator=promises.takes_any_estimator,
        watches_training=promises.watches_training,
        nets=promises.takes_nets,
    )


def all_unlearners(**tags):
    """Every unlearner of the package, by name.

    Parameters
    ----------
    **tags : bool
        Values that `unlearner_tags` must have.

    Returns
    -------
    unlearners : dict of str to class

    Raises
    ------
    TypeError
        When a tag is unknown.

    Examples
    --------
    >>> from skunlearn.utils import all_unlearners
    >>> list(all_unlearners(certified=True))
    ['CertifiedRemovalUnlearner', 'DescentToDeleteUnlearner', 'LangevinUnlearner', \
'NoisyFineTuneUnlearner']
    """
    unknown = sorted(set(tags) - set(UnlearnerTags.__dataclass_fields__))
    if unknown:
        raise TypeError(
            f"unknown tags {unknown}; there are {[*UnlearnerTags.__dataclass_fields__]}."
        )
    found = {}
    for name in sorted(skunlearn.__all__):
        cls = getattr(skunlearn, name)
        if not (isinstance(cls, type) and issubclass(cls, BaseUnlearner)):
            continue
        if cls in (BaseUnlearner, NetUnlearner):
            continue
        if all(getattr(unlearner_tags(cls), tag) == value for tag, value in tags.items()):
            found[name] = cls
    return found


def unlearner_table():
    """The methods in a Markdown table: what each does, and what it needs.

    Returns
    -------
    table : str

    Examples
    --------
    >>> from skunlearn.utils import unlearner_table
    >>> print(unlearner_table().splitlines()[0])
    | | what it does | reads forget rows | reads retained rows | made for |
    """
    lines = [
        "| | what it does | reads forget rows | reads retained rows | made for |",
        "|---|---|---|---|---|",
    ]
    for name, cls in all_unlearners().items():
        tags = unlearner_tags(cls)
        summary = " ".join(cls.__doc__.split("\n\n", 1)[0].split()).removesuffix(".")
        forget = "yes" if tags.needs_labels else "yes, not labels" if tags.needs_forget else "no"
        retain = "yes" if tags.needs_retain else "no"
        kind = "whole classes" if tags.class_only else cls._promises.made_for
        lines.append(f"| `{name}` | {summary} | {forget} | {retain} | {kind} |")
    return "\n".join(lines)
