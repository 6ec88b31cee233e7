"""One file per architecture; importing this package registers all of them with timm."""

from .biformer import BiFormer
from .came import CAME
from .conformer import Conformer
from .fuse import fuse
from .hemf import HEMF, EGFStage, ELFBlock
from .hifuse import HiFuse
from .pervit import PerViT
from .uniformer import UniFormer

__all__ = [
    "CAME",
    "HEMF",
    "BiFormer",
    "Conformer",
    "EGFStage",
    "ELFBlock",
    "HiFuse",
    "PerViT",
    "UniFormer",
    "fuse",
]
