"""Conformer: a convolutional and a transformer branch that exchange their features in every block.

Peng et al., "Conformer: Local Features Coupling Global Representations for Visual Recognition", ICCV 2021,
section 3. The branches run side by side at their own resolutions; in each block the convolutional features
join the patch tokens on the way down, and the tokens join the feature map on the way up (the feature coupling
unit, FCU). Each branch has a classifier of its own.

Where the paper is silent, this follows the published code: the way down hands the class token through beside
the patches and its output is added to the tokens, so that the class token doubles in every block; the
convolutional branch has no stochastic depth; and the last block halves its map. The paper's ``patch16`` names
the stride of the tokens: patches are 4x4 pieces of the stem's map, without position embedding.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from timm.models import (
    checkpoint,
    generate_default_cfgs,
    register_model,
)
from timm.models.vision_transformer import Block as TransformerBlock
from torch import Tensor, nn

from .blocks.classifier import Classifier, configuration, init_linear
from .blocks.layers import drop_path_by_stage, register_notrace_module
from .convert import Layout, layout, renamed

__all__ = ["Conformer"]

Branches = tuple[Tensor, Tensor]

LayerNorm = partial(nn.LayerNorm, eps=1e-6)
BatchNorm = partial(nn.BatchNorm2d, eps=1e-6)

STEM_DIM = 64
STEM_STRIDE = 4
PATCH_STRIDE = 4  # on the stem's map, hence 16 on the image


class ConvBlock(nn.Module):
    """Bottleneck of the convolutional branch: (B, in_dim, H, W) -> (B, dim, H / stride, W / stride).

    1x1 to ``dim / 4``, 3x3, 1x1 to ``dim``, each with batch normalisation; ReLU after the first two and after
    the residual sum. The shortcut is a 1x1 convolution where the shape changes.

    Args:
        in_dim: channels of the input.
        dim: channels of the output, a multiple of 4.
        stride: stride of the 3x3 convolution.
    """

    def __init__(self, in_dim: int, dim: int, stride: int = 1):
        super().__init__()
        narrow = dim // 4
        self.conv1 = nn.Conv2d(in_dim, narrow, 1, bias=False)
        self.bn1 = BatchNorm(narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, padding=1, bias=False)
        self.bn2 = BatchNorm(narrow)
        self.conv3 = nn.Conv2d(narrow, dim, 1, bias=False)
        self.bn3 = BatchNorm(dim)
        self.shortcut = nn.Identity()
        if stride != 1 or in_dim != dim:
            self.shortcut = nn.Sequential(nn.Conv2d(in_dim, dim, 1, stride, bias=False), BatchNorm(dim))

    def forward(self, x: Tensor, from_tokens: Tensor | None = None) -> Branches:
        """The block's output, and its narrow features (B, dim / 4, H / stride, W / stride) for the tokens.

        ``from_tokens`` (B, dim / 4, H, W) is added before the 3x3 convolution.
        """
        y = F.relu(self.bn1(self.conv1(x)))
        if from_tokens is not None:
            y = y + from_tokens
        narrow = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(narrow)) + self.shortcut(x)), narrow


class FCUDown(nn.Module):
    """Feature coupling unit, from map to tokens: (B, dim, sH, sW) -> (B, 1 + HW, embed_dim).

    1x1 convolution, average pooling by s, layer normalisation, GELU; the class token goes first.

    Args:
        dim: channels of the map.
        embed_dim: channels of the tokens.
        stride: s, pixels of the map to a token.
    """

    def __init__(self, dim: int, embed_dim: int, stride: int):
        super().__init__()
        self.project = nn.Conv2d(dim, embed_dim, 1)
        self.pool = nn.AvgPool2d(stride)
        self.norm = LayerNorm(embed_dim)

    def forward(self, x: Tensor, class_token: Tensor) -> Tensor:
        patches = self.pool(self.project(x)).flatten(2).transpose(1, 2)
        return torch.cat([class_token, F.gelu(self.norm(patches))], dim=1)


@register_notrace_module
class FCUUp(nn.Module):
    """Feature coupling unit, from tokens to map: (B, 1 + HW, embed_dim) -> (B, dim, sH, sW).

    The class token is left out; 1x1 convolution, batch normalisation, ReLU, nearest upsampling by s.

    Args:
        embed_dim: channels of the tokens.
        dim: channels of the map.
        stride: s, pixels of the map to a token.
    """

    def __init__(self, embed_dim: int, dim: int, stride: int):
        super().__init__()
        self.stride = stride
        self.project = nn.Conv2d(embed_dim, dim, 1)
        self.bn = BatchNorm(dim)

    def forward(self, tokens: Tensor, size: list[int]) -> Tensor:
        """``size`` is the map's, (sH, sW)."""
        patches = tokens[:, 1:].unflatten(1, (size[0] // self.stride, size[1] // self.stride))
        x = F.relu(self.bn(self.project(patches.permute(0, 3, 1, 2))))
        return x if self.stride == 1 else F.interpolate(x, size=size, mode="nearest")


class ConvTransBlock(nn.Module):
    """One block of both branches and their exchange (Fig. 2 of the paper).

    Args:
        in_dim: channels of the map that comes in.
        dim: channels of the map that goes out.
        embed_dim: channels of the tokens.
        num_heads: heads of the attention.
        mlp_ratio: how many times wider the MLP's hidden channels are than the tokens.
        token_stride: pixels of the block's inner map to a token.
        stride: stride of the first convolution block.
        out_stride: stride of the second one, which fuses.
        drop_path: chance of dropping a residual path of the transformer block in training.
    """

    def __init__(
        self,
        in_dim: int,
        dim: int,
        embed_dim: int,
        num_heads: int,
        mlp_ratio: float,
        token_stride: int,
        stride: int = 1,
        out_stride: int = 1,
        drop_path: float = 0.0,
    ):
        super().__init__()
        self.grad_checkpointing = False
        self.conv = ConvBlock(in_dim, dim, stride)
        self.down = FCUDown(dim // 4, embed_dim, token_stride)
        self.trans = _transformer_block(embed_dim, num_heads, mlp_ratio, drop_path)
        self.up = FCUUp(embed_dim, dim // 4, token_stride)
        self.fusion = ConvBlock(dim, dim, out_stride)

    def forward(self, x: Tensor, tokens: Tensor) -> Branches:
        x, narrow = self.conv(x)
        tokens = tokens + self.down(narrow, tokens[:, :1])
        # Only the branch without batch statistics is recomputed, or those would count each batch twice.
        if self.grad_checkpointing and self.training and not torch.jit.is_scripting():
            tokens = checkpoint(self.trans, tokens)
        else:
            tokens = self.trans(tokens)
        x, _ = self.fusion(x, self.up(tokens, narrow.shape[-2:]))
        return x, tokens


class Conformer(Classifier):
    """Conformer, a classifier of images (B, in_chans, H, W) with H and W divisible by 16.

    It is trained on both heads: in training mode, ``forward`` and ``forward_head`` return the tuple (logits
    of the convolutional head, logits of the transformer head), each (B, num_classes), and the published loss
    is the mean of the two cross-entropies. In eval mode they return the sum of the two, one tensor, which is
    what the paper scores. A training loop that knows but one output calls ``set_separate_heads(False)`` and
    gets the sum in both modes (compare ``set_distilled_training`` of timm's two-headed models); the loss then
    sees the two heads as one, and so does a TorchScript.

    ``forward_features`` returns what the heads read as one map (B, C + embed_dim, H / 32, W / 32): the
    convolutional branch's, then the normalised class token, the same at every place. ``pre_logits`` and
    ``num_classes=0`` give the pooled map and the class token side by side, (B, C + embed_dim), in both modes.

    Args:
        in_chans: channels of the image.
        num_classes: number of classes; 0 for none.
        global_pool: "avg"; or "", without classes, to get what ``forward_features`` gives.
        dims: channels of the map at strides 4, 8 and 16, multiples of 4; the last block brings it to 32.
        depths: blocks at these strides, at least 2, 1 and 2; the very first is not coupled.
        embed_dim: channels of the tokens, a multiple of ``num_heads``.
        num_heads: heads of the attention.
        mlp_ratio: how many times wider the MLPs' hidden channels are than the tokens.
        drop_rate: dropout before the classifiers.
        drop_path_rate: stochastic depth of the last transformer block, rising linearly from 0.

    Raises:
        ValueError: another ``global_pool``, or "" with classes.
    """

    chain = "blocks"
    multiple_of = 16

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        dims: Sequence[int] = (384, 768, 1536),
        depths: Sequence[int] = (4, 4, 4),
        embed_dim: int = 576,
        num_heads: int = 9,
        mlp_ratio: float = 4.0,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        stages = [stage for stage, depth in enumerate(depths) for _ in range(depth)]
        last = len(stages) - 2
        ends = [depths[0] - 2, depths[0] + depths[1] - 2, last - 1, last]
        super().__init__(in_chans, num_classes, drop_rate, (*dims, dims[-1]), ends=ends, beside=embed_dim)
        self.global_pool = _checked_pool(global_pool, num_classes)
        self.separate_heads = True

        rates = drop_path_by_stage(drop_path_rate, [sum(depths)])[0]
        self.stem = nn.Sequential(
            nn.Conv2d(in_chans, STEM_DIM, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(STEM_DIM),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.first_conv = ConvBlock(STEM_DIM, dims[0])
        self.patch_embed = nn.Conv2d(STEM_DIM, embed_dim, PATCH_STRIDE, stride=PATCH_STRIDE)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.first_trans = _transformer_block(embed_dim, num_heads, mlp_ratio, rates[0])
        self.blocks = nn.ModuleList(
            ConvTransBlock(
                dims[before],
                dims[stage],
                embed_dim,
                num_heads,
                mlp_ratio,
                token_stride=PATCH_STRIDE // 2**stage,
                stride=2 if stage > before else 1,
                out_stride=2 if number == len(stages) else 1,
                drop_path=rates[number - 1],
            )
            for number, (before, stage) in enumerate(pairwise(stages), start=2)
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head_drop = nn.Dropout(drop_rate)
        self.conv_head = _head(dims[-1], num_classes)
        self.trans_head = _head(embed_dim, num_classes)
        self.init_weights()

    def init_weights(self) -> None:
        """Draw the weights as published: Kaiming normal for convolutions, else truncated normal."""
        trunc_normal_(self.cls_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            else:
                init_linear(module)

    def no_weight_decay(self) -> set[str]:
        """Spared from weight decay, beyond biases and vectors: the class token."""
        return {"cls_token"}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return patterns that sort parameters by depth, for layer-wise rates: stem and first block first."""
        return {
            "stem": r"^(?:stem|first_conv|first_trans|patch_embed|cls_token)",
            "blocks": [(r"^blocks\.(\d+)", None), (r"^norm", (99999,))],
        }

    def set_separate_heads(self, enable: bool = True) -> None:
        """Choose whether training mode returns the two heads' logits apart, as published, or their sum."""
        self.separate_heads = enable

    def get_classifier(self) -> tuple[nn.Module, nn.Module]:
        """Return the last linear layers: the convolutional head's and the transformer head's."""
        return self.conv_head, self.trans_head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Give both heads new classifiers for ``num_classes`` (0: none) and, if named, another pooling.

        Raises:
            ValueError: a ``global_pool`` that is neither "avg" nor, without classes, "".
        """
        self.global_pool = _checked_pool(
            self.global_pool if global_pool is None else global_pool, num_classes
        )
        self.num_classes = num_classes
        like = self.cls_token
        conv_dim = self.num_features - self.beside
        self.conv_head = _head(conv_dim, num_classes).to(like.device, like.dtype).train(self.training)
        self.trans_head = _head(self.beside, num_classes).to(like.device, like.dtype).train(self.training)

    def stems(self, x: Tensor) -> Branches:
        """Return what the first block, of its own kind, makes of the images."""
        x = self.stem(x)
        patches = self.patch_embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1)
        return self.first_conv(x)[0], self.first_trans(tokens)

    def map_of(self, state: Branches, norm: bool) -> Tensor:
        """Return the convolutional branch's map; only the tokens have a last norm."""
        return state[0]

    def features_of(self, state: Branches, norm: bool) -> Tensor:
        """Return the map, and at each of its places the class token, which always fits the last norm."""
        return self._side_by_side(*state)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last map and the class token (B, C + embed_dim, H / 32, W / 32).

        Raises:
            ValueError: H or W is not divisible by 16.
        """
        state = self._begin(x)
        for block in self.blocks:
            state = block(*state)
        return self._side_by_side(*state)

    def _side_by_side(self, x: Tensor, tokens: Tensor) -> Tensor:
        class_token = self.norm(tokens)[:, 0, :, None, None]
        return torch.cat([x, class_token.expand(-1, -1, x.shape[2], x.shape[3])], dim=1)

    # The result has no type, for TorchScript knows one type a method and this depends on the mode.
    def forward_head(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, x: Tensor, pre_logits: bool = False
    ):
        """Pool and classify what ``forward_features`` gave; ``pre_logits`` stops before the classifiers.

        Gives the sum of the heads' logits; in training mode the heads' logits apart, unless told otherwise.
        """
        if not self.global_pool:
            return x
        pooled = self.head_drop(self.pool(x[:, : -self.beside]).flatten(1))
        class_token = self.head_drop(x[:, -self.beside :, 0, 0])
        if pre_logits or not self.num_classes:
            return torch.cat([pooled, class_token], dim=1)
        conv_logits, trans_logits = self.conv_head(pooled), self.trans_head(class_token)
        if self.training and self.separate_heads and not torch.jit.is_scripting():
            return conv_logits, trans_logits
        return conv_logits + trans_logits


def _transformer_block(dim: int, num_heads: int, mlp_ratio: float, drop_path: float) -> TransformerBlock:
    norm: Any = LayerNorm  # timm's type allows classes alone, its own models give partials
    return TransformerBlock(dim, num_heads, mlp_ratio, qkv_bias=True, drop_path=drop_path, norm_layer=norm)


def _head(dim: int, num_classes: int) -> nn.Module:
    head = nn.Linear(dim, num_classes) if num_classes > 0 else nn.Identity()
    init_linear(head)
    return head


def _checked_pool(global_pool: str, num_classes: int) -> str:
    if global_pool == "avg" or (global_pool == "" and num_classes == 0):
        return global_pool
    raise ValueError(
        f"Conformer cannot classify with num_classes={num_classes}, global_pool={global_pool!r}: "
        "use 'avg' (or '' with num_classes=0, for features)"
    )


default_cfgs = generate_default_cfgs(
    {
        "conformer_base_patch16.untrained": configuration(
            first_conv="stem.0",
            classifier=("conv_head", "trans_head"),
            paper_name="Conformer: Local Features Coupling Global Representations for Visual Recognition",
            paper_ids="arXiv:2105.03889",
        )
    }
)


@register_model
def conformer_base_patch16(pretrained: bool = False, **kwargs: Any) -> Conformer:
    """Conformer-B as published: 83.29 M parameters with 1000 classes, 81.19 M with 7."""
    return Conformer.build("conformer_base_patch16", pretrained, **kwargs)


@layout("conformer_base_patch16")
def _authors_layout() -> Layout:
    rules = [
        # They count the blocks from 1, and the first is in two parts.
        (r"^blocks\.(\d+)", lambda block: f"conv_trans_{int(block[1]) + 2}"),
        (r"^stem\.0", "conv1"),
        (r"^stem\.1", "bn1"),
        (r"^first_conv", "conv_1"),
        (r"^first_trans", "trans_1"),
        (r"^patch_embed", "trans_patch_conv"),
        (r"^norm", "trans_norm"),
        (r"^(conv|trans)_head", r"\1_cls_head"),
        (r"\.shortcut\.0", ".residual_conv"),
        (r"\.shortcut\.1", ".residual_bn"),
        (r"^(conv_trans_\d+)\.conv\.", r"\1.cnn_block."),
        (r"\.fusion\.", ".fusion_block."),
        (r"\.trans\.", ".trans_block."),
        (r"\.down\.project", ".squeeze_block.conv_project"),
        (r"\.down\.norm", ".squeeze_block.ln"),
        (r"\.up\.project", ".expand_block.conv_project"),
        (r"\.up\.bn", ".expand_block.bn"),
    ]
    return Layout(lambda name: renamed(name, rules), "conv_cls_head.weight")
