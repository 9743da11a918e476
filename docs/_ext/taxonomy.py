"""Every method's place in a taxonomy after that of J. Xu et al., "Machine Unlearning: Solutions and
Challenges", IEEE TETCI 2024, https://arxiv.org/abs/2308.07061."""

PLACES = {
    "Exact: SISA structure": (
        "The data are divided before the training; only the parts that held the rows train again.",
        ["ShardedUnlearner"],
    ),
    "Exact: no SISA structure": (
        "Training anew, in whole or where the rows were drawn; statistics without them.",
        [
            "ForestUnlearner",
            "RetrainUnlearner",
            "RidgeUnlearner",
            "SufficientStatisticsUnlearner",
        ],
    ),
    "Approximate: influence of the removed data": (
        "An estimate of what the rows changed in the weights is subtracted.",
        ["CertifiedRemovalUnlearner", "InfluenceUnlearner", "PUMAUnlearner"],
    ),
    "Approximate: re-optimisation": (
        "Training goes on with an objective without the rows, or one that speaks against them.",
        [
            "AMUNUnlearner",
            "AutoUnlearner",
            "BadTeacherUnlearner",
            "BoundaryUnlearner",
            "CFWUnlearner",
            "CFkUnlearner",
            "CTUnlearner",
            "CoUnUnlearner",
            "DELETEUnlearner",
            "DescentToDeleteUnlearner",
            "EUkUnlearner",
            "FCSUnlearner",
            "FineTuneUnlearner",
            "JiTUnlearner",
            "KDEUnlearner",
            "L1SparseUnlearner",
            "LangevinUnlearner",
            "MSGUnlearner",
            "MUMisUnlearner",
            "NoTUnlearner",
            "NoisyFineTuneUnlearner",
            "OracleMatchingUnlearner",
            "PRMQUnlearner",
            "ProximalUnlearner",
            "RNIUnlearner",
            "RandomLabelUnlearner",
            "RewindUnlearner",
            "SCRUBUnlearner",
            "SalUnUnlearner",
            "ShrinkPerturbUnlearner",
            "UNSIRUnlearner",
        ],
    ),
    "Approximate: gradient updates": (
        "Gradients of the rows are undone: recorded ones subtracted, or new ones climbed.",
        [
            "AmnesiacUnlearner",
            "GradientAscentUnlearner",
            "NegGradPlusUnlearner",
            "SFRonUnlearner",
        ],
    ),
    "Approximate: editing weights": (
        "Weights are dampened, made noisy or moved once. (A heading of ours.)",
        [
            "FisherForgettingUnlearner",
            "LFSSDUnlearner",
            "NegMergeUnlearner",
            "PotionUnlearner",
            "SSDUnlearner",
        ],
    ),
    "Approximate: methods made of methods": (
        "Requests are split between methods, or their steps changed. (A heading of ours.)",
        ["RUMUnlearner", "UAMUnlearner"],
    ),
    "Graphs": (
        "SISA for graphs: nodes are divided so that edges or features survive the division.",
        [],
    ),
}

ELSEWHERE = {"Graphs": ":py:obj:`~skunlearn.graph.GraphEraser`"}


def placed():
    """Names of all methods that have a place."""
    return {name for _, names in PLACES.values() for name in names}
