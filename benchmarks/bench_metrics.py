"""Does each metric tell nets that know the forget set from nets that never saw it?

Digits with a twentieth of wrong labels; a hundred random training rows are to be forgotten. Forty
nets were retrained without them, and forty of each kind know them in some way. A metric gives every
net a number, its distance to a retrained net of another seed; the AUC of these numbers, a kind
against the retrained nets, says how well the metric tells the two apart: 1 always, 0.5 not at all.
(Below 0.5 nets that know look more like a retrained net than other retrained nets do.)

Metrics of ensembles are given forty draws of eight nets of each kind.

All nets of a kind are trained at once, as batched matrices. ``--write`` puts the outcome into
benchmarks/metrics.json, from which the documentation makes its table.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge

from skunlearn import metrics

N, HIDDEN, BATCH = 40, 128, 50  # nets of a kind, units, rows of a batch
FORGET, RETAIN = np.arange(100), np.arange(100, 700)
SEEN, POPULATION = np.arange(700), np.arange(1400, 1797)  # the latter for RMIA alone
CANDIDATES = np.r_[FORGET, np.arange(700, 800)]  # of which shadow nets see half
UNSEEN = np.arange(800, 1400)
SCORES = ("margin", "confidence", "entropy", "modified_entropy")
FILE = Path(__file__).with_name("metrics.json")


def digits():
    """Rows in random order, of which a twentieth has a wrong label, trained on or not."""
    (X, y), rng = load_digits(return_X_y=True), np.random.default_rng(0)
    order = rng.permutation(len(y))
    X, y = X[order].astype(np.float32) / 16, y[order]
    wrong = rng.random(len(y)) < 0.05
    return X, np.where(wrong, (y + rng.integers(1, 10, len(y))) % 10, y)


class Nets:
    """Nets with a hidden layer and batch normalisation, a row of every tensor for each.

    Parameters
    ----------
    seeds : sequence of int
    data : (X, y), tensors
    """

    def __init__(self, seeds, data):
        self.X, self.y = data
        self.draws = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        self.w = [
            self._draw(64, HIDDEN, 64**-0.5),
            self._draw(1, HIDDEN, 0) + 1,
            self._draw(1, HIDDEN, 0),
            self._draw(HIDDEN, 10, HIDDEN**-0.5),
            self._draw(1, 10, 0),
        ]
        self.statistics = None

    def _draw(self, n, m, size):
        return torch.stack([size * torch.randn(n, m, generator=g) for g in self.draws])

    def copy(self):
        """Nets that can be trained on without a change of these."""
        new = object.__new__(Nets)
        vars(new).update(vars(self), w=[w.clone() for w in self.w])
        return new

    def train(self, rows, epochs, *, lr=3e-3, ascend=False):
        """Train every net on its own rows, of shape (nets, n); statistics are those of the rows."""
        for w in self.w:
            w.requires_grad_()
        optimizer, sign = torch.optim.Adam(self.w, lr), -1 if ascend else 1
        rows = torch.as_tensor(rows)
        for _ in range(epochs):
            order = torch.stack([torch.randperm(rows.shape[1], generator=g) for g in self.draws])
            for batch in rows.gather(1, order).split(BATCH, dim=1):
                optimizer.zero_grad()
                logits = self._forward(self.X[batch])[0]
                loss = torch.nn.functional.cross_entropy(
                    logits.flatten(0, 1), self.y[batch].flatten()
                )
                (sign * len(rows) * loss).backward()
                optimizer.step()
        self.w = [w.detach() for w in self.w]
        return self.look(rows) if not ascend else self

    def look(self, rows):
        """Take the statistics of batch normalisation over rows."""
        with torch.no_grad():
            self.statistics = self._forward(self.X[torch.as_tensor(rows)])[1]
        return self

    def _forward(self, x, statistics=None):
        first, scale, shift, last, bias = self.w
        h = x @ first
        statistics = statistics or (h.mean(1, keepdim=True), h.var(1, keepdim=True))
        mean, variance = statistics
        h = torch.relu((h - mean) / (variance + 1e-5).sqrt() * scale + shift)
        return h @ last + bias, statistics

    def logits(self):
        """Of all rows, shape (nets, n, 10)."""
        with torch.no_grad():
            return self._forward(self.X.expand(len(self.draws), -1, -1), self.statistics)[0].numpy()


def train_all(data, epochs):
    """Logits by kind, of the references, and of shadow nets with what they have seen."""

    def nets(first, rows, n=N):
        return Nets(range(first, first + n), data).train(np.tile(rows, (n, 1)), epochs)

    def rows(which):
        return np.tile(which, (N, 1))

    knowing = nets(3000, SEEN)
    tuned = knowing.copy().train(rows(RETAIN), epochs // 2)
    pushed = knowing.copy().train(rows(FORGET), 4, lr=1e-3, ascend=True)
    repaired = pushed.copy().train(rows(RETAIN), epochs // 2)
    some = nets(7000, np.r_[RETAIN, FORGET[:10]])
    remembering = nets(4000, RETAIN).look(rows(SEEN))
    kinds = {
        "known by heart": knowing,
        "the reference's seed": nets(1000, SEEN),
        "ten of a hundred": some,
        "fine-tuned away": tuned,
        "ascent": pushed,
        "ascent, repaired": repaired,
        "batch normalisation": remembering,
    }
    rng, n_shadow = np.random.default_rng(1), 64
    seen = np.stack([rng.permutation(len(CANDIDATES)) < len(FORGET) for _ in range(n_shadow)])
    seen[1::2] = ~seen[::2]  # every candidate is in half of them
    theirs = np.stack([np.r_[RETAIN, CANDIDATES[inside]] for inside in seen])
    shadow = Nets(range(5000, 5000 + n_shadow), data).train(theirs, epochs)
    forgetting = Nets(range(5000, 5000 + n_shadow), data).train(theirs, epochs)
    forgetting.train(np.tile(RETAIN, (n_shadow, 1)), epochs // 6)
    return {
        "kinds": {name: made.logits() for name, made in kinds.items()},
        "retrained": nets(2000, RETAIN).logits(),
        "references": nets(1000, RETAIN).logits(),
        "original": nets(6000, SEEN, 1).logits()[0],
        "untrained": Nets([8000], data).look(SEEN[None]).logits()[0],
        "shadow": shadow.logits(),
        "forgetting": forgetting.logits(),
        "seen": seen,
    }


class Measures:
    """All metrics of a single net, as numbers that a retrained net is to have too."""

    def __init__(self, X, y, made):
        self.X, self.y, self.made = X, y, made
        self.weights = metrics.match_weights(y[FORGET], y[UNSEEN])
        self.pair = metrics.match_weights(y[CANDIDATES[:100]], y[CANDIDATES[100:]])
        self.margins = {
            name: np.stack([metrics.margin(z[CANDIDATES], y[CANDIDATES]) for z in made[name]])
            for name in ("shadow", "forgetting")
        }
        self.log_p = -np.stack([metrics.cross_entropy(z, y) for z in made["shadow"]])

    def figures(self, z):
        """Figures of one net by itself: of each, the distance to the reference's counts."""
        y, sides = self.y, ((z[FORGET], self.y[FORGET]), (z[UNSEEN], self.y[UNSEEN]))
        flat = [part for side in sides for part in side]
        found = {}
        for score in SCORES:
            ours, theirs = (metrics.membership_scores(*side, attack=score) for side in sides)
            found[f"membership_inference, {score}"] = metrics.auc(
                ours, theirs, weights=self.weights
            )
        ours, theirs = (metrics.membership_scores(*side) for side in sides)
        found["tpr_at_fpr, 5 %"] = metrics.tpr_at_fpr(
            ours, theirs, fpr=0.05, weights=self.weights
        ).tpr.estimate
        found["epsilon_lower_bound"] = metrics.epsilon_lower_bound(
            ours, theirs, y_forget=y[FORGET], y_unseen=y[UNSEEN], random_state=0
        ).epsilon
        found["membership_inference, learned"] = metrics.membership_inference(
            *flat, attack="learned", random_state=0
        ).auc
        found["quantile_scores"] = metrics.auc(
            *metrics.quantile_scores(
                ours, self.X[FORGET], theirs, self.X[UNSEEN], regressor=Ridge(), random_state=0
            ),
            weights=self.weights,
        )
        found["logistic_attack"] = metrics.logistic_attack(*flat, random_state=0).accuracy
        found["svc_efficacy"] = metrics.svc_efficacy(
            *flat[:2], z[RETAIN], y[RETAIN], *flat[2:], max_rows=300, random_state=0
        ).efficacy.estimate
        right = [float(np.mean(side.argmax(1) == labels)) for side, labels in sides]
        found["gap_attack"] = (1 + right[0] - right[1]) / 2
        found["expected_calibration_error"] = metrics.expected_calibration_error(*sides[0])
        found["zero_retrain_forgetting"] = metrics.zero_retrain_forgetting(
            z[FORGET], self.made["untrained"][FORGET]
        )
        margins, log_p = metrics.margin(z[CANDIDATES], y[CANDIDATES]), -metrics.cross_entropy(z, y)
        seen, shadow = self.made["seen"], self.margins["shadow"]
        ratios = {
            "lira, online": metrics.lira(margins, shadow, seen),
            "lira, offline": metrics.lira(margins, shadow, seen, mode="offline"),
            "u_lira": metrics.u_lira(margins, self.margins["forgetting"], seen, ~seen),
            "rmia": metrics.rmia(
                log_p[CANDIDATES],
                self.log_p[:, CANDIDATES],
                seen,
                log_p[POPULATION],
                self.log_p[:, POPULATION],
            ),
        }
        for name, scores in ratios.items():
            found[name] = metrics.auc(scores[:100], scores[100:], weights=self.pair)
        return found

    def distances(self, z, reference, others):
        """Distances of one net to a reference, or to several `others`."""
        f, r = z[FORGET], reference[FORGET]
        ours, theirs = (
            [
                float(np.mean(net[rows].argmax(1) == self.y[rows]))
                for rows in (FORGET, RETAIN, UNSEEN)
            ]
            for net in (z, reference)
        )
        ours, theirs = ({"UA": 1 - a[0], "RA": a[1], "TA": a[2]} for a in (ours, theirs))
        near = metrics.relative_similarity_test(f, r, self.made["original"][FORGET])
        rows = metrics.row_distances(f, [other[FORGET] for other in others])
        return {
            "average_gap": metrics.average_gap(ours, theirs),
            "tug_of_war": 1 - metrics.tug_of_war(
                [1 - ours["UA"], ours["RA"], ours["TA"]],
                [1 - theirs["UA"], theirs["RA"], theirs["TA"]],
            ),
            "agreement": 1 - metrics.agreement(f, r).estimate,
            "kl_divergence": metrics.kl_divergence(f, r).mean(),
            "js_divergence": metrics.js_divergence(f, r).mean(),
            "activation_distance": np.mean(metrics.activation_distance(f, r)),
            "hellinger_distance": metrics.hellinger_distance(f, r).mean(),
            "relative_similarity_test": near.z,
            "distance_over_null": metrics.distance_over_null(f, [o[FORGET] for o in others]),
            "row_distances, high": rows.high,
        }  # fmt: skip


