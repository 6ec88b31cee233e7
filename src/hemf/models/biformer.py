"""BiFormer: each region of the image chooses the few regions that its tokens attend to.

Zhu et al., "BiFormer: Vision Transformer with Bi-Level Routing Attention", CVPR 2023, arXiv 2303.08810: the
attention is section 3.2, the network Figure 3 and Table 1. A block is UniFormer's: depthwise 3x3, attention
and MLP, each a residual. In three stages the attention is routed; in the last, where a region would choose
all 49, it is plain.

Where the paper is silent or differs, this follows the published code, from which the published numbers come:

- In routed attention, logits are divided by the root of all channels, not of one head's, when regions are
  chosen and when tokens attend. Plain attention divides by the root of a head's channels.
- In the last stage there are 8 heads, 96 channels wide in BiFormer-B, where the others have heads of 32; q, k
  and v have no bias; and the local enhancement (LePE) convolves the attention's input, not its values.
- Routing is hard and has no gradient: the chosen keys are not weighted by how well they matched.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn

from .blocks.classifier import configuration
from .blocks.layers import drop_path_by_stage, head_width, maps, register_notrace_module, tokens
from .blocks.pyramid import Pyramid, ResidualBlock, Stage, TokenMlp
from .convert import Layout, layout, renamed

__all__ = ["BiFormer", "BiLevelRoutingAttention", "LePEAttention"]


@register_notrace_module
class BiLevelRoutingAttention(nn.Module):
    """Bi-level routing attention (section 3.2): (B, dim, H, W) -> (B, dim, H, W).

    The map is cut into ``regions`` x ``regions`` regions. A region is routed to the ``topk`` regions whose
    mean keys match its mean query best, and its tokens attend to all tokens of those. A depthwise 5x5
    convolution of v (LePE) is added before the output projection.

    A map whose sides do not divide into regions is padded with zeros at the right and the bottom, and its
    output is cropped, as in the authors' segmentation; padded tokens take part like any other.

    Args:
        dim: channels, a multiple of ``head_dim``.
        head_dim: channels of a head.
        topk: regions that a region is routed to.
        regions: regions along each side.

    Raises:
        ValueError: ``dim`` is not a multiple of ``head_dim``, or there are fewer than ``topk`` regions.
    """

    def __init__(self, dim: int, head_dim: int, topk: int, regions: int = 7):
        super().__init__()
        if not 0 < topk <= regions**2:
            raise ValueError(f"topk must be 1 to {regions**2}, the number of regions, not {topk}")
        if dim % head_dim:
            raise ValueError(f"{dim} channels do not divide into heads of {head_dim}: choose a multiple")
        self.head_dim = head_dim
        self.topk = topk
        self.regions = regions
        self.scale = dim**-0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.lepe = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if height % self.regions or width % self.regions:
            x = F.pad(x, (0, -width % self.regions, 0, -height % self.regions))
        q, k, v = self.qkv(tokens(x)).chunk(3, dim=-1)
        local = tokens(self.lepe(maps(v)))
        q, k, v = self._cut(q), self._cut(k), self._cut(v)
        routes = self.route(q, k)
        image = torch.arange(x.shape[0], device=x.device)[:, None, None]
        out = self._attend(q, k[image, routes].flatten(2, 3), v[image, routes].flatten(2, 3))
        out = self._join(out, x.shape[-2] // self.regions) + local
        return maps(self.proj(out[:, :height, :width]))

    def route(self, q: Tensor, k: Tensor) -> Tensor:
        """The regions that each is routed to (B, regions, topk), from q and k (B, regions, tokens, dim)."""
        q, k = q.detach().mean(2), k.detach().mean(2)
        return (q * self.scale @ k.transpose(1, 2)).topk(self.topk, dim=-1).indices

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend within each region of (B, regions, tokens, dim); regions are folded into the batch."""
        regions = q.shape[1]
        q, k, v = [t.unflatten(-1, (-1, self.head_dim)).flatten(0, 1).transpose(1, 2) for t in (q, k, v)]
        out = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return out.transpose(1, 2).flatten(2).unflatten(0, (-1, regions))

    def _cut(self, x: Tensor) -> Tensor:
        """(B, H, W, dim) -> (B, regions, tokens, dim), both in row-major order."""
        x = x.unflatten(2, (self.regions, -1)).unflatten(1, (self.regions, -1))
        return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def _join(self, x: Tensor, height: int) -> Tensor:
        """Undo ``_cut`` for regions of ``height`` rows."""
        x = x.unflatten(2, (height, -1)).unflatten(1, (self.regions, self.regions))
        return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


