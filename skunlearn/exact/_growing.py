"""Members of a forest or bagging ensemble: what they are made of, and making new ones."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import sklearn
from scipy import sparse
from sklearn import get_config
from sklearn.base import clone, is_classifier
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.fixes import parse_version
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import has_fit_parameter, validate_data

FORESTS = (
    RandomForestClassifier,
    RandomForestRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
)
BAGGING = (BaggingClassifier, BaggingRegressor)
_TREES = (DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor)
# Since 1.9 a forest draws rows by their class weights; before, the drawn rows were weighted.
DRAWS_BY_WEIGHT = parse_version(sklearn.__version__) >= parse_version("1.9")


def is_forest(ensemble):
    """Whether it is a forest; a bagging ensemble otherwise."""
    return type(ensemble) in FORESTS


def base_of(ensemble):
    """The unfitted estimator that a bagging ensemble, fitted or not, copies for its members."""
    if ensemble.estimator is not None:
        return ensemble.estimator
    return DecisionTreeClassifier() if is_classifier(ensemble) else DecisionTreeRegressor()


def shows_draws_only(ensemble):
    """Whether scikit-learn's own ``fit`` shows a member nothing but its draw.

    Bases that take weights are shown all rows, those outside the draw with a weight of zero. To
    trees these are not there; others may look at them (``SVC(gamma="scale")`` does).
    """
    return is_forest(ensemble) or is_tree(base_of(ensemble)) or not _weighs(base_of(ensemble))


def is_tree(estimator):
    """Whether it is a decision tree of scikit-learn's own."""
    return type(estimator) in _TREES


def _weighs(base):
    if get_config()["enable_metadata_routing"]:
        return bool(get_routing_for_object(base).consumes("fit", ("sample_weight",)))
    return has_fit_parameter(base, "sample_weight")


@dataclass(frozen=True)
class Plan:
    """How the members of a fitted ensemble were made, in numbers that no deletion changes.

    Attributes
    ----------
    template : estimator
        An unfitted member; thresholds that were shares of the rows are numbers.
    n_draws : int
        Rows that a member draws.
    replace : bool
        Whether it may draw one twice.
    n_features : int or None
        Columns that a member of a bagging ensemble draws.
    """

    template: object
    n_draws: int
    replace: bool
    n_features: int | None

    @classmethod
    def of(cls, ensemble, n):
        """The plan of an ensemble that was fitted on `n` rows."""
        template = clone(ensemble.estimator_)
        if is_forest(ensemble):
            template.set_params(**{p: getattr(ensemble, p) for p in ensemble.estimator_params})
        if is_tree(template):
            template.set_params(**_count_thresholds(template, n))
        n_features = None if is_forest(ensemble) else len(ensemble.estimators_features_[0])
        n_draws = len(ensemble.estimators_samples_[0])
        return cls(template, n_draws, bool(ensemble.bootstrap), n_features)


def _count_thresholds(tree, n):
    """Thresholds on the number of rows of a node, which may be given as shares of all rows."""
    return {
        name: max(least, int(np.ceil(value * n)))
        for name, least in (("min_samples_split", 2), ("min_samples_leaf", 1))
        if isinstance(value := getattr(tree, name), Real) and not isinstance(value, Integral)
    }


@dataclass
class Members:
    """New members, with what each of them drew.

    Attributes
    ----------
    estimators : list of fitted estimators
    features : list of int arrays, the columns; None for a forest
    samples : list of int arrays, the rows among those that they were grown on
    """

    estimators: list
    features: list | None
    samples: list


