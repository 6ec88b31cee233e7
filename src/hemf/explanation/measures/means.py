"""Means over images with 95% intervals that respect patients and lesions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hemf.metrics.bootstrap import Draws, resample, units_of

DRAWS = Draws()


def mean_measure(values: Sequence[float] | np.ndarray, groups: Sequence[str]) -> dict[str, Any]:
    """Average over images, with the percentiles of a bootstrap that draws whole groups.

    Args:
        values: values of each image; NaN where undefined, which is left out.
        groups: patient or lesion of each image; one without is a group by itself.

    Returns:
        A measure: ``value``, ``n`` and ``ci95``; without the interval where all images are of one group or
        agree; ``value`` None with a ``reason`` where no image has a value.
    """
    values = np.asarray(values, np.float64)
    defined = ~np.isnan(values)
    if not defined.any():
        return {"value": None, "n": 0, "reason": "no image has a value"}
    values, known = values[defined], [group for group, one in zip(groups, defined, strict=True) if one]
    found = {"value": float(values.mean()), "n": len(values)}
    units = units_of(np.zeros(len(values), dtype=np.int64), known)
    if units.count == 1 or np.ptp(values) == 0:
        return found
    means = [values @ weights / weights.sum(0) for weights in resample(units, DRAWS)]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return found | {"ci95": [float(low), float(high)]}


def about_intervals(groups: Sequence[str]) -> dict[str, Any]:
    """Return how the intervals of ``mean_measure`` come about, for images of these groups."""
    known = {group for group in groups if group}
    return {
        "method": "bootstrap",
        "resamples": DRAWS.resamples,
        "seed": DRAWS.seed,
        "unit": "group" if known else "image",
        "groups": len(known) or None,
        "stratified": False,
    }
