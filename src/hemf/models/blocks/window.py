"""Shifted-window self-attention of Swin Transformer (Liu et al., ICCV 2021)."""

import torch
import torch.nn.functional as F
from timm.layers import trunc_normal_
from timm.models import swin_transformer
from torch import Tensor, nn

from .layers import head_width, maps, register_notrace_module, tokens


@register_notrace_module
class WindowAttention(nn.Module):
    """Self-attention within windows (Swin, section 3.2): (B, dim, H, W) -> (B, dim, H, W).

    Maps are padded with zeros on the right and below to whole windows, rolled up and left by ``shift``, and
    cut into windows; in each, softmax(q.k / sqrt(head_dim) + relative position bias + mask) v. The mask keeps
    apart what the roll has brought together. As in Swin's code, padding is attended to; unlike there, a map
    no larger than one window is shifted too, as in the published code of HiFuse and CAME.

    Args:
        dim: channels, a multiple of ``num_heads``.
        num_heads: number of heads.
        window_size: side of a window, in tokens.
        shift: tokens to roll by, less than ``window_size``; 0 for windows in place.

    Raises:
        ValueError: ``dim`` is not a multiple of ``num_heads``.
    """

    relative_position_index: Tensor

    def __init__(self, dim: int, num_heads: int, window_size: int = 7, shift: int = 0):
        super().__init__()
        head_width(dim, num_heads)
        self.num_heads = num_heads
        self.window_size = window_size
        self.shift = shift
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window_size - 1) ** 2, num_heads))
        self.register_buffer(
            "relative_position_index", relative_position_index(window_size), persistent=False
        )
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        size = self.window_size
        x = F.pad(tokens(x), (0, 0, 0, -width % size, 0, -height % size))
        if self.shift:
            x = x.roll((-self.shift, -self.shift), dims=(1, 2))
        x = self._attend(self.qkv(x))
        if self.shift:
            x = x.roll((self.shift, self.shift), dims=(1, 2))
        return maps(self.proj(x[:, :height, :width]))

    def _attend(self, qkv: Tensor) -> Tensor:
        """Attend within each window of (B, H, W, 3 dim); the windows are folded into the heads."""
        rows, columns = qkv.shape[1] // self.window_size, qkv.shape[2] // self.window_size
        windows = qkv.unflatten(2, (columns, -1)).unflatten(1, (rows, -1))
        windows = windows.unflatten(-1, (3, self.num_heads, -1))
        q, k, v = windows.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6).flatten(2, 4).unbind()
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=self._bias(rows, columns).to(q.dtype)[None])
        out = out.unflatten(2, (self.window_size, -1)).unflatten(1, (rows, columns, -1))
        return out.permute(0, 1, 4, 2, 5, 3, 6).flatten(5, 6).flatten(3, 4).flatten(1, 2)

    def _bias(self, rows: int, columns: int) -> Tensor:
        """What to add to the scores of ``rows`` x ``columns`` windows: (windows x heads, tokens, tokens)."""
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        if not self.shift:
            return bias.repeat(rows * columns, 1, 1)
        return (bias + self._mask(rows, columns, bias)[:, None]).flatten(0, 1)

    def _mask(self, rows: int, columns: int, like: Tensor) -> Tensor:
        """-100 between tokens that only the roll made neighbours, else 0: (windows, tokens, tokens)."""
        size = self.window_size
        down, across = self._origin(rows * size, like.device), self._origin(columns * size, like.device)
        origin = (3 * down[:, None] + across).view(rows, size, columns, size)
        origin = origin.transpose(1, 2).flatten(2).flatten(0, 1)
        return (origin[:, :, None] != origin[:, None]).to(like.dtype) * -100.0

    def _origin(self, length: int, device: torch.device) -> Tensor:
        """Where each token of a rolled line is from: 0 whole windows, 1 the last one, 2 rolled into it."""
        place = torch.arange(length, device=device)
        return (place >= length - self.window_size).long() + (place >= length - self.shift).long()


class PatchMerging(swin_transformer.PatchMerging):
    """Swin's downsampling, LayerNorm and Linear over 2x2 tokens: (B, C, H, W) -> (B, 2C, H / 2, W / 2)."""

    def forward(self, x: Tensor) -> Tensor:
        x = tokens(x).unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
        return maps(self.reduction(self.norm(x.permute(0, 1, 3, 4, 2, 5).flatten(3))))


def relative_position_index(window_size: int) -> Tensor:
    """Return the row of Swin's bias table for each pair of a window's tokens: integers (tokens, tokens)."""
    place = torch.arange(window_size)
    offset = place[:, None] - place + window_size - 1
    pairs = offset[:, None, :, None] * (2 * window_size - 1) + offset[:, None]
    return pairs.flatten(2).flatten(0, 1)
