"""Formulas as MathML: browsers and screen readers read it, and no script is fetched."""

from latex2mathml.converter import convert


def _html(text, display):
    text = " ".join(text.split())
    if r"\\" in text or "&" in text:
        text = rf"\begin{{array}}{{rl}} {text} \end{{array}}"
    # A set's difference: few fonts have the sign that the converter takes.
    return convert(text, display=display).replace("<mi>&#x029F5;</mi>", "<mo>&#x02216;</mo>")


def visit_math(translator, node):
    """Within a line."""
    translator.body.append(_html(node.astext(), "inline"))
    raise _skip()


def visit_displaymath(translator, node):
    """On a line of its own."""
    translator.body.append(f'<div class="math">{_html(node.astext(), "block")}</div>')
    raise _skip()


def _skip():
    from docutils.nodes import SkipNode

    return SkipNode()


def setup(app):
    """Sphinx's hook."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True}
