"""A request does not sort the training rows."""

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from skunlearn import FineTuneUnlearner, RetrainUnlearner, ShardedUnlearner
from skunlearn.shadow import ShadowModels
from tests.instances import make_net

N = 600


@pytest.fixture
def sorted_sizes(monkeypatch):
    """Sizes of the arrays that numpy was asked to sort; set operations sort as well."""
    sizes = []

    def watched(plain):
        def watch(first, *args, **kwargs):
            sizes.append(np.size(first))
            return plain(first, *args, **kwargs)

        return watch

    for name in ("sort", "argsort", "setdiff1d", "intersect1d", "union1d"):
        monkeypatch.setattr(np, name, watched(getattr(np, name)))
    return sizes


def request_to_shards(X, y):
    """One row, of shards of sixty."""
    unlearner = ShardedUnlearner(GaussianNB(), n_shards=10, random_state=0).fit(X, y)
    return lambda: unlearner.unlearn(indices=[7])


def request_with_rows_held_out(X, y):
    """Fine-tuning for an epoch, with some rows kept out."""
    net = make_net(module__n_out=3, max_epochs=1, batch_size=N)
    unlearner = FineTuneUnlearner(net, early_stopping=True, random_state=0).fit(X, y)
    return lambda: unlearner.unlearn(indices=[7])


def request_to_shadow_models(X, y):
    """Four models that forget half of their rows."""
    model = RetrainUnlearner(GaussianNB(), random_state=0)
    shadows = ShadowModels(model, n_models=4, random_state=0)
    return lambda: shadows.fit(X, y, candidates=np.arange(N) < N // 2)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "prepare", [request_to_shards, request_with_rows_held_out, request_to_shadow_models]
)
def test_rows_are_told_apart_by_a_mask(prepare, sorted_sizes):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 4)).astype(np.float32), rng.integers(0, 3, N)
    request = prepare(X, y)
    sorted_sizes.clear()
    request()
    assert max(sorted_sizes, default=0) < N // 2