@register_notrace_module
class LePEAttention(nn.Module):
    """Attention over all tokens: (B, dim, H, W) -> (B, dim, H, W).

    A depthwise 5x5 convolution of the input (LePE) is added before the output projection.

    Args:
        dim: channels, a multiple of ``num_heads``.
        num_heads: number of heads.

    Raises:
        ValueError: ``dim`` is not a multiple of ``num_heads``.
    """

    def __init__(self, dim: int, num_heads: int = 8):
        super().__init__()
        self.head_dim = head_width(dim, num_heads)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.lepe = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(tokens(x)).flatten(1, 2).unflatten(-1, (3, -1, self.head_dim))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return maps(self.proj(out.unflatten(1, x.shape[2:]) + tokens(self.lepe(x))))


def _patch_layer(in_dim: int, dim: int) -> list[nn.Module]:
    """Halve the resolution by a convolution with overlap, then BatchNorm."""
    return [nn.Conv2d(in_dim, dim, 3, stride=2, padding=1), nn.BatchNorm2d(dim)]


class BiFormer(Pyramid):
    """BiFormer, a classifier of images (B, in_chans, H, W).

    H and W should be multiples of 112: then the maps of the routed stages divide into 7 regions. Other
    sizes work too, by padding (see ``BiLevelRoutingAttention``), but no published number comes from one.

    Args:
        in_chans: channels of the image.
        num_classes: number of classes; 0 gives the pooled features.
        global_pool: how the head pools, as in timm ("avg", "max", ..., "" for none).
        depths: blocks of each stage.
        dims: channels of each stage, multiples of ``head_dim`` if the attention is routed, else of 8.
        topks: regions that each region is routed to, by stage; None for plain attention with 8 heads.
        regions: regions along each side.
        head_dim: width of a head in routed attention.
        mlp_ratio: how many times wider the hidden channels of an MLP are.
        drop_rate: dropout before the classifier.
        drop_path_rate: stochastic depth of the last block, rising linearly over the blocks from 0.

    Raises:
        ValueError: ``dims`` do not divide into heads, or there are fewer regions than ``topks`` wants.
    """

    multiple_of = 1

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        depths: Sequence[int] = (4, 4, 18, 4),
        dims: Sequence[int] = (96, 192, 384, 768),
        topks: Sequence[int | None] = (1, 4, 16, None),
        regions: int = 7,
        head_dim: int = 32,
        mlp_ratio: float = 3.0,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        def block(dim: int, topk: int | None, drop_path: float) -> ResidualBlock:
            if topk is None:
                attention = LePEAttention(dim)
            else:
                attention = BiLevelRoutingAttention(dim, head_dim, topk, regions)
            mlp = TokenMlp(dim, int(mlp_ratio * dim))
            return ResidualBlock(dim, attention, mlp, partial(LayerNorm2d, eps=1e-6), drop_path)

        stem = [*_patch_layer(in_chans, dims[0] // 2), nn.GELU(), *_patch_layer(dims[0] // 2, dims[0])]
        patch_layers = [stem, *(_patch_layer(*pair) for pair in pairwise(dims))]
        rates = drop_path_by_stage(drop_path_rate, depths)
        stages = [
            Stage(nn.Sequential(*patch_layer), [block(dim, topk, rate) for rate in stage_rates])
            for patch_layer, dim, topk, stage_rates in zip(patch_layers, dims, topks, rates, strict=True)
        ]
        super().__init__(stages, dims, in_chans, num_classes, global_pool, drop_rate)


default_cfgs = generate_default_cfgs(
    {
        "biformer_base.untrained": configuration(
            first_conv="stages.0.downsample.0",
            paper_name="BiFormer: Vision Transformer with Bi-Level Routing Attention",
            paper_ids="arXiv:2303.08810",
        )
    }
)


@register_model
def biformer_base(pretrained: bool = False, **kwargs: Any) -> BiFormer:
    """BiFormer-B: 56.04 M parameters with 7 classes."""
    return BiFormer.build("biformer_base", pretrained, **kwargs)


@layout("biformer_base")
def _authors_layout() -> Layout:
    rules = [
        (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
        (r"^stages\.(\d)\.blocks\.", r"stages.\1."),
        (r"^(stages\.[012]\..*)\.mixer\.qkv\.", r"\1.attn.qkv.qkv."),
        (r"^(stages\.[012]\..*)\.mixer\.proj\.", r"\1.attn.wo."),
        (r"\.mixer\.", ".attn."),
        (r"\.position\.", ".pos_embed."),
        (r"\.mlp\.fc1\.", ".mlp.0."),
        (r"\.mlp\.fc2\.", ".mlp.3."),
        (r"^head\.fc\.", "head."),
    ]
    return Layout(lambda name: renamed(name, rules), head="head.weight")
