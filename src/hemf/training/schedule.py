"""The learning rate as a pure function of the step, so that a resumed run takes up exactly where it was."""

import math


def lr_factor(
    step: int,
    *,
    steps: int,
    warmup_steps: float,
    warmup_factor: float,
    min_lr_factor: float,
) -> float:
    """Return the share of the highest learning rate at an optimiser step.

    Linear from ``warmup_factor`` at step 0 to 1 at ``warmup_steps``, then half a cosine down to
    ``min_lr_factor`` at ``steps`` (He et al. 2025, Table 5 and the published code).

    Args:
        step: optimiser steps already taken, from 0.
        steps: optimiser steps of the whole run.
        warmup_steps: length of the warm-up, in steps; may be a fraction, or 0 for none.
        warmup_factor: share that the warm-up starts from.
        min_lr_factor: share that the cosine ends at.
    """
    if step < warmup_steps:
        progress = step / warmup_steps
        return warmup_factor * (1 - progress) + progress
    progress = (step - warmup_steps) / (steps - warmup_steps) if steps > warmup_steps else 1.0
    cosine = (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    return min_lr_factor + (1 - min_lr_factor) * cosine
