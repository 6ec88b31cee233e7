"""What a model knows about its own confidence: a temperature, prediction sets and operating points.

It is fitted on validation images, travels in the model's ``config.json`` under ``hemf.calibration``, and is
used wherever the model is.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_args

import numpy as np

from hemf.calibration.thresholds import Target
from hemf.config.options import TTA
from hemf.core.errors import HemfError
from hemf.core.text import counted, printable
from hemf.tasks import MULTICLASS, Task

if TYPE_CHECKING:
    from torch import Tensor

Logits = TypeVar("Logits", "Tensor", np.ndarray)


@dataclass(frozen=True)
class PredictionSets:
    """Split-conformal sets: a class is in the set where one minus its probability is at most ``quantile``.

    Args:
        coverage: share of images whose set is to hold the true class.
        quantile: see ``conformal_quantile``; one a class where each has the coverage for itself.
        n: images it was found on.
        method: name of the score.
    """

    coverage: float
    quantile: float | tuple[float, ...]
    n: int
    method: str = "lac"

    def hold(self, probabilities: np.ndarray) -> np.ndarray:
        """Say which classes are in the sets of these probabilities, as booleans of the same shape."""
        probabilities = np.asarray(probabilities)
        if self.by_class and np.size(self.quantile) != probabilities.shape[-1]:
            classes = counted(probabilities.shape[-1], "class", "classes")
            sets = f"prediction sets of {np.size(self.quantile)}"
            raise HemfError(f"the model has {classes} and {sets}; repeat hemf calibrate")
        return 1 - probabilities <= np.asarray(self.quantile)

    @property
    def by_class(self) -> bool:
        """Whether the coverage is that of each class."""
        return isinstance(self.quantile, tuple)


@dataclass(frozen=True)
class OperatingPoint:
    """A class is called where its probability is ``threshold`` or more.

    Args:
        label: the class.
        target: the rate that was asked for.
        at: how high it was to be.
        threshold: a probability.
        n: images of the class (for a sensitivity) or of all others (for a specificity) that it was chosen on.
    """

    label: str
    target: Target
    at: float
    threshold: float
    n: int


@dataclass(frozen=True)
class Calibration:
    """What was fitted, on what, and what could not be.

    Args:
        temperature: logits are divided by it; None leaves them as they are.
        sets: how prediction sets are made; None where there are none.
        operating_points: operating points in the order of the classes.
        fitted_on: data, split, number of images and groups.
        left_out: a sentence for each part that these images could not settle.
        temperature_ci95: ends of the temperature's 95% interval; None without a temperature.
    """

    temperature: float | None = None
    sets: PredictionSets | None = None
    operating_points: tuple[OperatingPoint, ...] = ()
    fitted_on: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    temperature_ci95: tuple[float, float] | None = None

    @property
    def tta(self) -> TTA | None:
        """The test-time augmentation it was fitted under; None where nothing was fitted."""
        return self.fitted_on.get("tta", "none") if self.fitted_on else None

    def probabilities(self, logits: Logits, task: Task = MULTICLASS) -> Logits:
        """Return calibrated probabilities, K float64, of one image's logits: a tensor, or an array."""
        return task.probabilities(logits, self.temperature or 1.0)

    def of_images(self, logits: "Tensor | np.ndarray", task: Task = MULTICLASS) -> np.ndarray:
        """Calibrate N images, N x K float64, each row to the last bit as if it were alone."""
        return np.stack([np.asarray(self.probabilities(row, task)) for row in logits])

    def summary(self) -> str:
        """Return what there is, and what is missing, in a sentence."""
        parts = [self._temperature_text()] if self.temperature else []
        if self.sets:
            of = " for each class" if self.sets.by_class else ""
            parts.append(f"sets of {self.sets.coverage:g} coverage{of}")
        if self.operating_points:
            parts.append(counted(len(self.operating_points), "operating point"))
        where = f"calibrated on {counted(self.fitted_on['n'], self.fitted_on['split'] + ' image')}"
        found = f"{where}: {', '.join(parts) or 'nothing'}"
        return printable("; ".join([found, *self.left_out]))

    def _temperature_text(self) -> str:
        low, high = self.temperature_ci95 or (None, None)
        return f"temperature {self.temperature:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")

    def to_config(self) -> dict[str, Any]:
        """Write it as it stands in ``config.json``."""
        points = [{"class": point.label} | asdict(point) for point in self.operating_points]
        for point in points:
            del point["label"]
        return {
            "temperature": self.temperature,
            "temperature_ci95": None if self.temperature_ci95 is None else list(self.temperature_ci95),
            "conformal": None if self.sets is None else asdict(self.sets),
            "operating_points": points,
            "fitted_on": self.fitted_on,
            "left_out": list(self.left_out),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self | None:
        """Read it from a model's whole configuration; None where it has not been calibrated.

        Raises:
            HemfError: the entry is not what ``to_config`` writes.
        """
        try:
            found = (config.get("hemf") or {}).get("calibration")
            return None if found is None else cls._read(found)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise HemfError(
                f"the calibration in the model's config.json is damaged ({error!r}); "
                "remove that entry, then repeat hemf calibrate"
            ) from error

    @classmethod
    def _read(cls, found: Mapping[str, Any]) -> Self:
        temperature, sets = found["temperature"], found["conformal"]
        if sets is not None and sets["method"] != "lac":
            raise ValueError(f"sets by {sets['method']}")
        if temperature is not None and not 0 < float(temperature) < float("inf"):
            raise ValueError(f"temperature {temperature}")
        interval = found.get("temperature_ci95")
        if interval is not None:
            low, high = map(float, interval)
            interval = (low, high)
        if found["fitted_on"].get("tta", "none") not in get_args(TTA):
            raise ValueError("an unknown test-time augmentation")
        points = [
            OperatingPoint(p["class"], p["target"], float(p["at"]), float(p["threshold"]), int(p["n"]))
            for p in found["operating_points"]
        ]
        return cls(
            None if temperature is None else float(temperature),
            None
            if sets is None
            else PredictionSets(float(sets["coverage"]), _quantile(sets["quantile"]), int(sets["n"])),
            tuple(points),
            dict(found["fitted_on"]),
            tuple(found["left_out"]),
            interval,
        )


def _quantile(found: Any) -> float | tuple[float, ...]:
    return tuple(map(float, found)) if isinstance(found, list | tuple) else float(found)


UNCALIBRATED = Calibration()
