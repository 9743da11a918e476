"""The estimator inside an unlearner: what it may be, and how it is cloned."""

import copy

from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skunlearn._recipe.from_scratch import refuse_trained
from skunlearn._recipe.trained_before import walk
from skunlearn._torch import net_checks, skorch_nets


def check_inner(unlearner):
    """Raise where the method of `unlearner` cannot work on the estimator inside it."""
    estimator, name = skorch_nets.unwrap(unlearner.estimator), type(unlearner).__name__
    frozen = isinstance(unlearner.estimator, FrozenEstimator)
    promises = unlearner._make_promises()
    net_checks.refuse_module(estimator, name)
    if isinstance(estimator, type):
        raise TypeError(
            f"{name} needs an estimator, got the class {estimator.__name__}: pass "
            f"{estimator.__name__}(...), with its settings."
        )
    if skorch_nets.is_net(estimator):
        net_checks.check_net(estimator, name)
    elif not promises.takes_any_estimator:
        raise TypeError(
            f"{name} works on skorch nets, got {type(estimator).__name__}{_advise(estimator, name)}"
        )
    elif not hasattr(estimator, "__sklearn_tags__") or get_tags(estimator).estimator_type not in (
        "classifier",
        "regressor",
    ):
        raise TypeError(
            f"{name} needs a scikit-learn classifier or regressor, or a skorch net, got "
            f"{estimator!r}."
        )
    else:
        for path, net in walk(estimator, "estimator").nets:
            net_checks.refuse_sampler(net, path)
    if frozen:
        check_is_fitted(estimator)
    if promises.trains_from_scratch or not frozen:
        refuse_trained(estimator, name)


def _advise(estimator, name):
    """What to do where a net is wanted and `estimator` is none."""
    nets = walk(estimator, "").nets if isinstance(estimator, BaseEstimator) else []
    if not nets:
        return (
            ". Wrap the PyTorch module in skorch's NeuralNetClassifier, or use RetrainUnlearner, "
            "or what make_unlearner chooses."
        )
    if isinstance(estimator, Pipeline):
        return (
            f" around one. Let {name} take the net's place in it, as in "
            f"UnlearningPipeline([..., ('net', {name}(net))])."
        )
    return (
        f" around one. Let {name} take the net's place in it ({nets[0][0]}={name}(net)), or use "
        "RetrainUnlearner around the whole."
    )


def takes_nan(estimator):
    """Whether the inner estimator says by scikit-learn's tag that rows may hold NaN."""
    return get_tags(skorch_nets.unwrap(estimator.estimator)).input_tags.allow_nan


def refuse_frozen_clone(unlearner):
    """Raise for a clone around a trained model, as cross-validation makes them."""
    if isinstance(unlearner.estimator, FrozenEstimator) and getattr(unlearner, "_is_clone", False):
        raise ValueError(
            f"This {type(unlearner).__name__} is a clone around an already trained model, as "
            "cross-validation makes them: the model has seen the rows of the test folds too, "
            "so forgetting would look better than it is. Pass the net itself instead of "
            "FrozenEstimator(net), so that every fold trains its own (memory= trains each "
            "only once)."
        )


def clone_unlearner(unlearner):
    """An unfitted copy of an unlearner; for its ``__sklearn_clone__``."""
    net = unlearner.estimator
    if skorch_nets.is_net(net):  # whose callbacks scikit-learn's own clone may refuse
        bare = copy.copy(unlearner)
        bare.estimator = None
        new = BaseEstimator.__sklearn_clone__(bare)
        new.estimator = skorch_nets.clone_net(net)
        return new
    new = BaseEstimator.__sklearn_clone__(unlearner)
    if isinstance(net, FrozenEstimator):
        new._is_clone = True
    return new
