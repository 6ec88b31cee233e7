"""Measures how far a model's accuracy holds as images get worse, step by step, in every way that is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.stats import norm

from hemf.data.image.decode import ImageMode
from hemf.data.image.read import read_image
from hemf.evaluation.samples import Subject
from hemf.inference.predictions import Predictions
from hemf.inference.stream import InferenceOptions, predict_samples
from hemf.metrics.bootstrap import Draws, resample, units_of
from hemf.metrics.classification import proportion
from hemf.metrics.comparison.holm import holm
from hemf.shift.corruptions import CORRUPTIONS, STEPS, Corruption

LEVEL = 0.05


@dataclass(frozen=True)
class Stress:
    """How accuracy falls.

    Args:
        run: what the run is called.
        about: split, data, numbers of images and groups, resamples and seed.
        clean: accuracy of the images as they are, with its interval.
        corruptions: by name ``unit`` and ``steps``: for each ``step``, ``amount``, ``accuracy``, ``change``
            from the clean images with interval and corrected p, and ``warned``, the share that the model's
            out-of-distribution score warns of (None without one).
    """

    run: str
    about: dict[str, Any]
    clean: dict[str, Any]
    corruptions: dict[str, dict[str, Any]]

    @property
    def order(self) -> list[dict[str, Any]]:
        """What breaks first: names, the first step that costs accuracy beyond chance, and the mean change."""
        rows = []
        for name, found in self.corruptions.items():
            lost = [
                one
                for one in found["steps"]
                if one["change"]["p_corrected"] < LEVEL and one["change"]["value"] < 0
            ]
            mean = float(np.mean([one["change"]["value"] for one in found["steps"]]))
            first = lost[0] if lost else None
            rows.append({"name": name, "breaks": first, "mean_change": mean, "worst": found["steps"][-1]})
        return sorted(
            rows, key=lambda row: (row["breaks"]["step"] if row["breaks"] else STEPS + 1, row["mean_change"])
        )

    def to_json(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        order = [
            {
                "name": row["name"],
                "breaks_at_step": row["breaks"] and row["breaks"]["step"],
                "mean_change": row["mean_change"],
            }
            for row in self.order
        ]
        return {
            "run": self.run,
            **self.about,
            "clean": self.clean,
            "order": order,
            "corruptions": self.corruptions,
        }


def stress(
    run: str,
    subject: Subject,
    names: Sequence[str],
    options: InferenceOptions,
    draws: Draws,
    on_step: Callable[[str, int, float], None] = lambda name, step, accuracy: None,
) -> Stress:
    """Measure a model on corrupted images.

    The intervals are from a bootstrap of patients or lesions, the same resamples for every step, so that the
    change from the clean images is paired. Whether a change is more than chance is tested by it over its
    standard error, with Holm's correction for all steps of all corruptions.

    Args:
        run: what the run is called.
        subject: its model and the images.
        names: which corruptions.
        options: how to compute.
        draws: the bootstrap's, whose seed is that of the corruptions too.
        on_step: called with each accuracy as it is found.

    Raises:
        HemfError: there is no such corruption, or an image cannot be read.
    """
    chosen = {name: CORRUPTIONS.find(name) for name in names}
    clean = _right(_predictions(subject, options, None, 0, 0))
    weights = np.concatenate(list(resample(units_of(clean.labels, subject_groups(subject)), draws)), 1)
    weights /= weights.sum(0)
    found = {}
    for number, (name, one) in enumerate(chosen.items()):
        steps = []
        for step in range(1, STEPS + 1):
            seen = _right(_predictions(subject, options, one, step, draws.seed + number))
            steps.append(_step(one, step, seen, clean, weights))
            on_step(name, step, steps[-1]["accuracy"]["value"])
        found[name] = {"unit": one.unit, "steps": steps}
    _correct([step["change"] for one in found.values() for step in one["steps"]])
    groups = {group for group in subject_groups(subject) if group}
    about = {
        "split": subject.split,
        "data": {"name": subject.images.name, "hash": subject.images.hash},
        "n": len(clean.right),
        "groups": len(groups) or None,
        "resamples": draws.resamples,
        "seed": draws.seed,
    }
    return Stress(run, about, _accuracy(clean, weights), found)


@dataclass(frozen=True)
class _Right:
    """Which of N images a model gets right, and which it warns of (None without a score)."""

    right: np.ndarray
    labels: np.ndarray
    warned: np.ndarray | None


def subject_groups(subject: Subject) -> list[str]:
    """Return patient or lesion of each image."""
    return [sample.group for sample in subject.samples]


def read_corrupted(
    places: dict[Path, int],
    name: Corruption,
    step: int,
    seed: int,
    path: Path,
    mode: ImageMode,
    window: str = "auto",
) -> Image.Image:
    """Read an image and corrupt it; the same image, step and seed give the same pixels."""
    return name.apply(read_image(path, mode, window), step, (seed, step, places[path]))


def _predictions(
    subject: Subject, options: InferenceOptions, what: Corruption | None, step: int, seed: int
) -> Predictions:
    places = {subject.images.path(sample): i for i, sample in enumerate(subject.samples)}
    read = read_image if what is None else partial(read_corrupted, places, what, step, seed)
    words = "clean images" if what is None else f"step {step}"
    return predict_samples(
        subject.trained, subject.images, subject.samples, options, words, subject.speaking, read
    )


def _right(found: Predictions) -> _Right:
    warned = None if found.unfamiliarity is None else found.unfamiliarity > 1
    return _Right((found.decisions == found.labels).astype(float), found.labels, warned)


def _accuracy(seen: _Right, weights: np.ndarray) -> dict[str, Any]:
    low, high = np.quantile(seen.right @ weights, [0.025, 0.975])
    value, n = float(seen.right.mean()), len(seen.right)
    if low == high:  # all right or all wrong, in every resample too
        low, high = proportion(round(value * n), n)["ci95"]
    return {"value": value, "n": n, "ci95": [float(low), float(high)]}


def _step(what: Corruption, step: int, seen: _Right, clean: _Right, weights: np.ndarray) -> dict[str, Any]:
    apart = seen.right - clean.right
    changes, value = apart @ weights, float(apart.mean())
    low, high = np.quantile(changes, [0.025, 0.975])
    spread = float(changes.std(ddof=1))
    p = 1.0 if spread == 0 else float(2 * norm.sf(abs(value) / spread))
    warned = None if seen.warned is None else proportion(int(seen.warned.sum()), len(seen.warned))
    change = {"value": value, "ci95": [float(low), float(high)], "p": p}
    accuracy = _accuracy(seen, weights)
    return {
        "step": step,
        "amount": what.amounts[step - 1],
        "accuracy": accuracy,
        "change": change,
        "warned": warned,
    }


def _correct(changes: Sequence[dict[str, Any]]) -> None:
    for change, p in zip(changes, holm([change["p"] for change in changes]), strict=True):
        change["p_corrected"] = p
