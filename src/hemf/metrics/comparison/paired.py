"""The difference of two models' measures by a paired bootstrap, also of several seeds and within a margin.

A model may be several trainings of one protocol that differ by their seed. Its measure is the mean of theirs,
and chance has two sources: which images (patients) were tested, and which seeds were trained. The variance of
a mean over S seeds is s^2 / S, with s^2 the variance among them on these images; it is added to that of the
resamples, and the difference over its error is taken for Student's t with Satterthwaite's degrees of freedom.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm, t

from hemf.metrics.bootstrap import Units, tails
from hemf.metrics.intervals import why_none

SMALLER_IS_BETTER = ("log_loss",)
SIDES = ("first_not_worse", "second_not_worse", "equivalent")


@dataclass(frozen=True)
class Measured:
    """A measure of a model.

    Args:
        of_seeds: its value for each seed; None where it is undefined.
        resampled: its mean over the seeds on each of R resamples, NaN where undefined.
    """

    of_seeds: list[float | None]
    resampled: np.ndarray

    @property
    def value(self) -> float | None:
        """Mean over the seeds."""
        known = [one for one in self.of_seeds if one is not None]
        return float(np.mean(known)) if len(known) == len(self.of_seeds) else None

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len(self.of_seeds)

    @property
    def variance(self) -> float:
        """What the choice of seeds adds to the variance of the mean; 0 for one, which cannot tell."""
        return float(np.var(np.array(self.of_seeds, float), ddof=1) / self.seeds) if self.seeds > 1 else 0.0


def with_seeds(measure: dict[str, Any], one: Measured, units: Units, in_class: int | None) -> dict[str, Any]:
    """Return the measure of a model of several seeds: mean, ``seeds``, ``sd_of_seeds`` and interval.

    Args:
        measure: that of the first seed, for its ``n``.
        one: all seeds.
        units: what was drawn.
        in_class: see ``with_interval``.
    """
    found = {"value": one.value, "n": measure["n"], "seeds": one.seeds}
    if one.value is None:
        return found | {"reason": measure.get("reason", "undefined for a seed")}
    found["sd_of_seeds"] = float(np.std(np.array(one.of_seeds, float), ddof=1))
    known = one.resampled[~np.isnan(one.resampled)]
    if why := why_none(known, len(one.resampled), units, in_class):
        return found | {"no_interval": why}
    error, freedom = _error(known, units, [one])
    half = float(t.ppf(0.975, freedom) * error)
    return found | {"ci95": [one.value - half, one.value + half], "interval": "bootstrap and seeds"}


def difference(
    first: Measured,
    second: Measured,
    units: Units,
    in_class: int | None,
    name: str,
    margin: float | None = None,
) -> dict[str, Any]:
    """Return the ``difference`` (first less second) of a measure, its ``ci95`` and two-sided ``p``.

    With single seeds these are quantiles and shares of the resamples, moved outwards for few units as in
    ``tails``; p is twice the smaller share on either side of no difference, with one added to both, so that
    it is never zero.

    Args:
        first: one model.
        second: the other, on the same resamples.
        units: what was drawn.
        in_class: see ``with_interval``.
        name: the measure.
        margin: a difference that would not matter. Then ``first_not_worse`` and ``second_not_worse`` (by as
            much as the margin; one-sided) and ``equivalent`` (neither is: two one-sided tests, Schuirmann)
            have a ``p`` each.

    Returns:
        None in place of what is undefined or what few units cannot tell.
    """
    nothing = {"ci95": None, "p": None} | ({side: {"p": None} for side in SIDES} if margin else {})
    if first.value is None or second.value is None:
        return {"difference": None} | nothing
    found: dict[str, Any] = {"difference": first.value - second.value}
    drawn = first.resampled - second.resampled
    known = drawn[~np.isnan(drawn)]
    known[np.abs(known) < 1e-12] = 0.0
    alike = abs(found["difference"]) < 1e-12 and not known.any()
    if alike and first.variance + second.variance == 0:  # in every resample: there is nothing to tell apart
        return found | nothing | {"p": 1.0}
    if why_none(known, len(drawn), units, in_class):
        return found | nothing
    chance = _Seeds(found["difference"], known, units, (first, second))
    if first.seeds == second.seeds == 1:
        chance = _Resamples(known, units)
    found |= {"ci95": chance.interval(), "p": min(1.0, 2 * min(chance.below(0.0), chance.above(0.0)))}
    if margin is not None:
        worse, better = chance.below(-margin), chance.above(margin)
        if name in SMALLER_IS_BETTER:
            worse, better = better, worse
        found |= dict(zip(SIDES, ({"p": p} for p in (worse, better, max(worse, better))), strict=True))
    return found


class _Resamples:
    """Chance as the resamples show it, R differences of single seeds."""

    def __init__(self, known: np.ndarray, units: Units) -> None:
        self.known, self.freedom = known, _freedom(units)

    def interval(self) -> list[float]:
        return [float(end) for end in np.quantile(self.known, tails(self.freedom))]

    def below(self, limit: float) -> float:
        return self._p((self.known <= limit).sum())

    def above(self, limit: float) -> float:
        return self._p((self.known >= limit).sum())

    def _p(self, number: int) -> float:
        """Return the share of resamples beyond a limit as Student's t has it at the same distance."""
        return float(t.sf(norm.isf((number + 1) / (len(self.known) + 1)), self.freedom))


class _Seeds:
    """Chance of resamples and seeds together."""

    def __init__(
        self, value: float, known: np.ndarray, units: Units, models: tuple[Measured, Measured]
    ) -> None:
        self.value = value
        self.error, self.freedom = _error(known, units, models)

    def interval(self) -> list[float]:
        half = t.ppf(0.975, self.freedom) * self.error
        return [float(self.value - half), float(self.value + half)]

    def below(self, limit: float) -> float:
        return float(t.sf((self.value - limit) / self.error, self.freedom))

    def above(self, limit: float) -> float:
        return float(t.sf((limit - self.value) / self.error, self.freedom))


def _error(known: np.ndarray, units: Units, models: Sequence[Measured]) -> tuple[float, float]:
    """Return standard error and Satterthwaite's degrees of freedom, of resamples and seeds together."""
    parts = [(float(np.var(known)), _freedom(units))]
    parts += [(one.variance, one.seeds - 1) for one in models if one.seeds > 1]
    variance = sum(part for part, _ in parts)
    return float(np.sqrt(variance)), variance**2 / sum(part**2 / freedom for part, freedom in parts)


def _freedom(units: Units) -> int:
    return units.freedom(np.ones(len(units.of_image), bool))
