"""A(D): train a fresh estimator on some rows, once for each (recipe, rows, seed)."""

import copy
import inspect
from contextlib import nullcontext

import joblib
import torch
from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_memory
from skorch.callbacks import Callback, InputShapeSetter

from skunlearn._recipe import caches
from skunlearn._recipe.code import digest_code
from skunlearn._recipe.from_scratch import refuse_trained
from skunlearn._recipe.public_parts import Untouched
from skunlearn._recipe.trained_before import walk
from skunlearn._rows import checking
from skunlearn._rows.containers import digest_of, digest_rows, is_dataset
from skunlearn._rows.row_forms import form_of
from skunlearn._rows.row_names import join_names
from skunlearn._rows.seeding import seeded
from skunlearn._torch import checkpoints, held_out_rows, net_checks, portable, skorch_nets
from skunlearn._torch.first_weights import digest_weights
from skunlearn._torch.loop import fit_loop, run_guards
from skunlearn._torch.parts.net_state import find_unsized, parts, weights
from skunlearn._torch.parts.positions import Positions
from skunlearn._torch.parts.tasks import task_of


def train(
    estimator,
    rows,
    classes,
    seed,
    *,
    memory=None,
    verbose=0,
    write_checkpoints=False,
    callbacks=(),
    epochs=None,
):
    """Train a fresh copy of `estimator` on `rows`.

    Parameters
    ----------
    estimator : skorch net or scikit-learn estimator, left untouched
    rows : Rows, with encoded targets; those with weights are trained on by them
    classes : see `task_of`
    seed : int
    memory : None, str or joblib.Memory
        Where trained estimators are kept; the key is the recipe, the rows and the seed.
    write_checkpoints : bool
        Whether a net's Checkpoint callbacks write their files; otherwise to a temporary folder.
    callbacks : list of (name, callback), default=()
        Of a net's training; without `memory`.
    epochs : int, default=None
        Of a net, after which its training stops as it stands; all of them when None.

    Returns
    -------
    trained : fitted estimator
    """
    refuse_trained(estimator, f"{type(estimator).__name__}")
    if memory is None or is_dataset(rows.source):
        if memory is not None:
            checking.warn(
                "memory= is not used: the rows of a torch Dataset cannot be compared, so a "
                "cached net could have been trained on others.",
                UserWarning,
            )
        return _train(estimator, rows, classes, seed, verbose, write_checkpoints, callbacks, epochs)
    # `rows` and the like are left out of joblib's key: hashing the rows once is enough.
    memory, name = check_memory(memory), key(estimator, rows, seed, classes)
    if epochs is not None:
        name = digest_of(name.encode(), b"epochs", str(epochs).encode())
    caches.note(memory, name, rows)
    work = (estimator, rows, classes, seed, verbose, write_checkpoints, (), epochs)
    try:
        kept = make_cached(memory)(name, work=work)
    except _NotKept as stop:
        net, lost = stop.args
        checking.warn(
            f"memory= does not keep this net: an entry holds weights and buffers, and not "
            f"{join_names(lost)}, which the training has changed on the modules "
            "themselves. It is trained each time.",
            UserWarning,
        )
        return net
    if not skorch_nets.is_net(estimator):
        return kept
    net = portable.rebuild(
        estimator, seed, kept["weights"], kept["frozen"], verbose=verbose, classes=classes
    )
    net.history = kept["history"]
    return net


def copy_trained(estimator, rows, classes, *, verbose=0):
    """A copy of an already trained estimator whose training rows are said to be `rows`."""
    if not skorch_nets.is_net(estimator):
        return copy.deepcopy(estimator)
    net_checks.check_seen(estimator, rows)
    net = skorch_nets.stand_in(estimator)
    net_checks.check_outputs(net, rows, _count_classes(classes))
    drawn = set(find_unsized(estimator)) - set(find_unsized(net))
    net_checks.warn_if_untrained(net, rows, classes, drawn)
    return skorch_nets.name_columns(skorch_nets.copy_net(net, verbose=verbose), classes)


def _count_classes(classes):
    """How many classes a row may be of; None where targets are the shape of the outputs."""
    if isinstance(classes, Positions):
        return classes
    return len(classes) if task_of(classes).has_one_class else None


def make_cached(memory):
    """Make the function of a joblib.Memory that trains: ``make_cached(memory)(key, work=...)``."""
    return memory.cache(_train_for_cache, ignore=["work"])


def _train_for_cache(key, work):
    if work is None:
        raise caches.NotCachedError(key)
    trained = _train(*work)
    if not skorch_nets.is_net(trained):
        return trained
    estimator, rows, _, seed, *_ = work
    lost = portable.name_lost(trained, estimator, seed, rows)
    if lost:
        raise _NotKept(trained, lost)
    return {
        "weights": weights(trained),
        "frozen": portable.name_frozen(trained),
        "history": trained.history,
    }


