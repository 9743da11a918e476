"""Models of scikit-learn in .skops files: read with a fixed list of types, to be digested only.

skops makes an object of a file after it has looked at the names of all types and functions in it.
It trusts scikit-learn's public estimators, numpy's arrays and the like. What is trusted here
besides holds arrays and numbers; none of it opens, starts or evaluates anything when it is made.
"""

import warnings

import sklearn
from sklearn.pipeline import Pipeline

from skunlearn._recipe import step_kinds
from skunlearn._unlearning.certificate.model_digests import model_digest

_MAGIC = b"PK\x03\x04"  # of a zip file; no header of safetensors is as long as this would say
_METRICS = (
    "Braycurtis",
    "Canberra",
    "Chebyshev",
    "Dice",
    "Euclidean",
    "Hamming",
    "Haversine",
    "Jaccard",
    "Mahalanobis",
    "Manhattan",
    "Minkowski",
    "RogersTanimoto",
    "RussellRao",
    "SEuclidean",
    "SokalMichener",
    "SokalSneath",
)
# skops leaves trees out as a made-up one can crash the process that predicts with it. Nothing
# here predicts. `PyFuncDistance`, which calls what it is given, has no place in this list.
TRUSTED = frozenset(
    {
        "numpy.dtype",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        *(
            f"sklearn.gaussian_process.kernels.{name}"
            for name in (
                *("CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared"),
                *("Exponentiation", "Hyperparameter", "Matern", "PairwiseKernel", "Product"),
                *("RBF", "RationalQuadratic", "Sum", "WhiteKernel"),
            )
        ),
        *(
            f"sklearn.metrics._dist_metrics.{name}Distance{bits}"
            for name in _METRICS
            for bits in (32, 64)
        ),
        "sklearn.multiclass._ConstantPredictor",
        *(
            f"sklearn.neighbors.{module}.{name}{bits}"
            for module, name in (("_ball_tree", "BallTree"), ("_kd_tree", "KDTree"))
            for bits in ("", 32, 64)
        ),
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        # What this package publishes in place of scikit-learn's own.
        "skunlearn.certified._published.PublishedLogisticRegression",
        "skunlearn.exact._ensemble.ShardEnsemble",
    }
)


def is_skops(path):
    """Whether a file is a zip, as those of skops are."""
    with open(path, "rb") as file:
        return file.read(4) == _MAGIC


def digest_models(path, steps):
    """Digests of the model in a file, and what could not be compared.

    Parameters
    ----------
    path : path-like
    steps : dict of str to str
        Digests of the steps that a certificate knows in front of the model.

    Returns
    -------
    digests : list of str
        Of the object in the file; of a pipeline with the steps of the certificate that of its
        last step too.
    note : str
        In words; empty where all was compared.

    Raises
    ------
    ValueError
        When the file is damaged, names what is not trusted (nothing of it was made then), or
        holds a pipeline of other steps.
    ImportError
        When skops is missing.
    """
    model = _load(path)
    try:
        digests = [model_digest(model)["digest"]]
        if not steps:
            return digests, ""
        if not isinstance(model, Pipeline):
            return digests, f" (the steps {', '.join(steps)} are not in the file)"
        found = {k: model_digest(step)["digest"] for k, step in _find_learnt(model)}
        digests.append(model_digest(model.steps[-1][1])["digest"])
    except Exception as error:  # attributes are what the file says
        raise ValueError(f"{path} holds what no fitted model looks like: {error!r}.") from error
    other = [name for name in {**steps, **found} if steps.get(name) != found.get(name)]
    if other:
        raise ValueError(
            f"{path} holds a pipeline whose steps {', '.join(other)} are not those of the "
            "certificate."
        )
    return digests, ""


def _find_learnt(pipeline):
    return [(name, step) for name, step in pipeline.steps[:-1] if step_kinds.learns(step)]


def _load(path):
    try:
        from skops import io as skops
    except ImportError as error:
        raise ImportError(f'{path} is read by skops: pip install "skunlearn[skops]".') from error
    with open(path, "rb") as file:
        data = file.read()  # once: what is looked at is what is made
    try:
        unknown = set(skops.get_untrusted_types(data=data))
    except Exception as error:  # whatever a damaged file leads to
        raise ValueError(f"{path} is no whole file of skops: {error}") from error
    strange = sorted(unknown - TRUSTED)
    if strange:
        raise ValueError(
            f"{path} names {', '.join(strange)}, which no model of scikit-learn needs to be read; "
            "nothing of it was made. Of an unlearner write its estimator_, of a net use save."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions: see `name_versions`
            return skops.loads(data, trusted=sorted(unknown))
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read by scikit-learn {sklearn.__version__}: "
            f"{type(error).__name__}: {error}"
        ) from error


def name_versions(content):
    """What to add where digests differ: other versions write other attributes."""
    theirs = content["versions"].get("scikit-learn")
    if theirs in (None, sklearn.__version__):
        return ""
    return (
        f" The certificate was issued with scikit-learn {theirs}, and this is "
        f"{sklearn.__version__}: read the file with that version."
    )
