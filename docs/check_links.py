"""Check every internal link of the built site: ``python docs/check_links.py build/docs``.

Pages, files and anchors must exist; pictures must have an alternative text.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """Links, anchors and pictures without an alternative text of one page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors, self.bare = [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs[key] for key in ("id", "name") if attrs.get(key)}
        for key in ("href", "src"):
            if attrs.get(key):
                self.links.append(attrs[key])
        if tag == "img" and not (attrs.get("alt") or "").strip():
            self.bare.append(attrs.get("src"))


def problems(root):
    """What is wrong, one line each.

    Parameters
    ----------
    root : Path
        Folder of the built site.

    Returns
    -------
    problems : list of str
    """
    root = root.resolve()
    built = (p for p in sorted(root.rglob("*.html")) if "_static" not in p.parts)
    pages = {path: Page(path) for path in built}
    found = []
    for path, page in pages.items():
        name = path.relative_to(root)
        found += [f"{name}: picture without alt text: {src}" for src in page.bare]
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                found.append(f"{name}: no such file: {link}")
            elif parts.fragment and target in pages:
                anchor = unquote(parts.fragment)
                if anchor not in pages[target].anchors:
                    found.append(f"{name}: no such anchor: {link}")
    return found


if __name__ == "__main__":
    found = problems(Path(sys.argv[1]))
    print("\n".join(found) or "all internal links lead somewhere; all pictures have a text")
    sys.exit(bool(found))
