"""Random requests to forests, which draw anew: draws, trees, and what they say together."""

import numpy as np
from sklearn.base import is_classifier

from skunlearn.exact._frozen_forest import _is_grown_on
from tests.fuzz_exact import Trial

FAR = 5.0  # standard errors that chance does not reach


class ForestTrial(Trial):
    """After each request no tree has seen what is gone, and each was grown on its draw of the rest.

    At the end the shares of trees that hold a row, and what they say together, are those of forests
    grown on the rest, up to chance. `drift` is by how much they differ, in units of `FAR`.
    """

    def compare(self):
        """What holds of each tree, and that the record is right."""
        unlearner, gone = self.unlearner, np.flatnonzero(~self.left)
        assert np.array_equal(unlearner._record.retained, self.left)
        draws, model = unlearner._draws, unlearner.estimator_
        assert not len(gone) or not draws.mark_touched(gone).any()
        y = self.y
        if is_classifier(model):
            assert np.array_equal(model.classes_, np.unique(y[self.left]))
            y = np.searchsorted(model.classes_, y)
        X = self.X.astype(np.float32)
        for number, member in enumerate(model.estimators_):
            drawn = np.flatnonzero(draws.holds(number, np.arange(self.n)))
            assert len(drawn) <= self.draws
            if is_classifier(member):  # a table of draws holds no repeats, which weigh for means
                assert _is_grown_on(member, X, y, drawn), f"tree {number} is of other rows"
            else:
                assert member.tree_.n_node_samples[0] == len(drawn)

    @property
    def draws(self):
        """How many rows a tree is drawn: what it was at first."""
        most = self.make().estimator.max_samples
        return most if isinstance(most, int) else self.n

    def run(self, n):
        """As of `Trial`, with `chance` at the end."""
        super().run(n)
        return max(self.differ_in_draws(), self.differ_in_words()) / FAR

    def differ_in_draws(self):
        """Of the share of trees that hold each retained row, from the law's, in standard errors."""
        left, draws = np.flatnonzero(self.left), self.unlearner._draws
        members = len(self.unlearner.estimator_.estimators_)
        held = np.array([draws.holds(k, left) for k in range(members)])
        if getattr(self.unlearner.estimator_, "bootstrap", True):
            share = 1 - (1 - 1 / len(left)) ** self.draws
        else:
            share = min(1.0, self.draws / len(left))
            assert (held.sum(axis=1) == min(self.draws, len(left))).all()
        error = np.sqrt(max(share * (1 - share), 1e-9) / members)
        return float(np.abs(held.mean(axis=0) - share).max() / error)

    def differ_in_words(self):
        """Of the members' mean, from a fresh forest's of as many draws, in standard errors."""
        left = self.left
        fresh = self.make()
        fresh.estimator.set_params(max_samples=min(self.draws, left.sum()))
        fresh.set_params(random_state=self.seed + 1).fit(self.X[left], self.y[left])
        said = [self.say(model) for model in (self.unlearner, fresh)]
        means = [words.mean(axis=0) for words in said]
        spread = sum(words.var(axis=0) / len(words) for words in said)
        # One tree in sixty may say what no other does.
        return float((np.abs(means[0] - means[1]) / np.sqrt(spread + 1e-3)).max())

    def say(self, unlearner):
        """What each member says of unseen rows, scaled to about one."""
        model, X = unlearner.estimator_, self.X_test.astype(np.float32)
        if is_classifier(model):
            return np.array([member.predict_proba(X) for member in model.estimators_])
        size = np.std(self.y[self.left])
        return np.array([member.predict(X) / size for member in model.estimators_])