def measure(measures, made):
    """Number of every net by metric and kind."""
    reference, table = [measures.figures(z) for z in made["references"]], {}
    for kind, nets in {"retrained": made["retrained"], **made["kinds"]}.items():
        for i, z in enumerate(nets):
            others = [made["references"][(i + step) % N] for step in range(4)]
            own, theirs = measures.figures(z), reference[i]
            numbers = {name: abs(own[name] - theirs[name]) for name in own}
            scores = [numbers[f"membership_inference, {score}"] for score in SCORES]
            numbers["membership_inference, strongest"] = max(scores)
            numbers |= measures.distances(z, made["references"][i], others)
            for name, value in numbers.items():
                table.setdefault(name, {}).setdefault(kind, []).append(float(value))
    return table


def measure_ensembles(y, made):
    """The same of metrics that compare ensembles; of draws of eight nets."""
    table = {}
    margins = {
        kind: np.stack([metrics.margin(z[FORGET], y[FORGET]) for z in nets])
        for kind, nets in {"retrained": made["retrained"], **made["kinds"]}.items()
    }
    theirs = np.stack([metrics.margin(z[FORGET], y[FORGET]) for z in made["references"]])
    for kind, ours in margins.items():
        for draw in range(N):
            rng = np.random.default_rng(draw)
            some = ours[rng.choice(N, 8, replace=False)]
            # Nets of the reference's seeds are not compared with those: that would be a pair.
            numbers = {
                "klom": metrics.klom(some, theirs, null=theirs).mean,
                "challenge_score": -metrics.challenge_score(some, theirs, null=theirs).forgetting,
            }
            for name, value in numbers.items():
                table.setdefault(name, {}).setdefault(kind, []).append(float(value))
    return table


