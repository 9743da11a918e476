"""Settings of the gallery: which examples run, and what stands for those that do not."""

import ast
import importlib.util
import os
import re
from pathlib import Path

from PIL import Image

# Examples that read images which are not bundled take long as well.
_NEEDS_IMAGES = re.compile(r"\b(fetch_cifar10|load_faces|load_image_folder)\(")
# The gallery's sections, and their examples in order; one that is in none goes to the last.
SECTIONS = {
    "Start": (
        "plot_quick_start",
        "plot_trained_net",
        "plot_grid_search",
        "plot_comparing_methods",
    ),
    "Is it forgotten?": (
        "plot_why_matching_matters",
        "plot_u_lira",
        "plot_looking_inside",
        "plot_influence",
        "plot_robustness",
        "plot_poisoned_model",
        "plot_cifar10_conditions",
    ),
    "Exact and certified": (
        "plot_any_estimator",
        "plot_sisa_savings",
        "plot_forest",
        "plot_certified_removal",
        "plot_pipeline",
        "plot_frozen_backbone",
        "plot_public_backbone",
        "plot_lora_shards",
    ),
    "Nets, graphs, and requests that keep coming": (
        "plot_cifar10_automobile",
        "plot_faces",
        "plot_transformers",
        "plot_language_model",
        "plot_lora",
        "plot_graph",
        "plot_stream_of_deletions",
        "deletion_service",
        "plot_own_unlearner",
    ),
}
_ORDER = tuple(stem for stems in SECTIONS.values() for stem in stems)
_OPEN, _CLOSE = ".. thumbnail-parent-div-open\n", ".. thumbnail-parent-div-close\n"
_THUMBNAIL_SIZE = 400, 280
_THUMBNAIL = '.. raw:: html\n\n    <div class="sphx-glr-thumbcontainer"'


class Order:
    """The sequence above, then all others by name."""

    def __init__(self, folder=None):
        pass

    def __call__(self, name):
        stem = name.removesuffix(".py")
        return (_ORDER.index(stem) if stem in _ORDER else len(_ORDER), stem)


def divide(text):
    """The gallery's page with its thumbnails in the sections above.

    Parameters
    ----------
    text : str
        As sphinx-gallery writes it: one block of thumbnails.

    Returns
    -------
    text : str
    """
    head, thumbnails = text.split(_OPEN)
    thumbnails, tail = thumbnails.split(_CLOSE)
    grid, end = head[head.rindex(".. raw:: html") :], tail[: tail.index("</div>") + len("</div>")]
    head, tail = head.removesuffix(grid), tail.removeprefix(end)
    _, *found = thumbnails.split(_THUMBNAIL)
    places = {title: [] for title in SECTIONS}
    for thumbnail in found:
        stem = re.search(r":doc:`/auto_examples/(\w+)`", thumbnail)[1]
        named = (title for title, stems in SECTIONS.items() if stem in stems)
        places[next(named, list(SECTIONS)[-1])].append(_THUMBNAIL + thumbnail)
    parts = [head]
    for title, inside in places.items():
        if inside:
            parts += [
                f"{title}\n{'-' * len(title)}\n\n{grid}{_OPEN}\n",
                *inside,
                f"{_CLOSE}{end}\n\n",
            ]
    return "".join(parts) + tail


def crop_thumbnails(app):
    """Of a tall picture the thumbnail shows the upper part: the whole would not be readable."""
    docs = Path(app.srcdir)
    images = docs / "auto_examples" / "images"
    for thumbnail in (images / "thumb").glob("sphx_glr_*_thumb.png"):
        stem = thumbnail.name.removeprefix("sphx_glr_").removesuffix("_thumb.png")
        for path in (images / f"sphx_glr_{stem}_001.png", docs / "stored" / f"{stem}.png"):
            if path.exists():
                crop(path, thumbnail)
                break


def crop(path, thumbnail):
    """Write the upper part of the picture at `path` as its thumbnail, if the picture is tall.

    Parameters
    ----------
    path, thumbnail : Path
    """
    width, height = _THUMBNAIL_SIZE
    with Image.open(path) as picture:
        if picture.height > 1.1 * picture.width:
            shown = picture.crop((0, 0, picture.width, picture.width * height // width))
            shown.resize(_THUMBNAIL_SIZE, Image.Resampling.LANCZOS).save(thumbnail)


def divide_page(app, docname, source):
    """Sphinx's event for the gallery's page."""
    if docname == "auto_examples/index":
        source[0] = divide(source[0])


def setup(app):
    """Sphinx's hook."""
    app.connect("source-read", divide_page)
    app.connect("builder-inited", crop_thumbnails, priority=900)  # when the gallery has run
    return {"parallel_read_safe": True}


def is_long(path):
    """Whether an example is shown only: it takes long, and data that are not bundled."""
    return bool(_NEEDS_IMAGES.search(Path(path).read_text()))


def missing_packages(path):
    """Names of the packages that an example imports and that are not installed."""
    names = set()
    for node in ast.walk(ast.parse(Path(path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.partition(".")[0])
    return sorted(name for name in names if importlib.util.find_spec(name) is None)


def settings(docs):
    """sphinx-gallery's configuration.

    Parameters
    ----------
    docs : Path
        The folder of conf.py.

    Returns
    -------
    settings : dict
    """
    examples = docs.parent / "examples"
    run_long = os.environ.get("SKUNLEARN_DOCS_LONG") == "1"
    shown = [
        path.stem
        for path in sorted(examples.glob("plot_*.py"))
        if (is_long(path) and not run_long) or missing_packages(path)
    ]
    skipped = "|".join(map(re.escape, shown)) or "(?!)"
    return {
        "examples_dirs": str(examples),
        "gallery_dirs": "auto_examples",
        "filename_pattern": rf"[\\/]plot_(?!(?:{skipped.replace('plot_', '')})\.py)",
        "within_subsection_order": "gallery.Order",
        "backreferences_dir": "api/generated/backreferences",
        "doc_module": ("skunlearn",),
        "reference_url": {"skunlearn": None},
        "abort_on_example_error": False,
        "only_warn_on_example_error": False,
        "thumbnail_size": _THUMBNAIL_SIZE,
        "default_thumb_file": str(docs / "_static" / "generated" / "not_run.png"),
        "write_computation_times": False,  # its page fetches scripts from elsewhere
        "show_memory": False,
        "min_reported_time": 1,
        "download_all_examples": False,
        "remove_config_comments": True,
        "plot_gallery": "True",
        "image_scrapers": ("matplotlib",),
        "capture_repr": ("_repr_html_",),
        "ignore_repr_types": r"matplotlib|sklearn|skunlearn\.(?!evaluation)",
        "show_signature": False,
        "nested_sections": False,
    }
