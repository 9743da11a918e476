"""The stress test: methods × forget sets × conditions."""

from numbers import Integral

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_scalar
from tqdm import tqdm

from skunlearn._recipe import training
from skunlearn._rows.containers import digest_of, is_dataset, row_digests
from skunlearn._rows.views import Rows
from skunlearn._torch import skorch_nets
from skunlearn._torch.parts.tasks import need_one_class
from skunlearn.base import BaseUnlearner
from skunlearn.evaluation._reference_models import name_unlearners
from skunlearn.metrics._scorers.scoring import refuse_training_rows
from skunlearn.robustness._measuring import Work, tidy
from skunlearn.robustness._parsing import parse
from skunlearn.robustness._records import Records
from skunlearn.robustness._task import (
    UNPLANTED,
    encode_targets,
    is_changed,
    make_task,
    make_untrained,
    name_sets,
)
from skunlearn.robustness.adversarial import toolbox
from skunlearn.robustness.corruptions import check_rows, range_of

__all__ = ["robustness_report"]


def robustness_report(
    unlearners,
    net,
    X,
    y,
    X_test,
    y_test,
    *,
    forget_sets,
    conditions=("corruptions", "near forgotten", "trigger"),
    n_seeds=1,
    value_range=None,
    folder=None,
    memory=None,
    confidence=0.95,
    random_state=0,
    verbose=0,
    measure_on=None,
):
    """Forget each set with each method, and look at the models under each condition.

    Parameters
    ----------
    unlearners : dict of str to unlearner, or list of them
        Their own estimators are ignored. A list takes the names of the classes.
    net : skorch classifier net, or scikit-learn classifier
        Not trained; it is trained once, and once more for each forget set with planted rows.
    X, y : arrays or tensors of n training rows and labels
        Labels are right ones: a forget set that plants wrong ones holds them itself.
    X_test, y_test : rows and labels never seen
        Of all classes, and of the type of `X`.
    forget_sets : dict of str to ForgetSet or mask, list of them, or one
        From `skunlearn.model_selection`. Names of a list are the kinds.
    conditions : list of str or condition, default=("corruptions", "near forgotten", "trigger")
        - "clean", which is always looked at;
        - "corruptions", all of `skunlearn.robustness.CORRUPTIONS` at five severities, or the
          name of one (those of images are left out where rows are flat), or `Corruption`;
        - "fgsm", "pgd", "autoattack", or `Adversarial` with settings of your own (needs
          ``pip install "skunlearn[robustness]"``);
        - "near forgotten", the test rows next to the forget set, or `NearForgotten`;
        - `Subpopulation`, a part of the test rows;
        - "trigger", test rows with the trigger of a backdoor, for forget sets that have one.
    n_seeds : int, default=1
        Retrained models. The second and later ones show how far figures of retrained models lie
        apart, above all their residual knowledge, which the first has none of by definition.
    value_range : pair of float, default=None
        Lowest and highest value that a row may have; what is moved stays in it. None takes 0 to 255
        for uint8 (the range of the dtype for other integers), 0 to 1 for floats between them, and
        otherwise those of `X`.
    folder : path-like, default=None
        Where finished measurements are kept. A run that was killed goes on from there, and one
        with more methods, sets or conditions than an earlier one measures what is new.
    memory : None, str or joblib.Memory, default=None
        Where trained originals and retrained models are kept.
    confidence : float, default=0.95
        Of the intervals (Clopper–Pearson).
    random_state : int, default=0
        Seed of everything.
    verbose : int, default=0
        1 shows a progress bar.
    measure_on : callable, default=None
        The transform to leave out where the net has a ``dataset=`` that augments rows at random;
        see `BaseUnlearner.fit`.

    Returns
    -------
    frame : pandas.DataFrame
        Tidy: one row per "forget set", "condition", "severity" (0 where there is none), "model"
        and "metric", with "value" and its interval "low", "high"; the values "original" and
        "retrained" of those models under the same condition, and how far the model lies below
        them, "drop from original" and "drop from retrained"; "direction", what a good value is
        ("higher", "lower", or as near as can be to "retrained").

        Models are "original", those of `unlearners`, "retrained" (without the rows to forget),
        and, where not all planted rows are known, "without any planted". Metrics are

        - "retained accuracy", "forgotten accuracy": on test rows of classes that retained rows
          have, and of classes that were wholly forgotten;
        - "forget accuracy": on the forget rows, by the labels that were trained on;
        - "comes back": share of the forget rows that the model gets wrong as they are and right
          under the condition;
        - "residual knowledge": share of the forget rows, under the condition, that the model
          knows and the retrained one does not ([1]_ takes the ratio of the two probabilities);
        - "calibration error": see `skunlearn.metrics.expected_calibration_error`, on the test rows
          of retained classes;
        - "backdoor success": see `skunlearn.metrics.backdoor_success_rate`.

    Raises
    ------
    ValueError, TypeError
        When something passed in does not fit.
    ImportError
        When attacks are asked for and their library is not installed.

    Warns
    -----
    UserWarning
        When a method's training diverges on a forget set; it is left out there.

    References
    ----------
    .. [1] H. Hsu et al., "The Unseen Threat: Residual Knowledge in Machine Unlearning under
       Perturbed Samples", NeurIPS 2025, https://arxiv.org/abs/2601.22359

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.forget_sets import random_forget_set
    >>> from skunlearn.robustness import robustness_report
    >>> X, y = load_digits(return_X_y=True)
    >>> net = LogisticRegression(max_iter=50, tol=0.1)
    >>> frame = robustness_report(
    ...     {"again": RetrainUnlearner(net)},
    ...     net,
    ...     X[:1000] / 16,
    ...     y[:1000],
    ...     X[1000:] / 16,
    ...     y[1000:],
    ...     forget_sets=random_forget_set(y[:1000], random_state=0),
    ...     conditions=["gaussian_noise"],
    ... )
    >>> again = frame.query("metric == 'retained accuracy' and model == 'again'")
    >>> float(again["drop from retrained"].max())
    0.0
    """
    unlearners = name_unlearners(unlearners, "robustness_report")
    _check_models(unlearners, net)
    if is_dataset(measure_on):
        raise TypeError("measure_on must be the transform to leave out, as rows are changed here.")
    check_scalar(n_seeds, "n_seeds", Integral, min_val=1)
    check_scalar(random_state, "random_state", Integral, min_val=0)
    X, X_test = _array(X, "X"), _array(X_test, "X_test")
    if X.shape[1:] != X_test.shape[1:] or X.dtype != X_test.dtype:
        raise ValueError(
            f"X has rows of shape {X.shape[1:]} and {X.dtype}, X_test of {X_test.shape[1:]} and "
            f"{X_test.dtype}: give both in the same form."
        )
    value_range = range_of(X) if value_range is None else tuple(map(float, value_range))
    conditions = parse(conditions)
    _check_attacks(conditions, net)
    plain = make_untrained(net, X, y, random_state, memory, measure_on)
    need_one_class(plain._classes, "robustness_report", ValueError)
    refuse_training_rows(plain, Rows(X_test, None, np.arange(len(X_test))))
    tasks = []
    for name, forget_set in name_sets(forget_sets).items():
        base, rows = plain, X
        if is_changed(forget_set):
            rows, labels = forget_set.data(X, y)
            rows = _array(rows, "X of the forget set")
            base = make_untrained(net, rows, labels, random_state, memory, measure_on)
        codes = encode_targets(y_test, base._classes, len(X_test))
        tasks.append(make_task(name, forget_set, base, rows, X_test, codes, value_range))
    works = [
        Work(task, conditions, unlearners, n_seeds, random_state, confidence) for task in tasks
    ]
    store = Records(folder, _digest(plain, X_test, y_test, value_range, confidence))
    with tqdm(total=sum(map(len, works)), desc="stress test", disable=not verbose) as progress:
        for work in works:
            work.run(store, progress)
    return tidy(works, store)


