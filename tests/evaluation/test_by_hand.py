"""Figures of an audit against others' code: scikit-learn, SciPy, and loops as papers write them."""

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from scipy.stats import beta
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from skunlearn.evaluation import audit_logits
from tests.small import quiet

pytestmark = quiet
SHARES = {"forget": [0.6, 0.3, 0.1], "unseen": [0.3, 0.3, 0.4], "retain": [0.3, 0.4, 0.3]}
SIZES = {"forget": 60, "unseen": 150, "retain": 200}
RETRAINED = ["first", "second", "third"]


@pytest.fixture(scope="module")
def given():
    """Outputs, labels and the report's figures; classes differ between the sets."""
    rng = np.random.default_rng(0)
    y = {name: rng.choice(3, size=n, p=SHARES[name]) for name, n in SIZES.items()}
    outputs = {}
    for model, known in {"mine": 0.8, **dict.fromkeys(RETRAINED, 0.0)}.items():
        height = {"forget": 1.2 + known, "unseen": 1.2, "retain": 3.2}
        outputs[model] = {
            k: height[k] * np.eye(3)[y[k]] + rng.normal(size=(n, 3)) for k, n in SIZES.items()
        }
    frame = audit_logits(outputs, y, retrained=RETRAINED, attacks="margin").frame
    return outputs, y, frame.set_index(["model", "metric"])


def hellinger(a, b):
    return np.array([np.sqrt(1 - np.sqrt(p * q).sum()) for p, q in zip(a, b, strict=True)])


def right(outputs, y):
    return {k: accuracy_score(y[k], outputs[k].argmax(axis=1)) for k in y}


def auc(p, y, *, matched):
    sides = []
    for name in ("forget", "unseen"):
        own = p[name][np.arange(len(y[name])), y[name]]
        sides.append(np.log(own / (1 - own)))
    weights = np.ones(len(y["unseen"]))
    if matched:
        weights = [(y["forget"] == c).mean() / (y["unseen"] == c).mean() for c in y["unseen"]]
    n = len(y["forget"])
    member = np.r_[np.ones(n), np.zeros(len(y["unseen"]))]
    return roc_auc_score(member, np.concatenate(sides), sample_weight=np.r_[np.ones(n), weights])


@pytest.mark.parametrize("model", ["mine", "second"])
def test_figures_of_one_model_and_beside_another(given, model):
    outputs, y, frame = given
    p = {name: {k: softmax(z, axis=1) for k, z in sets.items()} for name, sets in outputs.items()}
    ours, theirs = right(outputs[model], y), right(outputs["first"], y)
    apart = {k: abs(ours[k] - theirs[k]) for k in y}
    aucs = [auc(p[name], y, matched=True) for name in (model, "first")]
    said = [outputs[name]["forget"].argmax(axis=1) for name in (model, "first")]
    both = p[model]["forget"], p["first"]["forget"]
    expected = {
        "test": ours["unseen"],
        "retained train": ours["retain"],
        "forget train": ours["forget"],
        "over-fit": ours["retain"] - ours["unseen"],
        "forget loss": log_loss(y["forget"], p[model]["forget"], labels=range(3)),
        "AUC": aucs[0],
        "AUC difference": aucs[0] - aucs[1],
        "unmatched AUC": auc(p[model], y, matched=False),
        "forget agreement": accuracy_score(*said),
        "forget JS": np.mean([jensenshannon(a, b) ** 2 for a, b in zip(*both, strict=True)]),
        "forget distance": np.mean([np.linalg.norm(a - b) for a, b in zip(*both, strict=True)]),
        "average gap": np.mean([*apart.values(), abs(aucs[0] - aucs[1])]),
        "ToW": np.prod([1 - gap for gap in apart.values()]),
        "ToW-MIA": np.prod([1 - apart[k] for k in ("retain", "unseen")])
        * (1 - abs(aucs[0] - aucs[1])),
    }
    others = [name for name in RETRAINED if name != model]
    for k in y:
        own = [hellinger(p[model][k], p[name][k]) for name in others]
        null = [hellinger(p[a][k], p[b][k]) for a, b in combinations(others, 2)]
        expected[f"{k} over null"] = np.mean(own) / np.mean(null)
        expected[f"{k} 95% row"] = np.mean([np.quantile(each, 0.95) for each in own])
        expected[f"{k} worst row"] = np.mean([each.max() for each in own])
    found = {metric: frame.loc[(model, metric), "value"] for metric in expected}
    assert found == pytest.approx(expected, abs=1e-7)
    # Clopper and Pearson (1934), by quantiles of beta distributions.
    n, hits = SIZES["unseen"], round(ours["unseen"] * SIZES["unseen"])
    ends = beta.ppf(0.025, hits, n - hits + 1), beta.ppf(0.975, hits + 1, n - hits)
    assert tuple(frame.loc[(model, "test"), ["low", "high"]]) == pytest.approx(ends)


def test_the_band_over_the_null_spans_all_retrained_models(given):
    """The first too is judged by the others there: it was left out."""
    *_, frame = given
    for rows in SIZES:
        metric = f"{rows} over null"
        values = [frame.loc[(name, metric), "value"] for name in RETRAINED]
        band = frame.loc[("mine", metric), ["reference low", "reference high"]]
        assert tuple(band) == (min(1.0, *values), max(1.0, *values))
