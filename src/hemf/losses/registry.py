"""Losses by name: a new one is one file of this package with one registration.

A loss is a function that builds an ``nn.Module`` from a run's options, the number of training images of
each class, and numbers of its own with defaults (``--loss-args``). The module is called as ``loss(logits,
target)`` with logits ``(B, K)`` in float32 and either class indices ``(B,)`` or, under MixUp and CutMix,
class shares ``(B, K)``; it returns their mean over the batch. If it has ``begin_epoch(epoch, epochs)``,
that is called too.
"""

import inspect
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.core.registry import Registry, suggestion

LossBuilder = Callable[..., nn.Module]
LOSSES: Registry[LossBuilder] = Registry("loss")


def build_loss(config: RunConfig, counts: Sequence[int]) -> nn.Module:
    """Build the run's loss.

    Args:
        config: names the loss and its options.
        counts: training images of each class.

    Raises:
        HemfError: no loss of that name, or ``loss_args`` that it does not take.
    """
    build = LOSSES.find(config.loss)
    takes = list(inspect.signature(build).parameters)[2:]
    for name, value in config.loss_args.items():
        if name not in takes:
            hint = suggestion(name, takes) if takes else "leave out --loss-args"
            raise HemfError(f"the loss {config.loss} takes no {name!r}; {hint}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise HemfError(f"--loss-args: {name} is {value!r}; give a number")
    return build(config, counts, **config.loss_args)


def balanced_weights(counts: Sequence[int]) -> Tensor:
    """Weight each class inversely to its count, with mean 1 over the images; an absent class gets 0.

    Args:
        counts: training images of each class.
    """
    images = torch.tensor(counts, dtype=torch.float64)
    weights = images.sum() / ((images > 0).sum() * images)
    return torch.where(images > 0, weights, 0.0).float()
