"""How an unlearner shows itself: as text, and in notebooks by its state and a diagram."""

import functools
import html
import inspect
import json
import textwrap
from importlib.metadata import PackageNotFoundError, metadata

from sklearn.base import BaseEstimator

from skunlearn._torch import skorch_nets

try:
    from sklearn.utils._repr_html.estimator import _VisualBlock
except ImportError:  # scikit-learn before 1.8
    from sklearn.utils._estimator_html_repr import _VisualBlock


@functools.cache
def find_documentation():
    """The address of the documentation by the package's metadata; empty where it names none."""
    try:
        urls = metadata("skunlearn").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    found = (url.partition(",") for url in urls)
    return next((url.strip() for name, _, url in found if name.lower() == "documentation"), "")


def write_text(self, N_CHAR_MAX=700):
    """scikit-learn's text, with no more of a net than was set."""
    return BaseEstimator.__repr__(_shorten(self), N_CHAR_MAX)


def _shorten(value):
    """`value` with the text of its nets in their places; itself where it holds none."""
    if skorch_nets.is_net(value):
        return _Text(_describe(value))
    if isinstance(value, list | tuple) and type(value) in (list, tuple):  # steps of a pipeline
        parts = [_shorten(part) for part in value]
        same = all(a is b for a, b in zip(parts, value, strict=True))
        return value if same else type(value)(parts)
    if not isinstance(value, BaseEstimator):
        return value
    found = {k: (v, _shorten(v)) for k, v in value.get_params(deep=False).items()}
    changed = {k: new for k, (old, new) in found.items() if new is not old}
    if not changed:
        return value
    shown = object.__new__(type(value))
    # All that it has: of others' estimators parameters may stand under other names.
    vars(shown).update(vars(value) | changed)
    return shown


class _Text:
    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


def write_html(self):
    """scikit-learn's diagram, with a line on what was forgotten above it."""
    return _write_line(self) + BaseEstimator._repr_html_inner(self)


def link_to_docs(self):
    """The page of a class of ours, where the documentation has an address."""
    where, cls = find_documentation(), type(self)
    if not where or not cls.__module__.startswith("skunlearn."):
        return ""
    return f"{where.rstrip('/')}/api/generated/skunlearn.{cls.__name__}.html"


def write_bundle(self, **kwargs):
    """As `write_html`, in the bundle that a notebook asks for."""
    bundle = BaseEstimator._repr_mimebundle_(self, **kwargs)
    if "text/html" in bundle:
        bundle["text/html"] = _write_line(self) + bundle["text/html"]
    return bundle


def list_parameters(self, *args, **kwargs):
    """scikit-learn's table, in which nets are their names: their own tables are below."""
    found = BaseEstimator._get_params_html(self, *args, **kwargs)
    for key, value in found.items():
        if skorch_nets.is_net(value):
            found[key] = _Text(f"{type(value).__name__}(…)")
    return found


def list_fitted(self, *args, **kwargs):
    """scikit-learn's table of what `fit` made, in which models and the log are a word or two."""
    found = BaseEstimator._get_fitted_attr_html(self, *args, **kwargs)
    for name, told in found.items():
        value = told["value"]
        plain = isinstance(value, BaseEstimator) and not skorch_nets.is_net(value)
        if name == "estimator_" and not plain:  # a net, or shards
            told["value"] = _Text(f"{type(value).__name__}(…)")
        elif name == "deletions_":
            told["value"] = _Text(f"{len(value)} request{'s' * (len(value) != 1)}")
    return found


def draw_block(self):
    """The block of scikit-learn's diagram: nets without the parameters that nobody has set."""
    inner = [
        (key, value)
        for key, value in self.get_params(deep=False).items()
        if hasattr(value, "get_params") and hasattr(value, "fit")
    ]
    return _VisualBlock(
        "parallel",
        [_Changed(value) if skorch_nets.is_net(value) else value for _, value in inner],
        names=[f"{key}: {type(value).__name__}" for key, value in inner],
        name_details=[
            _wrap(_describe(value)) if skorch_nets.is_net(value) else str(value)
            for _, value in inner
        ],
    )


class _Changed:
    """A net in the diagram, without those of its parameters that nobody has set."""

    def __init__(self, net):
        self.net = net

    def _sk_visual_block_(self):
        name = type(self.net).__name__
        return _VisualBlock("single", self, names=name, name_details=_wrap(_describe(self.net)))

    def __getattr__(self, name):
        if name != "_get_params_html":  # scikit-learn before 1.7 has none
            raise AttributeError(name)
        shown = getattr(self.net, name)

        def changed(deep=False, doc_link=""):
            found, kept = shown(deep=False), _find_changed(self.net)
            for key in set(found) - set(kept):
                del found[key]
            found.non_default = tuple(found)
            return found

        return changed


def _find_changed(estimator):
    """Parameters that differ from the defaults; those of skorch's classes are spread over bases."""
    defaults = {}
    for cls in type(estimator).__mro__:
        if "__init__" in vars(cls):
            for name, parameter in inspect.signature(cls.__init__).parameters.items():
                defaults.setdefault(name, parameter.default)
    found = {}
    for name, value in estimator.get_params(deep=False).items():
        default = defaults.get(name, inspect.Parameter.empty)
        private = name.startswith("_")  # what skorch keeps among its parameters
        if not private and value is not default and repr(value) != repr(default):
            found[name] = value
    return found


def _describe(estimator):
    said = ", ".join(f"{name}={_name(value)}" for name, value in _find_changed(estimator).items())
    return f"{type(estimator).__name__}({said})"


def _name(value):
    if skorch_nets.is_net(value):
        return _describe(value)
    return value.__name__ if inspect.isclass(value) or inspect.isfunction(value) else repr(value)


def _wrap(text):
    """In lines, as a diagram is as wide as the longest of its texts."""
    return textwrap.fill(text, 44, subsequent_indent=" " * 4, break_long_words=False)


def _write_line(unlearner):
    if not unlearner.__sklearn_is_fitted__():
        return "<p>not fitted</p>"
    certificate = json.loads(unlearner.certificate())
    kept, gone = certificate["retained_rows"], certificate["forgotten_rows"]
    said = f"{kept + gone:,} rows fitted, {gone:,} forgotten"
    if gone:
        guarantee = certificate["guarantee"]
        said += ", no guarantee" if guarantee == "none" else f", guarantee: {guarantee}"
    return f"<p>{html.escape(said)}</p>"
