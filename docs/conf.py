"""Sphinx configuration. `make docs` builds the site with warnings as errors."""

import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "_ext")]

import gallery  # noqa: E402
import repository  # noqa: E402

from skunlearn import __version__  # noqa: E402

# torch_geometric, which skorch imports where it can, warns about itself.
warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")

project = "skunlearn"
author = "The skunlearn developers"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    # Ours, in _ext: what they write is generated from the package.
    "api_pages",
    "bibliography",
    "explained",
    "first_minute",
    "gallery",
    "mathml",
    "method_table",
    "metric_table",
    "optional_pages",
    "pictures",
    "repairs",
    "rule_table",
    "stored_runs",
]
exclude_patterns = [
    "_build",
    "generated/*",
    "sg_execution_times.rst",
    "auto_examples/*.ipynb",
    "auto_examples/*.py",
]
suppress_warnings = [
    "config.cache",  # the gallery's settings hold a function
    "myst.header",  # parts of the README start below its title
]
templates_path = ["_templates"]
default_role = "autolink"
nitpicky = True
# Types of docstrings and of other projects, which have no page here.
nitpick_ignore_regex = [(r"py:.*", r"(?!skunlearn\.).*")]
show_warning_types = True

autodoc_default_options = {"members": True, "inherited-members": True}
autosummary_generate = True
autosummary_generate_overwrite = True
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_use_plots = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

sphinx_gallery_conf = gallery.settings(HERE)

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "skunlearn"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}
html_css_files = ["skunlearn.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {
    "index": [],
    "project/*": [],
    "references": [],
    "start/which_method": [],
}
html_theme_options = {
    "logo": {"text": f"skunlearn {__version__}"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    **repository.link_repository(repository.find_repository()),
}
