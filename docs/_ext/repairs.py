"""Small repairs of what other extensions write: texts of thumbnails, links of source pages."""

import re
from pathlib import PurePosixPath

from docutils import nodes

_BACK = re.compile(r'(href="[^"#]*/api/generated/([\w.]+)\.html)#([\w.]+)"')


def describe_thumbnails(app, doctree):
    """sphinx-gallery's thumbnails have no alternative text."""
    for image in doctree.findall(nodes.image):
        stem = PurePosixPath(image["uri"]).stem
        if not image.get("alt") and stem.endswith("_thumb"):
            name = stem.removeprefix("sphx_glr_plot_").removesuffix("_thumb").replace("_", " ")
            image["alt"] = f"Thumbnail of the example: {name}"


def mend_back_links(app, page, template, context, doctree):
    """viewcode knows one public module for each source file; objects may be listed under two."""
    if page.startswith("_modules/") and "body" in context:
        context["body"] = _BACK.sub(_mended, context["body"])


def _mended(match):
    link, name, anchor = match.groups()
    return match[0] if anchor.startswith(name) else f'{link}#{name}"'


def setup(app):
    """Sphinx's hook."""
    app.connect("doctree-read", describe_thumbnails)
    app.connect("html-page-context", mend_back_links)
    return {"parallel_read_safe": True}
