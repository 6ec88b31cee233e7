"""PerViT: a vision transformer whose heads attend by distance, as peripheral vision does.

Min et al., "Peripheral Vision Transformer", NeurIPS 2022, section 3. A convolutional stem makes 16x smaller
maps, and twelve blocks of multi-head peripheral attention (MPA) work on them at that one resolution, getting
wider on the way. Each attention multiplies content weights, exp(q.k), by position weights, which a small
network draws from the Euclidean distances between the tokens.

Where the paper is silent, this follows the published code: tokens lie 2/13 apart, so that a 14x14 grid spans
-1 to 1; the position networks see keys beyond the image's edge, two on each side, which their two unpadded
3x3 convolutions use up; the depthwise convolution before each attention, the only other position encoding,
has no skip of its own; and the width changes inside a stage's last block. The published code takes 224x224
images alone; here others keep the distance between the tokens, which the weights have learned.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import ClassifierHead, DropPath, Mlp
from timm.models import checkpoint, generate_default_cfgs, register_model
from torch import Tensor, nn

from .blocks.classifier import Classifier, configuration, init_linear
from .blocks.layers import drop_path_by_stage, head_width, maps, register_notrace_module, tokens
from .convert import Layout, layout, renamed

__all__ = ["PerViT"]

STRIDE = 16
GRID = 14  # tokens to a side at 224x224
PADDING = 2  # keys beyond each edge: what two unpadded 3x3 convolutions take off


def token_distances(
    height: int,
    width: int,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    padding: int = PADDING,
) -> Tensor:
    """Return distances of each token to each key of the padded grid: (height * width, height + 4, width + 4).

    As published, they are built in float32 whatever the model is cast to; float64 would move its ninth digit.
    """
    y, x = _positions(height, device, dtype), _positions(width, device, dtype)
    tokens_y = y[padding:-padding].repeat_interleave(width)
    tokens_x = x[padding:-padding].repeat(height)
    offsets_y, offsets_x = (y - tokens_y[:, None])[:, :, None], (x - tokens_x[:, None])[:, None, :]
    shape = (height * width, len(y), len(x))
    return torch.stack([offsets_y.expand(shape), offsets_x.expand(shape)], dim=-1).norm(2, dim=-1)


def token_grid(height: int, width: int, stride: int = STRIDE) -> list[int]:
    """Return how many tokens high and wide an image is.

    Raises:
        ValueError: a height or width under 17.
    """
    if min(height, width) <= stride:
        raise ValueError(
            f"PerViT needs a height and width of at least {stride + 1}, got {height} x {width}: "
            f"enlarge the images, best to 224 x 224"
        )
    return [-(-height // stride), -(-width // stride)]


def _positions(
    count: int, device: torch.device | None, dtype: torch.dtype, grid: int = GRID, padding: int = PADDING
) -> Tensor:
    """Return where ``count`` tokens of a line and the padding at both its ends lie."""
    reach = (count - 1) / (grid - 1)
    inner = torch.linspace(-reach, reach, count, device=device, dtype=dtype)
    beyond = (inner[-1] - inner[-2]) * torch.arange(1, padding + 1, device=device, dtype=dtype)
    return torch.cat([(-reach - beyond).flip(0), inner, reach + beyond])


@register_notrace_module
class DistanceEmbedding(nn.Linear):
    """Linear embedding of the distances between an image's tokens, in 4 channels for each head."""

    cached_grid: list[int]  # of images whose position weights the blocks have kept; empty: of none

    def __init__(self, num_heads: int):
        super().__init__(1, 4 * num_heads)
        self.cached_grid = []

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]  # a Linear layer by its weights alone
        self, x: Tensor
    ) -> Tensor | None:
        """Return embedded distances for images (B, C, H, W); None where the blocks have kept what they need.

        Raises:
            ValueError: a height or width under 17.
        """
        grid = token_grid(x.shape[2], x.shape[3])
        return None if grid == self.cached_grid else self.embed(grid)

    def embed(self, grid: list[int]) -> Tensor:
        """Return embedded distances of a grid of h x w tokens: (h * w, 4 * num_heads, h + 4, w + 4)."""
        distances = token_distances(grid[0], grid[1], self.weight.device).to(self.weight.dtype)
        return maps(F.linear(distances.unsqueeze(-1), self.weight, self.bias))


