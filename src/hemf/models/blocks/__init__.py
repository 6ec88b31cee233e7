"""Layers that more than one network uses, or that users want alone, under their papers' names."""

from .attention import ChannelAttention, MixedAttention, MultiHeadExternalAttention, SpatialAttention
from .fusion import HEFFusion, HierarchicalFusion, MainPath, PreviousFusion
from .layers import ConvBN1x1, LayerNorm2d
from .manhattan import ManhattanPosition, ManhattanSelfAttention, PositionTerms
from .mlp import IRMLP, SIRMLP
from .selection import StageSelection
from .window import WindowAttention

__all__ = [
    "IRMLP",
    "SIRMLP",
    "ChannelAttention",
    "ConvBN1x1",
    "HEFFusion",
    "HierarchicalFusion",
    "LayerNorm2d",
    "MainPath",
    "ManhattanPosition",
    "ManhattanSelfAttention",
    "MixedAttention",
    "MultiHeadExternalAttention",
    "PositionTerms",
    "PreviousFusion",
    "SpatialAttention",
    "StageSelection",
    "WindowAttention",
]
