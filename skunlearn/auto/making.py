"""The unlearner that suits an estimator, whatever it is."""

from sklearn.pipeline import Pipeline

from skunlearn._recipe.step_kinds import sort_steps
from skunlearn._torch import skorch_nets
from skunlearn.auto.auto_unlearner import AutoUnlearner
from skunlearn.base import BaseUnlearner
from skunlearn.compose import UnlearningPipeline
from skunlearn.exact import (
    ForestUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    SufficientStatisticsUnlearner,
)
from skunlearn.finetuning import NoTUnlearner

__all__ = ["make_unlearner"]

# Exact without a training from scratch; each says itself what it takes.
_CHEAP = ForestUnlearner, SufficientStatisticsUnlearner, RidgeUnlearner


def make_unlearner(estimator, *, random_state=None, verbose=0):
    """Put an estimator into the unlearner that suits it: exact where that is cheap.

    ==================================================  ============================================
    `estimator`                                         unlearner, and what its result is
    ==================================================  ============================================
    bagged trees or other members                       `ForestUnlearner`: exact, grows anew those
                                                        members that drew a forgotten row
    naive Bayes, linear discriminants, neighbours       `SufficientStatisticsUnlearner`: exact, by
                                                        subtraction
    ``Ridge``, ``RidgeClassifier``,                     `RidgeUnlearner`: exact, by subtraction
    ``LinearRegression``
    any other of scikit-learn's, or of its manners      `RetrainUnlearner`: exact, by a training
    a skorch net                                        `AutoUnlearner`: measured
    one whose module is an instance, which nobody can   `NoTUnlearner`: measured
    build anew (`from_torch` without ``factory=``)
    a ``Pipeline``                                      `UnlearningPipeline` with one of these at
                                                        its end, where that is a net, or where no
                                                        step before learns from rows; otherwise
                                                        `RetrainUnlearner` around the whole
    ==================================================  ============================================

    What a cheap exact method refuses (``class_weight="balanced"`` of a forest, say, which every
    deletion changes) is trained anew. So is a net inside of a search or another estimator, which is
    exact, and as slow as the first ``fit``. Where many deletions will come and each has to be
    exact, `ShardedUnlearner` is worth a thought before the first training; where a proven
    (ε, δ) is wanted, see `CertifiedRemovalUnlearner`.

    Parameters
    ----------
    estimator : skorch net, scikit-learn estimator, or FrozenEstimator of one
        Classifier or regressor. ``FrozenEstimator`` says that it is trained already, on the rows
        that ``fit`` is going to be given. An unlearner, or a pipeline that ends in one, is kept.
    random_state : int, RandomState instance or None, default=None
        Seed of trainings and requests, handed on to the unlearner.
    verbose : int, default=0
        1 makes ``fit`` and ``unlearn`` say what they do; handed on to the unlearner.

    Returns
    -------
    unlearner : unlearner or UnlearningPipeline
        Not fitted yet.

    Raises
    ------
    TypeError
        When `estimator` is no classifier or regressor; of a bare PyTorch module it says how to
        wrap it.
    ValueError
        When a net, its settings or trained state inside of it cannot be worked with.

    See Also
    --------
    skunlearn.from_torch : Brings in a module trained in a loop of your own.
    skunlearn.utils.all_unlearners : All methods, by what they need and promise.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from skunlearn import make_unlearner
    >>> X, y = load_digits(return_X_y=True)
    >>> forest = make_unlearner(RandomForestClassifier(20, max_samples=50), random_state=0)
    >>> forest.fit(X, y).unlearn(indices=[3, 14, 15]).certificate()["guarantee"]
    'the distribution of an ensemble trained without the rows'
    >>> model = make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=500))
    >>> type(make_unlearner(model)).__name__
    'RetrainUnlearner'
    """
    settings = {"random_state": random_state, "verbose": verbose}
    if isinstance(estimator, BaseUnlearner | UnlearningPipeline):
        return estimator
    if skorch_nets.is_net(skorch_nets.unwrap(estimator)):
        return _choose([AutoUnlearner, NoTUnlearner], estimator, settings)
    if isinstance(estimator, Pipeline):
        return _make_pipeline(estimator, settings)
    return _choose([*_CHEAP, RetrainUnlearner], estimator, settings)


def _choose(methods, estimator, settings):
    """The first of `methods` that takes the estimator; raise what the one for anything says."""
    errors = []
    for method in methods:
        unlearner = method(estimator, **settings)
        try:
            unlearner._check_parameters()
        except (TypeError, ValueError) as error:
            errors.append(error)
        else:
            return unlearner
    raise errors[0] if methods[0] is AutoUnlearner else errors[-1]


def _make_pipeline(pipeline, settings):
    *steps, (name, last) = pipeline.steps
    steps = [(key, step) for key, step in steps if step not in (None, "passthrough")]
    forgets = isinstance(last, BaseUnlearner) or skorch_nets.is_net(skorch_nets.unwrap(last))
    # Exact methods but retraining need the rows as they were, which steps that learn would change.
    constant = not sort_steps(steps)["fitted"] and not isinstance(last, str | Pipeline | None)
    if not forgets and not constant:
        return _choose([RetrainUnlearner], pipeline, settings)
    unlearner = make_unlearner(last, **settings)
    if not steps:
        return unlearner
    own = {key: getattr(pipeline, key) for key in ("transform_input", "memory", "verbose")}
    return UnlearningPipeline([*steps, (name, unlearner)], **own)
