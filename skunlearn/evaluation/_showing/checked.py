"""What `check_deletion` has found, in a few lines."""


class Checked(dict):
    """The dict of `check_deletion`, which prints as its verdicts and main figures."""

    def __repr__(self):
        found, utility = self["verification"], self["utility"]
        lines = [verdict["text"] for verdict in found["audit"]["verdicts"].values()]
        lines += [f"warning: {text}" for text in found["audit"]["warnings"]]
        for name, attacked in (found["groups"] or {}).items():
            lines.append(f"group {name}: {_describe_attack(attacked)}")
        if utility is not None:
            lines += _describe_utility(utility)
        if (rebuilt := found["reconstruction"]) is not None:
            lines.append(f"reconstruction: {_describe_rebuilt(rebuilt)}")
        parts = ", ".join(key for key, part in found.items() if part is not None)
        keys = f"verification ({parts})" + (", utility" if utility is not None else "")
        return "\n".join([*lines, f"certificate() has all of it, and this dict: {keys}."])


def _describe_attack(attacked):
    sizes = f"{attacked['n_forget']} forgotten, {attacked['n_unseen']} unseen rows"
    if "skipped" in attacked:
        return f"not attacked, {attacked['skipped']} on a side ({sizes})"
    return f"AUC {attacked['auc']:.2f} by {attacked['strongest']} ({sizes})"


def _describe_utility(utility):
    def write(scores):
        sides = [
            "undefined" if scores[side] is None else f"{scores[side]:.3f}"
            for side in ("before", "after")
        ]
        return f"{sides[0]} before, {sides[1]} after ({scores['n']} rows)"

    def loss(scores):
        sides = scores["before"], scores["after"]
        return 0.0 if None in sides else sides[0] - sides[1]

    lines = [f"{utility['scoring']}: {write(utility['all'])}"]
    for part, kind in (("by_class", "class"), ("by_group", "group")):
        parts = utility[part] or {}
        name = max(parts, key=lambda name: loss(parts[name]), default=None)
        if name is not None and loss(parts[name]) > 0:
            lines.append(f"the {kind} that lost most, {name}: {write(parts[name])}")
    return lines


def _describe_rebuilt(rebuilt):
    if "note" in rebuilt:
        return rebuilt["note"]
    return (
        f"similarity {rebuilt['similarity']:.2f} to a deleted row, "
        f"{rebuilt['similarity_of_unseen']:.2f} to an unseen one"
    )
