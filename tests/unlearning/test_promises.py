"""What a method says about itself, by its class or for one instance."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skunlearn import NetUnlearner, RetrainUnlearner, RUMUnlearner, UnlearningPipeline
from skunlearn.base import Promises
from skunlearn.utils import all_unlearners, unlearner_tags
from tests.small import FORGET, net

pytestmark = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")


class Penalised(NetUnlearner):
    """An outsider's method, which reads forget rows only where it punishes them."""

    _promises = replace(NetUnlearner._promises, reads_forget_labels=False)

    def __init__(self, estimator, *, lr=None, max_epochs=None, penalty=0.0, random_state=None):
        super().__init__(estimator, lr=lr, max_epochs=max_epochs, random_state=random_state)
        self.penalty = penalty

    def _make_promises(self):
        return replace(super()._make_promises(), reads_forget_rows=self.penalty > 0)

    def _unlearn(self, net, retain, forget):
        assert forget is not None or not self.penalty
        self._run(net, retain)


def test_an_outsiders_promises_are_kept_and_reported(data):
    X, y = data
    tags = unlearner_tags(Penalised)
    assert (tags.needs_forget, tags.needs_labels, tags.needs_retain) == (True, False, True)
    assert not unlearner_tags(Penalised(net())).needs_forget
    kept = np.delete(np.arange(len(X)), FORGET)
    given = {"X_retain": X[kept], "y_retain": y[kept]}
    for penalty in (0.0, 1.0):
        unlearner = Penalised(net(), lr=0.05, random_state=0, penalty=penalty).fit(X, y).detach()
        if penalty:
            with pytest.raises(ValueError, match="works on the forget rows"):
                unlearner.unlearn(indices=FORGET, **given)
        else:
            assert len(unlearner.unlearn(indices=FORGET, **given).deletions_) == 1


def test_what_is_no_promise_is_refused():
    with pytest.raises(TypeError, match="reads_forget_row"):
        replace(NetUnlearner._promises, reads_forget_row=False)
    with pytest.raises(FrozenInstanceError):
        NetUnlearner._promises.exact = True


def test_every_class_holds_promises():
    for name, cls in all_unlearners().items():
        assert isinstance(cls._promises, Promises), name
        assert not (cls._promises.exact and cls._promises.certified), name


def test_promises_may_depend_on_parameters():
    assert not RUMUnlearner(net())._make_promises().trains_from_scratch
    assert RUMUnlearner(net(), memorisation="retrain")._make_promises().trains_from_scratch


def test_a_pipeline_promises_what_its_steps_allow():
    steps = [("scale", StandardScaler()), ("model", RetrainUnlearner(LogisticRegression()))]
    assert unlearner_tags(UnlearningPipeline(steps)).exact
    assert not unlearner_tags(UnlearningPipeline(steps, refit_transformers=False)).exact
