"""What influence says of rows, beside another library and beside retraining."""

import numpy as np
import pytest
import torch
from torch import nn

from skunlearn import InfluenceUnlearner
from skunlearn._rows.views import Rows
from skunlearn.influence import InverseCurvature, influence, projected_influence
from skunlearn.influence._objective import Objective
from tests.influence.small_nets import NETS, UNDAMPED, X, Y, cross_entropy, dense, fixed, logistic
from tests.instances import make_net

# pyDVL 0.10.0, DirectInfluence(module, cross_entropy, regularization=1.0) on the rows below.
PYDVL = np.array(
    [
        [0.14382522, -0.13445556, 0.12888948, 0.33409981, -0.6897433, -0.82440717,
         0.09029379, 0.05776711, -0.07120456, 0.45574399, -0.80021777, -0.51204677],
        [-0.63222978, 0.44124006, 0.43913942, -0.09963385, 0.11490067, 3.53836322,
         -0.73340513, -0.17764049, 0.03785869, -0.3901935, 0.53470445, 4.39262508],
    ]
)  # fmt: skip


@pytest.mark.parametrize("solver", ["cg", "exact"])
def test_influence_is_that_of_pydvl(solver):
    net = cross_entropy()
    net.optimizer_.param_groups[0]["weight_decay"] = 1.0
    test = fixed(2, 3, shift=1.0), np.array([0, 2])
    given = {"tol": 1e-10} if solver == "cg" else {}
    inverse = InverseCurvature(solver=solver, curvature="hessian", damping=0, batch_size=5, **given)
    found = influence(net, X, Y, *test, inverse=inverse)
    # Theirs is of adding a row to n times its weight, and leaves the penalty out of the rows.
    objective = Objective(net, 12, batch_size=5, seed=0)
    pulls = objective.row_gradients(Rows(*test, np.arange(2)))
    matrix = dense(net, Y, NETS["cross_entropy"][2], "hessian") + torch.eye(31)
    share = torch.linalg.solve(matrix, pulls.T).T @ objective.theta
    np.testing.assert_allclose(found * 12 - share.numpy()[:, None], PYDVL, atol=1e-6)


def test_influence_is_the_change_of_the_loss_when_a_row_leaves():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = (X @ rng.normal(size=(3, 3)) + rng.normal(size=(40, 3))).argmax(1)
    test = rng.normal(size=(4, 3)), np.array([0, 1, 2, 0])
    net = logistic(X, y, 0.1)
    found = influence(net, X, y, *test, inverse=UNDAMPED)

    def losses(net):
        logits = net.module_(torch.as_tensor(test[0]))
        return nn.functional.cross_entropy(logits, torch.as_tensor(test[1]), reduction="none")

    before = losses(net).detach().numpy()
    changes = [
        losses(logistic(np.delete(X, i, 0), np.delete(y, i), 0.1)).detach().numpy() - before
        for i in range(40)
    ]
    assert np.corrcoef(found.ravel(), np.transpose(changes).ravel())[0, 1] > 0.99
    # First order: the largest changes are a quarter larger.
    np.testing.assert_allclose(found, np.transpose(changes), atol=0.3 * np.abs(found).max())


def test_projected_influence_averages_influence():
    net = logistic(X, Y, 0.1)
    test = fixed(5, 3, shift=1.0), np.array([0, 2, 1, 1, 0])
    one_by_one = influence(net, X, Y, *test, inverse=UNDAMPED)
    psi = projected_influence(net, X, Y, criteria=[test, "classes"], inverse=UNDAMPED)
    np.testing.assert_allclose(psi[0], 12 * one_by_one.mean(0), atol=1e-10)
    assert psi.shape == (4, 12)
    own = influence(net, X, Y, X, Y, inverse=UNDAMPED)
    np.testing.assert_allclose(
        psi[1:], [12 * own[np.equal(Y, label)].mean(0) for label in range(3)], atol=1e-10
    )


def test_influence_takes_labels_of_an_unlearner(data):
    X, y = data
    names = np.array(["a", "b", "c"])[y]
    unlearner = InfluenceUnlearner(make_net(max_epochs=2), random_state=0).fit(X, names)
    found = influence(unlearner, X, names, X[:2], names[:2])
    np.testing.assert_allclose(
        found, influence(unlearner.estimator_, X, y, X[:2], y[:2]), rtol=1e-5, atol=1e-8
    )
    with pytest.raises(ValueError, match="y_test"):
        influence(unlearner, X, names, X[:2], ["a", "z"])
