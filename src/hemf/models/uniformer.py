"""UniFormer: convolution where tokens repeat each other, attention where they do not, in one kind of block.

Li et al., "UniFormer: Unifying Convolution and Self-attention for Visual Recognition", TPAMI 45 (2023),
arXiv 2201.09450, section 3. Every block encodes position, relates tokens and transforms each token (equations
1 to 3). What relates tokens is a 5x5 neighbourhood with learned weights in the two shallow stages, and
self-attention over the whole map in the two deep ones.

The published code has further variants; UniFormer-B embeds patches without overlap and has no layer scale.
That code takes 224 x 224 only, by an assertion. Nothing in the network asks for it, so any multiple of 32
will do here. HEMF's paper prints 50.02 M parameters for it; the published code, and this, has 49.78 M with
1000 classes and 49.27 M with 7.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
from timm.layers import LayerNorm2d, Mlp
from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn

from .blocks.classifier import configuration
from .blocks.layers import drop_path_by_stage, maps, register_notrace_module, tokens
from .blocks.pyramid import Pyramid, ResidualBlock, Stage, TokenMlp
from .convert import Layout, layout, renamed

__all__ = ["SelfAttention", "UniFormer"]


@register_notrace_module
class SelfAttention(nn.Module):
    """Global relation aggregator (section 3.2), attention over all tokens: (B, dim, H, W) -> (B, dim, H, W).

    Args:
        dim: channels, a multiple of ``head_dim``.
        head_dim: channels of a head.

    Raises:
        ValueError: ``dim`` is not a multiple of ``head_dim``.
    """

    def __init__(self, dim: int, head_dim: int):
        super().__init__()
        if dim % head_dim:
            raise ValueError(f"{dim} channels do not divide into heads of {head_dim}: choose a multiple")
        self.head_dim = head_dim
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = tokens(x)
        qkv = self.qkv(x).flatten(1, 2).unflatten(-1, (3, -1, self.head_dim))  # B, tokens, 3, heads, head_dim
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v)
        return maps(self.proj(out.transpose(1, 2).flatten(2)).unflatten(1, x.shape[1:3]))


def local_block(dim: int, mlp_ratio: float = 4.0, drop_path: float = 0.0) -> ResidualBlock:
    """Build a block of the shallow stages, with local relation aggregator (section 3.2) and BatchNorm.

    The aggregator is convolutions 1x1, depthwise 5x5, 1x1 with nothing between: the values, then each
    channel's affinity to 25 neighbours, learned by relative position, then the fusion of the channels.
    """
    aggregator = nn.Sequential(
        nn.Conv2d(dim, dim, 1),
        nn.Conv2d(dim, dim, 5, padding=2, groups=dim),
        nn.Conv2d(dim, dim, 1),
    )
    mlp = Mlp(dim, int(mlp_ratio * dim), use_conv=True)
    return ResidualBlock(dim, aggregator, mlp, nn.BatchNorm2d, drop_path)


def global_block(dim: int, head_dim: int, mlp_ratio: float = 4.0, drop_path: float = 0.0) -> ResidualBlock:
    """Build a block of the deep stages, with global relation aggregator and LayerNorm."""
    aggregator = SelfAttention(dim, head_dim)
    mlp = TokenMlp(dim, int(mlp_ratio * dim))
    return ResidualBlock(dim, aggregator, mlp, partial(LayerNorm2d, eps=1e-6), drop_path)


class PatchLayer(nn.Sequential):
    """Patches embedded by a convolution without overlap, then LayerNorm.

    Args:
        in_dim: channels of the input.
        dim: channels of the output.
        patch: side of a patch.
    """

    def __init__(self, in_dim: int, dim: int, patch: int):
        super().__init__()
        self.proj = nn.Conv2d(in_dim, dim, patch, stride=patch)
        self.norm = LayerNorm2d(dim, eps=1e-5)


class UniFormer(Pyramid):
    """UniFormer, a classifier of images (B, in_chans, H, W) with H and W divisible by 32.

    Args:
        in_chans: channels of the image.
        num_classes: number of classes; 0 gives the pooled features.
        global_pool: how the head pools, as in timm ("avg", "max", ..., "" for none).
        depths: blocks of the four stages.
        dims: channels of the four stages; of the last two, multiples of ``head_dim``.
        head_dim: width of an attention head.
        mlp_ratio: how many times wider the hidden channels of an MLP are.
        drop_rate: dropout before the classifier.
        drop_path_rate: stochastic depth of the last block, rising linearly from 0; the authors used 0.3.

    Raises:
        ValueError: ``dims`` of an attention stage do not divide into heads.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        depths: Sequence[int] = (5, 8, 20, 7),
        dims: Sequence[int] = (64, 128, 320, 512),
        head_dim: int = 64,
        mlp_ratio: float = 4.0,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        rates = drop_path_by_stage(drop_path_rate, depths)
        blocks = (local_block, local_block, *2 * (partial(global_block, head_dim=head_dim),))
        stages = [
            Stage(
                PatchLayer(dims[i - 1] if i else in_chans, dims[i], patch=2 if i else 4),
                [blocks[i](dims[i], mlp_ratio=mlp_ratio, drop_path=rate) for rate in rates[i]],
            )
            for i in range(4)
        ]
        super().__init__(stages, dims, in_chans, num_classes, global_pool, drop_rate)


default_cfgs = generate_default_cfgs(
    {
        "uniformer_base.untrained": configuration(
            first_conv="stages.0.downsample.proj",
            paper_name="UniFormer: Unifying Convolution and Self-attention for Visual Recognition",
            paper_ids="arXiv:2201.09450",
        )
    }
)


@register_model
def uniformer_base(pretrained: bool = False, **kwargs: Any) -> UniFormer:
    """UniFormer-B: 49.27 M parameters with 7 classes."""
    return UniFormer.build("uniformer_base", pretrained, **kwargs)


@layout("uniformer_base")
def _authors_layout() -> Layout:
    rules = [
        (r"^stages\.(\d)\.downsample\.", lambda match: f"patch_embed{int(match[1]) + 1}."),
        (r"^stages\.(\d)\.blocks\.", lambda match: f"blocks{int(match[1]) + 1}."),
        (r"\.position\.", ".pos_embed."),
        (r"\.mixer\.0\.", ".conv1."),
        (r"\.mixer\.1\.", ".attn."),
        (r"\.mixer\.2\.", ".conv2."),
        (r"\.mixer\.", ".attn."),
        (r"^head\.fc\.", "head."),
    ]
    return Layout(lambda name: renamed(name, rules), head="head.weight")