def summary(table):
    """AUC of each kind against the retrained nets, by metric."""
    return {
        name: {
            kind: round(float(metrics.auc(values, numbers["retrained"])), 3)
            for kind, values in numbers.items()
            if kind != "retrained"
        }
        for name, numbers in table.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep the outcome in metrics.json")
    parser.add_argument("--epochs", type=int, default=60)
    chosen, began = parser.parse_args(), time.perf_counter()
    torch.set_num_threads(1)
    X, y = digits()
    made = train_all((torch.as_tensor(X), torch.as_tensor(y)), chosen.epochs)
    print(f"nets trained: {time.perf_counter() - began:.0f} s")
    accuracies = {
        kind: [
            round(float(np.mean(nets[:, rows].argmax(2) == y[rows])), 3)
            for rows in (FORGET, RETAIN, UNSEEN)
        ]
        for kind, nets in {"retrained": made["retrained"], **made["kinds"]}.items()
    }
    for kind, found in accuracies.items():
        print(f"{kind:22}", *(f"{share:.3f}" for share in found))
    table = measure(Measures(X, y, made), made) | measure_ensembles(y, made)
    outcome = summary(table)
    for name, row in outcome.items():
        print(f"{name:34}", *(f"{value:.2f}" for value in row.values()))
    print(f"whole: {time.perf_counter() - began:.0f} s")
    if chosen.write:
        kept = {"nets": N, "accuracies": accuracies, "auc": outcome}
        FILE.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
