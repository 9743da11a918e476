"""Where the probability of a forgotten class went, beside nets that never saw the class."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from skunlearn.evaluation import audit_logits
from skunlearn.metrics import class_spread_attack, membership_inference

GONE, REFERENCES = 1, 5
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def digits():
    """Labels of rows of all ones and of unseen digits, and what nets with and without ones say."""
    X, y = load_digits(return_X_y=True)
    X, unseen, forget = X / 16, np.arange(len(y)) % 2 == 1, y == GONE
    sets = {"forget": forget & ~unseen, "retain": ~forget & ~unseen, "unseen": unseen}

    def answers(rows, seed):
        net = MLPClassifier((48,), max_iter=25, learning_rate_init=0.005, random_state=seed)
        net.fit(X[rows], y[rows])
        found = {}
        for name, mask in sets.items():
            found[name] = np.full((mask.sum(), 10), -60.0)
            found[name][:, net.classes_] = np.log(net.predict_proba(X[mask]) + 1e-300)
        return found

    models = {"original": answers(~unseen, 0)}
    for i in range(REFERENCES + 1):
        models[f"retrained ({i})"] = answers(sets["retain"], i)
    # The class is never named again, and nothing else changes.
    models["suppressed"] = {k: z.copy() for k, z in models["original"].items()}
    for z in models["suppressed"].values():
        z[:, GONE] = -60.0
    return {name: y[mask] for name, mask in sets.items()}, models


def attacked(labels, models, name, references):
    rows = [(models[n]["forget"], models[n]["unseen"]) for n in (name, *references)]
    (forget, unseen), *null = rows
    return class_spread_attack(forget, labels["forget"], unseen, labels["unseen"], null)


def test_a_suppressed_logit_is_caught_and_a_retrained_net_is_not(digits):
    labels, models = digits
    retrained = [name for name in models if name.startswith("retrained")]
    caught = attacked(labels, models, "suppressed", retrained[:REFERENCES])
    assert caught.distinguishable
    assert caught.scores["sureness"].distinguishable
    assert caught.scores["sureness"].value < caught.scores["sureness"].low
    assert "distinguishable from a retrained model" in str(caught)
    again = attacked(labels, models, retrained[-1], retrained[:REFERENCES])
    assert not again.distinguishable
    assert "not distinguishable" in str(again)
    assert caught.nearest == again.nearest
    # Neither what is named nor an attack within the class shows it.
    assert (models["suppressed"]["forget"].argmax(axis=1) != GONE).all()
    twins = labels["unseen"] == GONE
    within = membership_inference(
        models["suppressed"]["forget"],
        labels["forget"],
        models["suppressed"]["unseen"][twins],
        labels["unseen"][twins],
        random_state=0,
    )
    assert not within.distinguishable


def test_however_the_class_was_suppressed_the_figures_are_the_same(digits):
    labels, models = digits
    softly = {k: z.copy() for k, z in models["original"].items()}
    for z in softly.values():
        z[:, GONE] -= 7.0
    outputs = models | {"softly": softly}
    names = [name for name in models if name.startswith("retrained")][:3]
    found = [attacked(labels, outputs, n, names).scores for n in ("suppressed", "softly")]
    assert found[0] == found[1]


def test_one_retrained_net_has_no_null(digits):
    labels, models = digits
    found = attacked(labels, models, "suppressed", ["retrained (0)"])
    assert found.distinguishable is None
    assert found.scores["sureness"].reference == pytest.approx(found.scores["sureness"].values[0])
    assert "pass several" in str(found)


def test_reports_on_whole_classes_have_the_spread_beside_the_retrained(digits):
    labels, models = digits
    retrained = [name for name in models if name.startswith("retrained")]
    outputs = {name: models[name] for name in ("suppressed", *retrained[:-1])}
    outputs["another"] = models[retrained[-1]]
    report = audit_logits(outputs, labels, retrained=retrained[:-1], attacks="margin")
    expected = attacked(labels, models, "suppressed", retrained[:-1])
    for name, found in expected.scores.items():
        frame = report.frame[report.frame["metric"] == f"spread {name}"].set_index("model")
        assert frame.loc["suppressed", "value"] == pytest.approx(found.value)
        assert frame["reference"].to_numpy() == pytest.approx(np.full(len(frame), found.reference))
        assert frame.loc["suppressed", "reference low"] == pytest.approx(found.low)
        assert frame.loc["suppressed", "inside"] == (not found.distinguishable)
        assert frame.loc["another", "inside"]
    said = [text for text in report.warnings if "given away by the spread" in text]
    assert len(said) == 1
    assert said[0].startswith("suppressed: ")
    assert "spread sureness" in report.to_html()
    # Rows of classes that stay have no spread to speak of.
    kept = labels["unseen"] != GONE
    rows = {"forget": labels["retain"][:50], "unseen": labels["unseen"][kept]}
    plain = {
        name: {"forget": models[name]["retain"][:50], "unseen": models[name]["unseen"][kept]}
        for name in retrained[:3]
    }
    wide = audit_logits(plain, rows, retrained=retrained[:2], attacks="margin").wide
    assert "spread sureness" not in wide


def test_several_classes_are_averaged_and_bad_input_is_named():
    rng = np.random.default_rng(0)
    y, y_unseen = np.repeat([0, 1], 60), rng.integers(2, 6, size=300)

    def model():
        forget = rng.normal(size=(120, 6)) + 2 * np.eye(6)[y + 2]
        return forget, rng.normal(size=(300, 6)) + 4 * np.eye(6)[y_unseen]

    (forget, unseen), *null = (model() for _ in range(4))
    found = class_spread_attack(forget, y, unseen, y_unseen, null)
    assert found.nearest == {0: 2, 1: 3}
    odds = []
    for c in (0, 1):
        fewer = [(f[y == c], u) for f, u in null]
        one = class_spread_attack(forget[y == c], y[y == c], unseen, y_unseen, fewer)
        p = one.scores["nearest"].value
        odds.append(np.log(p / (1 - p)))
    p = found.scores["nearest"].value
    assert np.log(p / (1 - p)) == pytest.approx(np.mean(odds), abs=0.1)
    with pytest.raises(ValueError, match="references is empty"):
        class_spread_attack(forget, y, unseen, y_unseen, [])
    with pytest.raises(ValueError, match="widths"):
        class_spread_attack(forget, y, unseen[:, :4], np.minimum(y_unseen, 3), null)
    with pytest.raises(ValueError, match="1 of 3 classes are left"):
        class_spread_attack(
            forget[:, :3],
            y,
            unseen[:, :3],
            np.full(300, 2),
            [(f[:, :3], u[:, :3]) for f, u in null],
        )
    with pytest.raises(ValueError, match="No unseen row is of a class that was kept"):
        class_spread_attack(forget, y, unseen, np.zeros(300, dtype=int), null)
    with pytest.raises(ValueError, match="No unseen row is of class 2"):
        class_spread_attack(forget, y, unseen, np.full(300, 5), null)
    with pytest.raises(ValueError, match="confidence must lie"):
        class_spread_attack(forget, y, unseen, y_unseen, null, confidence=1)
