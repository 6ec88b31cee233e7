"""Hierarchical enhanced feature (HEF) fusion of two branches and the stage before."""

import torch
import torch.nn.functional as F
from timm.models import checkpoint
from torch import Tensor, nn

from .attention import MixedAttention
from .layers import ConvBN1x1, LayerNorm2d
from .mlp import SIRMLP


class PreviousFusion(nn.Module):
    """Bring the previous stage's fusion to this stage: (B, in_dim, 2H, 2W) -> (B, dim, H, W).

    P = AvgPool2x2(ReLU(BN(Conv1x1(F)))).

    Args:
        in_dim: channels of the previous stage's fusion.
        dim: channels of this stage's.
    """

    def __init__(self, in_dim: int, dim: int):
        super().__init__()
        self.widen = ConvBN1x1(in_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.relu(self.widen(x)), 2)


class MainPath(nn.Module):
    """The fusion's main path: X = GELU(ConvBN1x1(LN(concat[P, ConvBN1x1(L), ConvBN1x1(G)]))).

    Args:
        local_dim: channels of the local branch L.
        global_dim: channels of the global branch G.
        dim: channels of P, of both projections and of X.
        previous: whether there is a P.
    """

    def __init__(self, local_dim: int, global_dim: int, dim: int, previous: bool):
        super().__init__()
        parts = 3 if previous else 2
        self.local_proj = ConvBN1x1(local_dim, dim)
        self.global_proj = ConvBN1x1(global_dim, dim)
        self.norm = LayerNorm2d(parts * dim)
        self.merge = ConvBN1x1(parts * dim, dim)

    def forward(self, local: Tensor, global_: Tensor, previous: Tensor | None = None) -> Tensor:
        parts = [self.local_proj(local), self.global_proj(global_)]
        if previous is not None:
            parts.insert(0, previous)
        return F.gelu(self.merge(self.norm(torch.cat(parts, dim=1))))


class HierarchicalFusion(nn.Module):
    """What the fusions of HiFuse and HEMF have in common: F = P + MLP(LN(concat[A(G), A(L), X])).

    L and G are a stage's local and global maps, each seen through an attention A of its own; X is their main
    path (``MainPath``); P is the previous stage's fusion brought here (``PreviousFusion``), left out in the
    first stage.

    Args:
        local_dim: channels of the local branch.
        global_dim: channels of the global branch.
        dim: channels of the fusion.
        prev_dim: channels of the previous stage's fusion, whose maps are twice as high and wide; None: none.
        local_attention: maps of the local branch -> the same shape.
        global_attention: maps of the global branch -> the same shape.
        mlp: (B, global_dim + local_dim + dim, H, W) -> (B, dim, H, W).
    """

    def __init__(
        self,
        local_dim: int,
        global_dim: int,
        dim: int,
        prev_dim: int | None,
        local_attention: nn.Module,
        global_attention: nn.Module,
        mlp: nn.Module,
    ):
        super().__init__()
        self.previous = None if prev_dim is None else PreviousFusion(prev_dim, dim)
        self.main_path = MainPath(local_dim, global_dim, dim, previous=prev_dim is not None)
        self.local_attention = local_attention
        self.global_attention = global_attention
        self.norm = LayerNorm2d(global_dim + local_dim + dim)
        self.mlp = mlp

    def forward(self, local: Tensor, global_: Tensor, prev: Tensor | None = None) -> Tensor:
        """Fuse (B, local_dim, H, W), (B, global_dim, H, W) and (B, prev_dim, 2H, 2W) into (B, dim, H, W).

        Raises:
            ValueError: ``prev`` is given without ``prev_dim``, or the other way round.
        """
        if (prev is None) != (self.previous is None):
            raise ValueError("give `prev` if and only if the fusion was built with `prev_dim`")
        shortcut: Tensor | None = None
        if self.previous is not None and prev is not None:
            shortcut = self.previous(prev)
        mixed = self.main_path(local, global_, shortcut)
        local, global_ = self.attend(local, global_)
        fused = self.mlp(self.norm(torch.cat([global_, local, mixed], dim=1)))
        return fused if shortcut is None else shortcut + fused

    def attend(self, local: Tensor, global_: Tensor) -> tuple[Tensor, Tensor]:
        """See both branches through their attentions."""
        return self.local_attention(local), self.global_attention(global_)


class HEFFusion(HierarchicalFusion):
    """Hierarchical enhanced feature fusion (HEF) of one stage, for branches of any widths.

    F = P + SIRMLP(LN(concat[MA(G), MA(L), X])): the attentions are mixed ones, the MLP is a squeezed one. The
    paper does not say how its ablation fuses without SIRMLP; here a plain ConvBN1x1 stands in its place:
    F = P + ConvBN1x1(LN(concat[MA(G), MA(L), X])).

    Args:
        local_dim: channels of the local branch, a multiple of ``num_heads``.
        global_dim: channels of the global branch, a multiple of ``num_heads``.
        dim: channels of the fusion.
        prev_dim: channels of the previous stage's fusion, whose maps are twice as high and wide; None: none.
        num_heads: heads of the external attention.
        memory: units of the external attention's memory.
        external_attention: use MHEA in the mixed attentions.
        conv_attention: use spatial and channel attention in the mixed attentions.
        sirmlp: fuse by SIRMLP.
        depthwise: make SIRMLP's 3x3 depthwise.

    Raises:
        ValueError: a branch's channels do not divide into heads.
    """

    def __init__(
        self,
        local_dim: int,
        global_dim: int,
        dim: int,
        prev_dim: int | None = None,
        *,
        num_heads: int = 8,
        memory: int = 64,
        external_attention: bool = True,
        conv_attention: bool = True,
        sirmlp: bool = True,
        depthwise: bool = False,
    ):
        switches = {"external_attention": external_attention, "conv_attention": conv_attention}
        width = global_dim + local_dim + dim
        super().__init__(
            local_dim,
            global_dim,
            dim,
            prev_dim,
            local_attention=MixedAttention(local_dim, num_heads, memory, **switches),
            global_attention=MixedAttention(global_dim, num_heads, memory, **switches),
            mlp=SIRMLP(width, dim, depthwise=depthwise) if sirmlp else ConvBN1x1(width, dim),
        )
        self.grad_checkpointing = False

    def attend(self, local: Tensor, global_: Tensor) -> tuple[Tensor, Tensor]:
        """See both branches through their mixed attentions."""
        # Only parts without batch statistics are recomputed, or those would count each batch twice.
        if self.grad_checkpointing and self.training and not torch.jit.is_scripting():
            return checkpoint(self.local_attention, local), checkpoint(self.global_attention, global_)
        return self.local_attention(local), self.global_attention(global_)