def _check_models(unlearners, net):
    for name, unlearner in unlearners.items():
        if name == UNPLANTED:
            raise ValueError(f"{UNPLANTED!r} is the name of a model of the report's own.")
        if not isinstance(unlearner, BaseUnlearner):
            raise TypeError(f"{name!r} is no unlearner: {unlearner!r}.")
    if isinstance(net, FrozenEstimator | BaseUnlearner):
        raise TypeError(
            f"net must be the net itself, got {type(net).__name__}: it is trained here, for some "
            "forget sets on changed rows."
        )


def _check_attacks(conditions, net):
    if not any(condition.white_box for condition in conditions):
        return
    toolbox()
    if not skorch_nets.is_net(net):
        raise TypeError(f"Attacks need a skorch net, got {type(net).__name__}.")


def _array(X, name):
    X = X.numpy(force=True) if isinstance(X, torch.Tensor) else X
    check_rows(X, name)
    return X


def _digest(plain, X_test, y_test, value_range, confidence):
    """Of what all measurements of a call have in common."""
    record = plain._record
    everything = record.view(np.arange(len(record)))
    recipe = training.key(plain.estimator, everything, plain._seed, plain._classes)
    noisy = plain._reader is not None and plain._reader.noisy
    rest = repr((value_range, confidence, X_test.shape, X_test.dtype, noisy))
    labels = repr(np.asarray(y_test).tolist())
    return digest_of(recipe.encode(), row_digests(X_test), labels.encode(), rest.encode())
