"""Means over images with 95% intervals that respect patients and lesions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import bootstrap

RESAMPLES = 2000
SEED = 0


def mean_measure(values: Sequence[float] | np.ndarray, groups: Sequence[str]) -> dict[str, Any]:
    """The mean over images, with the percentiles of a bootstrap that draws whole groups.

    Args:
        values: of each image; NaN where undefined, which is left out.
        groups: patient or lesion of each image; one without is a group by itself.

    Returns:
        A measure: ``value``, ``n`` and ``ci95``; without the interval where all images are of one group or
        agree; ``value`` None with a ``reason`` where no image has a value.
    """
    values = np.asarray(values, np.float64)
    defined = ~np.isnan(values)
    if not defined.any():
        return {"value": None, "n": 0, "reason": "no image has a value"}
    values = values[defined]
    names = [group or f"image {i}" for i, group in enumerate(groups) if defined[i]]
    _, unit = np.unique(names, return_inverse=True)
    sums, counts = np.bincount(unit, values), np.bincount(unit)
    found = {"value": float(values.mean()), "n": len(values)}
    if len(sums) == 1 or np.ptp(values) == 0:
        return found
    interval = bootstrap(
        (sums, counts),
        lambda s, c, axis: s.sum(axis) / c.sum(axis),
        paired=True,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(SEED),
        batch=200,
    ).confidence_interval
    return found | {"ci95": [float(interval.low), float(interval.high)]}


def about_intervals(groups: Sequence[str]) -> dict[str, Any]:
    """How the intervals of ``mean_measure`` come about, for images of these groups."""
    known = {group for group in groups if group}
    return {
        "method": "bootstrap",
        "resamples": RESAMPLES,
        "seed": SEED,
        "unit": "group" if known else "image",
        "groups": len(known) or None,
        "stratified": False,
    }
