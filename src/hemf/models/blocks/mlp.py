"""Inverted residual MLPs that fuse concatenated maps."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import ConvBN1x1, convolve, maps, register_notrace_module, tokens


@register_notrace_module
class IRMLP(nn.Module):
    """Inverted residual MLP of HiFuse (Huo et al. 2024): (B, in_dim, H, W) -> (B, dim, H, W).

    x = BN(x + GELU(Conv3x3(x))); then 1x1 to ``expansion * in_dim``, GELU, 1x1 to ``dim`` and BN; no biases.
    The 3x3 is dense, as the parameters of HEMF's Table 3 need it.

    Args:
        in_dim: channels of the input.
        dim: channels of the output.
        expansion: how many times wider the hidden channels are than the input.
        depthwise: make the 3x3 depthwise, as the papers' text says.
    """

    def __init__(self, in_dim: int, dim: int, expansion: int = 4, depthwise: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(in_dim, in_dim, 3, padding=1, groups=in_dim if depthwise else 1, bias=False)
        self.norm = nn.BatchNorm2d(in_dim)
        self.expand = nn.Linear(in_dim, expansion * in_dim, bias=False)
        self.project = ConvBN1x1(expansion * in_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.invert(x)

    def invert(self, x: Tensor) -> Tensor:
        """Apply the inverted residual: (B, in_dim, H, W) -> (B, dim, H, W)."""
        y = self.conv(x) if torch.jit.is_scripting() else convolve(self.conv, x)
        x = self.norm(x + F.gelu(y))
        return self.project(maps(F.gelu(self.expand(tokens(x)))))


@register_notrace_module
class SIRMLP(IRMLP):
    """Squeezed inverted residual MLP of HEMF: (B, in_dim, H, W) -> (B, dim, H, W).

    A 1x1 convolution with batch normalisation squeezes the input to ``dim``, where an inverted residual MLP
    works with a sixth of the parameters.

    Args:
        in_dim: channels of the input, 3C in HEMF.
        dim: channels of the output and of the work between, C in HEMF.
        expansion: how many times wider the hidden channels are than ``dim``.
        depthwise: make the 3x3 depthwise, as the paper's text and Fig. 3 say; Table 3's parameters only come
            out with a dense one.
    """

    def __init__(self, in_dim: int, dim: int, expansion: int = 4, depthwise: bool = False):
        super().__init__(dim, dim, expansion, depthwise)
        self.squeeze = ConvBN1x1(in_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.invert(self.squeeze(x))
