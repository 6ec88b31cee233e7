"""Calibration slope and intercept of each class against the rest, by logistic regression (statsmodels).

Cox 1958; Van Calster et al., Journal of Clinical Epidemiology 74, 2016. The logit of the class's probability
is the only predictor: its slope is 1 for a calibrated model, below 1 for one whose probabilities are too
extreme. The intercept is fitted with a slope of 1 (calibration in the large): above 0 the class is more
frequent than the probabilities say. Where several images show one patient, errors are robust to that (sums by
patient, with G / (G - 1), and Student's t with G - 1 degrees of freedom).
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logit

from hemf.metrics.bootstrap import Units
from hemf.metrics.classification import ABSENT, ONE_CLASS, measure, undefined
from hemf.metrics.intervals import FEWEST, FEWEST_OF_CLASS

SEPARATED = "the probabilities tell the class without a mistake"
SMALLEST = 1e-9  # of a probability and of its distance from 1


def slopes(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], units: Units
) -> dict[str, dict[str, Any]]:
    """Return ``slope`` and ``intercept`` of each class, each a measure with its 95% interval.

    Args:
        labels: N class indices.
        probabilities: N x K.
        classes: names of the K classes.
        units: patients or lesions of the images.
    """
    return {name: _of_class(labels == k, probabilities[:, k], units) for k, name in enumerate(classes)}


def _of_class(positive: np.ndarray, scores: np.ndarray, units: Units) -> dict[str, Any]:
    n, number = len(positive), positive.sum()
    if not 0 < number < n:
        return dict.fromkeys(("slope", "intercept"), undefined(ONE_CLASS if number else ABSENT))
    few = min(units.among(positive), units.among(~positive)) < FEWEST_OF_CLASS or units.count < FEWEST
    x, ones = logit(scores.clip(SMALLEST, 1 - SMALLEST)), np.ones(n)
    of = units if units.grouped and not few else None
    intercept = _fitted(positive, ones[:, None], x, of)
    apart = (
        scores[positive].min() > scores[~positive].max() or scores[positive].max() < scores[~positive].min()
    )
    if apart or np.ptp(x) < SMALLEST:
        slope = undefined(SEPARATED if apart else "all probabilities are the same", n)
    else:
        slope = _fitted(positive, np.stack([x, ones], 1), np.zeros(n), of)
    found = {"slope": slope, "intercept": intercept}
    if few:
        why = {"no_interval": f"{units.words} are too few, or those with or without the class"}
        return {
            name: {key: v for key, v in one.items() if key not in ("ci95", "interval")} | why
            for name, one in found.items()
        }
    return found


def _fitted(positive: np.ndarray, x: np.ndarray, offset: np.ndarray, units: Units | None) -> dict[str, Any]:
    """Return the first coefficient of a logistic regression as a measure, robust to ``units`` if given."""
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    model = GLM(positive.astype(float), x, family=Binomial(), offset=offset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of separation, which the caller has looked for
        if units is not None:
            found: Any = model.fit(cov_type="cluster", cov_kwds={"groups": units.of_image}, use_t=True)
        else:
            found = model.fit()
    low, high = np.asarray(found.conf_int())[0]
    if not np.isfinite([found.params[0], low, high]).all():
        return undefined("the regression has no solution", len(positive))
    how = "regression" if units is None else "regression, robust to patients"
    return measure(found.params[0], len(positive)) | {"ci95": [float(low), float(high)], "interval": how}