def grow(plan, ensemble, X, y, number, randomness, weights=None, held=None):
    """Draw and train `number` members; `Members`.

    Parameters
    ----------
    plan : Plan
    ensemble : fitted ensemble
        For its settings and classes, all of which must occur.
    X, y : rows as the ensemble's ``fit`` takes them, with codes of its classes or with targets
    number : int
    randomness : numpy SeedSequence
        Draws and training get generators of their own from it.
    weights : array of shape (n,), default=None
        Sample weights, for forests.
    held : int array, default=None
        Rows of which every draw must hold one: it is drawn until it does.
    """
    X, y = as_trained(ensemble, X), np.asarray(y)
    weights = row_weights(ensemble, y, weights)
    if is_forest(ensemble):
        y = np.ascontiguousarray(y, dtype=np.float64)
    work = []
    for child in randomness.spawn(number):
        rng = np.random.default_rng(child)
        drawn = _draw(rng, plan, len(y), weights)
        while held is not None and not np.isin(held, drawn).any():
            drawn = _draw(rng, plan, len(y), weights)
        features = _draw_features(rng, plan, ensemble)
        work.append((_copy_seeded(plan.template, rng), drawn, features))
    prefer = "threads" if is_tree(plan.template) else None
    estimators = Parallel(n_jobs=ensemble.n_jobs, prefer=prefer)(
        delayed(_fit)(member, ensemble, X, y, drawn, features, weights)
        for member, drawn, features in work
    )
    features = None if plan.n_features is None else [chosen for _, _, chosen in work]
    return Members(estimators, features, [drawn for _, drawn, _ in work])


def as_trained(ensemble, X):
    """Rows as the members are trained on them."""
    forest = is_forest(ensemble)
    X = validate_data(
        ensemble,
        X,
        reset=False,
        accept_sparse="csc" if forest else ["csr", "csc"],
        dtype=np.float32 if forest else None,
        ensure_all_finite=False,
    )
    if forest and sparse.issparse(X):
        X.sort_indices()
    return X


def code_targets(ensemble, y):
    """Labels as numbers of the ensemble's own classes, in a column for each of several outputs."""
    if not isinstance(ensemble.classes_, list):
        return np.searchsorted(ensemble.classes_, y)
    return np.column_stack(
        [np.searchsorted(c, column) for c, column in zip(ensemble.classes_, y.T)]
    )


def row_weights(ensemble, y, weights=None):
    """Sample weights times fixed class weights of a forest, or None; `y` holds codes."""
    given = getattr(ensemble, "class_weight", None) if is_forest(ensemble) else None
    if given is None or isinstance(given, str):
        return weights
    codes, classes = y.astype(int), ensemble.classes_
    if isinstance(classes, list):
        labels = np.column_stack([c[column] for c, column in zip(classes, codes.T)])
    else:
        labels = classes[codes]
    by_class = compute_sample_weight(given, labels)
    return by_class if weights is None else weights * by_class


def _draw(rng, plan, n, weights):
    if plan.replace:
        if weights is None or not DRAWS_BY_WEIGHT:
            return rng.integers(n, size=plan.n_draws)
        return rng.choice(n, plan.n_draws, p=weights / weights.sum())
    return rng.choice(n, plan.n_draws, replace=False)


def _draw_features(rng, plan, ensemble):
    if plan.n_features is None:
        return None
    width, replace = ensemble.n_features_in_, ensemble.bootstrap_features
    if plan.n_features == width and not replace:
        return np.arange(width)
    return rng.choice(width, plan.n_features, replace=replace)


def _copy_seeded(template, rng):
    new = clone(template)
    names = sorted(n for n in new.get_params() if n.rsplit("__", 1)[-1] == "random_state")
    return new.set_params(**{name: int(rng.integers(2**31 - 1)) for name in names})


def _fit(member, ensemble, X, y, drawn, features, weights):
    if features is not None and not np.array_equal(features, np.arange(X.shape[1])):
        X = X[:, features]
    if not is_tree(member):
        X = X.tocsr() if sparse.issparse(X) else X
        return member.fit(X[drawn], y[drawn])
    counts = np.bincount(drawn, minlength=len(y)).astype(np.float64)
    if is_forest(ensemble):
        if weights is not None and not DRAWS_BY_WEIGHT:
            counts *= weights
        if getattr(ensemble, "class_weight", None) == "balanced_subsample":
            counts *= compute_sample_weight("balanced", y, indices=drawn)
    return member.fit(X, y, sample_weight=counts)


def fill(model, estimators, features):
    """A copy of an ensemble with other members, without what was true of the old draws."""
    new = object.__new__(type(model))
    vars(new).update(vars(model), estimators_=estimators)
    if features is not None:
        new.estimators_features_ = features
    # Seeds, weights and number of rows, from which scikit-learn would compute the draws.
    for name in ("_n_samples", "_sample_weight", "_seeds"):
        vars(new).pop(name, None)
    return new
