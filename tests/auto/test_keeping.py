"""How much of the old weights is kept: by what they know of any row, and of single rows."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier

from skunlearn import AutoUnlearner, RetrainUnlearner
from skunlearn._rows.views import Rows
from skunlearn.auto import _keeping
from skunlearn.auto._adapting import Adapting
from skunlearn.auto._judge import NAMED, find_odd, known
from skunlearn.auto._keeping import Keeping, score_own
from tests.auto.digits import net, sides, small, started

MANY = range(10**16)  # unseen rows, of which chance says nothing
FORGET = {"class": lambda y: np.flatnonzero(y == 1), "rows": lambda y: np.arange(400)}


def judging(score, error=0.02, odd=0.0, kept=MANY):
    """A judge whose reference has so high a score on unseen rows."""
    return SimpleNamespace(
        unseen=True, score=score, kept=kept, error=lambda *given: error, odd=lambda seen: odd
    )


@pytest.fixture(scope="module")
def soon_trained():
    """Ten epochs, after which it knows no row by heart, and of which three do not bring it back."""
    X, y = make_classification(
        6000, 20, n_informative=15, n_redundant=2, n_classes=6, class_sep=1.2, random_state=1
    )
    X = X.astype(np.float32)
    model = net(
        max_epochs=10, lr=0.01, module__n_in=20, module__n_out=6, module__hidden=256, batch_size=64
    )
    fitted = RetrainUnlearner(model, random_state=0).fit(X[:4000], y[:4000])
    own = fitted.get_params(deep=False)
    return X, y, model, {key: value for key, value in vars(fitted).items() if key not in own}


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
@pytest.mark.parametrize("kind", list(FORGET))
@pytest.mark.parametrize("judged", [False, True])
def test_a_net_of_few_epochs_keeps_its_accuracy(monkeypatch, soon_trained, kind, judged):
    """Shrunk to a quarter it lost four points, as on a net for CIFAR-10."""
    X, y, model, state = soon_trained
    forget = FORGET[kind](y[:4000])
    stay = np.flatnonzero((y[5000:] != 1) | (kind == "rows")) + 5000
    given = {"X_val": X[4000:5000], "y_val": y[4000:5000]} if judged else {}

    def forgotten(cls):
        return started(cls(model, random_state=0), state).unlearn(
            indices=forget, **(given if cls is AutoUnlearner else {})
        )

    auto, gold = forgotten(AutoUnlearner), forgotten(RetrainUnlearner)
    found = [one.score(X[stay], y[stay]) for one in (auto, gold)]
    assert found[0] > found[1] - 0.015
    assert auto.deletions_[0]["auto"]["shares"][0] > 0.5
    if kind == "rows":
        aucs = [sides(one, X[forget], y[forget], X[5000:], y[5000:]) for one in (auto, gold)]
        assert all(abs(aucs[0][name] - aucs[1][name]) < 0.04 for name in aucs[0])
    else:
        assert auto.score(X[forget], y[forget]) == gold.score(X[forget], y[forget]) == 0
    if not judged:
        monkeypatch.setitem(_keeping._BLIND_WORTH, kind, _keeping._BLIND)
        shrunk = forgotten(AutoUnlearner)
        assert shrunk.score(X[stay], y[stay]) < found[0] - 0.02


@pytest.mark.parametrize(
    ("own", "unseen", "reference", "shares"),
    [
        (0.95, 0.69, 0.72, 0.22),  # by heart: the reference is as good on other rows
        (1.00, 0.61, 0.28, 0.22),  # by heart, though the reference has much to learn
        (0.74, 0.69, 0.21, 0.70),  # what it knows, it knows of any row
        (0.92, 0.80, 0.52, 0.46),  # half of it
    ],
)
def test_what_holds_for_any_row_is_kept(own, unseen, reference, shares):
    judge = judging(reference, error=0.4)  # of the forget rows nothing is sure
    chooser = Keeping(np.arange(10), lambda: own)
    found = chooser.choose(judge, {}, {"loss": 0.4}, unseen, "rows", 0.03, 10)
    assert found == pytest.approx(shares)
    worth = (found - 0.22) / (0.7 - 0.22)
    assert chooser.kept == pytest.approx(0.5 + 0.3 * worth)
    # Fewer epochs would bring less of it back.
    few = Keeping(np.arange(10), lambda: own)
    found = few.choose(judge, {}, {"loss": 0.4}, unseen, "rows", 0.03, 4)
    assert (found > 0.85) == (worth == 1)


@pytest.mark.parametrize(("kind", "most"), [("rows", 0.7), ("class", 0.65)])
def test_without_unseen_rows_few_epochs_and_own_rows_not_known_keep_more(kind, most):
    """From 0.8 and 0.9 on, more was left of single rows, for no more accuracy."""
    found = [
        Keeping(np.arange(10), partial(float, own)).choose(*4 * [None], kind, 0.03, epochs)
        for own, epochs in [(0.8, 4), (0.8, 7), (0.8, 11), (0.935, 4), (0.99, 4)]
    ]
    half = (most + 0.25) / 2
    assert found == pytest.approx([most, half, 0.25, half, 0.25])
    assert Keeping(None, list).choose(*4 * [None], kind, 0.03, 4) == 0.4  # a regression


@pytest.mark.parametrize(("own", "share"), [(1.0, 0.7), (1.04, 0.475), (1.1, 0.25)])
def test_where_unseen_rows_are_named_as_rightly_as_its_own_nothing_was_known_by_heart(own, share):
    """A reference that is nearly as good says nothing against it: three points are left."""
    judge = SimpleNamespace(unseen=None, score=0.95, kept=MANY)
    chooser = Keeping(np.arange(10), partial(float, own))
    found = chooser.choose(judge, None, {}, 0.96, "rows", 0.03, 10, 0.3)
    assert found == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize(("rarity", "share"), [(None, 0.25), (0.02, 0.5), (0.3, 0.7)])
def test_of_few_rows_that_stand_out_half_is_kept_of_what_holds_for_others(rarity, share):
    """A row with a wrong label, among others, cost a net of attention layers three points."""
    judge = SimpleNamespace(unseen=None, score=0.6, kept=MANY)
    chooser = Keeping(np.arange(10), partial(float, 0.98))
    found = chooser.choose(judge, None, {}, 0.97, "rows", 0.03, 10, rarity)
    assert found == pytest.approx(share)


@pytest.mark.parametrize(
    ("error", "before", "unseen", "share"),
    [
        (0.08, 0.06, 0.97, 0.7),  # six irises, hardly told from others
        (0.08, 0.06, 0.80, 0.369),  # by heart, though six rows do not show it
        (0.08, 0.40, 0.97, 0.22),  # six rows show it: labels that are wrong, say
        (0.02, 0.06, 0.97, 0.5),  # enough rows to tell
    ],
)
def test_of_rows_too_few_to_tell_as_much_is_kept_as_unseen_rows_show_to_hold(
    error, before, unseen, share
):
    """Chance passed for memory: with unseen rows less was kept than without any."""
    judge = judging(unseen - 0.01, error)
    chooser = Keeping(np.arange(10), partial(float, 1))
    given = {"loss": before, "entropy": before / 2}
    found = chooser.choose(judge, {}, given, unseen, "rows", 0.03, 10)
    assert found == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize(("n", "share"), [(30, 0.674), (1000, 0.451)])
def test_a_few_unseen_rows_may_be_named_less_rightly_by_chance(n, share):
    """Irises that were judged by 30 rows kept less than those that nobody judged."""
    chooser = Keeping(np.arange(3), partial(float, 1.0))
    judge = judging(0.96, error=0.18, kept=range(n))
    found = chooser.choose(judge, {}, {"loss": 0.01}, 0.9, "rows", 0.03, 10)
    assert found == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize(("odd", "share"), [(0.05, 0.7), (0.1, 0.7), (0.2, 0.56), (0.4, 0.12)])
def test_of_rows_unlike_others_hardly_anything_is_kept(odd, share):
    """However much of what the net knows holds for any other row."""
    chooser = Keeping(np.arange(10), partial(float, 0.97))
    found = chooser.choose(judging(0.6, odd=odd), {}, {"loss": 0.05}, 0.96, "rows", 0.03, 10)
    assert found == pytest.approx(share)
    assert chooser.odd == odd


@pytest.mark.parametrize(
    ("epochs", "before", "share"),
    [(10, 0.4, 0.274), (10, 0.3, 0.316), (10, 0.06, 0.7), (4, 0.4, 0.9), (7, 0.4, 0.4)],
)
def test_of_rows_that_are_surely_known_no_more_is_kept_than_leaves_the_target(
    epochs, before, share
):
    """Of faces that were known by heart among others 0.41 was kept, and they were told apart."""
    chooser = Keeping(np.arange(10), partial(float, 0.97))
    found = chooser.choose(judging(0.6), {}, {"loss": before}, 0.96, "rows", 0.03, epochs)
    assert found == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize(
    ("before", "share"), [(0.07, 0.7), (0.077, 0.7), (0.15, 0.406), (0.16, 0.381), (0.3, 0.294)]
)
def test_of_few_rows_that_seem_known_what_they_do_not_show_counts_too(before, share):
    """0.7 was kept of 20 faces at 0.15, 1.9 standard errors, and 0.39 had they shown 0.2."""
    chooser = Keeping(np.arange(40), partial(float, 1.0))
    judge = judging(0.6, error=0.077)
    found = chooser.choose(judge, {}, {"loss": before}, 0.96, "rows", 0.03, 10)
    assert found == pytest.approx(share, abs=1e-3)


def test_less_sure_than_the_reference_of_half_known_labels_is_known_as_well():
    """Of rows with wrong labels, half known, no loss told, and 0.8 was kept."""
    before = {"loss": 0.01, "entropy": -0.2}
    found = Keeping(np.arange(10), partial(float, 1.0)).choose(
        judging(0.9), {}, before, 0.8, "rows", 0.03, 10
    )
    assert found == pytest.approx(np.sqrt(0.015 / 0.16))  # two standard errors may be chance
    assert known(before, 0.04) == pytest.approx({"loss": 0.01, "entropy": 0.16})
    assert known({"loss": -0.2, "entropy": -0.02}, 0.04)["loss"] == -0.2
    assert known({"loss": -0.2, "entropy": -0.02}, 0.04)["entropy"] < 0.03


def test_what_holds_for_other_classes_keeps_nothing_of_one_that_nobody_looks_at():
    """A person of whom two unseen photographs were there was kept at 0.9, and told apart after."""
    judge = SimpleNamespace(unseen=None, score=0.3)
    for kind in FORGET:
        chooser = Keeping(np.arange(40), partial(float, 1))
        assert chooser.choose(judge, {NAMED: 1}, {NAMED: 1}, 0.9, kind, 0.03, 10) == 0.25


@pytest.mark.parametrize(
    ("epochs", "unseen", "memory"),
    [(10, 0.65, 0.5), (7, 0.65, 0.75), (4, 0.65, 1.0), (4, 0.5, 0.5)],
)
def test_accuracy_that_few_epochs_would_not_bring_back_has_the_whole_of_the_target(
    epochs, unseen, memory
):
    """Half of what the net knows of its rows holds for unseen ones in the first three."""
    judge = judging(0.5)
    chooser = Keeping(np.arange(10), partial(float, 0.8))
    found = chooser.choose(judge, {}, {"loss": 0.12}, unseen, "rows", 0.03, epochs)
    assert chooser.memory == pytest.approx(memory)
    assert found == pytest.approx(np.sqrt(memory * 0.03 / 0.12))


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
@pytest.mark.parametrize("kind", list(FORGET))
def test_a_net_of_eight_epochs_keeps_its_accuracy(kind):
    """Two epochs brought back 9 points less, and 6 without a class, than the whole training."""
    X, y = make_classification(4000, 20, n_informative=12, n_classes=5, flip_y=0.1, random_state=0)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    given = {"module__n_in": 20, "module__n_out": 5, "module__hidden": 256}
    model = net(max_epochs=8, lr=0.02, batch_size=32, **given)
    fitted = RetrainUnlearner(model, random_state=0).fit(X[:2000], y[:2000])
    own = fitted.get_params(deep=False)
    state = {key: value for key, value in vars(fitted).items() if key not in own}
    forget = np.flatnonzero(y[:2000] == 1) if kind == "class" else np.arange(150)
    auto, gold = (
        started(cls(model, random_state=0), state) for cls in (AutoUnlearner, RetrainUnlearner)
    )
    auto.unlearn(indices=forget, X_val=X[2000:2500], y_val=y[2000:2500])
    gold.unlearn(indices=forget)
    stay = np.flatnonzero((y[2500:] != 1) | (kind == "rows")) + 2500
    assert auto.score(X[stay], y[stay]) > gold.score(X[stay], y[stay]) - 0.03
    done = auto.deletions_[0]["auto"]
    assert (done["epochs"], done["looks"]) == (2, [])  # one of two is no training
    assert max(done["after"].values()) < 0.05


@pytest.mark.parametrize(
    ("name", "error", "shrinks"),
    [("loss", 0.08, False), ("loss", 0.06, True), (NAMED, 0.08, True), ("loss", 0.02, True)],
)
def test_what_few_rows_show_by_chance_is_no_reason_to_shrink(name, error, shrinks):
    """Of the five scores of six rows one is a standard error too high more often than not."""
    X, y, *_ = small()
    model, new = (net(max_epochs=5).fit(X, y) for _ in range(2))
    judge = SimpleNamespace(
        look=lambda net: {}, differences=lambda seen: {name: 0.1}, error=lambda seen, name: error
    )
    adapting = Adapting(judge, new, 0.4, 0.015, 0.12, 0.5)
    adapting.on_train_begin(model)
    adapting.on_epoch_end(model)
    assert (len(adapting.shares_) > 1) == shrinks


def test_own_rows_are_asked():
    X, y = np.eye(20, dtype=np.float32), np.arange(20)
    model = net(module__n_in=20, module__n_out=20, max_epochs=30).fit(X, y)
    wrong = (y + (np.arange(20) < 5)) % 20
    assert score_own(model, Rows(X, wrong, y), y, 0) == pytest.approx(0.75)


@pytest.mark.parametrize(("named", "shares"), [(0.1, [0.9]), (0.4, [0.9, 0.45])])
def test_a_name_that_falls_fast_enough_is_no_reason_to_shrink(named, shares):
    """Of three epochs one is over: a tenth becomes a thousandth, and 0.4 becomes 0.06."""
    X, y = np.eye(20, dtype=np.float32), np.arange(20)
    model, new = (net(module__n_in=20, module__n_out=20, max_epochs=3).fit(X, y) for _ in range(2))
    judge = SimpleNamespace(
        look=lambda net: {}, differences=lambda seen: {NAMED: named}, error=lambda seen, name: 0.01
    )
    adapting = Adapting(judge, new, 0.9, 0.015, 0.22, 0.5)
    adapting.on_train_begin(model)
    adapting.on_epoch_end(model)
    assert adapting.shares_ == pytest.approx(shares)


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")
def test_of_wrong_labels_that_are_half_known_the_names_tell():
    """Their losses were larger than nearly all others, so that up to 0.8 was kept."""
    X, y = make_classification(2500, 20, n_informative=10, n_classes=4, flip_y=0, random_state=0)
    X, y = StandardScaler().fit_transform(X).astype(np.float32), y.astype(np.int64)
    forget = np.arange(60)
    y[forget] = (y[forget] + 1 + forget % 3) % 4
    given = {"module__n_in": 20, "module__n_out": 4, "module__hidden": 256}
    given |= {"optimizer": torch.optim.Adam, "lr": 2e-3, "max_epochs": 30}
    model = net(**given)
    params = {k: v for k, v in model.get_params(deep=False).items() if "momentum" not in k}
    model = NeuralNetClassifier(**params)
    auto = AutoUnlearner(model, random_state=0).fit(X[:1200], y[:1200])
    assert auto.score(X[forget], y[forget]) > 0.3
    auto.unlearn(indices=forget, X_val=X[1200:1850], y_val=y[1200:1850])
    done = auto.deletions_[0]["auto"]
    by_losses = np.sqrt(0.015 / max(done["before"].values()))
    assert done["shares"][0] < 0.9 * by_losses
    assert auto.score(X[forget], y[forget]) < 0.15
    assert "correct" not in done["before"].keys() | done["after"].keys() | done["errors"].keys()


def test_odd_rows_are_as_rare_among_rows_of_the_same_kind_as_chance_has_it():
    rng = np.random.default_rng(0)
    rows, others = rng.normal(size=2000), rng.normal(size=2000)
    assert 0.03 < find_odd(rows, others).mean() < 0.06
    assert find_odd(rows - 4, others).mean() > 0.9
    assert not find_odd(rows + 4, others).any()
    assert not find_odd(rows - 9, others[:18]).any()  # too few to say so of any
    # Those that stand for the same classes count.
    easy = np.arange(2000) < 1000
    weights = 2.0 * ~easy
    assert find_odd(rows - 4, others + 9 * easy - 4, weights).mean() < 0.06
    assert find_odd(rows - 4, others + 9 * easy - 4).mean() > 0.08
