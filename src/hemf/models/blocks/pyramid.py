"""A pyramid of stages with timm's interface: what UniFormer and BiFormer, its descendant, have in common."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from timm.layers import ClassifierHead, DropPath, Mlp
from timm.models import checkpoint
from torch import Tensor, nn

from .classifier import Classifier, init_linear
from .layers import maps, tokens

__all__ = ["Pyramid", "ResidualBlock", "Stage", "TokenMlp"]


class TokenMlp(Mlp):
    """timm's MLP of Linear layers on each token of maps: (B, dim, H, W) -> (B, dim, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.drop1(self.act(self.fc1(tokens(x)))))
        return maps(self.drop2(self.fc2(x)))


class ResidualBlock(nn.Module):
    """The block of UniFormer (its equations 1 to 3): (B, dim, H, W) -> (B, dim, H, W).

    x = x + DWConv3x3(x), the position encoding; x = x + mixer(norm(x)); x = x + mlp(norm(x)).

    Args:
        dim: channels.
        mixer: lets places exchange information, maps to maps.
        mlp: works on each place alone, maps to maps.
        norm_layer: makes a normalisation of maps from a number of channels.
        drop_path: chance of dropping the mixer, and the MLP, for a sample in training (stochastic depth).
    """

    def __init__(
        self,
        dim: int,
        mixer: nn.Module,
        mlp: nn.Module,
        norm_layer: Callable[[int], nn.Module],
        drop_path: float = 0.0,
    ):
        super().__init__()
        self.grad_checkpointing = False
        self.position = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = norm_layer(dim)
        self.mixer = mixer
        self.norm2 = norm_layer(dim)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.position(x)
        if self.grad_checkpointing and self.training and not torch.jit.is_scripting():
            # The norms stay outside: recomputing batch statistics would count each batch twice.
            x = x + self.drop_path(checkpoint(self.mixer, self.norm1(x)))
            return x + self.drop_path(checkpoint(self.mlp, self.norm2(x)))
        x = x + self.drop_path(self.mixer(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Stage(nn.Module):
    """A patch layer that lowers the resolution, then blocks at the new one.

    Args:
        downsample: the patch layer.
        blocks: the blocks.
    """

    def __init__(self, downsample: nn.Module, blocks: Iterable[nn.Module]):
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.downsample(x))


class Pyramid(Classifier):
    """Stages at strides 4, 8, 16, ..., a BatchNorm, and a linear classifier of the pooled map.

    Linear layers begin truncated normal of std 0.02 with zero biases, convolutions as PyTorch draws them,
    as in the published code of UniFormer and BiFormer.

    Args:
        stages: the stages; the first one takes the image.
        dims: channels of each stage.
        in_chans: channels of the image.
        num_classes: number of classes; 0 gives the pooled features.
        global_pool: how the head pools, as in timm ("avg", "max", ..., "" for none).
        drop_rate: dropout before the classifier.
    """

    def __init__(
        self,
        stages: Iterable[Stage],
        dims: Sequence[int],
        in_chans: int,
        num_classes: int,
        global_pool: str,
        drop_rate: float,
    ):
        super().__init__(in_chans, num_classes, drop_rate, dims)
        self.stages = nn.ModuleList(stages)
        self.norm = nn.BatchNorm2d(dims[-1])
        self.head = ClassifierHead(dims[-1], num_classes, pool_type=global_pool, drop_rate=drop_rate)
        self.apply(init_linear)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last stage's map (B, dims[-1], H / 32, W / 32) after the norm.

        Raises:
            ValueError: a size that the network cannot take.
        """
        x = self._begin(x)
        for stage in self.stages:
            x = stage(x)
        return self.norm(x)

    def stems(self, x: Tensor) -> Tensor:
        return x

    def step(self, part: nn.Module, state: Tensor) -> Tensor:
        return part(state)

    def map_of(self, state: Tensor, norm: bool) -> Tensor:
        return self.norm(state) if norm else state

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return the patterns that sort parameters by depth, for layer-wise rates."""
        fine = [
            (r"^stages\.(\d+)\.downsample", (0,)),
            (r"^stages\.(\d+)\.blocks\.(\d+)", None),
            (r"^norm", (99999,)),
        ]
        return {"stem": r"^stages\.0\.downsample", "blocks": r"^stages\.(\d+)" if coarse else fine}
