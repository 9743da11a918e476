"""What is trained from scratch starts from nothing: refuse or name what does not."""

from skunlearn._recipe import public_parts
from skunlearn._recipe.trained_before import find_trained, walk
from skunlearn._rows import checking
from skunlearn._torch import skorch_nets
from skunlearn._torch.first_weights import find_fixed_weights, shorten


def refuse_trained(estimator, who):
    """Raise where clones of `estimator` would carry trained state that nobody declared.

    Parameters
    ----------
    estimator : skorch net or scikit-learn estimator, as it would be cloned and fitted
    who : str
        Who trains it.
    """
    for item in find_trained(estimator, "estimator"):
        if item.kind == "hidden":
            _refuse(item, who, item.remedy)


def name_trained(estimator):
    """Names of what a training from scratch would not learn anew, in words for a certificate.

    Without what is declared to hold no training row: see `public_parts.list_declarations`.
    """
    done = walk(estimator, "estimator")
    names = [f"{item.path} ({item.what})" for item in done.found if item.kind != "declared"]
    declared = public_parts.digest_tensors(backbone for _, backbone in done.backbones)
    for where, net in done.nets:
        try:
            fixed, shared = find_fixed_weights(net, declared)
        except Exception:  # whatever a module raises
            if where != "estimator":  # otherwise the training itself will say what is wrong
                names.append(f"{where} (a net that cannot be built by itself, to see its weights)")
            continue
        if shared:
            public_parts.refuse_own_layers(done.backbones, skorch_nets.build(net, 0))
            raise TypeError(
                f"{where}: its module is built around the same tensors every time "
                f"({shorten(fixed)}), so that copies of the net would train each other. Build them "
                "anew in the module's __init__, or copy them there (copy.deepcopy)."
            )
        if fixed:
            names.append(
                f"{where} (weights that are the same whatever the seed, or much alike, and were "
                f"perhaps loaded: {shorten(fixed)})"
            )
    return names


def check_reference(estimator, who, remedy):
    """Refuse to train a reference from a trained state; warn where its state may be one.

    Parameters
    ----------
    estimator : skorch net or scikit-learn estimator, as it would be cloned and fitted
    who : str
        Who trains it.
    remedy : str
        A way to do without.
    """
    for item in find_trained(estimator, "estimator"):
        if item.kind not in ("given", "declared"):
            _refuse(item, who, remedy)
    warn_of_start(name_trained(estimator), f"The reference that {who} trains")


def warn_of_start(names, what):
    """Say that what should know nothing of the forget rows starts from something else."""
    if names:
        checking.warn(
            f"{what} starts from {'; '.join(names)}. If the forget rows had a part in that, it "
            "knows them, and is no measure of forgetting.",
            UserWarning,
        )


def _refuse(item, who, remedy):
    raise item.error(
        f"{who} trains from scratch, but {item.path} is {item.what}, which {item.effect}. {remedy}"
    )
