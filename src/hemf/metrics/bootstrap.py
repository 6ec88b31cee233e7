"""Bootstrap resamples of a split's images, as the weight of each image in each.

What is drawn is a *unit*: a patient or lesion with all its images where groups are known, else an image. An
image of unknown group beside others that have one is a unit of its own. Units are drawn with replacement
within strata, so that every resample has the split's mix of classes: units whose images are all of one class
are that class's stratum, and units with images of several classes are a stratum together. What is measured
on resamples therefore speaks of units like these *in this mix of classes*.

Of the n units of a stratum n - 1 are drawn, each for n / (n - 1) units (the rescaled bootstrap of Rao and Wu,
Journal of the American Statistical Association 83, 1988). Drawn n at a time, they would spread too little, by
(n - 1) / n in variance: half, where a class has two patients. ``tails`` allows for the rest of what is not
known with few units, as Student's t does: the spread itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from hemf.core.errors import HemfError
from hemf.core.text import counted, patients

EXACT = 2.0**-20  # weights are multiples of it, so that sums of them have no rounding error
BLOCK = 2**18  # numbers at once: 2 MiB, so that a block stays in a core's cache


@dataclass(frozen=True)
class Draws:
    """How often a bootstrap draws.

    Args:
        resamples: how many there are; 0 for no bootstrap.
        seed: seed of the random numbers.

    Raises:
        HemfError: one of them is negative.
    """

    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 0:
            raise HemfError(f"cannot draw {self.resamples} resamples; give 2000, or 0 for no bootstrap")
        if self.seed < 0:
            raise HemfError(f"the seed is {self.seed}; give 0 or more")


@dataclass(frozen=True)
class Units:
    """What is drawn.

    Args:
        of_image: unit of each of the N images, from 0.
        strata: units of each stratum; together they are all units.
        grouped: whether any group is known.
    """

    of_image: np.ndarray
    strata: list[np.ndarray]
    grouped: bool

    @property
    def count(self) -> int:
        """Number of units."""
        return sum(map(len, self.strata))

    @property
    def words(self) -> str:
        """How many units there are, in words."""
        return self.counted(self.count)

    def counted(self, number: int) -> str:
        """Return so many units in words."""
        return patients(number) if self.grouped else counted(number, "image")

    def among(self, images: np.ndarray) -> int:
        """Return the number of units that the images of a mask (N booleans) belong to."""
        return len(np.unique(self.of_image[images]))

    def freedom(self, images: np.ndarray) -> int:
        """Return the degrees of freedom of what is measured on the images of a mask: units less strata."""
        units = np.unique(self.of_image[images])
        return max(1, len(units) - sum(bool(np.isin(one, units).any()) for one in self.strata))


def unit_numbers(groups: Sequence[str]) -> np.ndarray:
    """Number patients or lesions from 0 as they come; an image of unknown group is one of its own."""
    names = [("group", group) if group else ("image", str(i)) for i, group in enumerate(groups)]
    numbers = {name: unit for unit, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names])


def units_of(labels: np.ndarray, groups: Sequence[str] | None = None) -> Units:
    """Return the units of N images and their strata.

    Args:
        labels: N class indices.
        groups: patient or lesion of each image, empty where unknown; None where there are none.
    """
    groups = [""] * len(labels) if groups is None else groups
    of_image = unit_numbers(groups)
    low, high = (np.zeros(of_image.max() + 1, dtype=np.int64) for _ in range(2))
    low[:] = np.max(labels)
    np.minimum.at(low, of_image, labels)
    np.maximum.at(high, of_image, labels)
    stratum = np.where(low == high, low, -1)
    strata = [np.flatnonzero(stratum == one) for one in np.unique(stratum)]
    return Units(of_image, strata, grouped=any(groups))


def resample(units: Units, draws: Draws) -> Iterator[np.ndarray]:
    """Yield the weight of each image in each resample: blocks of N x R, with a mean of 1 over the units
    of every stratum.

    The same units, number and seed give the same resamples, so that two models can be compared on each.

    Args:
        units: what is drawn.
        draws: how often.
    """
    random = np.random.default_rng(draws.seed)
    width = max(1, BLOCK // len(units.of_image))
    for start in range(0, draws.resamples, width):
        r = min(width, draws.resamples - start)
        drawn = np.empty((units.count, r))
        for stratum in units.strata:
            size = len(stratum)
            times = max(1, size - 1)
            places = random.integers(0, size, (times, r)) * r + np.arange(r)
            counts = np.bincount(places.ravel(), minlength=size * r).reshape(size, r)
            drawn[stratum] = counts * (round(size / times / EXACT) * EXACT)
        yield drawn[units.of_image]


def tails(freedom: int) -> list[float]:
    """Return the two shares of resamples between which a 95% interval lies.

    They are those of a normal distribution at the ends of Student's t interval ("expanded percentiles":
    Hesterberg, The American Statistician 69, 2015): 2.5% and 97.5% of many units, 1.2% and 98.8% of ten.

    Args:
        freedom: degrees of freedom, as ``Units.freedom`` counts them.
    """
    low = float(norm.sf(t.ppf(0.975, freedom)))
    return [low, 1 - low]
