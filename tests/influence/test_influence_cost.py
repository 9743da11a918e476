"""`influence` says what it may cost before it begins."""

import warnings

import pytest

from skunlearn.exceptions import CostWarning
from skunlearn.influence import InverseCurvature, _curvature, influence, inverse_curvature
from tests.instances import make_net


@pytest.mark.parametrize(
    ("solver", "seconds", "told"), [("cg", 2.5, True), ("cg", 1e-6, False), ("ekfac", 2.5, False)]
)
def test_what_many_test_rows_may_cost_is_said(data, solver, seconds, told, monkeypatch):
    X, y = data
    net = make_net(max_epochs=2).fit(X, y)
    for epoch in net.history:
        epoch["dur"] = 1.5

    def begin(curvature, inverse, verbose):
        raise KeyboardInterrupt("the solver's turn")

    def time_once(run, device):
        run()
        return seconds

    monkeypatch.setattr(inverse_curvature, "make_solver", begin)
    monkeypatch.setattr(_curvature, "time_once", time_once)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(KeyboardInterrupt):
            influence(net, X, y, X[:20], y[:20], inverse=InverseCurvature(solver=solver))
    said = [str(w.message) for w in caught if w.category is CostWarning]
    assert len(said) == told
    if told:  # two blocks of at most 16 rows, of 200 products each
        assert f"influence may take up to {400 * seconds:.0f} seconds" in said[0]
