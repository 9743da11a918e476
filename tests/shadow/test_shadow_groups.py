"""Shadow models whose halves are drawn by groups."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.tree import DecisionTreeClassifier

from skunlearn.shadow import ShadowModels


@pytest.fixture(scope="module")
def pool():
    return make_classification(240, 8, n_informative=5, flip_y=0.3, random_state=0)


def tree():
    return DecisionTreeClassifier(min_samples_leaf=2, random_state=0)


def test_rows_of_a_group_are_in_the_same_models(pool):
    X, y = pool
    groups = np.array(["a", "b", "c", "d", "e", "f"])[np.arange(240) // 7 % 6]
    candidates = np.arange(240) >= 30
    shadows = ShadowModels(tree(), n_models=6, keep_outputs=True, random_state=0)
    shadows.fit(X, y, candidates=candidates, groups=groups)
    assert shadows.membership_[:, ~candidates].all()
    for name in "abcdef":
        same = shadows.membership_[:, candidates & (groups == name)]
        assert (same == same[:, :1]).all()
        assert same[:, 0].sum() == 3
    # Of a whole group half of the models can be asked, which saw none of it.
    rows = np.flatnonzero(candidates & (groups == "c"))
    _, counts, together = shadows.lend().ask(X[rows])
    assert together
    assert set(counts) == {3}
    with pytest.raises(ValueError, match="All candidates are of one group"):
        shadows.fit(X, y, candidates=groups == "a", groups=groups)
    with pytest.raises(ValueError, match="groups has 239 entries, but X has 240 rows"):
        shadows.fit(X, y, groups=groups[1:])


def test_a_folder_knows_by_which_groups_halves_were_drawn(pool, tmp_path):
    X, y = pool
    shadows = ShadowModels(tree(), n_models=4, folder=tmp_path, random_state=0)
    first = shadows.fit(X, y, groups=np.arange(240) // 2).membership_
    assert np.array_equal(shadows.fit(X, y, groups=np.arange(240) // 2).membership_, first)
    for groups in (None, np.arange(240) // 3):
        with pytest.raises(ValueError, match="shadow models of another task"):
            shadows.fit(X, y, groups=groups)
