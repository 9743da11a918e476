"""Learning rates, batch sizes and schedules act on what is in force, whoever set it."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from torch.utils.data import DataLoader

from skunlearn import (
    BoundaryUnlearner,
    FineTuneUnlearner,
    GradientAscentUnlearner,
    L1SparseUnlearner,
    ProximalUnlearner,
    RandomLabelUnlearner,
    SCRUBUnlearner,
    UNSIRUnlearner,
)
from skunlearn._torch.loop.learning_rates import (
    batch_size,
    main_rate,
    rates,
    recipe_rate,
    scale_rates,
)
from skunlearn._torch.skorch_nets import copy_net
from skunlearn.evaluation import relearn_time
from skunlearn.utils._check_tools import parameters
from tests.small import FORGET, net, quiet
from tests.torch.rates import (
    EDITS,
    SHRINK,
    TRAINS,
    Rates,
    _params,
    fresh,
    recipes,
    request,
    watched,
)
from tests.turns import crossed_in_turns

pytestmark = quiet


# ------------------------------------------------------------------ rates


@recipes
def test_the_rate_that_lr_stands_for(recipe):
    model, main, own = fresh(recipe)
    assert recipe_rate(model) == main
    assert main_rate(type(model)(**_params(model)).initialize()) == main
    assert main in own
    low, high = FineTuneUnlearner(model).search_space("grid", n_points=2)["lr"]
    assert (low, high) == pytest.approx((main / 10, main * 3), rel=1e-2)
    low, high = GradientAscentUnlearner(model).search_space("grid", n_points=2)["lr"]
    # Up to the net's own rate, which small classes may get.
    assert (low, high) == pytest.approx((0.03 * main / 10, main), rel=1e-2)


@recipes
def test_lr_scales_every_group(data, recipe):
    X, y = data
    model, main, own = fresh(recipe)
    seen, _, unlearner = request(FineTuneUnlearner, model, X, y, lr=2 * main, schedule="constant")
    np.testing.assert_allclose(seen, np.broadcast_to(2 * own, seen.shape))
    # The next request starts from the net's own rates, and so does who trains on.
    np.testing.assert_allclose(rates(unlearner.estimator_), own)
    unlearner.set_params(lr=None)
    Rates.seen.clear()
    unlearner.unlearn(indices=[20])
    np.testing.assert_allclose(Rates.seen, np.broadcast_to(own, (len(Rates.seen), len(own))))


@pytest.mark.parametrize(
    "name, recipe",
    crossed_in_turns(
        [n for n in TRAINS if n not in (*EDITS, *SHRINK, "AmnesiacUnlearner")],
        ["optimizer__lr", "groups", "own optimizer"],
    ),
)
def test_a_rate_of_nothing_moves_nothing(data, recipe, name):
    X, y = data
    model, *_ = fresh(recipe)
    options = [{}]
    if issubclass(TRAINS[name], RandomLabelUnlearner):
        options = [{"order": "mixed"}, {"order": "sequential"}]
    elif name == "L1SparseUnlearner":
        options = [{"gamma": 1e-4}]  # the default makes up for the rate
    elif name == "OracleMatchingUnlearner":
        oracle = fresh(recipe)[0].fit(X, y)  # without one it trains anew in so short a recipe
        options = [{"oracle": FrozenEstimator(oracle)}]
    for params in options:
        unlearner = TRAINS[name](model, lr=1e-12, max_epochs=2, random_state=0, **params)
        before = parameters(unlearner.fit(X, y).estimator_)
        after = parameters(unlearner.unlearn(indices=FORGET).estimator_)
        assert max(np.abs(before[key] - after[key]).max() for key in before) < 1e-6


@recipes
def test_the_share_of_methods_that_take_small_steps(data, recipe):
    X, y = data
    model, _, own = fresh(recipe)
    for kind in ("shrink", "expand"):
        seen, *_ = request(BoundaryUnlearner, model, X, y, schedule="constant", kind=kind)
        np.testing.assert_allclose(seen, np.broadcast_to(0.03 * own, seen.shape))


@recipes
@pytest.mark.parametrize("cls", [SCRUBUnlearner, UNSIRUnlearner, RandomLabelUnlearner])
def test_methods_of_several_phases(data, recipe, cls):
    X, y = data
    model, main, own = fresh(recipe)
    order = {"order": "sequential"} if cls is RandomLabelUnlearner else {}
    seen, *_ = request(cls, model, X, y, lr=main / 2, max_epochs=4, **order)
    shares = seen / own
    np.testing.assert_allclose(shares, np.broadcast_to(shares[:, :1], shares.shape))
    assert np.unique(shares.round(6)).tolist() == [0.125, 0.25, 0.375, 0.5]
    assert (np.diff(shares[:, 0]) <= 1e-12).all()


def test_penalties_adapt_to_the_rates_in_force(data):
    """λ times the mean distance of a step, over the weights, times the steps, is a quarter."""
    X, y = data
    model, _, own = fresh("groups")
    unlearner = ProximalUnlearner(model, max_epochs=3, schedule="constant").fit(X, y)
    new = copy_net(unlearner.estimator_)
    unlearner._set_recipe(new)
    sizes = [sum(p.numel() for p in g["params"]) for g in new.optimizer_.param_groups]
    mean = np.average(own, weights=sizes) / (1 - 0.9)
    retain = unlearner._record.view(np.arange(60))
    assert unlearner._adapt(new, retain) == pytest.approx(0.25 / (mean * 3 * 4))
    gamma = [
        L1SparseUnlearner(model, lr=rate).fit(X, y)._adapt(scaled, retain, params)
        for rate in (None, 0.2)
        for scaled in [copy_net(unlearner.estimator_)]
        for params in [list(scaled.module_.parameters())]
        for _ in [scale_rates(scaled, 1.0 if rate is None else rate / 0.1)]
    ]
    assert gamma[1] == pytest.approx(gamma[0] / 2)


def test_searches_see_other_rates(data):
    """Three candidates no longer end with one and the same model."""
    X, y = data
    model, *_ = fresh("optimizer__lr")
    ends = [
        parameters(
            FineTuneUnlearner(model, lr=lr, random_state=0)
            .fit(X, y)
            .unlearn(indices=FORGET)
            .estimator_
        )["module.out.weight"]
        for lr in (0.01, 0.1, 0.3)
    ]
    assert not np.array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[1], ends[2])


def test_attacks_that_train_use_the_rates_in_force(data):
    X, y = data
    model, *_ = fresh("optimizer__lr")
    unlearner = FineTuneUnlearner(watched(model), random_state=0).fit(X, y)
    models = {"original": unlearner.estimator_}
    models["other"] = unlearner.unlearn(indices=FORGET).estimator_
    models["other"].module_.out.weight.data.mul_(-1)
    Rates.seen.clear()
    relearn_time(models, X[FORGET], y[FORGET], lr=[0.5], max_epochs=1)
    np.testing.assert_allclose(Rates.seen, 0.1)


class NoRate(torch.optim.SGD):
    """Has rates of zero."""

    def __init__(self, params, lr):
        super().__init__(params, lr=0.0)


def test_a_rate_that_nothing_uses_is_an_error(data):
    X, y = data
    model = net(max_epochs=1)
    model.set_params(optimizer=NoRate)
    del model.optimizer__momentum
    unlearner = FineTuneUnlearner(model, lr=0.1).fit(X, y)
    with pytest.raises(ValueError, match="lr= would have no effect: NoRate has no learning rate"):
        unlearner.unlearn(indices=FORGET)


def test_rates_in_tensors_stay_tensors():
    model = net(optimizer=torch.optim.Adam, module__n_out=3, lr=torch.tensor(0.01))
    del model.optimizer__momentum
    model.set_params(optimizer__capturable=False).initialize()
    scale_rates(model, 2.0)
    rate = model.optimizer_.param_groups[0]["lr"]
    assert isinstance(rate, torch.Tensor)
    assert rate.item() == pytest.approx(0.02)


# ------------------------------------------------------------------ batches


@pytest.mark.parametrize("given", [{}, {"iterator_train__batch_size": 10}])
def test_batch_size_is_that_in_force(data, given):
    X, y = data
    model = net(batch_size=16, **given)
    _, sizes, unlearner = request(FineTuneUnlearner, model, X, y, batch_size=27, max_epochs=1)
    assert sizes == [27, 27]
    own = given.get("iterator_train__batch_size", 16)
    assert batch_size(unlearner.estimator_) == own
    unlearner.set_params(batch_size=None)
    Rates.sizes.clear()
    unlearner.unlearn(indices=[20])
    assert Rates.sizes[0] == own


@pytest.mark.parametrize("given", [{}, {"iterator_train__batch_size": 10}])
def test_batch_sizes_of_phases(data, given):
    X, y = data
    model = net(batch_size=16, **given)
    own = given.get("iterator_train__batch_size", 16)
    params = {"max_epochs": 1, "forget_batch_size": 4}
    _, sizes, unlearner = request(SCRUBUnlearner, model, X, y, **params)
    assert sizes[:2] == [4, 2]
    assert sizes[2] == own
    assert batch_size(unlearner.estimator_) == own


def test_iterators_of_the_users_own_get_it_too(data):
    X, y = data

    class Mine(DataLoader):
        pass

    model = net(batch_size=16, iterator_train=Mine, iterator_train__batch_size=10)
    _, sizes, _ = request(FineTuneUnlearner, model, X, y, batch_size=27, max_epochs=1)
    assert sizes == [27, 27]
