"""Averaged weights."""

import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


class EMA(WeightAveraging):
    """Exponential moving average of weights and BatchNorm statistics, which are what is validated and kept.

    The decay of step n is the smaller of ``decay`` and (1 + n) / (10 + n), so that short runs do not
    drag their random start along. Buffers of whole numbers, such as indices, are copied.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
            if not averaged[0].is_floating_point():
                torch._foreach_copy_(averaged, current)
                return
            n = int(count)
            torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

        super().__init__(multi_avg_fn=average)
