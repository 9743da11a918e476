"""A search over ProximalUnlearner's own space, on digits with wrong labels known by heart."""

import numpy as np
import pytest
from sklearn.model_selection import RandomizedSearchCV

from skunlearn import ProximalUnlearner, RetrainUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.metrics import MIAScorer
from skunlearn.model_selection import ForgetSplit, one_standard_error
from tests.heart import told_apart
from tests.instances import make_net

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
N = 1000


def rows(seed):
    X, y = load_digits_images(return_X_y=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(X))
    X, y = X[order], y[order]
    y = np.where(rng.random(len(y)) < 0.2, (y + rng.integers(1, 10, len(y))) % 10, y)
    forget = np.zeros(N, dtype=bool)
    forget[rng.choice(N, 200, replace=False)] = True
    return X[:N], y[:N], (X[N:], y[N:]), forget


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("epochs", [60, 120])
def test_eight_draws_find_what_the_original_weights_do_not_hold(epochs, seed, tmp_path):
    X, y, unseen, forget = rows(seed)
    net, gone = make_net(max_epochs=epochs, module__hidden=512), (X[forget], y[forget])
    unlearner = ProximalUnlearner(net, random_state=seed, memory=str(tmp_path))
    space, found = unlearner.search_space(), {}
    for name, changed in {"whole": {}, "original": {"anchor": [1.0]}}.items():
        search = RandomizedSearchCV(
            unlearner, space | changed, n_iter=8, random_state=seed, refit=one_standard_error,
            cv=ForgetSplit(2, forget=forget, random_state=0),
            scoring={"accuracy": "accuracy", "forgetting": MIAScorer(reference="short")},
        )  # fmt: skip
        search.fit(X, y, forget=forget)
        found[name] = search.best_estimator_
    fitted = RetrainUnlearner(net, random_state=seed, memory=str(tmp_path)).fit(X, y)
    before, accuracy = told_apart(fitted, gone, unseen), fitted.score(*unseen)
    wanted = told_apart(fitted.unlearn(indices=np.flatnonzero(forget)), gone, unseen)
    after, held = (told_apart(found[name], gone, unseen) for name in ("whole", "original"))
    said = f"original {before}, retrained {wanted}, found {after}, at the original weights {held}"
    print(said, accuracy, found["whole"].score(*unseen), fitted.score(*unseen))
    for side in (0, 1):
        assert abs(after[side] - wanted[side]) < 0.06, said
    assert abs(held[0] - wanted[0]) > 0.1, said
    assert found["whole"].score(*unseen) > accuracy, said
