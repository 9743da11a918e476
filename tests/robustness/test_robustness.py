"""The stress test: its figures, its conditions, and that it goes on after a kill."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

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
from skunlearn._recipe import training
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
from tests.instances import make_net
from tests.interpreters import environment
from tests.small import quiet

pytestmark = quiet
KEY = ["forget set", "condition", "severity", "model", "metric"]


@pytest.fixture(scope="module")
def rows():
    return make_rows()


def make_rows():
    """Images of three classes that a linear model tells apart."""
    rng = np.random.default_rng(0)
    y = np.repeat([2, 5, 7], 60)
    X = rng.random((180, 1, 4, 4)).astype(np.float32) * 0.6
    for k, label in enumerate((2, 5, 7)):
        X[y == label, 0, k] += 0.3
    order = rng.permutation(180)
    X, y = X[order], y[order]
    return X[:100], y[:100], X[100:], y[100:]


def net(**kwargs):
    return make_net(**({"module__n_out": 3, "max_epochs": 12, "batch_size": 16} | kwargs))


def stress(rows, forget_sets, conditions=("gaussian_noise",), unlearners=None, **options):
    X, y, X_test, y_test = rows
    unlearners = unlearners or {"tuned": FineTuneUnlearner(net(), max_epochs=2)}
    return robustness_report(
        unlearners, net(), X, y, X_test, y_test, forget_sets=forget_sets, conditions=conditions,
        **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def frame(rows):
    sets = {"some": random_forget_set(rows[1], 20, random_state=0), "class": rows[1] == 5}
    return stress(rows, sets, ["gaussian_noise", "near forgotten"], n_seeds=2)


def value(frame, *place):
    found = frame.set_index(KEY)["value"]
    return found[place]


def by_hand(rows, mask):
    X, y, _, _ = rows
    retrained = RetrainUnlearner(net(), random_state=0).fit(X, y)
    original = retrained.estimator_
    tuned = FineTuneUnlearner(net(), max_epochs=2, random_state=0).fit(X, y)
    models = {"original": original}
    for name, unlearner in (("tuned", tuned), ("retrained", retrained)):
        models[name] = unlearner.unlearn(indices=np.flatnonzero(mask)).estimator_
    return {name: lambda X, m=m: m.forward(X).numpy() for name, m in models.items()}


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


# ------------------------------------------------------------------ on disk


def test_a_killed_run_goes_on(rows, tmp_path, monkeypatch):
    sets = {"some": random_forget_set(rows[1], 20, random_state=0), "class": rows[1] == 5}
    whole = stress(rows, sets)
    put, done = _measuring.Work._record, []

    def killed(self, *args):
        if len(done) == 20:
            raise KeyboardInterrupt
        done.append(1)
        return put(self, *args)

    monkeypatch.setattr(_measuring.Work, "_record", killed)
    with pytest.raises(KeyboardInterrupt):
        stress(rows, sets, folder=tmp_path)
    (file,) = tmp_path.iterdir()
    assert len(file.read_bytes().splitlines()) == 20
    with open(file, "ab") as stream:  # in the middle of a line
        stream.write(b'{"key": "0123", "figu')
    rest = []
    monkeypatch.setattr(
        _measuring.Work, "_record", lambda self, *args: rest.append(1) or put(self, *args)
    )
    assert stress(rows, sets, folder=tmp_path).equals(whole)
    assert len(rest) == 2 * 6 * 3 - 20
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert len({line["key"] for line in lines}) == 36

    def refuse(*args, **kwargs):
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr(training, "train", refuse)
    assert stress(rows, sets, folder=tmp_path).equals(whole)
    # Other names for the same questions.
    renamed = stress(
        rows, {"a": sets["class"]}, folder=tmp_path,
        unlearners={"b": FineTuneUnlearner(net(), max_epochs=2)},
    )  # fmt: skip
    assert set(renamed["model"]) == {"original", "b", "retrained"}


def two_sets(rows, folder=None):
    sets = {"some": random_forget_set(rows[1], 20, random_state=0), "class": rows[1] == 5}
    return stress(rows, sets, folder=folder)


def live_for(measurements, folder):
    """Run in a process of its own, which the system ends after so many measurements."""
    put, left = _measuring.Work._record, iter(range(measurements))

    def record(self, *args):
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return put(self, *args)

    _measuring.Work._record = record
    two_sets(make_rows(), folder)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_killed_by_the_system_goes_on_in_another(rows, tmp_path):
    code = f"from tests.robustness.test_robustness import live_for; live_for(25, {str(tmp_path)!r})"
    root = Path(__file__).parents[2]
    # Strings hash otherwise there: keys of measurements must not depend on it.
    environ = environment(PYTHONHASHSEED="77")
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, env=environ, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    (file,) = tmp_path.iterdir()
    assert len(file.read_bytes().splitlines()) == 25
    assert two_sets(rows, tmp_path).equals(two_sets(rows))
    assert len(file.read_bytes().splitlines()) == 36  # none measured twice


def test_what_is_new_is_measured(rows, tmp_path, monkeypatch):
    mask = rows[1] == 5
    stress(rows, {"class": mask}, ["gaussian_noise"], folder=tmp_path)
    counted = []
    put = _measuring.Work._record
    monkeypatch.setattr(
        _measuring.Work, "_record", lambda self, *args: counted.append(1) or put(self, *args)
    )

    def new(**changed):
        counted.clear()
        stress(rows, **({"forget_sets": {"class": mask}, "folder": tmp_path} | changed))
        return len(counted)

    assert new() == 0
    assert new(conditions=["gaussian_noise", Corruption("fog", 1)]) == 3
    other = {"tuned": FineTuneUnlearner(net(), max_epochs=3)}
    assert new(unlearners=other) == 6
    assert new(forget_sets={"class": rows[1] == 7}) == 18
    assert new(random_state=1) == 18
    assert new(value_range=(0, 2)) == 18
    assert len(list(tmp_path.iterdir())) == 3
    half = {"conditions": Subpopulation(np.arange(80) < 40, "half")}
    assert new(**half) == 3
    assert new(**half) == 0
    assert new(conditions=Subpopulation(np.arange(80) < 30, "half")) == 3


def test_files_hold_no_rows_and_damage_is_told(rows, tmp_path):
    mask = rows[1] == 5
    stress(rows, {"class": mask}, folder=tmp_path)
    (file,) = tmp_path.iterdir()
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert {key for line in lines for key in line} == {"key", "figures", "right", "known"}
    with open(file, "ab") as stream:
        stream.write(b"nonsense\n")
    with pytest.raises(ValueError, match=r"line 19 of .* is no measurement of ours"):
        stress(rows, {"class": mask}, folder=tmp_path)


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
