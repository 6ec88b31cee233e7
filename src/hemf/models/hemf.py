"""HEMF: hierarchical enhanced multi-attention feature fusion for medical image classification.

He et al., PeerJ Computer Science 11:e3181 (2025), doi 10.7717/peerj-cs.3181. A local branch of convolutions
and a global branch of Manhattan self-attention run in parallel over four stages; a third branch fuses them
stage by stage, each fusion enriched by the one before; the last fusion is classified.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from timm.data import IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD
from timm.layers import DropPath, LayerNorm2d
from timm.models import (
    checkpoint,
    checkpoint_seq,
    generate_default_cfgs,
    register_model,
)
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from .blocks.classifier import configuration
from .blocks.fusion import HEFFusion
from .blocks.layers import (
    convolve,
    downsample,
    drop_path_by_stage,
    maps,
    patch_stem,
    register_notrace_module,
    tokens,
)
from .blocks.manhattan import ManhattanSelfAttention, PositionTerms
from .blocks.selection import StageSelection
from .blocks.staged import StagedClassifier

__all__ = ["HEMF", "EGFStage", "ELFBlock"]

Branches = Literal["both", "local", "global"]
Selection = Literal["last", "static", "dynamic"]


@register_notrace_module
class ELFBlock(nn.Module):
    """Enhanced local feature block (ELF): (B, dim, H, W) -> (B, dim, H, W).

    x + GELU(Linear(DWConv3x3(LN(Conv3x3(x))))); the first convolution is dense.

    Args:
        dim: channels.
        drop_path: chance of dropping the residual path of a sample in training (stochastic depth).
    """

    def __init__(self, dim: int, drop_path: float = 0.0):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)
        self.norm = LayerNorm2d(dim)
        self.dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.pwconv = nn.Linear(dim, dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x) if torch.jit.is_scripting() else convolve(self.conv, x)
        y = self.dwconv(self.norm(y))
        return x + self.drop_path(F.gelu(maps(self.pwconv(tokens(y)))))


@register_notrace_module
class EGFStage(nn.Module):
    """A stage of enhanced global feature (EGF) blocks: (B, dim, H, W) -> (B, dim, H, W).

    Each block is x = LN1(x + MaSA(x)); x = LN2(x + Linear(x)). The blocks share LN1 and LN2, and the position
    terms, which are computed once.

    Args:
        dim: channels, a multiple of ``num_heads`` with an even quotient.
        depth: number of blocks.
        num_heads: heads of the attention.
        drop_path: chance for each block of dropping a residual path of a sample in training.

    Raises:
        ValueError: ``dim`` does not divide into heads of even width.
    """

    def __init__(
        self, dim: int, depth: int = 3, num_heads: int = 8, drop_path: Sequence[float] | None = None
    ):
        super().__init__()
        self.grad_checkpointing = False
        self.norm1 = LayerNorm2d(dim)
        self.norm2 = LayerNorm2d(dim)
        self.attentions = nn.ModuleList(ManhattanSelfAttention(dim, num_heads) for _ in range(depth))
        self.linears = nn.ModuleList(nn.Linear(dim, dim) for _ in range(depth))
        self.drop_paths = nn.ModuleList(
            DropPath(rate) if rate else nn.Identity() for rate in drop_path or [0.0] * depth
        )

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        first = self.attentions[0]  # as ``nn.Module``, for a ``ModuleList`` forgets what its layers are
        position = first.position(height, width, x.dtype)  # pyright: ignore[reportCallIssue]
        if self.grad_checkpointing and self.training and not torch.jit.is_scripting():
            for block in range(len(self.attentions)):
                x = checkpoint(self._run, x, position, block)
            return x
        return self._run(x, position)

    def _run(self, x: Tensor, position: PositionTerms, only: int | None = None) -> Tensor:
        """Run all blocks, or only one."""
        blocks = zip(self.attentions, self.linears, self.drop_paths)  # noqa: B905  TorchScript has no strict
        for block, (attention, linear, drop_path) in enumerate(blocks):
            if only is None or only == block:
                x = self.norm1(x + drop_path(attention(x, position)))
                x = self.norm2(x + drop_path(maps(linear(tokens(x)))))
        return x


class HEMFStage(nn.Module):
    """One stage of the two branches and of their fusion.

    Args:
        prev_dim: channels of the previous stage; None for the first stage, which neither downsamples nor has
            a previous fusion.
        dim: channels of this stage.
        num_heads: heads of both attentions.
        local_drop_path: drop rate of each ELF block; its length is the depth.
        global_drop_path: drop rate of each EGF block; its length is the depth.
        branches: as for ``HEMF``.
        fusion: further arguments of ``HEFFusion``.
    """

    def __init__(
        self,
        prev_dim: int | None,
        dim: int,
        num_heads: int,
        local_drop_path: Sequence[float],
        global_drop_path: Sequence[float],
        branches: Branches,
        fusion: dict[str, Any],
    ):
        super().__init__()
        self.grad_checkpointing = False
        self.local_downsample = self.local_blocks = None
        self.global_downsample = self.global_blocks = None
        self.fusion = None
        if branches != "global":
            self.local_downsample = downsample(prev_dim, dim)
            self.local_blocks = nn.Sequential(*(ELFBlock(dim, rate) for rate in local_drop_path))
        if branches != "local":
            self.global_downsample = downsample(prev_dim, dim)
            self.global_blocks = EGFStage(dim, len(global_drop_path), num_heads, global_drop_path)
        if branches == "both":
            self.fusion = HEFFusion(dim, dim, dim, prev_dim, num_heads=num_heads, **fusion)

    def forward(
        self, local: Tensor | None, global_: Tensor | None, fused: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor]:
        """From the previous stage's local, global and fused maps to this stage's.

        A branch that does not exist is None; "fused" is then the other branch's map.
        """
        if self.local_downsample is not None and self.local_blocks is not None and local is not None:
            local = self.local_downsample(local)
            if self.grad_checkpointing and self.training and not torch.jit.is_scripting():
                local = checkpoint_seq(self.local_blocks, local)
            else:
                local = self.local_blocks(local)
        if self.global_downsample is not None and self.global_blocks is not None and global_ is not None:
            global_ = self.global_blocks(self.global_downsample(global_))
        if self.fusion is not None and local is not None and global_ is not None:
            fused = self.fusion(local, global_, fused)
        else:
            fused = local if local is not None else global_
        assert fused is not None  # for TorchScript, which reasons about types alone
        return local, global_, fused


class HEMF(StagedClassifier):
    """HEMF, a classifier of images (B, in_chans, H, W) with H and W divisible by 32.

    The switches rebuild the paper's ablation (Table 10): ``branches="local"`` and ``"global"`` are its first
    two rows (ELF only, EGF only); ``branches="both"`` with all three of ``external_attention``,
    ``conv_attention`` and ``sirmlp`` off is ELF + EGF; then MHEA, CA & SA and both are switched on, and last
    SIRMLP. The paper does not say how the reduced networks are fused. Here a single branch has no fusion
    modules at all (the three switches then have no effect) and the head pools that branch's last stage; an
    attention that is off is left out of the mixed attention, whose LayerNorm stays; and without SIRMLP a
    plain ConvBN1x1 stands in its place: F = P + ConvBN1x1(LN(concat[MA(G), MA(L), X])).

    Weights begin as in the published code: the branches' and the head's Linear layers truncated normal of
    std 0.02, the branches' convolutions truncated normal of std 0.2, both with zero biases; q, k, v and
    output projections as in RMT (``ManhattanSelfAttention.reset_parameters``); external memories normal of
    std 0.001; the rest of the fusions at PyTorch's defaults.

    The paper classifies the last stage's fusion and names the dynamic selection of hierarchical features as
    future work. ``selection="dynamic"`` is one such: ``StageSelection`` weighs the four stages' fusions image
    by image, and the head classifies their weighted sum, which is then what ``forward_features`` returns.
    With "static" the weights are learnt too, but are the same for all images.

    Args:
        in_chans: channels of the image.
        num_classes: number of classes; 0 gives the pooled features.
        global_pool: how the head pools, as in timm ("avg", "max", ..., "" for none).
        dims: channels of the four stages.
        local_depths: ELF blocks in each stage.
        global_depths: EGF blocks in each stage.
        num_heads: heads of the self- and of the external attention.
        memory: units of each external memory.
        branches: "both", or "local" or "global" alone.
        external_attention: use multi-head external attention (MHEA) in the fusions.
        conv_attention: use channel and spatial attention (CA & SA) in the fusions.
        sirmlp: fuse by SIRMLP.
        selection: what the head classifies: the "last" stage's fusion, as in the paper, or a "static" or
            "dynamic" mixture of all four.
        drop_rate: dropout before the classifier.
        drop_path_rate: stochastic depth of the last stage's blocks in both branches, rising linearly over the
            blocks from 0; the paper uses none.

    Raises:
        ValueError: unknown ``branches`` or ``selection``, or a stage's channels do not divide into heads of
            even width.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        dims: Sequence[int] = (96, 192, 384, 768),
        local_depths: Sequence[int] = (4, 4, 4, 4),
        global_depths: Sequence[int] = (3, 3, 3, 3),
        num_heads: int = 8,
        memory: int = 64,
        branches: Branches = "both",
        external_attention: bool = True,
        conv_attention: bool = True,
        sirmlp: bool = True,
        selection: Selection = "last",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        super().__init__(in_chans, num_classes, dims, drop_rate)
        if branches not in ("both", "local", "global"):
            raise ValueError(f"branches must be 'both', 'local' or 'global', not {branches!r}")
        if selection not in ("last", "static", "dynamic"):
            raise ValueError(f"selection must be 'last', 'static' or 'dynamic', not {selection!r}")
        fusion = {
            "memory": memory,
            "external_attention": external_attention,
            "conv_attention": conv_attention,
            "sirmlp": sirmlp,
        }
        local_rates = drop_path_by_stage(drop_path_rate, local_depths)
        global_rates = drop_path_by_stage(drop_path_rate, global_depths)
        self.local_stem = patch_stem(in_chans, dims[0]) if branches != "global" else None
        self.global_stem = patch_stem(in_chans, dims[0]) if branches != "local" else None
        self.joint_stem: nn.Module | None = None  # ``hemf.models.fuse`` puts the two in one
        self.stages = nn.ModuleList(
            HEMFStage(prev_dim, dim, num_heads, local_rate, global_rate, branches, fusion)
            for prev_dim, dim, local_rate, global_rate in zip(
                (None, *dims[:-1]), dims, local_rates, global_rates, strict=True
            )
        )
        self.selection = None if selection == "last" else StageSelection(dims, dynamic=selection == "dynamic")
        self.head = self.new_head(global_pool)
        self.init_weights()

    def init_weights(self) -> None:
        super().init_weights()
        for module in self.modules():
            if isinstance(module, ManhattanSelfAttention):
                module.reset_parameters()

    def stems(self, x: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        if self.joint_stem is not None:
            local, global_ = self.joint_stem(x)
            return local, global_, None
        local = None if self.local_stem is None else self.local_stem(x)
        return local, None if self.global_stem is None else self.global_stem(x), None

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last fusion (B, dims[-1], H / 32, W / 32) or, with a selection, the stages' mixture.

        Raises:
            ValueError: H or W is not divisible by 32.
        """
        fusions: list[Tensor] = []
        state = self._begin(x)
        for stage in self.stages:
            state = stage(*state)
            if self.selection is not None:
                fusions.append(state[-1])
        if self.selection is not None:
            return self.selection(fusions)
        return state[-1]

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Any, list[Tensor]]:
        """Return the stages' fusions as ``Classifier.forward_intermediates`` does.

        With a selection, the final features are its mixture where every stage has run.
        """
        if self.selection is None or intermediates_only:
            return super().forward_intermediates(x, indices, norm, stop_early, output_fmt, intermediates_only)
        taken = indices if indices is None or isinstance(indices, int) else list(indices)
        wanted, last = feature_take_indices(len(self.ends), taken)
        run = list(range(last + 1 if stop_early else len(self.stages)))
        features, fusions = super().forward_intermediates(x, run, norm, stop_early, output_fmt)
        if len(run) == len(self.stages):
            features = self.selection(fusions)
        return features, [fusions[index] for index in wanted]

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Remove what the fusions ``indices`` do not need; without the head nothing is selected for it."""
        stages = len(self.stages)
        wanted = super().prune_intermediate_layers(indices, prune_norm, prune_head)
        if prune_head or len(self.stages) < stages:
            self.selection = None
        return wanted


default_cfgs = generate_default_cfgs(
    {
        f"hemf_{size}.untrained": configuration(
            interpolation="bilinear",
            mean=IMAGENET_INCEPTION_MEAN,
            std=IMAGENET_INCEPTION_STD,
            first_conv=("local_stem.0", "global_stem.0"),
            paper_name="HEMF: an adaptive hierarchical enhanced multi-attention feature fusion framework "
            "for cross-scale medical image classification",
            paper_ids="doi:10.7717/peerj-cs.3181",
        )
        for size in ("base", "small", "tiny", "nano")
    }
)


@register_model
def hemf_base(pretrained: bool = False, **kwargs: Any) -> HEMF:
    """HEMF as published: 66.68 M parameters with 7 classes."""
    return HEMF.build("hemf_base", pretrained, **kwargs)


@register_model
def hemf_small(pretrained: bool = False, **kwargs: Any) -> HEMF:
    """HEMF at two thirds of the width, about 30 M parameters."""
    args = {"dims": (64, 128, 256, 512), "num_heads": 8}
    return HEMF.build("hemf_small", pretrained, **{**args, **kwargs})


@register_model
def hemf_tiny(pretrained: bool = False, **kwargs: Any) -> HEMF:
    """HEMF at a third of the width, about 8 M parameters; half the heads, so that none is under 8 wide."""
    args = {"dims": (32, 64, 128, 256), "num_heads": 4}
    return HEMF.build("hemf_tiny", pretrained, **{**args, **kwargs})


@register_model
def hemf_nano(pretrained: bool = False, **kwargs: Any) -> HEMF:
    """HEMF at a sixth of the width, about 2 M parameters, for small data and CPUs; two heads."""
    args = {"dims": (16, 32, 64, 128), "num_heads": 2}
    return HEMF.build("hemf_nano", pretrained, **{**args, **kwargs})
