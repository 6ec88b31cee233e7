"""Views of maps as tokens and back, and the stretch that autocast leaves alone."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def tokens(x: Tensor) -> Tensor:
    """View maps (B, C, H, W) as tokens (B, H, W, C)."""
    return x.permute(0, 2, 3, 1)


def maps(x: Tensor) -> Tensor:
    """View tokens (B, H, W, C) as maps (B, C, H, W)."""
    return x.permute(0, 3, 1, 2)


def full_precision(device_type: str) -> AbstractContextManager:
    """Switch autocast off inside a block; do nothing without autocast, for the sake of exporters."""
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()
