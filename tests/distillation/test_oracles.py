"""Oracles: trained until they know the task, given by a user, lent by shadow models."""

import pickle

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from skorch import NeuralNetClassifier
from skorch.helper import predefined_split
from torch import nn

from skunlearn import FineTuneUnlearner, OracleMatchingUnlearner, RetrainUnlearner
from skunlearn._recipe.training import train
from skunlearn._rows.seeding import derive_seed
from skunlearn._rows.views import Rows
from skunlearn.datasets import load_digits_images
from skunlearn.distillation import _held_out, oracle_matching
from skunlearn.distillation._oracles import Skill, train_oracles
from skunlearn.exceptions import UnlearningError
from skunlearn.shadow import ShadowModels
from tests.instances import make_net, make_regressor_net
from tests.small import quiet

pytestmark = quiet
FORGET = np.arange(12)


class Deep(nn.Sequential):
    """It learns next to nothing in the first epochs."""

    def __init__(self):
        super().__init__(
            nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(),
            nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10),
        )  # fmt: skip


def deep(max_epochs):
    return NeuralNetClassifier(
        Deep, criterion=nn.CrossEntropyLoss, lr=0.05, optimizer__momentum=0.9, batch_size=64,
        max_epochs=max_epochs, iterator_train__shuffle=True, train_split=None, verbose=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits_images(return_X_y=True)
    return X[:1000], y[:1000], X[1000:], y[1000:]


@pytest.fixture(scope="module")
def data():
    """Rows of three classes, and unseen ones."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(220, 6)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
    return X[:60], y[:60], X[60:], y[60:]


# ------------------------------------------------------------------ trained ones


@pytest.mark.parametrize(("max_epochs", "unseen"), [(5, True), (10, False)])
def test_short_recipes_keep_what_they_know(digits, max_epochs, unseen):
    """After an epoch the net names 18 % of the digits; taught so, it lost 26 to 56 points."""
    X, y, X_val, y_val = digits
    unlearner = OracleMatchingUnlearner(deep(max_epochs), random_state=0).fit(X, y)
    before = unlearner.score(X_val, y_val)
    given = {"X_val": X_val[:300], "y_val": y_val[:300]} if unseen else {}
    unlearner.unlearn(indices=np.arange(100), **given)
    assert unlearner.score(X_val, y_val) > before - 0.05
    done = unlearner.deletions_[0]["oracle"]
    assert 1 < done["epochs"] <= max_epochs
    assert done["models"] * done["epochs"] <= max_epochs + done["epochs"] - 1


def _rows(X, y):
    return Rows(X, y, np.arange(len(y)))


class From:
    """A skill that is had at the third look, and every third from then on."""

    def __init__(self):
        self.seen = []

    def is_reached(self, net):
        self.seen.append(len(net.history))
        return len(self.seen) % 3 == 0


def test_oracles_are_trained_until_they_know_the_task(data):
    X, y, *_ = data
    rows, classes, skill = _rows(X, y), np.arange(3), From()
    recipe = make_net(module__n_out=3, max_epochs=10)
    given = {"share": 0.25, "skill": skill, "spare": 2}
    nets, epochs, whole = train_oracles(recipe, rows, classes, [0, 1], **given)
    # From the second epoch on; two times four and what follows are no more than ten.
    assert skill.seen == [2, 3, 4] * 2
    assert (len(nets), epochs, whole) == (2, 4, False)
    assert not torch.equal(*(next(net.module_.parameters()) for net in nets))
    given = {"share": 0.25, "skill": From(), "spare": 3}
    nets, epochs, whole = train_oracles(recipe, rows, classes, [0, 1], **given)
    assert (len(nets), epochs, whole) == (1, 4, False)

    class Never:
        def is_reached(self, net):
            return False

    given = {"share": 0.1, "skill": Never(), "spare": 2}
    nets, epochs, whole = train_oracles(recipe, rows, classes, [0, 1, 2], **given)
    assert (len(nets), epochs, whole) == (1, 10, True)
    assert len(nets[0].history) == 10


def test_an_oracle_that_would_spare_nothing_is_trained_in_full(data):
    """Skilled after the fourth epoch of six, with what costs two to come: that is a retraining."""
    X, y, *_ = data
    recipe, skill = make_net(module__n_out=3, max_epochs=6), From()
    given = {"share": 0.3, "skill": skill, "spare": 2}
    nets, epochs, whole = train_oracles(recipe, _rows(X, y), np.arange(3), [0, 1], **given)
    assert skill.seen == [2, 3]  # nobody looks in vain
    assert (len(nets), epochs, whole) == (1, 6, True)


def test_a_net_that_was_trained_in_full_is_the_result(digits):
    X, y, X_val, y_val = digits
    unlearner = OracleMatchingUnlearner(deep(5), random_state=0).fit(X, y)
    unlearner.unlearn(indices=np.arange(100), X_val=X_val[:300], y_val=y_val[:300])
    assert unlearner.deletions_[0]["oracle"] == {"models": 1, "epochs": 5}
    seed = derive_seed(unlearner._seed, 9, 0, 0)
    retrained = train(deep(5), _rows(X[100:], y[100:]), np.arange(10), seed)
    assert np.array_equal(retrained.predict_proba(X_val), unlearner.predict_proba(X_val))
    # And a later request starts from it.
    unlearner.unlearn(indices=np.arange(100, 150), X_val=X_val[:300], y_val=y_val[:300])
    assert len(unlearner.deletions_) == 2


def test_skill_is_told_on_unseen_rows_or_else_on_retained_ones(data):
    X, y, X_val, y_val = data
    known = make_net(module__n_out=3, max_epochs=60).fit(X, y)
    classes, retain, unseen = np.arange(3), _rows(X, y), _rows(X_val, y_val)
    for rows, share, skill in [
        (unseen, 0.8, Skill(known, retain, unseen, classes, 0)),
        (retain, 2 / 3, Skill(known, retain, None, classes, 0)),
        (retain, 2 / 3, Skill(known, retain, unseen.take(np.arange(49)), classes, 0)),
    ]:
        chance = np.bincount(rows.y).max() / len(rows)
        accuracy = (known.predict(rows.X) == rows.y).mean()
        assert np.isclose(skill.least, chance + share * (accuracy - chance))
        assert skill.is_reached(known)
    # A class that is forgotten says nothing.
    kept = retain.take(np.flatnonzero(y < 2))
    assert (Skill(known, kept, unseen, classes, 0).rows.y < 2).all()


def test_skill_in_a_regression_is_r2(data):
    X, y, *_ = data
    y = (X @ np.arange(6)).astype(np.float32).reshape(-1, 1) / 5
    known = make_regressor_net(max_epochs=40)
    known = RetrainUnlearner(known, random_state=0).fit(X, y).estimator_
    skill = Skill(known, _rows(X, y), None, None, 0)
    r2 = 1 - ((known.predict(X) - y) ** 2).mean() / y.var()
    assert np.isclose(skill.least, 2 / 3 * r2, atol=1e-5)


class Contrary:
    """It names the next class, of every row."""

    classes_ = np.arange(3)

    def __init__(self, X, y):
        self.answers = {row.tobytes(): np.eye(3)[(label + 1) % 3] for row, label in zip(X, y)}

    def predict_proba(self, X):
        return np.array([self.answers[row.tobytes()] for row in X])


def test_the_weight_is_lowered_where_the_net_would_be_lost(data, monkeypatch):
    X, y, *_ = data
    oracle = Contrary(X, y)
    monkeypatch.setattr(oracle_matching, "train_oracles", lambda *_, **__: ([oracle], 1, False))
    unlearner = OracleMatchingUnlearner(
        make_net(module__n_out=3), temperature=1.0, max_epochs=20, schedule="constant",
        random_state=0,
    )  # fmt: skip
    found = {}
    for weight in (30.0, 10.0, 10.0 / 3, 0.0):
        one = clone(unlearner).set_params(weight=weight).fit(X, y).unlearn(indices=np.arange(30))
        found[weight] = one.deletions_[0].get("weight_lowered_to"), one.predict_proba(X)
    lowered, said = found[30.0]
    assert lowered == pytest.approx(30 / 9)
    # As if that weight had been asked for, and the first runs had not been.
    given = clone(unlearner).set_params(weight=lowered, oracle=oracle).fit(X, y)
    assert "weight_lowered_to" not in given.unlearn(indices=np.arange(30)).deletions_[0]
    assert not np.allclose(said, found[10.0][1], atol=1e-3) or found[10.0][0] == lowered
    assert found[0.0][0] is None


# ------------------------------------------------------------------ given ones


def matching(oracle, **params):
    return OracleMatchingUnlearner(
        make_net(module__n_out=3), oracle=oracle, random_state=0, **params
    )


def never_saw(unlearner):
    return unlearner.deletions_[-1]["oracle_never_saw_forget_rows"]


def test_an_unlearner_is_compared_with_its_record(data):
    X, y, *_ = data
    other = make_net(module__n_out=3)
    saw = RetrainUnlearner(other, random_state=0).fit(X, y)
    unlearner = matching(saw).fit(X, y)
    with pytest.raises(ValueError, match="trained on 12 of 12 forget rows"):
        unlearner.unlearn(indices=FORGET)
    assert unlearner.deletions_ == []
    unlearner.set_params(oracle=saw.unlearn(indices=FORGET)).unlearn(indices=FORGET)
    assert never_saw(unlearner) == ["compared with the rows that it was fitted on"]
    # What was forgotten by another method was seen.
    tuned = FineTuneUnlearner(other, random_state=0).fit(X, y).unlearn(indices=FORGET)
    with pytest.raises(ValueError, match="trained on 12 of 12"):
        matching(tuned).fit(X, y).unlearn(indices=FORGET)
    given = LogisticRegression().fit(X[12:], y[12:])
    unlearner = matching([given, given]).fit(X, y).unlearn(indices=FORGET)
    assert never_saw(unlearner) == ["its owner says so"]
    assert "its owner says so" in str(unlearner.certificate())
    unlearner = matching(None).fit(X, y).unlearn(indices=FORGET)
    assert never_saw(unlearner) == ["trained without them"]


# ------------------------------------------------------------------ shadow models


def tree():
    return DecisionTreeClassifier(min_samples_leaf=4, random_state=0)


def shadows_of(X, y, candidates=None, **params):
    params = {"n_models": 6, "keep_outputs": True, "random_state": 0} | params
    return ShadowModels(tree(), **params).fit(X, y, candidates=candidates)


def test_a_row_is_asked_of_the_shadow_models_that_never_saw_it(data):
    X, y, *_ = data
    shadows = shadows_of(X, y)
    p, counts, together = shadows.lend().ask(X[FORGET])
    assert not together
    for row in FORGET:
        outside = ~shadows.membership_[:, row]
        models = [tree().fit(X[m], y[m]) for m in shadows.membership_[outside]]
        wanted = np.mean([model.predict_proba(X[[row]])[0] for model in models], axis=0)
        assert np.allclose(p[row], wanted, atol=1e-5)
        assert counts[row] == len(models) == 3
    unlearner = matching(shadows, temperature=1.0).fit(X, y).unlearn(indices=FORGET)
    assert unlearner.deletions_[0]["oracle"]["models"] == 3
    assert never_saw(unlearner) == [
        "each row is asked of shadow models that were not trained on it"
    ]


def test_models_that_saw_none_of_the_rows_are_asked_together(data):
    X, y, *_ = data
    candidates = np.arange(60) < 2
    shadows = shadows_of(X, y, candidates, n_models=12)
    free = ~shadows.membership_[:, 0] & ~shadows.membership_[:, 1]
    p, counts, together = shadows.lend().ask(X[:1])
    assert together
    assert set(counts) == {6}
    assert not free.any()
    assert np.allclose(p.sum(axis=1), 1)
    unlearner = matching(shadows).fit(X, y).unlearn(indices=[0])
    (said,) = never_saw(unlearner)
    assert "any of them" in said


def test_shadow_models_that_cannot_serve_are_refused(data):
    X, y, *_ = data
    some = np.arange(60) % 2 == 0
    other = (X + 1).astype(np.float32)
    for oracle, error, words in [
        (ShadowModels(tree()), TypeError, "not fitted"),
        (shadows_of(X, y, keep_outputs=False), ValueError, "keep_outputs=True"),
        (shadows_of(X, y, some), ValueError, "6 of 12 rows are in the training set of every"),
        (shadows_of(other, y), ValueError, "12 of 12 rows are not among those"),
        (shadows_of(X, np.minimum(y, 1) + 7), ValueError, "same task"),
    ]:
        unlearner = matching(oracle).fit(X, y)
        with pytest.raises(error, match=words):
            unlearner.unlearn(indices=FORGET)
        assert unlearner.deletions_ == []
    # Models on random halves all know a class.
    unlearner = matching(shadows_of(X, y)).fit(X, y)
    with pytest.raises(ValueError, match="trained without the class"):
        unlearner.unlearn(indices=np.flatnonzero(y == 2))


def test_nets_trained_in_a_stack_or_kept_in_a_folder_lend_the_same(data, tmp_path):
    X, y, *_ = data
    net, found = make_net(module__n_out=3, max_epochs=3), []
    for params in (
        {"backend": "sequential"},
        {"backend": "stacked"},
        {"backend": "sequential", "folder": tmp_path},
        {"backend": "sequential", "folder": tmp_path, "n_models": 6},
    ):
        params = {"n_models": 4, "keep_outputs": True, "random_state": 0} | params
        shadows = ShadowModels(net, **params).fit(X, y)
        found.append(shadows.outputs_[:4])
        assert shadows.lend().ask(X[FORGET])[0].shape == (12, 3)
    for other in found[1:]:
        assert np.allclose(log_softmax(found[0], -1), log_softmax(other, -1), atol=1e-4)


def test_pickles_hold_no_rows_of_shadow_models(data):
    X, y, *_ = data
    X = X.copy()
    X[0] = 1234.5
    unlearner = matching([FrozenEstimator(shadows_of(X, y))]).fit(X, y).unlearn(indices=FORGET)
    assert X[0].tobytes() not in pickle.dumps(unlearner)
    alone = clone(unlearner).set_params(oracle=shadows_of(X, y)).fit(X, y).unlearn(indices=FORGET)
    raw = pickle.dumps(alone)
    assert X[0].tobytes() not in raw
    again = pickle.loads(raw).set_params(temperature=1.0)
    again.unlearn(indices=[20, 21])
    assert never_saw(again) != []


# ------------------------------------------------------------------ ReGUn


def test_a_reference_step_is_that_of_the_formula(data, monkeypatch):
    X, y, X_val, y_val = data
    net = NeuralNetClassifier(
        nn.Linear, module__in_features=6, module__out_features=3, lr=0.1, max_epochs=10,
        batch_size=64, train_split=None, verbose=0, criterion=nn.CrossEntropyLoss,
    )  # fmt: skip
    unlearner = OracleMatchingUnlearner(
        net, target="reference", weight=1.5, max_epochs=1, schedule="constant", random_state=0
    ).fit(X, y)
    drawn = []

    class Drawn(_held_out.HeldOutReference):
        def __call__(self, batch):
            found = super().__call__(batch)
            drawn.append(found)
            return found

    monkeypatch.setattr("skunlearn.distillation.oracle_matching.HeldOutReference", Drawn)
    layer = nn.Linear(6, 3)
    layer.load_state_dict(unlearner.estimator_.module_.state_dict())
    said = torch.softmax(layer(torch.from_numpy(X_val)), dim=1).detach().numpy()
    unlearner.unlearn(indices=FORGET, X_val=X_val, y_val=y_val)
    (q,) = drawn  # one batch
    q = q.exp()
    assert torch.equal(q, q[:1].expand(12, 3))
    assert torch.allclose(q.sum(dim=1), torch.ones(12))
    # Between the least and the most that such a draw gives.
    pools = [said[y_val == k] for k in y[FORGET]]
    low, high = (np.mean([f(pool, axis=0) for pool in pools], axis=0) for f in (np.min, np.max))
    assert (low <= q[0].numpy() + 1e-6).all()
    assert (q[0].numpy() <= high + 1e-6).all()
    rest, first = torch.from_numpy(X[12:]), torch.from_numpy(X[:12])
    loss = nn.functional.cross_entropy(layer(rest), torch.from_numpy(y[12:]))
    kl = (q * (q.log() - torch.log_softmax(layer(first), dim=1))).sum(dim=1).mean()
    grads = torch.autograd.grad(loss + 1.5 * kl, [layer.weight, layer.bias])
    for p, old, g in zip(
        unlearner.estimator_.module_.parameters(), layer.parameters(), grads, strict=True
    ):
        torch.testing.assert_close(p.detach(), old.detach() - 0.1 * g)
    assert unlearner.deletions_[0]["reference"] == {"unseen_rows": len(y_val)}
    assert not unlearner._make_promises().trains_from_scratch
    assert "oracle_share" not in unlearner.search_space()


def test_the_reference_is_of_the_classes_of_the_batch(data):
    """Rows of one class are taught what the net says of that class; with a predefined split."""
    X, y, X_val, y_val = data
    split = predefined_split(torch.utils.data.TensorDataset(*map(torch.from_numpy, (X_val, y_val))))
    net = make_net(module__n_out=3, max_epochs=40).set_params(train_split=split)
    unlearner = OracleMatchingUnlearner(
        net, target="reference", weight=20.0, max_epochs=30, random_state=0
    ).fit(X, y)
    rows = np.flatnonzero(y == 1)[:6]
    wanted = unlearner.predict_proba(X_val[y_val == 1]).mean(axis=0)
    before = np.abs(unlearner.predict_proba(X[rows]) - wanted).mean()
    unlearner.unlearn(indices=rows)
    assert np.abs(unlearner.predict_proba(X[rows]) - wanted).mean() < 0.75 * before


def test_a_reference_that_cannot_be_is_refused(data):
    X, y, X_val, y_val = data
    unlearner = matching(None, target="reference").fit(X, y)
    with pytest.raises(ValueError, match="X_val= and y_val="):
        unlearner.unlearn(indices=FORGET)
    with pytest.raises(UnlearningError, match="No retained row is left of class 2"):
        unlearner.unlearn(indices=np.flatnonzero(y == 2), X_val=X_val, y_val=y_val)
    assert unlearner.deletions_ == []
    with pytest.raises(ValueError, match="target"):
        matching(None, target="other").fit(X, y)
    values = OracleMatchingUnlearner(make_regressor_net(), target="reference", random_state=0)
    values.fit(X, X[:, :1])
    with pytest.raises(UnlearningError, match="one class per row"):
        values.unlearn(indices=FORGET, X_val=X_val, y_val=X_val[:, :1])
