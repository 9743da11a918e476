"""The stress test: its figures, its conditions, and that it goes on after a kill."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist
from scipy.stats import binomtest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression

from skunlearn import (
    AmnesiacUnlearner,
    FineTuneUnlearner,
    GradientAscentUnlearner,
    RetrainUnlearner,
)
from skunlearn.forget_sets import (
    backdoor_forget_set,
    class_forget_set,
    mislabelled_forget_set,
    random_forget_set,
)
from skunlearn.metrics import backdoor_success_rate, expected_calibration_error
from skunlearn.plotting import RobustnessDisplay
from skunlearn.robustness import (
    CORRUPTIONS,
    Adversarial,
    Corruption,
    NearForgotten,
    Subpopulation,
    _measuring,
    robustness_report,
)
from skunlearn.robustness._parsing import parse
from tests.robustness.reports import KEY, by_hand, net, stress, value
from tests.small import quiet

pytestmark = quiet


# ------------------------------------------------------------------ figures


def test_clean_figures_by_hand(frame, rows):
    X, y, X_test, y_test = rows
    codes, codes_test = (np.searchsorted([2, 5, 7], labels) for labels in (y, y_test))
    for name, mask in (
        ("some", random_forget_set(y, 20, random_state=0).mask),
        ("class", y == 5),
    ):
        models = by_hand(rows, mask)
        kept = np.ones(80, bool) if name == "some" else y_test != 5
        known = {m: f(X[mask]).argmax(1) == codes[mask] for m, f in models.items()}
        for model, logits in models.items():
            found = logits(X_test)
            right = found.argmax(1) == codes_test
            place = (name, "clean", 0, model)
            assert value(frame, *place, "retained accuracy") == right[kept].mean()
            assert value(frame, *place, "forget accuracy") == known[model].mean()
            assert value(frame, *place, "residual knowledge") == pytest.approx(
                (known[model] & ~known["retrained"]).mean()
            )
            assert value(frame, *place, "calibration error") == pytest.approx(
                expected_calibration_error(found[kept], codes_test[kept])
            )
            if name == "class":
                assert value(frame, *place, "forgotten accuracy") == right[~kept].mean()
    assert value(frame, "class", "clean", 0, "original", "forget accuracy") > 0.8
    assert value(frame, "class", "clean", 0, "retrained", "forget accuracy") == 0
    assert not (frame.query("`forget set` == 'some'")["metric"] == "forgotten accuracy").any()


def test_intervals_drops_and_directions(frame):
    row = frame.query("`forget set` == 'class' and condition == 'clean' and model == 'tuned'")
    row = row.set_index("metric")
    accuracy = row.loc["retained accuracy"]
    kept = round(80 * 2 / 3)  # about; the exact count follows from the interval
    counts = [n for n in range(kept - 12, kept + 13)
              if abs(accuracy["value"] * n - round(accuracy["value"] * n)) < 1e-9
              and np.isclose(binomtest(round(accuracy["value"] * n), n).proportion_ci(
                  0.95, "exact").low, accuracy["low"])]  # fmt: skip
    assert len(counts) == 1
    for name in ("original", "retrained"):
        theirs = value(frame, "class", "clean", 0, name, "retained accuracy")
        assert accuracy[name] == theirs
        assert accuracy[f"drop from {name}"] == theirs - accuracy["value"]
    assert row.loc["residual knowledge", "direction"] == "lower"
    assert row.loc["forget accuracy", "direction"] == "retrained"
    assert np.isnan(row.loc["calibration error", "low"])
    assert not frame.duplicated(KEY).any()
    mine = frame.query("model == 'retrained'")
    assert (mine["drop from retrained"] == 0).all()
    assert list(frame["model"].unique()) == ["original", "tuned", "retrained", "retrained (2)"]


def test_corrupted_figures_by_hand(rows):
    """The same corrupted rows for every model; what comes back was wrong before."""
    X, y, X_test, y_test = rows
    mask = y == 5
    frame = stress(rows, {"class": mask}, [Corruption("gaussian_noise", 5)])
    seen = []
    perturb = Corruption.perturb

    def spy(self, task, seed):
        seen.append(perturb(self, task, seed))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Corruption, "perturb", spy)
        again = stress(rows, {"class": mask}, [Corruption("gaussian_noise", 5)])
    assert again.equals(frame)
    (noisy,) = seen  # one for all models
    codes = np.searchsorted([2, 5, 7], y)
    models = by_hand(rows, mask)
    known = {m: f(noisy.forget).argmax(1) == codes[mask] for m, f in models.items()}
    for model, logits in models.items():
        place = ("class", "gaussian_noise", 5, model)
        clean = logits(X[mask]).argmax(1) == codes[mask]
        assert value(frame, *place, "forget accuracy") == pytest.approx(known[model].mean())
        assert value(frame, *place, "comes back") == pytest.approx((known[model] & ~clean).mean())
        assert value(frame, *place, "residual knowledge") == pytest.approx(
            (known[model] & ~known["retrained"]).mean()
        )
        right = logits(noisy.test).argmax(1) == np.searchsorted([2, 5, 7], y_test)
        assert value(frame, *place, "retained accuracy") == right[y_test != 5].mean()
    assert np.abs(noisy.test - X_test).std() > 0.1


def test_one_forward_pass_per_model_and_condition(rows, monkeypatch):
    asked = []
    observe = _measuring.observe
    monkeypatch.setattr(_measuring, "observe", lambda *a: asked.append(len(a[1])) or observe(*a))
    frame = stress(rows, {"class": rows[1] == 5}, ["gaussian_noise", "near forgotten"])
    places = frame.groupby(["condition", "severity", "model"]).ngroups
    assert len(asked) == places == 3 * 7
    assert max(asked) == 80 + (rows[1] == 5).sum()


def test_seeds(rows):
    sets = {"some": random_forget_set(rows[1], 20, random_state=0)}
    a, b, c = (stress(rows, sets, random_state=s, verbose=s) for s in (0, 0, 1))
    assert a.equals(b)
    assert not a["value"].equals(c["value"])


def test_users_objects_are_untouched(rows):
    X, y, X_test, y_test = rows
    copies = [a.copy() for a in rows]
    given, own = FineTuneUnlearner(net(), max_epochs=1, random_state=7), net()
    backdoor = backdoor_forget_set(X, y, 2, size=8, random_state=0)
    before = backdoor.X.copy()
    state = torch.get_rng_state()
    robustness_report(
        [given], own, X, y, X_test, y_test, forget_sets=backdoor, conditions="trigger"
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert not hasattr(given, "estimator_")
    assert given.random_state == 7
    assert not own.initialized_
    assert all(np.array_equal(a, b) for a, b in zip(rows, copies))
    assert np.array_equal(backdoor.X, before)


# ------------------------------------------------------------------ conditions


def test_names_of_conditions():
    names = [(c.name, c.severity) for c in parse(["fog", "corruptions", "clean", "trigger"])]
    assert names[0] == ("clean", 0)
    assert names[1:6] == [("fog", s) for s in range(1, 6)]
    assert len(names) == 2 + 5 * len(CORRUPTIONS)
    assert [c.name for c in parse("pgd")] == ["clean", "pgd 0.0314"]
    assert [c.name for c in parse(Corruption("fog"))] == ["clean", "fog"]
    assert [c.severity for c in parse([Corruption("fog", 2), Corruption("fog", 2)])] == [0, 2]
    with pytest.raises(ValueError, match="conditions must be objects"):
        parse(["snow"])
    with pytest.raises(ValueError, match=r"two conditions are called 'pgd 0\.1'"):
        parse([Adversarial("pgd", eps=0.1), Adversarial("pgd", eps=0.1, n_iter=3)])
    for bad in (
        lambda: Corruption("snow"),
        lambda: Corruption("fog", 6),
        lambda: Adversarial("cw"),
        lambda: Adversarial("pgd", eps=0.0),
        lambda: Adversarial("pgd", max_rows=0),
        lambda: NearForgotten(0.0),
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            bad()


def test_flat_rows_leave_the_corruptions_of_images_out(rows):
    X, y, X_test, y_test = rows
    flat = (X.reshape(100, -1), y, X_test.reshape(80, -1), y_test)
    frame = stress(flat, {"class": y == 5}, "corruptions")
    assert set(frame["condition"]) == {
        "clean", "gaussian_noise", "shot_noise", "impulse_noise", "brightness"
    }  # fmt: skip


def test_parts_of_the_test_rows(rows):
    X, y, X_test, y_test = rows
    mask, dark = y == 5, X_test.mean(axis=(1, 2, 3)) < 0.4
    conditions = [
        Subpopulation(dark, "dark"),
        Subpopulation(lambda X, y: (y == 7) & (X.mean(axis=(1, 2, 3)) >= 0.4), "bright sevens"),
        NearForgotten(0.3),
    ]
    frame = stress(rows, {"class": mask}, conditions)
    models = by_hand(rows, mask)
    kept = np.flatnonzero(y_test != 5)
    distance = cdist(X_test[kept].reshape(-1, 16), X[mask].reshape(-1, 16)).min(axis=1)
    near = kept[np.argsort(distance, kind="stable")[: round(0.3 * len(kept))]]
    for name, chosen in (
        ("dark", np.flatnonzero(dark & (y_test != 5))),
        ("bright sevens", np.flatnonzero((y_test == 7) & ~dark)),
        ("near forgotten", near),
    ):
        for model, logits in models.items():
            right = logits(X_test[chosen]).argmax(1) == np.searchsorted([2, 5, 7], y_test[chosen])
            assert value(frame, "class", name, 0, model, "retained accuracy") == right.mean()
    assert not frame.query("condition == 'dark'")["metric"].str.startswith("forget ").any()
    with pytest.raises(ValueError, match="rows of 'no one' marks no row"):
        stress(rows, {"class": mask}, Subpopulation(np.zeros(80, bool), "no one"))
    with pytest.raises(TypeError, match="boolean mask"):
        stress(rows, {"class": mask}, Subpopulation(np.arange(3), "three"))


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_triggers(rows, kind):
    X, y, X_test, y_test = rows
    X, X_test = kind(X), kind(X_test)
    poison = backdoor_forget_set(X, y, 2, size=0.2, known=0.5, random_state=0)
    frame = stress((X, y, X_test, y_test), poison, "trigger")
    models = list(frame["model"].unique())
    assert models == ["original", "tuned", "without any planted", "retrained"]
    rates = frame.query("metric == 'backdoor success'").set_index("model")
    unlearner = RetrainUnlearner(net(), random_state=0).fit(*poison.data(X, y))
    triggered = poison.trigger(X_test)
    expected = backdoor_success_rate(y_test, unlearner.predict(triggered), 2)
    assert rates.loc["original", "value"] == expected.estimate
    assert rates.loc["original", "low"] == expected.low
    without = RetrainUnlearner(net(), random_state=0).fit(*poison.data(X, y))
    without.unlearn(indices=np.flatnonzero(poison.planted))
    expected = backdoor_success_rate(y_test, without.predict(triggered), 2)
    assert rates.loc["without any planted", "value"] == expected.estimate
    assert rates.loc["without any planted", "value"] < rates.loc["original", "value"]


def test_planted_labels_are_those_that_were_trained_on(rows):
    _, y, _, _ = rows
    wrong = mislabelled_forget_set(y, 15, random_state=0)
    longer = {"tuned": FineTuneUnlearner(net(), max_epochs=1)}
    frame = stress(rows, {"wrong": wrong, "same rows": wrong.mask}, "trigger", longer)
    assert "backdoor success" not in set(frame["metric"])
    place = ("clean", 0, "retrained", "forget accuracy")
    assert value(frame, "wrong", *place) < value(frame, "same rows", *place)


# ------------------------------------------------------------------ methods


def test_methods_that_diverge_are_left_out(rows):
    methods = {
        "wild": FineTuneUnlearner(net(), lr=1e20),
        "tuned": FineTuneUnlearner(net(), max_epochs=1),
    }
    with pytest.warns(UserWarning, match="wild failed on 'class', and is left out: The training"):
        frame = stress(rows, {"class": rows[1] == 5}, "gaussian_noise", methods)
    assert "wild" not in set(frame["model"])
    assert "tuned" in set(frame["model"])


def test_methods_that_watch_the_training(rows):
    mask = np.arange(100) < 4
    frame = stress(rows, mask, [], {"undo": AmnesiacUnlearner(net(), max_epochs=1)})
    X, y, X_test, y_test = rows
    undo = AmnesiacUnlearner(net(), max_epochs=1, random_state=0).fit(X, y, forget=mask)
    assert value(frame, "mask", "clean", 0, "undo", "retained accuracy") == undo.score(
        X_test, y_test
    )


def test_models_of_scikit_learn(rows):
    X, y, X_test, y_test = rows
    X, X_test = X.reshape(100, -1), X_test.reshape(80, -1)
    model = LogisticRegression()
    frame = robustness_report(
        [RetrainUnlearner(model)], model, X, y, X_test, y_test,
        forget_sets=[class_forget_set(y, 5)], conditions="gaussian_noise",
    )  # fmt: skip
    right = LogisticRegression().fit(X[y != 5], y[y != 5]).score(X_test[y_test != 5],
                                                                y_test[y_test != 5])  # fmt: skip
    place = ("class", "clean", 0, "RetrainUnlearner", "retained accuracy")
    assert value(frame, *place) == right


# ------------------------------------------------------------------ bad input


def test_bad_input(rows):
    X, y, X_test, y_test = rows
    good = {
        "unlearners": {"tuned": FineTuneUnlearner(net(), max_epochs=1)},
        "net": net(), "X": X, "y": y, "X_test": X_test, "y_test": y_test,
        "forget_sets": {"class": y == 5}, "conditions": "gaussian_noise",
    }  # fmt: skip
    for bad, error, match in (
        ({"unlearners": {}}, ValueError, "is empty"),
        ({"unlearners": {"retrained": FineTuneUnlearner(net())}}, ValueError,
         "names of robustness_report's own models"),
        ({"unlearners": {"without any planted": FineTuneUnlearner(net())}}, ValueError, "own"),
        ({"unlearners": {"a": net()}}, TypeError, "'a' is no unlearner"),
        ({"net": FrozenEstimator(net())}, TypeError, "net must be the net itself"),
        ({"net": FineTuneUnlearner(net())}, TypeError, "net must be the net itself"),
        ({"net": LinearRegression()}, ValueError, "is for classifiers"),
        ({"net": LogisticRegression(), "conditions": "pgd"}, (TypeError, ImportError),
         "need a skorch net|Adversarial Robustness Toolbox"),
        ({"X": X.tolist()}, TypeError, "X must be an array or a tensor"),
        ({"X_test": X_test[:, :, :3]}, ValueError, "in the same form"),
        ({"X_test": X_test.astype(np.float64)}, ValueError, "in the same form"),
        ({"X_test": X, "y_test": y}, ValueError, "These rows are training rows"),
        ({"y_test": y_test[:5]}, ValueError, "inconsistent numbers"),
        ({"y_test": y_test + 1}, ValueError, "not among the classes"),
        ({"forget_sets": {}}, ValueError, "forget_sets is empty"),
        ({"forget_sets": [y == 5, y == 7]}, ValueError, "kinds of forget sets repeat"),
        ({"forget_sets": np.arange(3)}, TypeError, "boolean mask"),
        ({"forget_sets": y > 0}, ValueError, "marks every row"),
        ({"forget_sets": np.ones(7, bool)}, ValueError, "one entry per row"),
        ({"conditions": "snow"}, ValueError, "conditions must be"),
        ({"n_seeds": 0}, ValueError, "n_seeds"),
        ({"random_state": None}, TypeError, "random_state"),
    ):  # fmt: skip
        with pytest.raises(error, match=match):
            robustness_report(**(good | bad))


# ------------------------------------------------------------------ the picture


def test_display(frame):
    display = RobustnessDisplay.from_frame(frame, figure=Figure(), title="A title")
    assert {name for name, _ in display.axes_} == {"some", "class"}
    assert {m for _, m in display.axes_} == {
        "retained accuracy", "forget accuracy", "residual knowledge"
    }  # fmt: skip
    ax = display.axes_["class", "forget accuracy"]
    drawn = {line.get_label(): line for line in ax.get_lines()}
    assert set(drawn) == set(frame["model"])
    mine = frame.query("`forget set` == 'class' and metric == 'forget accuracy'")
    means = mine.query("model == 'tuned'").groupby("condition", sort=False)["value"].mean()
    assert drawn["tuned"].get_xdata() == pytest.approx(100 * means.to_numpy())
    few = RobustnessDisplay.from_frame(
        frame, forget_sets=["some"], metrics=["calibration error"], figure=Figure()
    )
    assert list(few.axes_) == [("some", "calibration error")]
    with pytest.raises(ValueError, match="no metric 'beauty'"):
        RobustnessDisplay.from_frame(frame, metrics=["beauty"], figure=Figure())
    with pytest.raises(ValueError, match="no forget set 'all'"):
        RobustnessDisplay.from_frame(frame, forget_sets=["all"], figure=Figure())


def test_pictures_of_backdoors(rows, tmp_path):
    X, y, _, _ = rows
    sets = {"backdoor": backdoor_forget_set(X, y, 2, size=8, random_state=0), "class": y == 5}
    frame = stress(rows, sets, ["trigger"], {"up": GradientAscentUnlearner(net(), max_epochs=1)})
    display = RobustnessDisplay.from_frame(frame, figure=Figure())
    assert ("backdoor", "backdoor success") in display.axes_
    assert ("class", "backdoor success") not in display.axes_
    display.figure_.savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000