class _NotKept(Exception):
    """Carries a trained net past the cache, and what an entry would not hold of it."""


def _train(estimator, rows, classes, seed, verbose, write_checkpoints, callbacks=(), epochs=None):
    with seeded(seed):
        if not skorch_nets.is_net(estimator):
            return _fit_sklearn(estimator, rows, classes, seed, write_checkpoints)
        public = Untouched(estimator)
        net = skorch_nets.fresh_net(estimator, verbose=verbose)
        public.check_layers(net)
        public.check_weights()
        check = _CheckedOutputs(rows, _count_classes(classes))
        if skorch_nets.has_callback(net, InputShapeSetter):  # it gives the module its shape
            callbacks = [*callbacks, ("skunlearn_check", check)]
        else:
            check.on_train_begin(net)
        skorch_nets.name_columns(net, classes)
        files = nullcontext() if write_checkpoints else checkpoints.private_checkpoints(net)
        holding = held_out_rows.holding_out(net, estimator, rows)
        with files, holding as kept, run_guards.telling_outputs():
            trained = fit_loop.train(
                net,
                kept,
                epochs=epochs,
                callbacks=callbacks,
                from_scratch=True,
                strict=write_checkpoints,
            )
        public.check_weights()
        public.check_evaluation(trained)
        return trained


class _CheckedOutputs(Callback):
    """Refuse a net whose outputs do not fit the targets."""

    def __init__(self, rows, n_classes):
        self.rows, self.n_classes = rows, n_classes

    def on_train_begin(self, net, **kwargs):
        """Look at them."""
        net_checks.check_outputs(net, self.rows, self.n_classes)


def _fit_sklearn(estimator, rows, classes, seed, write_checkpoints):
    new = skorch_nets.clone_any(estimator)
    # An estimator without a seed of its own would draw from numpy's global generator, which is
    # seeded here, but may also spawn processes that are not.
    unseeded = {
        key: seed
        for key, value in new.get_params().items()
        if key.split("__")[-1] == "random_state" and value is None
    }
    new.set_params(**unseeded)
    X, y = rows.arrays()
    weighted = {} if rows.weights is None else name_weights(new, rows.weights)
    nets = [] if write_checkpoints else [net for _, net in walk(new).nets]
    with checkpoints.private_checkpoints_within(nets):
        return new.fit(X, y if classes is None else classes[y], **weighted)


def name_weights(estimator, weights):
    """Sample weights as the parameter under which ``fit`` of an estimator takes them.

    Raises TypeError when it takes none.
    """
    if isinstance(estimator, Pipeline) and not get_config()["enable_metadata_routing"]:
        name, last = estimator.steps[-1]
        inner = name_weights(last, weights)
        return {f"{name}__{key}": value for key, value in inner.items()}
    parameters = inspect.signature(estimator.fit).parameters
    net = skorch_nets.is_net(estimator)  # what else skorch's fit is given goes to the module
    passes_on = any(p.kind is p.VAR_KEYWORD for p in parameters.values()) and not net
    if "sample_weight" not in parameters and not passes_on:
        advice = "use an estimator that takes them"
        if net:
            advice = (
                "put the transformers before the unlearner of the net, in an UnlearningPipeline"
            )
        raise TypeError(
            f"sample_weight was passed, but {type(estimator).__name__}.fit takes none. Fit without "
            f"weights, or {advice}."
        )
    return {"sample_weight": weights}


def key(estimator, rows, seed, classes):
    """A digest of everything that the result of ``train`` depends on."""
    params = {
        name: value.tolist() if isinstance(value, torch.Tensor) else value
        for name, value in estimator.get_params(deep=False).items()
        if name != "verbose"
    }
    try:
        recipe = joblib.hash([type(estimator), sorted(params), params])
    except Exception as error:  # whatever pickle raises for this parameter
        raise ValueError(
            f"memory= needs an estimator whose parameters can be pickled: {error}. Define the "
            "module class and callbacks at the top level of a file, without lambdas."
        ) from error
    # Digests are of bytes: equal ones may belong to rows of another shape or dtype.
    form = repr((form_of(rows.source), rows.all_y.dtype, classes, seed))
    weights = b"" if rows.weights is None else rows.weights
    code = _code_of(estimator)
    content = digest_rows(rows.source, rows.index).encode()
    return digest_of(recipe.encode(), code, content, rows.lend()[1], form.encode(), weights)


def _code_of(estimator):
    """Digest of what a pickle only names: the code of all classes, and a net's first weights."""
    found = walk(estimator)
    things, starts = [type(inner) for inner in found.estimators], []
    for _, net in found.nets:
        built = skorch_nets.build(net, 0)
        starts.append(digest_weights(built))
        things += [value for key, value in net.get_params(deep=False).items() if key != "callbacks"]
        things += [type(m) for _, part in parts(built) for m in part.modules()]
        things += [type(callback) for _, callback in getattr(built, "callbacks_", ())]
    return b"".join([digest_code(things), *starts])
