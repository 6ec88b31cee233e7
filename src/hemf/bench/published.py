"""What the paper prints: Tables 3 and 6 to 10, to be shown beside what we measure.

Source: He et al., "HEMF: an adaptive hierarchical enhanced multi-attention feature fusion framework for
cross-scale medical image classification", PeerJ Computer Science 11:e3181 (2025), doi 10.7717/peerj-cs.3181.
Models go by timm's names and measures by the names in ``metrics.json``, as fractions. Only what the paper
prints is here; a measure that it leaves out has no entry.
"""

from typing import Any, Literal, NamedTuple

SOURCE = "He et al., PeerJ Computer Science 11:e3181 (2025), doi 10.7717/peerj-cs.3181"

DataName = Literal["isic2018", "kvasir", "covid-ct"]
DATA: tuple[DataName, ...] = ("isic2018", "kvasir", "covid-ct")

Scores = dict[str, float]


class Cost(NamedTuple):
    """Size of a model: parameters in millions, floating-point operations in thousand millions."""

    params: float
    flops: float


class Ablation(NamedTuple):
    """A row of Table 10: its name, what rebuilds it from ``hemf_base``, and its scores on ISIC2018."""

    name: str
    model_args: dict[str, Any]
    scores: Scores


PRINTED_NAMES = {
    "conformer_base_patch16": "Conformer-base-p16",
    "convnext_base": "ConvNeXt-B",
    "pervit_medium": "PerViT-M",
    "focalnet_base_srf": "Focal-B",
    "uniformer_base": "UniFormer-B",
    "biformer_base": "BiFormer-B",
    "hifuse_tiny": "HiFuse_Tiny",
    "hifuse_small": "HiFuse_Small",
    "hifuse_base": "HiFuse_Base",
    "came": "CAME",
    "hemf_base": "HEMF",
}
MODELS = tuple(PRINTED_NAMES)

TABLE_6 = {
    "conformer_base_patch16": Cost(83.29, 22.89),
    "convnext_base": Cost(88.59, 15.36),
    "pervit_medium": Cost(43.04, 9.00),
    "focalnet_base_srf": Cost(87.10, 15.30),
    "uniformer_base": Cost(50.02, 8.30),
    "biformer_base": Cost(56.04, 9.80),
    "hifuse_tiny": Cost(82.49, 8.13),
    "hifuse_small": Cost(93.82, 8.84),
    "hifuse_base": Cost(127.80, 10.97),
    "came": Cost(106.38, 11.63),
    "hemf_base": Cost(66.64, 10.01),
}

_ACCURACY_F1 = {  # per cent, Tables 6, 7 and 8
    "isic2018": {
        "conformer_base_patch16": (82.66, 72.44),
        "convnext_base": (79.95, 63.24),
        "pervit_medium": (81.64, 67.66),
        "focalnet_base_srf": (79.64, 62.88),
        "uniformer_base": (82.44, 68.41),
        "biformer_base": (82.66, 68.95),
        "hifuse_tiny": (82.99, 72.99),
        "hifuse_small": (83.59, 72.70),
        "hifuse_base": (85.85, 75.32),
        "came": (84.17, 74.43),
        "hemf_base": (87.34, 78.89),
    },
    "kvasir": {
        "conformer_base_patch16": (84.25, 84.27),
        "convnext_base": (74.62, 74.41),
        "pervit_medium": (82.40, 82.30),
        "focalnet_base_srf": (78.00, 77.93),
        "uniformer_base": (83.10, 83.04),
        "biformer_base": (84.25, 84.26),
        "hifuse_tiny": (84.85, 84.89),
        "hifuse_small": (86.12, 86.13),
        "hifuse_base": (85.97, 86.07),
        "came": (85.68, 85.68),
        "hemf_base": (87.03, 87.02),
    },
    "covid-ct": {
        "conformer_base_patch16": (75.81, 75.60),
        "convnext_base": (55.38, 54.68),
        "pervit_medium": (74.75, 73.95),
        "focalnet_base_srf": (69.36, 68.06),
        "uniformer_base": (71.38, 71.35),
        "biformer_base": (72.05, 71.95),
        "hifuse_tiny": (74.73, 74.67),
        "hifuse_small": (76.88, 76.31),
        "hifuse_base": (76.34, 76.17),
        "came": (78.49, 78.47),
        "hemf_base": (82.26, 82.20),
    },
}
_PRECISION_RECALL = {  # per cent, HEMF's rows of Tables 6, 7 and 8
    "isic2018": (80.42, 77.59),
    "kvasir": (87.34, 87.03),
    "covid-ct": (82.18, 82.22),
}
_MCC_KAPPA = {  # fractions, Table 9
    "isic2018": {
        "convnext_base": (0.6022, 0.6005),
        "pervit_medium": (0.6412, 0.6406),
        "focalnet_base_srf": (0.5964, 0.5949),
        "uniformer_base": (0.6505, 0.6480),
        "biformer_base": (0.6604, 0.6592),
        "hifuse_tiny": (0.6639, 0.6619),
        "hifuse_small": (0.6896, 0.6892),
        "hifuse_base": (0.7282, 0.7280),
        "came": (0.6967, 0.6960),
        "hemf_base": (0.7553, 0.7551),
    },
    "kvasir": {"hemf_base": (0.8459, 0.8580)},
}
CORRECTED = {
    ("kvasir", "hemf_base"): {"mcc": 0.8522, "kappa": 0.8517},
}
"""What the authors' results of the two folds average to, where Table 9 averaged one measure with another."""


def published_scores(data: DataName, model: str) -> Scores:
    """Return what Tables 6 to 9 print for a model on a data set, as fractions; empty if they print nothing.

    Args:
        data: ``isic2018``, ``kvasir`` or ``covid-ct``.
        model: timm's name of the model.
    """
    scores = _fractions(("accuracy", "f1_macro"), _ACCURACY_F1[data].get(model, ()))
    if model == "hemf_base":
        scores |= _fractions(("precision_macro", "recall_macro"), _PRECISION_RECALL[data])
    return scores | dict(zip(("mcc", "kappa"), _MCC_KAPPA.get(data, {}).get(model, ()), strict=False))


def _fractions(names: tuple[str, ...], percent: tuple[float, ...]) -> Scores:
    return {name: round(value / 100, 4) for name, value in zip(names, percent, strict=False)}


def _ablation(name: str, accuracy: float, f1: float, **model_args: Any) -> Ablation:
    return Ablation(name, model_args, _fractions(("accuracy", "f1_macro"), (accuracy, f1)))


TABLE_10 = (
    _ablation("ELF only", 81.17, 64.70, branches="local"),
    _ablation("EGF only", 81.84, 66.61, branches="global"),
    _ablation("ELF + EGF", 82.14, 70.06, external_attention=False, conv_attention=False, sirmlp=False),
    _ablation("+ MHEA", 84.04, 70.80, conv_attention=False, sirmlp=False),
    _ablation("+ CA & SA", 83.41, 70.30, external_attention=False, sirmlp=False),
    _ablation("+ MHEA + CA & SA", 84.54, 72.87, sirmlp=False),
    _ablation("HEMF", 87.34, 78.89),
)
"""The ablation on ISIC2018; all but the last row are without SIRMLP."""

TABLE_3_PARAMS = {
    "SIRMLP": (0.185, 0.739, 2.952, 11.802),
    "IRMLP": (1.190, 4.757, 19.025, 76.093),
}
"""Parameters in millions of the block that ends each of the four fusions, 288 to 2304 channels wide."""
