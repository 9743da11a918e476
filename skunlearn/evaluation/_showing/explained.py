"""Every row of a report, and every figure beside it, in a sentence or two for newcomers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Explained:
    """What a figure is.

    Attributes
    ----------
    name : str
        In full, for a heading.
    text : str
        What it measures and how to read it.
    """

    name: str
    text: str


_SETS = "the retained, the forgotten and the unseen rows"

EXPLAINED = {
    # accuracies of classifiers
    "test": Explained(
        "accuracy on unseen rows",
        "Share of rows that no model was trained on which it gets right, of all classes. A model "
        "that has truly forgotten a class gets that class wrong: read the retained classes first.",
    ),
    "retained test": Explained(
        "unseen accuracy",
        "Accuracy on unseen rows of the classes that stay: what the request has cost. As good as "
        "the retrained model's, or better, is what you want.",
    ),
    "retained train": Explained(
        "accuracy on the retained rows",
        "Share of the training rows that stay which the model gets right.",
    ),
    "over-fit": Explained(
        "over-fit",
        "Accuracy on the retained training rows less that on unseen rows: how much the model knows "
        "by heart. Where it is 0 there is little to forget.",
    ),
    "forget train": Explained(
        "forget accuracy",
        "Share of the forgotten rows that the model still gets right, by the labels that it was "
        "trained on. It should be the retrained model's, which is rarely 0: it knows a seven from "
        "other sevens.",
    ),
    "forget unseen": Explained(
        "accuracy on unseen rows of the same classes",
        "What a model that never saw the forgotten rows makes of rows like them.",
    ),
    "forget loss": Explained(
        "loss on the forget set",
        "Mean cross-entropy of the forgotten rows in nats: how surprised the model is by their "
        "labels. Far above the retrained model's is over-forgotten.",
    ),
    # attacks
    "AUC": Explained(
        "attack",
        "Chance that an attacker, shown one forgotten and one unseen row, points at the forgotten "
        "one when asked which the model was trained on. 0.5 is a coin; the target is the retrained "
        "model's value, and both sides of it count.",
    ),
    "AUC difference": Explained(
        "difference of the attack",
        "AUC of the attack that finds most, less the retrained model's (less one half without "
        "one). The verdict rests on it. Its interval should hold 0.",
    ),
    "TPR at 1% FPR": Explained(
        "sure hits of the attack",
        "Share of the forgotten rows that an attacker names while at most 1 % of unseen rows are "
        "named by mistake: whether a few rows are given away with certainty.",
    ),
    "epsilon at least": Explained(
        "ε at least",
        "Lower bound on the ε of differential privacy that the attack proves for this model. 0 "
        "proves nothing; it is no upper bound, so that 0 does not promise privacy.",
    ),
    "unmatched AUC": Explained(
        "attack against all unseen rows",
        "The same attack without weighting unseen rows to the classes of the forget set. It sees "
        "the difference between classes, in the retrained model too, and is shown as a warning.",
    ),
    # distances to the retrained model
    "forget agreement": Explained(
        "agreement on the forget set",
        "Share of the forgotten rows for which model and retrained model name the same class.",
    ),
    "unseen agreement": Explained(
        "agreement on unseen rows",
        "Share of the unseen rows for which model and retrained model name the same class.",
    ),
    "forget JS": Explained(
        "Jensen–Shannon divergence (JS)",
        "Mean distance of the class probabilities to the retrained model's on the forgotten rows, "
        "in nats: 0 where they are the same, log 2 = 0.69 where they have nothing in common.",
    ),
    "forget distance": Explained(
        "distance of predictions",
        "Mean distance of the predictions to the retrained model's on the forgotten rows: "
        "Euclidean of class probabilities, squared of regressions.",
    ),
    "average gap": Explained(
        "average gap",
        "Mean absolute difference to the retrained model over four figures: accuracy on the "
        "forgotten, the retained and unseen rows, and the AUC of the attack.",
    ),
    "ToW": Explained(
        "tug of war (ToW)",
        f"One less the difference of accuracy to the retrained model on {_SETS}, multiplied: 1 "
        "only where all three are the retrained model's.",
    ),
    "ToW-MIA": Explained(
        "tug of war with an attack (ToW-MIA)",
        "ToW with the AUC of the attack (membership inference, MIA) in place of the accuracy "
        "on the forgotten rows.",
    ),
    "forget over null": Explained(
        "distance over null, forgotten rows",
        "Distance of predictions to the retrained models over the distance of retrained models to "
        "each other. 1 is as near as a retrained model can be expected to come.",
    ),
    "retain over null": Explained(
        "distance over null, retained rows",
        "As on the forgotten rows: above 1 the model differs from a retrained one on rows that "
        "were to stay.",
    ),
    "unseen over null": Explained(
        "distance over null, unseen rows",
        "As on the forgotten rows, on rows that no model was trained on.",
    ),
    # single rows, and where a forgotten class went
    **{
        f"{rows} {which}": Explained(
            f"{which}, {named} rows",
            f"Distance of predictions to the retrained models on {what} of the {named} rows, as a "
            "mean hides what happened to a few. Retrained models differ by some as well.",
        )
        for rows, named in (("forget", "forgotten"), ("retain", "retained"), ("unseen", "unseen"))
        for which, what in (("worst row", "the worst"), ("95% row", "the 95 % quantile"))
    },
    "spread sureness": Explained(
        "spread of a forgotten class: sureness",
        "AUC that tells rows of a forgotten class from unseen rows of the others by how surely the "
        "model gives them to one of the other classes. It should be the retrained models'.",
    ),
    "spread nearest": Explained(
        "spread of a forgotten class: nearest class",
        "AUC that tells rows of a forgotten class from unseen rows of the class that retrained "
        "models give most of them to. It should be the retrained models'.",
    ),
    # regressors
    "test R²": Explained(
        "R² on unseen rows",
        "Share of the targets' variance that the model explains; 1 is perfect, 0 is the mean of "
        "the targets, and below 0 is worse than that.",
    ),
    "test MSE": Explained("mean squared error on unseen rows", "In squared units of the target."),
    "retained train R²": Explained(
        "R² on the retained rows", "Share of the variance of the rows that stay."
    ),
    "retained train MSE": Explained(
        "mean squared error on the retained rows", "In squared units of the target."
    ),
    "over-fit MSE": Explained(
        "over-fit",
        "Mean squared error on unseen rows less that on the retained rows: how much the model "
        "knows by heart.",
    ),
    "forget train MSE": Explained(
        "mean squared error on the forget set",
        "It should be the retrained model's: smaller is not forgotten, larger over-forgotten.",
    ),
    **{
        f"{metric} error": Explained(
            f"{what}, by the net's own loss",
            "Mean error of a row by the criterion of the net, which the report names: L1, smooth "
            f"L1, Huber, or Poisson deviance. {how}",
        )
        for metric, what, how in (
            ("test", "error on unseen rows", "What the request has cost."),
            ("retained train", "error on the retained rows", "Of the rows that stay."),
            ("over-fit", "over-fit", "On unseen rows less on retained ones."),
            ("forget train", "error on the forget set", "It should be the retrained model's."),
        )
    },
    # time
    "seconds": Explained("time", "Seconds that forgetting (or training anew) took."),
    "of retraining": Explained(
        "time, as a share of retraining",
        "Seconds over those of training anew in the same run: below 1 unlearning is the faster.",
    ),
    # of streams of requests, and of stress tests
    "BWT": Explained(
        "backward transfer (BWT)",
        "Mean change of accuracy on the classes that stay, from before the first request to after "
        "the last. Below 0 the requests have cost accuracy.",
    ),
    "forgetting": Explained(
        "forgetting, as in continual learning",
        "Mean fall of the accuracy on each class that stays from its best value: what repeated "
        "requests cost, not what they were to forget.",
    ),
    "retained accuracy": Explained(
        "accuracy on retained classes",
        "Accuracy on test rows of classes of which training rows stay, under the condition.",
    ),
    "forgotten accuracy": Explained(
        "accuracy on forgotten classes",
        "Accuracy on test rows of classes that were wholly forgotten, under the condition.",
    ),
    "forget accuracy": Explained(
        "accuracy on the forget set",
        "Share of the forgotten rows that the model gets right under the condition.",
    ),
    "comes back": Explained(
        "comes back",
        "Share of the forgotten rows that the model gets wrong as they are and right under the "
        "condition: what was hidden and not forgotten.",
    ),
    "residual knowledge": Explained(
        "residual knowledge",
        "Share of the forgotten rows, slightly changed, that the model knows and the retrained "
        "model does not.",
    ),
    "calibration error": Explained(
        "calibration error",
        "How far the model's confidence lies from how often it is right, on average.",
    ),
    "backdoor success": Explained(
        "backdoor success",
        "Share of rows with the trigger that the model gives to the class of the backdoor.",
    ),
}

_ATTACK = (
    "The attack by the {score} of the model's outputs: chance that a forgotten row looks more like "
    "a training row than an unseen one. One score may show what another hides."
)


def explain(metric):
    """What a row of a report is.

    Parameters
    ----------
    metric : str
        As in the frame of a report; "AUC entropy" is an attack by the entropy.

    Returns
    -------
    explained : Explained

    Raises
    ------
    KeyError
        When nobody has explained it.
    """
    if metric in EXPLAINED:
        return EXPLAINED[metric]
    if metric.startswith("AUC "):
        score = metric.removeprefix("AUC ")
        return Explained(f"attack by {score}", _ATTACK.format(score=score))
    raise KeyError(metric)
