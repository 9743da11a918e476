"""`compare` and the demo."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB

from skunlearn import (
    FineTuneUnlearner,
    ForestUnlearner,
    ProximalUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    SufficientStatisticsUnlearner,
)
from skunlearn.evaluation import compare
from skunlearn.exceptions import ClassForgottenWarning, NotForgottenWarning
from skunlearn.metrics import MIAScorer
from skunlearn.utils import all_unlearners
from tests.instances import make_net

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{w.__module__}.{w.__name__}")
    for w in (ClassForgottenWarning, NotForgottenWarning)
]


@pytest.fixture(scope="module")
def split():
    X, y = load_digits(return_X_y=True)
    return train_test_split((X / 16).astype(np.float32), y, test_size=0.4, random_state=0)


@pytest.fixture(scope="module")
def report(split):
    X, X_test, y, y_test = split
    net = make_net(lr=0.1, optimizer__weight_decay=0.005)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compare(
            {
                "fine-tuned": FineTuneUnlearner(net, lr=0.3),
                "kept": ProximalUnlearner(net, penalty=1e6),
            },
            X,
            y,
            forget=y == 8,
            X_test=X_test,
            y_test=y_test,
            n_seeds=2,
        )


@pytest.fixture(scope="module")
def table(report):
    return report.wide


def test_figures_are_those_of_the_estimators(report, table, split):
    X, X_test, y, y_test = split
    net = make_net(lr=0.1, optimizer__weight_decay=0.005)
    retrained = RetrainUnlearner(net, random_state=0).fit(X, y)
    original = table.loc["original"]
    assert original["test"] == retrained.score(X_test, y_test)
    assert original["forget train"] == retrained.score(X[y == 8], y[y == 8])
    retrained.unlearn(indices=np.flatnonzero(y == 8))
    row = table.loc["retrained"]
    kept = y_test != 8
    assert row["retained test"] == retrained.score(X_test[kept], y_test[kept])
    assert row["retained train"] == retrained.score(X[y != 8], y[y != 8])
    assert row["over-fit"] == row["retained train"] - row["retained test"]
    assert row["forget unseen"] == row["forget train"] == 0
    assert row["AUC"] == MIAScorer("margin").measure(retrained, X_test, y_test).auc
    assert row["test"] <= report.ceiling == kept.mean()
    assert (
        row["unmatched AUC"]
        == MIAScorer("margin", match=None).measure(retrained, X_test, y_test).auc
    )


def test_seconds_are_ratios_to_retraining(table):
    assert table.loc["retrained", "of retraining"] == 1
    assert np.isnan(table.loc["original", "seconds"])
    ratio = table.loc["kept", "seconds"] / table.loc["retrained", "seconds"]
    assert table.loc["kept", "of retraining"] == ratio


def test_the_trap_of_accuracy_over_all_classes(report, table):
    """The net that kept everything beats the retrained one, and the verdict is not fooled."""
    assert table.loc["kept", "test"] > table.loc["retrained", "test"] + 0.05
    kinds = {name: verdict.kind for name, verdict in report.verdicts.items()}
    floor = kinds.pop(report.roles["floor"])
    assert floor == "indistinguishable"
    assert kinds == {"fine-tuned": "indistinguishable", "kept": "not forgotten"}
    assert any("kept: nothing was unlearned" in text for text in report.warnings)
    assert not any("fine-tuned: nothing" in text for text in report.warnings)


def test_a_second_seed_gives_the_null_band(report, table):
    own = ["original", "retrained", "retrained (2)"]
    floor = report.roles["floor"]
    assert list(table.index) == [own[0], "fine-tuned", "kept", floor, *own[1:]]
    second = table.loc["retrained (2)"]
    assert second["retained test"] > 0.9
    assert second["forget loss"] != table.loc["retrained", "forget loss"]
    agreement = report.frame.query("metric == 'forget agreement'").set_index("model")
    assert agreement.loc["kept", "reference low"] == agreement.loc["retrained (2)", "value"] < 1
    assert agreement.loc["kept", "reference high"] == 1
    assert not agreement.loc["kept", "inside"]


@pytest.mark.parametrize(
    "metric", ["forget worst row", "unseen 95% row", "spread sureness", "spread nearest"]
)
def test_worst_rows_and_spreads_stand_beside_those_of_the_retrained(report, metric):
    """Never a bare number: what two retrained nets have stands beside what a model has."""
    rows = report.frame[report.frame["metric"] == metric].set_index("model")
    retrained = rows.loc[["retrained", "retrained (2)"]]
    assert list(rows.index) == list(report.wide.index)
    low, high = retrained["value"].min() - 1e-9, retrained["value"].max() + 1e-9
    assert rows["reference"].between(low, high).all()
    assert 0 < rows.loc["kept", "value"] < 1
    assert metric in report.to_html()


def test_users_unlearners_are_untouched(split):
    X, X_test, y, y_test = split
    unlearner = FineTuneUnlearner(make_net(max_epochs=2), random_state=3)
    compare({"a": unlearner}, X, y, forget=y == 1, X_test=X_test, y_test=y_test)
    assert not hasattr(unlearner, "estimator_")
    assert unlearner.random_state == 3


def test_names(split):
    X, X_test, y, y_test = split
    unlearner = FineTuneUnlearner(make_net(max_epochs=1))
    rest = {"forget": y == 1, "X_test": X_test, "y_test": y_test}
    with pytest.raises(ValueError, match="Names repeat"):
        compare([unlearner, unlearner], X, y, **rest)
    with pytest.raises(ValueError, match="compare's own models"):
        compare({"original": unlearner}, X, y, **rest)
    with pytest.raises(ValueError, match="is empty"):
        compare([], X, y, **rest)
    report = compare([unlearner], X, y, **rest)
    assert list(report.verdicts) == ["FineTuneUnlearner"]


def test_training_rows_are_refused(split):
    X, _, y, _ = split
    unlearner = FineTuneUnlearner(make_net(max_epochs=1))
    with pytest.raises(ValueError, match="These rows are training rows"):
        compare([unlearner], X, y, forget=y == 1, X_test=X, y_test=y)


def test_methods_with_a_training_of_their_own_stand_beside_others(split):
    """What they keep of their own training, none of another has."""
    X, X_test, y, y_test = (part.reshape(len(part), -1)[:120] if part.ndim > 1 else part[:120]
                            for part in split)  # fmt: skip
    cases = {
        # So unsure that no two rows have a probability of 1, which rounding would order.
        SufficientStatisticsUnlearner: GaussianNB(var_smoothing=10.0),
        ForestUnlearner: RandomForestClassifier(3),
        RidgeUnlearner: Ridge(),
    }
    assert set(all_unlearners(exact=True, nets=False)) <= {cls.__name__ for cls in cases}
    for cls, model in cases.items():
        report = compare(
            {"again": RetrainUnlearner(model), "own": cls(model)},
            X,
            y.astype(float) if cls is RidgeUnlearner else y,
            forget=np.arange(len(X)) < 20,
            X_test=X_test,
            y_test=y_test,
        )
        assert set(report.verdicts) == {"own", "again"}
        if cls is not ForestUnlearner:  # it has randomness of its own
            found = report.wide.loc[["own", "retrained"], "AUC"]
            assert found["own"] == pytest.approx(found["retrained"])


def test_demo(tmp_path, capsys):
    from skunlearn.demo import main

    report = main(["--output", str(tmp_path / "demo.png")])
    assert (tmp_path / "demo.png").exists()
    out = capsys.readouterr().out
    assert "104 8s" in out
    table = report.wide
    floor = "retrained 10/30 epochs"
    assert list(table.index) == ["original", "fine-tuned", "automatic", floor, "retrained"]
    for name in ("fine-tuned", "automatic"):
        # Forgotten, accurate, and moved towards the retrained net: what the README says of it.
        assert table.loc[name, "forget train"] < 0.05
        # What one call may lose; of 649 rows the standard error is half a point.
        assert table.loc[name, "retained test"] > table.loc["retrained", "retained test"] - 0.015
        assert f"{name}: indistinguishable from retrained at this sample size" in out
    assert table.loc["original", "forget train"] > 0.95
    rows = [
        line
        for line in out.splitlines()
        if line.startswith(("right on", "loss on", "attacks,", "time,"))
    ]
    assert len(rows) == 5
    assert rows[0].split()[-5:] == [f"{100 * x:.1f}" for x in table["forget train"]]
    # Fine-tuned nets guess at the digit or rank it high, which a net that never met it does not.
    warned = [line for line in out.splitlines() if line.startswith("Warning: ")]
    assert len(warned) == 1
    assert re.match(
        "Warning: After FineTuneUnlearner the rows of forgotten classes (stand|still speak)",
        warned[0],
    )
    own = [line for line in out.splitlines() if not line.startswith("Picture: ")]
    assert max(map(len, own)) <= 100
