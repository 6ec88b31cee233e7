"""CAME (Li 2023): convolutions, window attention and external attention fused for medical images.

Its authors published no code. The only public implementation is that of HEMF's authors, who compare with it
(github.com/Esgjgd/HEMF, ``baseline_CAME``); this file follows it, and ``hemf.convert`` reads its checkpoints.
It descends from HiFuse: stems, head, window attention, previous fusion and inverted residual MLP are the same
code (``hemf.models.blocks``). No count of it gives CAME's published parameters and FLOPs (106.38 M, 11.63 G):
it has 224.5 M parameters, most of them in fusions that work on 4C channels.

One oddity is kept, because the published results come from it. The global block's convolution reads the
memory of its tokens (B, H, W, C) as maps (B, C, H, W), nothing being transposed, and the attention reads the
convolution's maps as tokens likewise. So that convolution's "channels" are bands of the image, and its
"places" are channels and places mixed; see ``GlobalBlock``.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.data import IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD
from timm.layers import DropPath, LayerNorm2d
from timm.models import checkpoint_seq, generate_default_cfgs, register_model
from torch import Tensor, nn

from .blocks.attention import ChannelAttention, MultiHeadExternalAttention, SpatialAttention
from .blocks.classifier import configuration
from .blocks.fusion import PreviousFusion
from .blocks.layers import (
    ConvBN1x1,
    downsample,
    drop_path_by_stage,
    maps,
    patch_stem,
    register_notrace_module,
    tokens,
)
from .blocks.mlp import IRMLP
from .blocks.staged import StagedClassifier
from .blocks.window import PatchMerging, WindowAttention
from .convert import BRANCH_NAMES, IRMLP_NAMES, SWIN_NAMES, Layout, layout, renamed, window_constants

__all__ = ["CAME"]


class LocalBlock(nn.Module):
    """Local feature block: (B, dim, H, W) -> (B, dim, H, W).

    x + Linear(GELU(Conv3x3(LN(DWConv3x3(x))))); the second convolution is dense.

    Args:
        dim: channels.
        drop_path: chance of dropping the residual path of a sample in training (stochastic depth).
    """

    def __init__(self, dim: int, drop_path: float = 0.0):
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)
        self.pwconv = nn.Linear(dim, dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(self.conv(self.norm(self.dwconv(x))))
        return x + self.drop_path(maps(self.pwconv(tokens(y))))


@register_notrace_module
class GlobalBlock(nn.Module):
    """Global feature block: (B, dim, H, W) -> (B, dim, H, W).

    x + GELU(Linear(WindowMSA(LN(Conv3x3(x))))), where convolution and LN see the numbers of x's tokens, in
    their order (H, W, dim), as if they were maps (dim, H, W), and the attention sees those of LN's maps as
    tokens.

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
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)
        self.norm = LayerNorm2d(dim)
        self.attention = WindowAttention(dim, num_heads, window_size, shift)
        self.linear = nn.Linear(dim, dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        read_as_maps = tokens(x).reshape(x.shape)
        y = self.norm(self.conv(read_as_maps))
        read_as_tokens = y.reshape(tokens(x).shape)
        y = F.gelu(self.linear(tokens(self.attention(maps(read_as_tokens)))))
        return x + self.drop_path(maps(y))


class ExternalBlock(nn.Module):
    """External attention (Guo et al., TPAMI 2022) of one head: (B, dim, H, W) -> (B, dim, H, W).

    x + EA(LN(x)).

    Args:
        dim: channels.
        memory: units of the external memory.
    """

    def __init__(self, dim: int, memory: int = 64):
        super().__init__()
        self.norm = LayerNorm2d(dim)
        self.attention = MultiHeadExternalAttention(dim, num_heads=1, memory=memory)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(self.norm(x))


class SpatialChannelAttention(nn.Module):
    """Weigh places, then channels: (B, dim, H, W) -> (B, dim, H, W).

    Args:
        dim: channels.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.spatial = SpatialAttention(3)
        self.channel = ChannelAttention(dim, ratio=8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.spatial(x) * x
        return self.channel(x) * x


class MSFAFusion(nn.Module):
    """Multi-scale feature fusion attention (MSFA) of three branches and the stage before.

    F = P + IRMLP(LN(concat[A(L), A(G), A(E), X])) for local, global and external maps L, G and E, each seen
    through an attention A of its own to places, then to channels. P is the previous stage's fusion brought
    here (``PreviousFusion``), left out in the first stage; the main path is
    X = GELU(ConvBN1x1(LN(concat[ConvBN1x1(L), ConvBN1x1(G), ConvBN1x1(E), P]))).

    Args:
        dim: channels of the three branches and of the fusion.
        prev_dim: channels of the previous stage's fusion; None: no such.
        depthwise: make IRMLP's 3x3 depthwise.
    """

    def __init__(self, dim: int, prev_dim: int | None = None, depthwise: bool = False):
        super().__init__()
        parts = 3 if prev_dim is None else 4
        self.previous = None if prev_dim is None else PreviousFusion(prev_dim, dim)
        self.projections = nn.ModuleList(ConvBN1x1(dim, dim) for _ in range(3))
        self.main_norm = LayerNorm2d(parts * dim)
        self.merge = ConvBN1x1(parts * dim, dim)
        self.attentions = nn.ModuleList(SpatialChannelAttention(dim) for _ in range(3))
        self.norm = LayerNorm2d(4 * dim)
        self.mlp = IRMLP(4 * dim, dim, depthwise=depthwise)

    def forward(self, local: Tensor, global_: Tensor, external: Tensor, prev: Tensor | None = None) -> Tensor:
        """Fuse three (B, dim, H, W) and (B, prev_dim, 2H, 2W) into (B, dim, H, W).

        Raises:
            ValueError: ``prev`` is given without ``prev_dim``, or the other way round.
        """
        if (prev is None) != (self.previous is None):
            raise ValueError("give `prev` if and only if the fusion was built with `prev_dim`")
        parts = [self.projections[0](local), self.projections[1](global_), self.projections[2](external)]
        shortcut: Tensor | None = None
        if self.previous is not None and prev is not None:
            shortcut = self.previous(prev)
            parts.append(shortcut)
        mixed = F.gelu(self.merge(self.main_norm(torch.cat(parts, dim=1))))
        parts = [self.attentions[0](local), self.attentions[1](global_), self.attentions[2](external), mixed]
        fused = self.mlp(self.norm(torch.cat(parts, dim=1)))
        return fused if shortcut is None else fused + shortcut


class CAMEStage(nn.Module):
    """One stage of the three branches and of their fusion.

    Every other global block shifts its windows by half their side.

    Args:
        prev_dim: channels of the previous stage; None for the first stage, which neither downsamples nor has
            a previous fusion.
        dim: channels of this stage.
        num_heads: heads of the window attention.
        window_size: side of a window, in tokens.
        memory: units of the external memory.
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
        memory: int,
        local_drop_path: Sequence[float],
        global_drop_path: Sequence[float],
        depthwise: bool,
    ):
        super().__init__()
        first = prev_dim is None
        self.grad_checkpointing = False
        self.local_downsample = downsample(prev_dim, dim)
        self.local_blocks = nn.Sequential(*(LocalBlock(dim, rate) for rate in local_drop_path))
        self.global_downsample = nn.Identity() if first else PatchMerging(prev_dim, dim)
        self.global_blocks = nn.Sequential(
            *(
                GlobalBlock(dim, num_heads, window_size, shift=index % 2 * (window_size // 2), drop_path=rate)
                for index, rate in enumerate(global_drop_path)
            )
        )
        self.external_downsample = nn.Identity() if first else nn.Conv2d(prev_dim, dim, 2, stride=2)
        self.external_block = ExternalBlock(dim, memory)
        self.fusion = MSFAFusion(dim, prev_dim, depthwise)

    def forward(
        self, local: Tensor, global_: Tensor, external: Tensor, fused: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """From the previous stage's local, global, external and fused maps to this stage's."""
        local, global_ = self.local_downsample(local), self.global_downsample(global_)
        if self.grad_checkpointing and self.training and not torch.jit.is_scripting():
            local = checkpoint_seq(self.local_blocks, local)
            global_ = checkpoint_seq(self.global_blocks, global_)
        else:
            local, global_ = self.local_blocks(local), self.global_blocks(global_)
        external = self.external_block(self.external_downsample(external))
        return local, global_, external, self.fusion(local, global_, external, fused)


class CAME(StagedClassifier):
    """CAME, a classifier of images (B, in_chans, H, W) with H and W divisible by 32.

    The public code is bound to 224 x 224; at other sizes the window attention pads to whole windows, as
    Swin's does. Branches and head begin as HiFuse's; the external branch's convolutions and the fusions begin
    as PyTorch has them, external memories normal of std 0.001.

    Args:
        in_chans: channels of the image.
        num_classes: number of classes; 0 gives the pooled features.
        global_pool: how the head pools, as in timm ("avg", "max", ..., "" for none).
        dims: channels of the four stages, each twice the one before.
        local_depths: local blocks in each stage.
        global_depths: global blocks in each stage.
        num_heads: heads of each stage's window attention.
        window_size: side of a window, in tokens.
        memory: units of each external memory.
        depthwise: make IRMLP's 3x3 depthwise, which the public code does not.
        drop_rate: dropout before the classifier.
        drop_path_rate: stochastic depth of the last stage's local and global blocks, rising linearly over the
            blocks from 0; the public code uses none.

    Raises:
        ValueError: a stage's channels do not divide into heads.
    """

    draws_own_weights = (".fusion.", "external_")

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
        memory: int = 64,
        depthwise: bool = False,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        super().__init__(in_chans, num_classes, dims, drop_rate)
        local_rates = drop_path_by_stage(drop_path_rate, local_depths)
        global_rates = drop_path_by_stage(drop_path_rate, global_depths)
        self.local_stem = patch_stem(in_chans, dims[0])
        self.global_stem = patch_stem(in_chans, dims[0], eps=1e-5)
        self.external_stem = nn.Conv2d(in_chans, dims[0], 4, stride=4)
        self.stages = nn.ModuleList(
            CAMEStage(prev_dim, dim, heads, window_size, memory, local_rate, global_rate, depthwise)
            for prev_dim, dim, heads, local_rate, global_rate in zip(
                (None, *dims[:-1]), dims, num_heads, local_rates, global_rates, strict=True
            )
        )
        self.head = self.new_head(global_pool)
        self.init_weights()

    def stems(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return the local, global and external maps (B, dims[0], H / 4, W / 4); there is no fusion yet."""
        return self.local_stem(x), self.global_stem(x), self.external_stem(x), None


default_cfgs = generate_default_cfgs(
    {
        "came.untrained": configuration(
            interpolation="bilinear",
            mean=IMAGENET_INCEPTION_MEAN,
            std=IMAGENET_INCEPTION_STD,
            first_conv=("local_stem.0", "global_stem.0", "external_stem"),
            origin_url="https://github.com/Esgjgd/HEMF",
        )
    }
)


@register_model
def came(pretrained: bool = False, **kwargs: Any) -> CAME:
    """CAME as HEMF's authors rebuilt it: 224.52 M parameters with 7 classes."""
    return CAME.build("came", pretrained, **kwargs)


@layout("came")
def _authors_layout() -> Layout:
    rules = [
        *BRANCH_NAMES,
        (r"^global_stem\.0\.", "patch_embed.proj."),
        (r"^global_stem\.1\.", "patch_embed.norm."),
        (r"^external_stem\.", "ea.0.0."),
        (r"^stages\.(\d)\.external_downsample\.", r"ea.\1.0."),
        (r"^stages\.(\d)\.external_block\.norm\.", r"ea.\1.1.ln."),
        (r"^stages\.(\d)\.external_block\.attention\.memory_(k|v)[a-z]+\.", r"ea.\1.1.m\2."),
        (r"^stages\.(\d)\.global_downsample\.", r"basic_layers.\1.downsample."),
        (r"^stages\.(\d)\.global_blocks\.", r"basic_layers.\1.blocks."),
        (r"^(basic_layers\.\d\.blocks\.\d+)\.norm\.", r"\1.ln."),
        *SWIN_NAMES,
        (r"\.previous\.widen\.", ".W_pre."),
        (r"\.projections\.0\.", ".W_l."),
        (r"\.projections\.1\.", ".W_g."),
        (r"\.projections\.2\.", ".W_ea."),
        (r"^fu1\.main_norm\.", "fu1.norm_all_no_pre."),
        (r"^fu1\.merge\.", "fu1.dowm_all_no_pre."),
        (r"\.main_norm\.", ".norm_all."),
        (r"\.merge\.", ".dowm_all."),
        (r"^(fu\d)\.norm\.", r"\1.norm_all_end."),
        (r"\.attentions\.0\.", ".l."),
        (r"\.attentions\.1\.", ".g."),
        (r"\.attentions\.2\.", ".ea."),
        (r"\.(l|g|ea)\.spatial\.conv\.", r".sa_\1.conv1."),
        (r"\.(l|g|ea)\.channel\.bottleneck\.0\.", r".ca_\1.fc1."),
        (r"\.(l|g|ea)\.channel\.bottleneck\.2\.", r".ca_\1.fc2."),
        (r"\.mlp\.", ".irmlp."),
        *IRMLP_NAMES,
    ]
    unused = (
        r"basic_layers\.\d\.blocks\.\d+\.norm2\..*|fu1\.(W_pre|norm_all|dowm_all)\..*"
        r"|fu[234]\.(norm_all_no_pre|dowm_all_no_pre)\..*"
    )
    blocks = (f"basic_layers.{stage}.blocks.{block}" for stage in range(4) for block in range(2))
    return Layout(
        lambda name: renamed(name, rules),
        "conv_head.weight",
        unused,
        window_constants(blocks),
        twins={"EA_1.": "ea.0."},
    )
