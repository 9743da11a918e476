"""Models of parts of the data, of which a deletion touches few (SISA)."""

import os
from dataclasses import replace
from numbers import Integral
from os import PathLike

import joblib
import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_scalar

from skunlearn._files.own_folder import Folder
from skunlearn._recipe.parameter_texts import warn_if_set_since, write_recipe
from skunlearn._recipe.public_parts import name_changed
from skunlearn._rows.constraints import COUNT, StrOptions
from skunlearn._rows.seeding import derive_seed
from skunlearn._torch import skorch_nets
from skunlearn._torch.held_out_rows import count, find_holding
from skunlearn._torch.parts.net_kinds import kind_of
from skunlearn._torch.shared_parameters import share
from skunlearn._unlearning.fitted import sweep
from skunlearn.base import BaseUnlearner
from skunlearn.exact._ensemble import ShardEnsemble
from skunlearn.exact._placement import place
from skunlearn.exact._shards import Shard, train_shard
from skunlearn.exceptions import UnlearningError

__all__ = ["ShardedUnlearner", "expected_retraining_share"]


class ShardedUnlearner(BaseUnlearner):
    """Train a model for each part of the data, and only those of touched parts again (SISA).

    Choose it before the training, when deletions will come and must be exact: a request costs about
    1 / `n_shards` of a training, less with slices. The price is accuracy, as each model sees
    1 / `n_shards` of the rows.

    The rows are divided into shards, and those of a shard into slices. A shard's model is trained
    on its first slice, then on the first two, and so on, with a checkpoint after each. To forget a
    row is to go back to the checkpoint before its slice, and to train on without it. The shard
    and the slice of a row are a keyed hash of its group, or else its id, or else its content, so
    that they depend on no other row: with an int `random_state` the result equals, bit for bit on
    a CPU, that of ``fit`` on the other rows. (In a torch Dataset rows are known by position;
    there it equals a training with the same positions left out.) Sizes are therefore binomial:
    shards of n rows on average differ by about √n.

    Where the recipe was set anew since ``fit``, a request trains all shards again, and warns.

    Nets that learn a small part beside a frozen one, an adapter of ``peft`` say, need not be S
    times as large: parameters that do not learn and are equal in several shards are in memory
    once, once in a pickle, and in no checkpoint. Where the frozen part is a `PublicBackbone`
    among the module's parameters, with layers from its ``frozen_module()``, the certificate quotes
    who declares that it holds no training row; otherwise it is named there as something that was
    brought along, and nothing is guaranteed.

    Parameters
    ----------
    estimator : estimator object
        Any scikit-learn classifier or regressor or skorch net; it cannot be trained already.
    n_shards : int, default=5
        S.
    n_slices : int, default=1
        R; more than 1 for nets only, as scikit-learn's ``fit`` starts afresh. Each of the R stages
        takes 2E / (R + 1) epochs, rounded, for a net of E = ``max_epochs`` (the paper), with a new
        optimizer and the net's schedule from its beginning.
    aggregate : {"mean", "vote"}, default="mean"
        Mean of the members' probabilities (predictions, of regressors) or majority vote, ties
        for the class that sorts first.
    n_jobs : int or None, default=None
        Shards trained at a time, by joblib in processes; under ``joblib.parallel_config`` on its
        backend. (Threads share one random generator: they would not repeat.)
    folder : str, path-like or None, default=None
        Where a new folder for checkpoints is made; a net's size for each of S (R − 1), less what is
        frozen from the beginning. None takes a temporary one, which ends with the estimator.
    random_state : int, RandomState instance or None, default=None
        Seed of the shards and their trainings. A shard is trained again with the seed it had, so
        that with an int ``fit(X, y).unlearn(rows)`` equals ``fit`` on the other rows, bit for bit
        on a CPU.
    {store_data}
    verbose : int, default=0
        1 prints a line for each shard, 2 skorch's tables too.

    Attributes
    ----------
    estimator_ : ShardEnsemble
        The present models, in ``estimator_.members``; None for a shard without rows.
        ``estimator_.count_bytes()`` says what they take in memory, together and each alone.
    {classes_, deletions_}
        Also how many shards were trained again ("shards_retrained"), and what share of the work of
        a whole training that was ("share_retrained", by row-epochs).

    Raises
    ------
    TypeError
        For a trained estimator.
    ValueError
        For parameters that do not go together.

    See Also
    --------
    PublicBackbone : A public part below a net, and its declaration.

    References
    ----------
    L. Bourtoule et al., "Machine Unlearning", IEEE S&P 2021, https://arxiv.org/abs/1912.03817

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skunlearn import ShardedUnlearner
    >>> X, y = load_digits(return_X_y=True)
    >>> unlearner = ShardedUnlearner(DecisionTreeClassifier(), random_state=0).fit(X, y)
    >>> unlearner.unlearn(indices=[7]).deletions_[0]["shards_retrained"]
    1
    >>> again = ShardedUnlearner(DecisionTreeClassifier(), random_state=0)
    >>> again = again.fit(np.delete(X, 7, axis=0), np.delete(y, 7))
    >>> bool(np.all(again.predict_proba(X) == unlearner.predict_proba(X)))
    True
    """

    _promises = replace(
        BaseUnlearner._promises,
        takes_any_estimator=True,
        exact=True,
        corrects=True,
        reads_forget_rows=False,
        watches_training=True,
    )

    _parameter_constraints = {
        **BaseUnlearner._parameter_constraints,
        "n_shards": [COUNT],
        "n_slices": [COUNT],
        "aggregate": [StrOptions({"mean", "vote"})],
        "n_jobs": [Integral, None],
        "folder": [str, PathLike, None],
    }

    def __init__(
        self,
        estimator,
        *,
        n_shards=5,
        n_slices=1,
        aggregate="mean",
        n_jobs=None,
        folder=None,
        random_state=None,
        store_data=True,
        verbose=0,
    ):
        super().__init__(
            estimator, random_state=random_state, store_data=store_data, verbose=verbose
        )
        self.n_shards = n_shards
        self.n_slices = n_slices
        self.aggregate = aggregate
        self.n_jobs = n_jobs
        self.folder = folder

    def _first_model(self, rows):
        self._trained_before, self._declared = super()._name_trained(), self._name_declared()
        self._written = write_recipe(skorch_nets.unwrap(self.estimator))
        shards, slices = place(self._record, self._seed, self.n_shards, self.n_slices)
        self._places = shards, slices
        self._shape = self.n_shards, self.n_slices, self.aggregate
        self._files = {}
        self._folder = Folder(self.folder, "skunlearn-shards-") if self.n_slices > 1 else None
        trained = self._train_shards(rows, dict.fromkeys(range(self.n_shards), 0), {})
        self._files = {k: done.files for k, done in trained.items()}
        self._row_epochs = {k: done.row_epochs for k, done in trained.items()}
        recipe = skorch_nets.unwrap(self.estimator)
        # A backbone's own tensors, where shards come back from processes with copies of them.
        first = [skorch_nets.build(recipe, self._seed)] if self._declared else []
        return self._ensemble([trained[k].model for k in range(self.n_shards)], first)

    def _attempt(self, retain, forget, seed):
        if retain.positions is None:
            raise UnlearningError(
                "ShardedUnlearner trains on all retained rows of the touched shards: give them "
                "back with attach(X, y) instead of passing X_retain with the request."
            )
        self._refuse_other_shape()
        shards, slices = self._places
        left = self._record.retained & ~self._removal.record.retained
        left[self._removal.positions] = True  # corrected ones too, which are retained
        gone = np.flatnonzero(left)  # np.setdiff1d sorts: 1.4 s for one row of a million
        first = {
            int(k): int(slices[gone][shards[gone] == k].min()) for k in np.unique(shards[gone])
        }
        recipe = skorch_nets.unwrap(self.estimator)
        if warn_if_set_since(vars(self).get("_written"), recipe, self, "shards"):
            first = dict.fromkeys(range(self._shape[0]), 0)
            self._written = write_recipe(recipe)
        if vars(self).get("_folder") is not None:
            self._folder = self._folder.fork(self._list_kept())
        trained = self._train_shards(retain, first, self._files)
        spent = sum(done.row_epochs for done in trained.values())
        whole = sum(self._row_epochs.values())
        members = list(self.estimator_.members)
        for k, done in trained.items():
            members[k] = done.model
        self._cost = {"shards_retrained": len(trained), "share_retrained": spent / whole}
        # After an error the estimator has its old tables.
        self._files = self._files | {k: done.files for k, done in trained.items()}
        return self._ensemble(members, self.estimator_.members)

    def _refuse_other_shape(self):
        """Raise where shards were set anew since ``fit`` has placed the rows; take `aggregate`."""
        n_shards, n_slices, _ = self._shape
        if (n_shards, n_slices) != (self.n_shards, self.n_slices):
            raise UnlearningError(
                f"fit has placed the rows in {n_shards} shards of {n_slices} slices, and since "
                f"then n_shards={self.n_shards} and n_slices={self.n_slices} were set: fit again, "
                "or set them back."
            )
        self._shape = n_shards, n_slices, self.aggregate

    def _train(self, rows, *, seed=None, write_checkpoints=False):
        """A(rows) as ``fit`` would have it, for audits."""
        first = dict.fromkeys(range(self._shape[0]), 0)
        folder = Folder(prefix="skunlearn-shards-") if self._shape[1] > 1 else None
        trained = self._train_shards(rows, first, {}, folder, seed)
        return self._ensemble([trained[k].model for k in first])

    def _train_shards(self, rows, first, files, folder=None, seed=None):
        """`Trained` of the shards in `first`, from these stages on, by number."""
        recipe, (_, n_slices, _) = skorch_nets.unwrap(self.estimator), self._shape
        shards, slices = self._places
        folder = self._folder if folder is None else folder
        path = None if folder is None else folder.path
        work = []
        for k, stage in first.items():
            mine = rows.take(np.flatnonzero((shards == k)[rows.positions]))
            own = derive_seed(self._seed if seed is None else seed, 1, k)
            shard = Shard(mine, slices[mine.positions], n_slices, own, self._classes)
            known = {s: n for s, n in files.get(k, {}).items() if s < stage}
            if not all(os.path.exists(os.path.join(path, name)) for name in known.values()):
                stage, known = 0, {}  # a copy of this estimator has cleared the folder
            work.append((shard, stage, known))
        done = joblib.Parallel(n_jobs=self.n_jobs)(
            joblib.delayed(train_shard)(recipe, shard, path, stage, known, max(0, self.verbose - 1))
            for shard, stage, known in work
        )
        for k, (shard, stage, _), trained in zip(first, work, done):
            if self.verbose:
                print(
                    f"shard {k + 1}: {len(shard.rows):,} rows, from slice {stage + 1} of "
                    f"{n_slices}, done in {trained.seconds:.2f} s"
                )
        return dict(zip(first, done))

    def _ensemble(self, members, first=()):
        """The members as one model; frozen parameters are those of `first` where they are equal."""
        share([m for m in [*first, *members] if skorch_nets.is_net(m)])
        return ShardEnsemble(
            members,
            self._classes,
            vote=self._shape[2] == "vote",
            n_targets=self._row_reader.n_targets,
        )

    def _name_trained(self):
        # Shards that no request touches stay as they were trained by an earlier recipe.
        earlier = [entry.get("trained_before", []) for entry in self.deletions_]
        changed = name_changed(self._declared, self._name_declared())
        names = [self._trained_before, *earlier, super()._name_trained(), changed]
        return list(dict.fromkeys(name for group in names for name in group))

    def _count_held_out(self, retain):
        """Every shard's last training holds rows out of its own."""
        net = find_holding(skorch_nets.unwrap(self.estimator))
        if net is None:  # before a million rows are sorted by shards
            return None
        shards = self._places[0][retain.positions]
        kinds = np.flatnonzero(np.bincount(shards))
        return sum(count(net, retain.take(np.flatnonzero(shards == k))) for k in kinds)

    def _describe_attempt(self):
        return self._cost

    def _commit(self):
        vars(self).pop("_cost", None)
        sweep(self)

    def _held_files(self):
        folder = vars(self).get("_folder")  # files of `save` have none
        return None if folder is None else (folder, self._list_kept())

    def _list_artefacts(self):
        held = self._held_files()
        return [] if held is None else [held[0].describe("checkpoints of shards", held[1])]

    def _list_kept(self):
        return {name for files in self._files.values() for name in files.values()}

    def _check_parameters(self):
        if isinstance(self.estimator, FrozenEstimator):
            raise TypeError(
                "ShardedUnlearner must train the model of each shard, so that it cannot start from "
                "an already trained one. Pass the estimator itself, or use another method."
            )
        super()._check_parameters()
        model = skorch_nets.unwrap(self.estimator)
        if kind_of(model) == "regressor":
            if self.aggregate == "vote":
                raise ValueError("aggregate='vote' is for classifiers; regressors take 'mean'.")
        elif self.aggregate == "mean" and not hasattr(model, "predict_proba"):
            raise ValueError(
                f"aggregate='mean' needs probabilities, and {type(model).__name__} has no "
                "predict_proba. Use aggregate='vote'."
            )
        if self.n_slices > 1 and not skorch_nets.is_net(model):
            raise ValueError(
                f"n_slices={self.n_slices} needs a skorch net: {type(model).__name__}.fit starts "
                "afresh each time, so that slices would save nothing. Use more shards instead."
            )


