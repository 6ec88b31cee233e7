"""The 95% interval of the expected calibration error, whose estimate and resamples are biased upwards.

In every bin, noise moves accuracy off confidence one way or the other, and the error counts both as distance:
on few images even a perfectly calibrated model has an error well above 0, and a bootstrap's resamples, with
the noise of drawing on top, lie higher still. Their quantiles almost never hold the true error of such a
model. So

- the upper end is that of the basic bootstrap, 2 e - q(2.5%), but not below the estimate e itself;
- the lower end is 0 where noise alone explains the estimate, that is, where e is at most the 97.5% quantile
  of the error of the resamples with the split's own gaps taken out; else it is the basic 2 e - q(97.5%).

The interval holds the estimate. ``benchmarks/statistics.py`` measures how often it holds the true error.
"""

from typing import Any

import numpy as np

from hemf.metrics.bootstrap import Units

FEWEST = 20  # units below which there is no interval: fewer tell nothing about fifteen bins


def with_error_interval(
    measure: dict[str, Any], values: np.ndarray, noise: np.ndarray, units: Units
) -> dict[str, Any]:
    """A calibration error with its interval, or with why it has none.

    Args:
        measure: the error.
        values: what it is on each of R resamples.
        noise: the same with the split's own gaps taken out, R values.
        units: what was drawn.
    """
    if units.count < FEWEST:
        too_few = "is" if units.count == 1 else "are"
        return measure | {"no_interval": f"{units.words} {too_few} too few, {FEWEST} are needed"}
    error = measure["value"]
    low, high = 2 * error - np.quantile(values, [0.975, 0.025])
    if error <= np.quantile(noise, 0.975):
        low = 0.0
    ends = [min(error, max(0.0, float(low))), min(1.0, max(error, float(high)))]
    return measure | {"ci95": ends, "interval": "bias-corrected bootstrap"}
