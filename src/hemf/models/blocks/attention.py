"""The attentions of HEMF's fusion: external, spatial, channel, and their mixture."""

import torch
from torch import Tensor, nn

from ..kernels import have_kernel, unwatched
from ..kernels.external import external_attention
from ..kernels.written_out import external, normalise_twice
from .external import StreamedExternalAttention
from .layers import LayerNorm2d, head_width, maps, register_notrace_module, tokens


@register_notrace_module
class MultiHeadExternalAttention(nn.Module):
    """Multi-head external attention (MHEA): (B, dim, H, W) -> (B, dim, H, W).

    All heads share one memory of ``memory`` units. A = x M_k is normalised twice: by a softmax over the
    tokens, then each token's row is divided by its sum over the units; out = A M_v. There is no bias and no
    projection. The division is a softmax of logarithms, so no row can be zero divided by zero.

    Args:
        dim: channels, a multiple of ``num_heads``.
        num_heads: number of heads.
        memory: units of the shared memory.

    Raises:
        ValueError: ``dim`` is not a multiple of ``num_heads``.
    """

    def __init__(self, dim: int, num_heads: int = 8, memory: int = 64):
        super().__init__()
        width = head_width(dim, num_heads)
        self.num_heads = num_heads
        self.memory_key = nn.Linear(width, memory, bias=False)
        self.memory_value = nn.Linear(memory, width, bias=False)
        for unit in (self.memory_key, self.memory_value):
            nn.init.normal_(unit.weight, std=0.001)

    def forward(self, x: Tensor) -> Tensor:
        heads = tokens(x).unflatten(-1, (self.num_heads, -1)).flatten(1, 2)
        if torch.jit.is_scripting():
            out = self.memory_value(normalise_twice(self.memory_key(heads)).to(heads.dtype))
        else:
            out = self._attend(heads)
        return maps(out.flatten(2).unflatten(1, x.shape[2:]))

    def _attend(self, heads: Tensor) -> Tensor:
        """Attend from tokens (B, N, heads, width), by the fastest means that give the same."""
        memories = (self.memory_key, self.memory_value)
        plain = unwatched(heads, *memories) and all(memory.bias is None for memory in memories)
        if plain and have_kernel(heads):
            return external_attention(heads, *(memory.weight for memory in memories))
        if plain and not torch.compiler.is_compiling():
            return StreamedExternalAttention.apply(heads, *(memory.weight for memory in memories))[0]
        return external(heads, self.memory_key, self.memory_value)


class SpatialAttention(nn.Module):
    """Weights for places (SA): (B, dim, H, W) -> (B, 1, H, W) in (0, 1).

    A convolution without bias over the channels' mean and maximum, then a sigmoid.

    Args:
        kernel_size: side of the convolution, odd.
        max_first: give the convolution the maximum before the mean, as HiFuse does.
        batch_norm: normalise before the sigmoid, as HiFuse does.
    """

    def __init__(self, kernel_size: int = 7, max_first: bool = False, batch_norm: bool = False):
        super().__init__()
        self.max_first = max_first
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(1) if batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        pooled = [x.mean(1, keepdim=True), x.amax(1, keepdim=True)]
        if self.max_first:
            pooled.reverse()
        return self.norm(self.conv(torch.cat(pooled, dim=1))).sigmoid()


class ChannelAttention(nn.Module):
    """Weights for channels (CA): (B, dim, H, W) -> (B, dim, 1, 1) in (0, 1).

    One bottleneck (ReLU, no bias) serves the average- and the max-pooled vector; the two are summed, then a
    sigmoid.

    Args:
        dim: channels.
        ratio: the bottleneck has ``dim // ratio`` channels, at least one.
    """

    def __init__(self, dim: int, ratio: int = 16):
        super().__init__()
        hidden = max(1, dim // ratio)
        self.bottleneck = nn.Sequential(
            nn.Linear(dim, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, dim, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = self.bottleneck(x.mean((2, 3))) + self.bottleneck(x.amax((2, 3)))
        return weights.sigmoid()[:, :, None, None]


class MixedAttention(nn.Module):
    """Mixed attention (MA): (B, dim, H, W) -> (B, dim, H, W).

    a = LN(x); b = LN(MHEA(a) * a) with the same LN; c = SA(b) * b; out = CA(c) * c. An attention that is
    switched off is left out: b = a without the external one, out = b without the two convolutional ones.

    Args:
        dim: channels, a multiple of ``num_heads``.
        num_heads: heads of the external attention.
        memory: units of the external attention's memory.
        external_attention: use MHEA.
        conv_attention: use SA and CA.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        memory: int = 64,
        external_attention: bool = True,
        conv_attention: bool = True,
    ):
        super().__init__()
        self.norm = LayerNorm2d(dim)
        self.external = MultiHeadExternalAttention(dim, num_heads, memory) if external_attention else None
        self.spatial = SpatialAttention() if conv_attention else None
        self.channel = ChannelAttention(dim) if conv_attention else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        if self.external is not None:
            x = self.norm(self.external(x) * x)
        if self.spatial is not None and self.channel is not None:
            x = self.spatial(x) * x
            x = self.channel(x) * x
        return x