@register_notrace_module
class PeripheralPosition(nn.Module):
    """Position network: embedded distances (HW, 4h, H + 4, W + 4) -> log weights (h, HW, HW) of h heads.

    Two unpadded 3x3 convolutions over the keys of each query, each followed by a normalisation of every
    channel by itself; ReLU between them and a sigmoid last, whose logarithm is returned.

    The weights begin as published ("peripheral initialisation"): with constant convolutions, ``bias`` says
    how far a head looks at first, and ``scale`` how sharply that region ends.

    Args:
        num_heads: h.
        scale: initial scale of the last normalisation.
        bias: initial bias of the last normalisation.
    """

    def __init__(self, num_heads: int, scale: float, bias: float):
        super().__init__()
        dim = 4 * num_heads
        self.initial = (scale, bias)
        self.conv1 = nn.Conv2d(dim, dim, 3)
        self.norm1 = nn.GroupNorm(dim, dim)
        self.conv2 = nn.Conv2d(dim, num_heads, 3)
        self.norm2 = nn.GroupNorm(num_heads, num_heads)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Constant convolutions of 0.02 without bias; the last normalisation as asked for."""
        for conv in (self.conv1, self.conv2):
            nn.init.constant_(conv.weight, 0.02)
            assert conv.bias is not None, "it is made with one"
            nn.init.zeros_(conv.bias)
        nn.init.constant_(self.norm2.weight, self.initial[0])
        nn.init.constant_(self.norm2.bias, self.initial[1])

    def forward(self, distances: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(distances)))
        return F.logsigmoid(self.norm2(self.conv2(x))).flatten(2).transpose(0, 1)


class PeripheralAttention(nn.Module):
    """Multi-head peripheral attention (MPA): (B, H, W, dim) -> (B, H, W, dim).

    Attention is w exp(s) divided by its sum over the keys, with s = q.k / sqrt(d) and w the position weights
    in (0, 1). That is softmax(s + log w), and is computed so. There is no bias on q, k and v.

    Args:
        dim: channels, a multiple of ``num_heads``.
        num_heads: number of heads.
        scale: as for ``PeripheralPosition``.
        bias: as for ``PeripheralPosition``.

    Raises:
        ValueError: ``dim`` is not a multiple of ``num_heads``.
    """

    cached: Tensor | None

    def __init__(self, dim: int, num_heads: int, scale: float, bias: float):
        super().__init__()
        head_width(dim, num_heads)
        self.num_heads = num_heads
        self.position = PeripheralPosition(num_heads, scale, bias)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.register_buffer("cached", None, persistent=False)

    def forward(self, x: Tensor, distances: Tensor | None) -> Tensor:
        """Attend by embedded ``distances`` (HW, 4 heads, H + 4, W + 4); None: by the cached weights."""
        log_weights = self.cached if distances is None else self.position(distances)
        assert log_weights is not None  # for TorchScript, which reasons about types alone
        qkv = self.qkv(x.flatten(1, 2)).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=log_weights.to(q.dtype)[None])
        return self.proj(out.transpose(1, 2).flatten(2)).unflatten(1, x.shape[1:3])


@register_notrace_module
class PerViTBlock(nn.Module):
    """One block: (B, H, W, dim) -> (B, H, W, out_dim).

    x + MPA(LN(DWConv3x3(x))), then skip(x) + MLP(LN(x)). Where the width changes, the MLP gives the new one
    and the skip is a Linear layer.

    Args:
        dim: channels of the input, a multiple of ``num_heads``.
        out_dim: channels of the output.
        num_heads: heads of the attention.
        mlp_ratio: how many times wider the MLP's hidden channels are than the input.
        scale: as for ``PeripheralPosition``.
        bias: as for ``PeripheralPosition``.
        drop_path: chance of dropping a residual path of a sample in training.
    """

    def __init__(
        self,
        dim: int,
        out_dim: int,
        num_heads: int,
        mlp_ratio: float,
        scale: float,
        bias: float,
        drop_path: float = 0.0,
    ):
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = PeripheralAttention(dim, num_heads, scale, bias)
        self.shortcut = nn.Identity() if out_dim == dim else nn.Linear(dim, out_dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, int(mlp_ratio * dim), out_dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor, distances: Tensor | None) -> Tensor:
        """Apply the block; ``distances`` are as for ``PeripheralAttention``."""
        x = x + self.drop_path(self.attn(self.norm1(tokens(self.dwconv(maps(x)))), distances))
        return self.shortcut(x) + self.drop_path(self.mlp(self.norm2(x)))


class PerViT(Classifier):
    """PerViT, a classifier of images (B, in_chans, H, W), H and W of 17 pixels at least.

    The position weights depend on the learned weights and on the image's size, not on the image: three fifths
    of the work on a single 224x224 image. ``cache_position_weights`` keeps them for inference.

    Args:
        in_chans: channels of the image.
        num_classes: number of classes; 0 gives the pooled features.
        global_pool: how the head pools, as in timm ("avg", "max", ..., "" for none).
        stem_dims: channels of the stem's first three convolutions.
        dims: channels of the four stages, multiples of ``num_heads``.
        depths: blocks in each stage.
        num_heads: heads of the attention.
        mlp_ratio: how many times wider the MLPs' hidden channels are than their input.
        drop_rate: dropout before the classifier.
        drop_path_rate: stochastic depth of the last block, rising linearly over the blocks from 0.

    Raises:
        ValueError: a stage's channels do not divide into heads.
    """

    chain = "blocks"
    multiple_of = 1
    usual_maps = (1, 3, 9, 11)  # the stages' last

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        stem_dims: Sequence[int] = (64, 192, 256),
        dims: Sequence[int] = (312, 468, 540, 684),
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        widths = [dim for dim, depth in zip(dims, depths, strict=True) for _ in range(depth)] + [dims[-1]]
        depth = len(widths) - 1
        super().__init__(in_chans, num_classes, drop_rate, widths[1:], [STRIDE] * depth)
        self.grad_checkpointing = False

        self.stem = _stem((in_chans, *stem_dims, dims[0]))
        self.distance_embed = DistanceEmbedding(num_heads)
        rates = drop_path_by_stage(drop_path_rate, [depth])[0]
        self.blocks = nn.ModuleList(
            PerViTBlock(
                widths[i],
                widths[i + 1],
                num_heads,
                mlp_ratio,
                scale=_between(3.0, 0.01, i, depth),
                bias=_between(-5.0, 4.0, i, depth),
                drop_path=rates[i],
            )
            for i in range(depth)
        )
        self.norm = nn.LayerNorm(dims[-1], eps=1e-6)
        self.head = ClassifierHead(dims[-1], num_classes, pool_type=global_pool, drop_rate=drop_rate)
        self.init_weights()

    def init_weights(self) -> None:
        """Draw the weights as published.

        Linear layers of attentions, MLPs and head: truncated normal of std 0.02, zero biases; the distances'
        constant -0.02; position networks by their own rule; the rest at PyTorch's defaults.
        """
        nn.init.constant_(self.distance_embed.weight, -0.02)
        nn.init.zeros_(self.distance_embed.bias)
        for block in self._blocks():
            block.attn.position.reset_parameters()
            for linear in (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2):
                init_linear(linear)
        init_linear(self.head.fc)

    def _blocks(self) -> list[PerViTBlock]:
        """The blocks by their class, which ``nn.ModuleList`` forgets."""
        return [block for block in self.blocks if isinstance(block, PerViTBlock)]

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns that sort parameters by depth, for layer-wise rates: stem and distances, then blocks."""
        return {
            "stem": r"^(?:stem|distance_embed)",
            "blocks": [(r"^blocks\.(\d+)", None), (r"^norm", (99999,))],
        }

    @torch.no_grad()
    def cache_position_weights(self, image_size: tuple[int, int] = (224, 224)) -> None:
        """Draw the position weights for images of this height and width once, for inference.

        They serve images of that size until ``drop_position_weights``, ``train`` or ``load_state_dict``;
        images of other sizes get their own as before. Weights changed by other means make them stale.

        Raises:
            ValueError: a height or width under 17.
        """
        grid = token_grid(*image_size)
        distances = self.distance_embed.embed(grid)
        for block in self._blocks():
            block.attn.cached = block.attn.position(distances)
        self.distance_embed.cached_grid = grid

    def drop_position_weights(self) -> None:
        """Draw the position weights anew in every forward pass."""
        self.distance_embed.cached_grid = []
        for block in self._blocks():
            block.attn.cached = None

    def train(self, mode: bool = True) -> "PerViT":
        """Switch the mode as usual; training drops cached position weights."""
        if mode:
            self.drop_position_weights()
        return super().train(mode)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.drop_position_weights()
        super()._load_from_state_dict(*args, **kwargs)

    def stems(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The stem's map (B, H / 16, W / 16, C) and the embedded distances, None where weights are cached.

        Raises:
            ValueError: a height or width under 17.
        """
        distances = self.distance_embed(x)
        return tokens(self.stem(x)), distances

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last block's map (B, dims[-1], H / 16, W / 16) after the norm.

        Raises:
            ValueError: a height or width under 17.
        """
        x, distances = self._begin(x)
        for block in self.blocks:
            if self.grad_checkpointing and self.training and not torch.jit.is_scripting():
                x = checkpoint(block, x, distances)
            else:
                x = block(x, distances)
        return maps(self.norm(x))

    def step(self, part: nn.Module, state: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
        recompute = self.grad_checkpointing and self.training
        return checkpoint(part, *state) if recompute else part(*state), state[1]

    def map_of(self, state: tuple[Tensor, Tensor | None], norm: bool) -> Tensor:
        return maps(self.norm(state[0]) if norm else state[0])


def _stem(dims: Sequence[int]) -> nn.Sequential:
    halvings = [
        nn.Sequential(
            nn.Conv2d(in_dim, dim, 3, stride=2, padding=1), nn.BatchNorm2d(dim), nn.ReLU(inplace=True)
        )
        for in_dim, dim in pairwise(dims)
    ]
    return nn.Sequential(*halvings, nn.Conv2d(dims[-1], dims[-1], 1))


def _between(first: float, last: float, index: int, count: int) -> float:
    return first + (last - first) * index / max(1, count - 1)


default_cfgs = generate_default_cfgs(
    {
        "pervit_medium.untrained": configuration(
            pool_size=(14, 14),
            first_conv="stem.0.0",
            paper_name="Peripheral Vision Transformer",
            paper_ids="arXiv:2206.06801",
        )
    }
)


@register_model
def pervit_medium(pretrained: bool = False, **kwargs: Any) -> PerViT:
    """PerViT-M as published: 43.72 M parameters with 1000 classes, 43.04 M with 7."""
    return PerViT.build("pervit_medium", pretrained, **kwargs)


@layout("pervit_medium")
def _authors_layout() -> Layout:
    rules = [
        (r"^stem\.4\.", "conv_layers.conv1x1."),
        (r"^stem\.", "conv_layers.conv_layers."),
        (r"^distance_embed\.", "rpe_proj."),
        (r"\.dwconv\.", ".conv.proj."),
        (r"\.qkv\.", ".to_qkv."),
        (r"\.position\.norm", ".position.gn"),
        (r"\.position\.", ".activation."),
        (r"\.shortcut\.", ".res_path."),
        (r"^head\.fc\.", "head."),
    ]
    return Layout(lambda name: renamed(name, rules), "head.weight")