def expected_retraining_share(n_shards, n_slices=1, n_requests=1):
    """Expected share of a whole training that a batch of random deletions costs.

    Stage k of a shard is trained again when any of its first k slices is touched, and costs k
    times what the first stage does.

    Parameters
    ----------
    n_shards, n_slices : int
        S and R; slices default to 1.
    n_requests : int, default=1
        Rows forgotten in one call, drawn at random. Calls one after the other cost as much as
        one row each.

    Returns
    -------
    share : float
        In units of the row-epochs of ``fit``; (2R + 1) / (3RS) for one row.

    References
    ----------
    L. Bourtoule et al., "Machine Unlearning", IEEE S&P 2021, https://arxiv.org/abs/1912.03817

    Examples
    --------
    >>> from skunlearn.exact import expected_retraining_share
    >>> round(expected_retraining_share(10), 4)
    0.1
    >>> round(expected_retraining_share(10, 5), 4)
    0.0733
    """
    for name, value in (("n_shards", n_shards), ("n_slices", n_slices), ("n_requests", n_requests)):
        check_scalar(value, name, Integral, min_val=1)
    stages = np.arange(1, n_slices + 1)
    touched = 1 - (1 - stages / (n_shards * n_slices)) ** n_requests
    return float((stages * touched).sum() / stages.sum())
