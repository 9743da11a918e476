"""Several models of one task as one."""

import numpy as np
from scipy.special import softmax
from sklearn.utils.metaestimators import available_if

from skunlearn._rows.containers import n_rows
from skunlearn._torch import inference, shared_parameters, skorch_nets
from skunlearn._torch.parts.tasks import Labels, task_of


class ShardEnsemble:
    """Models that were trained apart, and predict together.

    Parameters
    ----------
    members : list of fitted nets or scikit-learn estimators
        None where a shard holds no row.
    classes : see `task_of`
    vote : bool
        Whether classes are voted on; otherwise probabilities are averaged.
    n_targets : int or None
        Columns of the targets of a regression; None where they are no columns.

    Notes
    -----
    Frozen parameters that nets have in common (a public base below an adapter for each) are in
    memory once, and once in a pickle: every net has layers of its own around the same tensors. To
    unfreeze and train them in place would change all members, and so would merging an adapter into
    them: merge it in ``copy.deepcopy(member)``, whose weights are its own.
    """

    names_likeliest = True  # `predict` is the largest of `predict_proba`

    def __init__(self, members, classes, *, vote=False, n_targets=None):
        self.members, self.vote, self.n_targets = members, vote, n_targets
        self._classes, self._classifies = classes, classes is not None
        if task_of(classes).has_one_class:
            self.classes_ = classes

    def __repr__(self):
        kinds = sorted({type(m).__name__ for m in self.members if m is not None})
        return f"ShardEnsemble of {len(self.members)} {', '.join(kinds)}"

    def __getstate__(self):
        nets = [m for m in self.members if skorch_nets.is_net(m)]
        shared = shared_parameters.find_common(nets)
        if not shared:
            return vars(self)
        # Every net would write them, as skorch's nets do not know of each other.
        members, left = list(self.members), {}
        for i, member in enumerate(members):
            if skorch_nets.is_net(member):
                members[i], *left[i] = shared_parameters.hollow_out(member, shared)
        return vars(self) | {"members": members, "shared": shared, "left": left}

    def __setstate__(self, state):
        shared, left = state.pop("shared", []), state.pop("left", {})
        vars(self).update(state)
        for i, (places, given) in left.items():
            if places:
                shared_parameters.fill(self.members[i], shared, places, given)

    def _digested(self):
        """What a digest of the weights is made of: what members share once, and without copies."""
        nets = [m for m in self.members if skorch_nets.is_net(m)]
        shared = shared_parameters.find_common(nets)
        if not shared:
            return vars(self)
        members = [
            shared_parameters.set_apart(member, shared) if skorch_nets.is_net(member) else member
            for member in self.members
        ]
        return vars(self) | {"members": members, "shared": shared}

    def count_bytes(self):
        """What the members take in memory.

        Returns
        -------
        sizes : dict
            "shared": bytes of the parameters that nets have in common, which are held once;
            "own": list of int, the bytes that each member holds beside them, 0 for None and for
            what is no net.
        """
        nets = {i: m for i, m in enumerate(self.members) if skorch_nets.is_net(m)}
        shared, own = shared_parameters.count_bytes(nets.values())
        own = dict(zip(nets, own))
        return {"shared": shared, "own": [own.get(i, 0) for i in range(len(self.members))]}

    def predict(self, X):
        """Labels, or the mean of the members' predictions."""
        if isinstance(self._classes, Labels):
            return (self._shares(X) > 0.5).astype(np.int64)
        if self._classifies:
            return self.classes_[self._shares(X).argmax(axis=1)]
        return self._mean(self._values, X)

    @available_if(lambda ensemble: ensemble._classifies)
    def predict_proba(self, X):
        """Mean probability of each class or label, or its share of the votes."""
        return self._shares(X)

    def noting(self, answers=()):
        """This ensemble for one set of rows, keeping in `answers` what each member says of them.

        Parameters
        ----------
        answers : iterable of ((model, bool), ndarray)
            What members said of the same rows before, each with whether they voted: those of this
            ensemble are not asked again.
        """
        ours, new = {id(m) for m in self._present()}, object.__new__(type(self))
        vars(new).update(vars(self))  # copy.copy would write all members as a pickle does
        new.answers = tuple(
            (asked, said)
            for asked, said in answers
            if id(asked[0]) in ours and asked[1] == self.vote
        )
        return new

    def _present(self):
        return [m for m in self.members if m is not None]

    def _shares(self, X):
        return self._mean(self._votes if self.vote else self._probabilities, X)

    def _mean(self, each, X):
        known = vars(self).get("answers")
        if known is None:
            return sum(each(m, X) for m in self._present()) / len(self._present())
        said = {id(asked[0]): answer for asked, answer in known}
        self.answers = tuple(
            ((m, self.vote), said[id(m)] if id(m) in said else each(m, X)) for m in self._present()
        )
        return sum(answer for _, answer in self.answers) / len(self._present())

    def _votes(self, member, X):
        if isinstance(self._classes, Labels):
            return (self._probabilities(member, X) > 0.5).astype(np.float64)
        if skorch_nets.is_net(member):
            chosen = self._probabilities(member, X).argmax(axis=1)
        else:
            chosen = np.searchsorted(self.classes_, member.predict(X))
        return np.eye(len(self.classes_))[chosen]

    def _probabilities(self, member, X):
        if not skorch_nets.is_net(member):
            p = np.zeros((n_rows(X), len(self.classes_)))
            p[:, np.searchsorted(self.classes_, member.classes_)] = member.predict_proba(X)
            return p
        p = inference.predict_proba(member, X, self._classes)
        if isinstance(self._classes, Labels):
            return p
        k = len(self.classes_)
        if (p < 0).any() or not np.allclose(p.sum(axis=1), 1, atol=1e-3):
            # With a criterion of the user's own, skorch hands on what the module returned.
            return softmax(p[:, :k].astype(np.float64), axis=1)
        return inference.share_out(p[:, :k])

    def _values(self, member, X):
        if not skorch_nets.is_net(member):
            return member.predict(X)
        y = inference.predict(member, X)
        return y.reshape(len(y), *(() if self.n_targets is None else (self.n_targets,)))
