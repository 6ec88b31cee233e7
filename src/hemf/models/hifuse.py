"""HiFuse: hierarchical multi-scale feature fusion for medical image classification.

Huo et al., Biomedical Signal Processing and Control 87:105534 (2024), arXiv:2209.10218; code at
github.com/huoxiangzuo/HiFuse. A local branch of depthwise convolutions and a global branch of shifted-window
attention run in parallel over four stages; a third branch fuses them stage by stage. HEMF descends from it:
stems, main path, previous fusion and inverted residual MLP are the same code (``hemf.models.blocks``).

The paper and its code disagree about IRMLP: the text and the published FLOPs have its 3x3 depthwise, the code
has it dense, because it ignores its group argument. We follow the code, whose checkpoints need it;
``depthwise=True`` follows the paper. No count gives the published numbers of parameters, either way.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropPath, LayerNorm2d
from timm.models import checkpoint_seq, generate_default_cfgs, register_model
from torch import Tensor, nn

from .blocks.attention import ChannelAttention, SpatialAttention
from .blocks.classifier import configuration
from .blocks.fusion import HierarchicalFusion
from .blocks.layers import downsample, drop_path_by_stage, maps, patch_stem, tokens
from .blocks.mlp import IRMLP
from .blocks.staged import StagedClassifier
from .blocks.window import PatchMerging, WindowAttention
from .convert import (
    BRANCH_NAMES,
    FUSION_NAMES,
    IRMLP_NAMES,
    SWIN_NAMES,
    UNUSED_FUSION,
    Layout,
    layout,
    renamed,
    window_constants,
)

__all__ = ["HiFuse"]


class LocalBlock(nn.Module):
    """Local feature block (section 3.2): (B, dim, H, W) -> (B, dim, H, W).

    x + GELU(Linear(LN(DWConv3x3(x)))).

    Args:
        dim: channels.
        drop_path: chance of dropping the residual path of a sample in training (stochastic depth).
    """

    def __init__(self, dim: int, drop_path: float = 0.0):
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.pwconv = nn.Linear(dim, dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(self.pwconv(tokens(self.norm(self.dwconv(x)))))
        return x + self.drop_path(maps(y))


class GlobalBlock(nn.Module):
    """Global feature block (section 3.1): (B, dim, H, W) -> (B, dim, H, W).

    x + GELU(Linear(WindowMSA(LN(x)))): a Swin block whose MLP is one Linear layer, under the same residual as
    the attention.

    Args:
        dim: channels, a multiple of ``num_heads``.
        num_heads: heads of the attention.
        window_size: side of a window, in tokens.
        shift: tokens by which the windows are shifted.
        drop_path: chance of dropping the residual path of a sample in training (stochastic depth).
    """

    def __init__(
        self, dim: int, num_heads: int, window_size: int = 7, shift: int = 0, drop_path: float = 0.0
    ):
        super().__init__()
        self.norm = LayerNorm2d(dim, eps=1e-5)
        self.attention = WindowAttention(dim, num_heads, window_size, shift)
        self.linear = nn.Linear(dim, dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(self.linear(tokens(self.attention(self.norm(x)))))
        return x + self.drop_path(maps(y))


class HFFFusion(HierarchicalFusion):
    """Adaptive hierarchical feature fusion (HFF block, section 3.3).

    F = P + IRMLP(LN(concat[CA(G) * G, SA(L) * L, X])): channel attention weighs the global branch, spatial
    attention the local one.

    Args:
        dim: channels of both branches and of the fusion.
        prev_dim: channels of the previous stage's fusion; None: no such.
        depthwise: make IRMLP's 3x3 depthwise.
    """

    def __init__(self, dim: int, prev_dim: int | None = None, depthwise: bool = False):
        super().__init__(
            dim,
            dim,
            dim,
            prev_dim,
            local_attention=SpatialAttention(7, max_first=True, batch_norm=True),
            global_attention=ChannelAttention(dim, ratio=16),
            mlp=IRMLP(3 * dim, dim, depthwise=depthwise),
        )

    def attend(self, local: Tensor, global_: Tensor) -> tuple[Tensor, Tensor]:
        """Weigh each branch by its attention."""
        return self.local_attention(local) * local, self.global_attention(global_) * global_


class HiFuseStage(nn.Module):
    """One stage of the two branches and of their fusion.

    Every other global block shifts its windows by half their side.

    Args:
        prev_dim: channels of the previous stage; None for the first stage, which neither downsamples nor has
            a previous fusion.
        dim: channels of this stage.
        num_heads: heads of the window attention.
        window_size: side of a window, in tokens.
        local_drop_path: drop rate of each local block; its length is the depth.
        global_drop_path: drop rate of each global block; its length is the depth.
        depthwise: make IRMLP's 3x3 depthwise.
    """

    def __init__(
        self,
        prev_dim: int | None,
        dim: int,
        num_heads: int,
        window_size: int,
        local_drop_path: Sequence[float],
        global_drop_path: Sequence[float],
        depthwise: bool,
    ):
        super().__init__()
        self.grad_checkpointing = False
        self.local_downsample = downsample(prev_dim, dim)
        self.local_blocks = nn.Sequential(*(LocalBlock(dim, rate) for rate in local_drop_path))
        self.global_downsample = nn.Identity() if prev_dim is None else PatchMerging(prev_dim, dim)
        self.global_blocks = nn.Sequential(
            *(
                GlobalBlock(dim, num_heads, window_size, shift=index % 2 * (window_size // 2), drop_path=rate)
                for index, rate in enumerate(global_drop_path)
            )
        )
        self.fusion = HFFFusion(dim, prev_dim, depthwise)

    def forward(
        self, local: Tensor, global_: Tensor, fused: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """From the previous stage's local, global and fused maps to this stage's."""
        local, global_ = self.local_downsample(local), self.global_downsample(global_)
        if self.grad_checkpointing and self.training and not torch.jit.is_scripting():
            local = checkpoint_seq(self.local_blocks, local)
            global_ = checkpoint_seq(self.global_blocks, global_)
        else:
            local, global_ = self.local_blocks(local), self.global_blocks(global_)
        return local, global_, self.fusion(local, global_, fused)


class HiFuse(StagedClassifier):
    """HiFuse, a classifier of images (B, in_chans, H, W) with H and W divisible by 32.

    The published code is bound to 224 x 224; at other sizes the window attention pads to whole windows, as
    Swin's does.

    Args:
        in_chans: channels of the image.
        num_classes: number of classes; 0 gives the pooled features.
        global_pool: how the head pools, as in timm ("avg", "max", ..., "" for none).
        dims: channels of the four stages, each twice the one before.
        local_depths: local blocks in each stage.
        global_depths: global blocks in each stage.
        num_heads: heads of each stage's window attention.
        window_size: side of a window, in tokens.
        depthwise: make IRMLP's 3x3 depthwise, as the paper says and its code does not.
        drop_rate: dropout before the classifier.
        drop_path_rate: stochastic depth of the last stage's blocks in both branches, rising linearly over the
            blocks from 0; the paper uses none.

    Raises:
        ValueError: a stage's channels do not divide into heads.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        dims: Sequence[int] = (96, 192, 384, 768),
        local_depths: Sequence[int] = (2, 2, 2, 2),
        global_depths: Sequence[int] = (2, 2, 2, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int = 7,
        depthwise: bool = False,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        super().__init__(in_chans, num_classes, dims, drop_rate)
        local_rates = drop_path_by_stage(drop_path_rate, local_depths)
        global_rates = drop_path_by_stage(drop_path_rate, global_depths)
        self.local_stem = patch_stem(in_chans, dims[0])
        self.global_stem = patch_stem(in_chans, dims[0], eps=1e-5)
        self.stages = nn.ModuleList(
            HiFuseStage(prev_dim, dim, heads, window_size, local_rate, global_rate, depthwise)
            for prev_dim, dim, heads, local_rate, global_rate in zip(
                (None, *dims[:-1]), dims, num_heads, local_rates, global_rates, strict=True
            )
        )
        self.head = self.new_head(global_pool)
        self.init_weights()

    def stems(self, x: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the local and global maps (B, dims[0], H / 4, W / 4); there is no fusion yet."""
        return self.local_stem(x), self.global_stem(x), None


default_cfgs = generate_default_cfgs(
    {
        f"hifuse_{size}.untrained": configuration(
            interpolation="bilinear",
            first_conv=("local_stem.0", "global_stem.0"),
            paper_name="HiFuse: Hierarchical multi-scale feature fusion network "
            "for medical image classification",
            paper_ids="arXiv:2209.10218",
            origin_url="https://github.com/huoxiangzuo/HiFuse",
        )
        for size in ("tiny", "small", "base")
    }
)


def _create_hifuse(variant: str, depths: Sequence[int], pretrained: bool, **kwargs: Any) -> HiFuse:
    args = {"local_depths": depths, "global_depths": depths, **kwargs}
    return HiFuse.build(variant, pretrained, **args)


@register_model
def hifuse_tiny(pretrained: bool = False, **kwargs: Any) -> HiFuse:
    """HiFuse-Tiny: 118.09 M parameters with 7 classes (54.67 M with ``depthwise=True``)."""
    return _create_hifuse("hifuse_tiny", (2, 2, 2, 2), pretrained, **kwargs)


@register_model
def hifuse_small(pretrained: bool = False, **kwargs: Any) -> HiFuse:
    """HiFuse-Small: 121.66 M parameters with 7 classes."""
    return _create_hifuse("hifuse_small", (2, 2, 6, 2), pretrained, **kwargs)


@register_model
def hifuse_base(pretrained: bool = False, **kwargs: Any) -> HiFuse:
    """HiFuse-Base: 132.40 M parameters with 7 classes."""
    return _create_hifuse("hifuse_base", (2, 2, 18, 2), pretrained, **kwargs)


@layout("hifuse_tiny")
@layout("hifuse_small")
@layout("hifuse_base")
def _authors_layout() -> Layout:
    rules = [
        *BRANCH_NAMES,
        (r"^global_stem\.0\.", "patch_embed.proj."),
        (r"^global_stem\.1\.", "patch_embed.norm."),
        (r"^stages\.(\d)\.global_downsample\.", lambda match: f"layers{int(match[1]) + 1}.downsample."),
        (r"^stages\.(\d)\.global_blocks\.", lambda match: f"layers{int(match[1]) + 1}.blocks."),
        (r"^(layers\d\.blocks\.\d+)\.norm\.", r"\1.norm1."),
        *SWIN_NAMES,
        (r"\.global_attention\.bottleneck\.", ".se."),
        (r"\.local_attention\.conv\.", ".spatial.conv."),
        (r"\.local_attention\.norm\.", ".spatial.bn."),
        *FUSION_NAMES,
        *IRMLP_NAMES,
    ]
    unused = rf"layers\d\.blocks\.\d+\.norm2\..*|norm\..*|head\..*|{UNUSED_FUSION}"
    blocks = (f"layers{stage}.blocks.{block}" for stage in range(1, 5) for block in range(18))
    return Layout(lambda name: renamed(name, rules), "conv_head.weight", unused, window_constants(blocks))
