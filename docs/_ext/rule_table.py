"""What a request is judged by: a table of the rules of ``skunlearn/_unlearning/rules.py``."""

import re

from method_table import write_lines

from skunlearn._unlearning.rules import DAMAGE, FORGETTING


def lines():
    """The table, a line for each rule in the order in which they are asked."""
    text = [".. list-table::", "   :header-rows: 1", "   :widths: 15 40 30 15", ""]
    text += _row(["Rule", "What it looks at", "From where on it speaks", "What that was seen on"])
    for rules, warning in ((DAMAGE, "ModelDamagedWarning"), (FORGETTING, "NotForgottenWarning")):
        text += _row([f":py:obj:`~skunlearn.exceptions.{warning}`", "", "", ""])
        for rule in rules:
            limit = re.sub(r"(?<=\d)%", " %", rule.limit)
            text += _row([rule.name, rule.asks, limit, rule.seen])
    return text


def write(*_):
    """The table, for a page to include."""
    write_lines("rule_table", lines())


def setup(app):
    """Sphinx's hook."""
    app.connect("config-inited", write)
    return {"parallel_read_safe": True}


def _row(cells):
    return [f"   {'*' if i == 0 else ' '} - {cell}".rstrip() for i, cell in enumerate(cells)]
