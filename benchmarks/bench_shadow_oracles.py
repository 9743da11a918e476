"""How near do shadow models come to what retrained nets say of forget rows, averaged or regressed?

Digits with a fifth of wrong labels (digits-rows of `bench_defaults.py`), of which a net of one
hidden layer knows the training rows by heart. Shadow models are trained on random halves. What is
predicted of the forget rows:

- average: the mean of the models that were not trained on the row, as `OracleMatchingUnlearner`
  takes it; or of those that saw none of the rows, where there are such;
- datamodel: Ridge regression of the log-probabilities of a row on which training rows were in
  (Georgiev et al., arXiv 2410.23232); the original net's, less the effects of the forget rows;
- own effect: the same with the row itself alone;
- predicted: the same regression on the forget rows alone, at none of them;
- short: the mean of two nets that were trained on the retained rows for some epochs.

The figure is the mean Hellinger distance to retrained nets, over their distance to each other. A
hundred rows at random; then eight copies of a row, with noise and a wrong label, of which the
shadow models may be drawn as a group.
"""

import argparse

import numpy as np
from _defaults_tasks import digits, net
from scipy.special import log_softmax, softmax
from sklearn.linear_model import Ridge

from skunlearn import RetrainUnlearner
from skunlearn.shadow import ShadowModels

_LEAST = -20.0  # of logarithms of probabilities


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    found = {}
    for seed in range(options.seeds):
        for task, figures in run(seed, options.models).items():
            for name, figure in figures.items():
                found.setdefault((task, name), []).append(figure)
    print(f"{options.models} shadow models, {options.seeds} seeds: mean (least to most)")
    for (task, name), figures in found.items():
        low, high = min(figures), max(figures)
        print(f"{task:22s} {name:22s} {np.mean(figures):.2f} ({low:.2f} to {high:.2f})")


def run(seed, n_models):
    """Figures of each task by the name of what predicts."""
    X, y, *_, rng = digits(seed)
    rows = rng.choice(len(y), 100, replace=False)
    alike, others = np.arange(8), np.arange(8, len(y))
    found = {"100 rows at random": compare(X, y, rows, fit(X, y, n_models, seed), seed, short=True)}
    X, y = X.copy(), y.copy()
    X[alike] = X[0] + rng.normal(scale=0.05, size=(len(alike), X.shape[1]))
    y[alike] = (y[0] + 3) % 10
    found["8 that are alike"] = compare(X, y, alike, fit(X, y, n_models, seed), seed)
    groups = np.concatenate([np.zeros(len(alike), dtype=int), others])
    grouped = fit(X, y, n_models, seed, groups)
    found["8 alike, as a group"] = compare(X, y, alike, grouped, seed)
    return found


def fit(X, y, n_models, seed, groups=None):
    """Shadow models of the rows."""
    shadows = ShadowModels(net(), n_models=n_models, keep_outputs=True, random_state=seed)
    return shadows.fit(X, y, groups=groups)


def compare(X, y, forget, shadows, seed, short=False):
    """Distance of each prediction to retrained nets, over that between them."""
    kept = np.setdiff1d(np.arange(len(y)), forget)
    gold = [np.exp(train(X, y, kept, 100 + i, seed)[forget]) for i in range(4)]
    null = np.mean([hellinger(gold[i], gold[j]) for i in range(4) for j in range(i)])
    inside, n = shadows.membership_, len(forget)
    said = np.maximum(log_softmax(shadows.outputs_[:, forget].astype(float), -1), _LEAST)
    original = np.maximum(train(X, y, np.arange(len(y)), 1, seed)[forget], _LEAST)
    flat = said.reshape(len(said), -1)
    # Of what all rows do, as the paper has it, and of what the forget rows do.
    whole = Ridge(10.0).fit(inside, flat).coef_[:, forget].sum(axis=1).reshape(n, -1)
    some = Ridge(1.0).fit(inside[:, forget], flat).predict(np.zeros((1, n))).reshape(n, -1)
    own = np.stack([said[m, i].mean(0) - said[~m, i].mean(0) for i, m in each(inside, forget)])
    predicted = {
        "original": softmax(original, -1),
        "average": shadows.lend().ask(X[forget])[0],
        "datamodel": softmax(original - whole, -1),
        "own effect": softmax(original - own, -1),
        "predicted": softmax(some, -1),
    }
    for epochs in (6, 30) if short else ():
        nets = [np.exp(train(X, y, kept, 50 + i, seed, epochs)[forget]) for i in range(2)]
        predicted[f"short, {epochs} epochs"] = np.mean(nets, axis=0)
    return {
        name: np.mean([hellinger(p, one) for one in gold]) / null for name, p in predicted.items()
    }


def each(inside, forget):
    """Number of a forget row, and which models saw it."""
    return ((i, inside[:, row]) for i, row in enumerate(forget))


def train(X, y, rows, number, seed, epochs=60):
    """Log-probabilities of all rows under a net that is trained on some."""
    recipe = net(max_epochs=epochs)
    fitted = RetrainUnlearner(recipe, random_state=1000 * seed + number).fit(X[rows], y[rows])
    return log_softmax(fitted.estimator_.forward(X).numpy(), axis=-1)


def hellinger(p, q):
    """Mean distance of rows of probabilities."""
    return np.sqrt(np.clip(1 - np.sqrt(p * q).sum(axis=-1), 0, None)).mean()


if __name__ == "__main__":
    main()
