"""Tests whether new images differ from those that a run was validated on.

What a model is shown is described by a few numbers of each image, what it makes of it by its unfamiliarity,
its confidence and its classes, and where there are labels by its accuracy. Each is compared between reference
and new images by a two-sample test in which patients or lesions are exchanged whole, and all tests are
corrected together (Holm).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hemf.data.image.read import read_image
from hemf.inference.classifier import Prediction
from hemf.metrics.bootstrap import unit_numbers
from hemf.metrics.comparison.holm import holm

LEVEL = 0.05


@dataclass(frozen=True)
class Seen:
    """What was seen of N images.

    Args:
        numbers: N values by name, of the images and of what the model makes of them.
        classes: N predicted classes.
        groups: patient or lesion of each; empty where unknown.
        right: N booleans, whether the class is right; None without labels.
        unreadable: how many more could not be read.
    """

    numbers: dict[str, np.ndarray]
    classes: list[str]
    groups: list[str]
    right: np.ndarray | None
    unreadable: int = 0

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.classes)

    @property
    def units(self) -> int:
        """Number of patients or lesions; an image of unknown group is one of its own."""
        return len(np.unique(unit_numbers(self.groups)))


@dataclass(frozen=True)
class Drift:
    """What differs.

    Args:
        run: what the run is called.
        about: names and numbers of the reference and the new images.
        tests: of each quantity ``name``, ``kind`` (input, score, or performance), ``reference``, ``new``,
            ``statistic``, ``p`` and ``p_corrected``.
    """

    run: str
    about: dict[str, Any]
    tests: list[dict[str, Any]]

    @property
    def found(self) -> list[dict[str, Any]]:
        """Tests that stay below 5% after correction."""
        return [one for one in self.tests if one["p_corrected"] < LEVEL]

    def verdict(self) -> str:
        """Return in a sentence what differs."""
        names = [one["name"] for one in self.found]
        number = f"{len(self.tests)} quantities"
        if not names:
            return f"no difference beyond chance in {number}"
        return f"{len(names)} of {number} differ beyond chance: {', '.join(names)}"

    def to_json(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        return {"run": self.run, **self.about, "verdict": self.verdict(), "tests": self.tests}


def describe_image(path: Path) -> dict[str, float]:
    """Return numbers of an image: width, height, brightness, contrast, saturation and sharpness.

    Brightness and contrast are mean and standard deviation of grey values from 0 to 255, sharpness the mean
    absolute difference of neighbouring grey values of the image at 256 pixels, saturation the mean of HSV's.

    Raises:
        UnreadableImage: it cannot be read.
    """
    image = read_image(path, "RGB")
    width, height = image.size
    small = image.resize((256, 256), Image.Resampling.BILINEAR)
    grey = np.asarray(small.convert("L"), np.float64)
    saturation = np.asarray(small.convert("HSV"))[..., 1]
    sharpness = np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()
    return {
        "width": float(width),
        "height": float(height),
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "saturation": float(saturation.mean()),
        "sharpness": float(sharpness / 2),
    }


def seen_of(
    described: Sequence[dict[str, float]],
    predictions: Sequence[Prediction],
    groups: Sequence[str],
    labels: Sequence[str] | None,
    unreadable: int = 0,
) -> Seen:
    """Return what was seen of images, of their descriptions and predictions.

    Args:
        described: see ``describe_image``.
        predictions: of the same images.
        groups: patient or lesion of each; empty where unknown.
        labels: classes; None where they are not known.
        unreadable: how many images are left out.
    """
    numbers = {name: np.array([one[name] for one in described]) for name in described[0]}
    numbers["confidence"] = np.array([one.probability for one in predictions])
    if all(one.unfamiliarity is not None for one in predictions):
        numbers["unfamiliarity"] = np.array([one.unfamiliarity for one in predictions], dtype=np.float64)
    right = (
        None if labels is None else np.array([p.label == t for p, t in zip(predictions, labels, strict=True)])
    )
    return Seen(numbers, [one.label for one in predictions], list(groups), right, unreadable)


def drift(run: str, about: dict[str, Any], reference: Seen, new: Seen, permutations: int, seed: int) -> Drift:
    """Compare new images with the reference.

    Args:
        run: what the run is called.
        about: what the images are, for the record.
        reference: images that the model was validated or tested on.
        new: the others.
        permutations: random exchanges of patients or lesions, at least 100.
        seed: of these.
    """
    units = np.concatenate([unit_numbers(reference.groups), unit_numbers(new.groups) + reference.n])
    is_new = np.repeat([False, True], [reference.n, new.n])
    exchange = Exchange(units, is_new, permutations, seed)
    tests = [
        _of_numbers(name, exchange, reference.numbers[name], new.numbers[name])
        for name in reference.numbers
        if name in new.numbers
    ]
    tests.append(_of_classes(exchange, reference.classes, new.classes))
    if reference.right is not None and new.right is not None:
        tests.append(_of_accuracy(exchange, reference.right, new.right))
    corrected = holm([one["p"] for one in tests])
    tests = [one | {"p_corrected": p} for one, p in zip(tests, corrected, strict=True)]
    counts = {
        "reference": {"n": reference.n, "units": reference.units, "unreadable": reference.unreadable},
        "new": {"n": new.n, "units": new.units, "unreadable": new.unreadable},
    }
    about = {key: about.get(key, {}) | count for key, count in counts.items()} | {
        "permutations": permutations,
        "seed": seed,
    }
    return Drift(run, about, tests)


class Exchange:
    """Exchanges whole units between reference and new at random.

    Args:
        units: unit of each image; none has images on both sides.
        is_new: which images are new.
        permutations: how often.
        seed: of the random numbers.
    """

    def __init__(self, units: np.ndarray, is_new: np.ndarray, permutations: int, seed: int) -> None:
        self.is_new = is_new
        _, of_image = np.unique(units, return_inverse=True)
        side = np.zeros(of_image.max() + 1, bool)
        side[of_image] = is_new
        rng = np.random.default_rng(seed)
        self.sides = np.stack([rng.permutation(side)[of_image] for _ in range(permutations)])

    def p(self, statistic: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
        """Return a statistic and the share of exchanges with one as large, the real one counted too.

        Args:
            statistic: from R x N booleans, which images are new, to R numbers.
        """
        real = float(statistic(self.is_new[None])[0])
        as_large = int((statistic(self.sides) >= real - 1e-12).sum())
        return real, (as_large + 1) / (len(self.sides) + 1)


def _of_numbers(name: str, exchange: Exchange, reference: np.ndarray, new: np.ndarray) -> dict[str, Any]:
    """Compare by the Kolmogorov-Smirnov distance."""
    values = np.concatenate([reference, new])
    order = np.argsort(values, kind="stable")
    ends = np.append(np.diff(values[order]) > 0, True)  # where a step of the distributions is complete

    def distance(sides: np.ndarray) -> np.ndarray:
        ranked = sides[:, order].astype(np.float64)
        of_new = ranked.cumsum(1) / ranked.sum(1, keepdims=True)
        of_old = (1 - ranked).cumsum(1) / (1 - ranked).sum(1, keepdims=True)
        return np.abs(of_new - of_old)[:, ends].max(1)

    real, p = exchange.p(distance)
    kind = "score" if name in ("confidence", "unfamiliarity") else "input"
    middles = {"reference": float(np.median(reference)), "new": float(np.median(new))}
    return {"name": name, "kind": kind, **middles, "shown": "median", "statistic": real, "test": "KS", "p": p}


def _of_classes(exchange: Exchange, reference: Sequence[str], new: Sequence[str]) -> dict[str, Any]:
    """Compare shares of the predicted classes by half the sum of their differences."""
    names = sorted({*reference, *new})
    of = np.array([[one == name for name in names] for one in [*reference, *new]], dtype=np.float64)

    def distance(sides: np.ndarray) -> np.ndarray:
        ours = sides.astype(np.float64)
        new_shares = ours @ of / ours.sum(1, keepdims=True)
        return np.abs(new_shares - (1 - ours) @ of / (1 - ours).sum(1, keepdims=True)).sum(1) / 2

    real, p = exchange.p(distance)
    n = len(reference)
    shares = {
        key: {name: float(share) for name, share in zip(names, part.mean(0), strict=True)}
        for key, part in (("reference", of[:n]), ("new", of[n:]))
    }
    return {
        "name": "predicted classes",
        "kind": "score",
        **shares,
        "shown": "shares",
        "statistic": real,
        "test": "total variation",
        "p": p,
    }


def _of_accuracy(exchange: Exchange, reference: np.ndarray, new: np.ndarray) -> dict[str, Any]:
    """Compare accuracies by their difference, to either side."""
    right = np.concatenate([reference, new]).astype(np.float64)

    def distance(sides: np.ndarray) -> np.ndarray:
        ours = sides.astype(np.float64)
        return np.abs(ours @ right / ours.sum(1) - (1 - ours) @ right / (1 - ours).sum(1))

    real, p = exchange.p(distance)
    shares = {"reference": float(reference.mean()), "new": float(new.mean())}
    return {
        "name": "accuracy",
        "kind": "performance",
        **shares,
        "shown": "share right",
        "statistic": real,
        "test": "difference",
        "p": p,
    }
