"""Asymmetric loss: what an image is not counts less if it is easy (Ridnik et al. 2021, arXiv:2009.14119)."""

from collections.abc import Sequence
from typing import Any

from timm.loss import AsymmetricLossSingleLabel
from torch import nn

from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.losses.registry import LOSSES


@LOSSES.register("asymmetric")
def asymmetric(
    config: RunConfig, counts: Sequence[int], gamma_pos: float = 0.0, gamma_neg: float = 4.0
) -> nn.Module:
    """Build timm's form for a single label per image.

    Raises:
        HemfError: MixUp, CutMix or class weights are asked for, which it does not support.
    """
    if config.mixup or config.cutmix or config.class_weights:
        raise HemfError(
            "the loss asymmetric takes neither mixed images nor class weights; give --mixup 0 --cutmix 0 and "
            "no --class-weights, or another --loss"
        )
    powers: dict[str, Any] = {
        "gamma_pos": gamma_pos,
        "gamma_neg": gamma_neg,
    }  # typed as int
    return AsymmetricLossSingleLabel(**powers, eps=config.label_smoothing)
