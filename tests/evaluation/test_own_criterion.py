"""Reports on a regression rest on the error that its net was trained by, and name it."""

import json
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import make_regression
from torch import nn

from skunlearn import ProximalUnlearner, RetrainUnlearner
from skunlearn._torch.row_errors import SQUARED_ERROR, find_row_error
from skunlearn.evaluation import _values, audit, compare
from skunlearn.evaluation.figures import Reference, Sets
from tests.instances import make_regressor_net

N = 200


@pytest.fixture(scope="module")
def numbers():
    """Rows of which one in ten has a target that is far off."""
    X, y = make_regression(400, 6, noise=20.0, random_state=0)
    y = y / y.std()
    y[::10] += 15 * np.random.default_rng(0).choice([-1, 1], size=40)
    X, y = X.astype(np.float32), y.astype(np.float32)
    return X[:N], y[:N], X[N:], y[N:]


@pytest.fixture(scope="module")
def report(numbers):
    X, y, X_test, y_test = numbers
    net = make_regressor_net(
        module__hidden=128, max_epochs=300, criterion=nn.HuberLoss, criterion__delta=0.5
    )
    kept = ProximalUnlearner(net, penalty=1e6, max_epochs=1, lr=1e-7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unlearners = {"kept": kept, "again": RetrainUnlearner(net)}
        return compare(unlearners, X, y, forget=np.arange(N) < 40, X_test=X_test, y_test=y_test)


def test_a_report_names_the_error_and_has_its_means(report):
    assert report.error == "Huber loss (delta=0.5)"
    assert json.loads(report.to_json())["error"] == report.error
    assert report.curves["kept"]["attack"] == report.error
    own = ["test error", "retained train error", "over-fit error", "forget train error"]
    assert list(report.wide)[:4] == own
    assert set(report.wide) > {"test MSE", "test R²", "forget train MSE"}  # as of other regressions
    for text in (str(report), report.to_html()):
        assert report.error in text
    kinds = {name: verdict.kind for name, verdict in report.verdicts.items()}
    kept, again = kinds.pop("kept"), kinds.pop("again")
    assert (kept, again) == ("not forgotten", "indistinguishable")
    assert list(kinds) == ["retrained 1/300 epochs"]
    assert f"mean {report.error}" in str(report.verdicts["kept"])
    rows = report.frame.set_index(["model", "metric"]).loc["kept"]
    assert rows.loc["forget train error", "difference high"] < 0
    wide = report.wide
    for metric in ("test error", "test MSE", "forget train error"):
        assert rows.loc[metric, "difference"] == pytest.approx(
            wide.loc["kept", metric] - wide.loc["retrained", metric]
        )


def test_figures_are_those_of_torch(numbers):
    X, y, X_test, y_test = numbers
    counts = np.abs(np.round(y))
    net = make_regressor_net(
        criterion=nn.PoissonNLLLoss, predict_nonlinearity=torch.exp, lr=0.01, max_epochs=20
    )
    unlearner = RetrainUnlearner(net, random_state=0).fit(X, counts).unlearn(indices=range(20))
    report = audit(unlearner, X_test, np.abs(np.round(y_test)))
    assert report.error == "Poisson deviance"
    loss = nn.PoissonNLLLoss(full=False)
    rate, target = (torch.tensor(a).double() for a in (unlearner.predict(X[:20]), counts[:20]))
    best = loss(target.clamp_min(1e-300).log(), target)
    found = report.wide.loc["RetrainUnlearner", "forget train error"]
    assert found == pytest.approx(2 * float(loss(rate.log().reshape(-1), target) - best), rel=1e-3)
    assert report.verdicts["RetrainUnlearner"].kind == "indistinguishable"


def test_squared_errors_remain_those_of_everything_else(numbers):
    X, y, X_test, y_test = numbers
    unlearner = RetrainUnlearner(make_regressor_net(), random_state=0).fit(X, y)
    report = audit(unlearner.unlearn(indices=range(20)), X_test, y_test)
    assert report.error == "squared error"
    assert not [name for name in report.wide if name.endswith(" error")]


def test_one_far_target_does_not_hide_what_is_known():
    """By squared errors both models are as bad."""
    rng = np.random.default_rng(0)
    y, y_unseen = rng.normal(size=60), rng.normal(size=400)
    noise, noise_unseen = rng.normal(size=60), rng.normal(size=400)
    far = np.zeros(60)
    far[0], noise[0] = 20, 0
    retrained = {"forget": y + noise + far, "unseen": y_unseen + noise_unseen}
    outputs = {"forget": y + 0.93 * noise + far, "unseen": y_unseen + noise_unseen}
    kinds = {}
    for error in (SQUARED_ERROR, find_row_error(make_regressor_net(criterion=nn.L1Loss), [y])):
        where = {"forget": y, "unseen": y_unseen}
        sets = Sets(where, np.array([], dtype=int), 0.95, 0, error)
        attacked = _values.measure(outputs, sets, None, Reference(retrained))[1]
        kinds[error.name] = _values.judge(outputs, [retrained], attacked, sets, 0.03).kind
    assert kinds["absolute error"] == "not forgotten"
    assert kinds["squared error"] != "not forgotten"
