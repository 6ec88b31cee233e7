"""How many patients a study needs, by simulation from the predictions of a pilot, its patients kept whole.

A study of m patients is simulated by drawing m of the pilot's with replacement, each class's share kept. Over
many such studies the spread of a measure, or of the difference of two models, is its standard error at that
size; an interval is Student's t times it on either side, and a difference is found where it exceeds that.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from hemf.core.errors import HemfError
from hemf.inference.predictions import Predictions
from hemf.metrics.bootstrap import BLOCK, Draws, Units, units_of
from hemf.metrics.resampled import WeightedMeasures

MOST = 1_000_000  # patients, beyond which no study is planned


@dataclass(frozen=True)
class Study:
    """A size of a study and what it reaches.

    Args:
        units: patients or lesions, or images where none are known.
        images: about how many images they have.
        width: expected width of the 95% interval of the measure, or of the difference.
        power: chance of finding the difference at 5%; None for a single model.
    """

    units: int
    images: int
    width: float
    power: float | None


class Pilot:
    """Predictions of one model, or of two on the same images, from which studies are simulated.

    Args:
        predictions: of one model or two.
        metric: measure of the split.
        draws: how many studies to simulate, and their seed.
        expected: difference to plan for; None for the pilot's own.

    Raises:
        HemfError: the pilot does not define the measure, or has fewer than ten units.
    """

    def __init__(
        self, predictions: Sequence[Predictions], metric: str, draws: Draws, expected: float | None = None
    ) -> None:
        first = predictions[0]
        self.units: Units = units_of(first.labels, first.groups)
        self.metric, self.draws, self.expected = metric, draws, expected
        self.models = [WeightedMeasures(one.labels, one.probabilities) for one in predictions]
        self.value = float(self._measured(np.ones((len(first.labels), 1)))[0])
        if self.units.count < 10 or math.isnan(self.value):
            why = f"has only {self.units.words}" if self.units.count < 10 else f"does not define {metric}"
            raise HemfError(f"the pilot {why}, and cannot be planned from; give a larger one")

    def study(self, units: int) -> Study:
        """Simulate studies of so many patients."""
        values = np.concatenate([self._measured(weights) for weights in self._drawn(units)])
        values = values[~np.isnan(values)]
        freedom = max(1, units - len(self.units.strata))
        half = float(t.ppf(0.975, freedom) * np.std(values))
        power = None
        if len(self.models) == 2:
            shift = 0.0 if self.expected is None else self.expected - self.value
            power = float((np.abs(values + shift) > half).mean())
        images = round(units * len(self.units.of_image) / self.units.count)
        return Study(units, images, 2 * half, power)

    def smallest(self, reached: Callable[[Study], bool]) -> Study:
        """Return the smallest study that reaches what is asked, to about 2%.

        Raises:
            HemfError: not even the largest does.
        """
        low, high = 1, max(10, self.units.count)
        while not reached(self.study(high)):
            low, high = high, 2 * high
            if high > MOST:
                raise HemfError(f"not even {MOST:,} {self.units.counted(2).split(' ', 1)[1]} would reach it")
        while high - low > max(1, high // 50):
            middle = (low + high) // 2
            low, high = (low, middle) if reached(self.study(middle)) else (middle, high)
        return self.study(high)

    def _measured(self, weights: np.ndarray) -> np.ndarray:
        """Return the measure, or the difference, on R weightings of the images."""
        first, *others = [model.of_split(weights)[self.metric] for model in self.models]
        return first - others[0] if others else first

    def _drawn(self, units: int) -> "list[np.ndarray]":
        """Return how often each image is in each study, in blocks of N x R."""
        random = np.random.default_rng(self.draws.seed)
        width = max(1, BLOCK // len(self.units.of_image))
        blocks = []
        for start in range(0, self.draws.resamples, width):
            r = min(width, self.draws.resamples - start)
            drawn = np.empty((self.units.count, r))
            for stratum in self.units.strata:
                times = max(1, round(units * len(stratum) / self.units.count))
                chances = np.full(len(stratum), 1 / len(stratum))
                drawn[stratum] = random.multinomial(times, chances, r).T
            blocks.append(drawn[self.units.of_image])
        return blocks
