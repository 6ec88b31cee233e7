"""A model's out-of-distribution score: what it knows of the images that it learnt from, and its limits.

An image is unlike the training images where what the network sees in it is, or how it looks:

- its *features* (what the last layer reads) are measured by the length of what they have outside the subspace
  that the training images' features span, as in the residual of Wang et al. 2022 (ViM, CVPR, equation 4);
- its *look* (levels, contrast, sharpness and colour of the network's input) by the Mahalanobis distance.

Each is divided by its limit, and the *unfamiliarity* is the larger, above 1 for what is unlike those images;
a stated share of validation images exceeds 1. The arrays lie beside the model's weights as
``familiarity.safetensors``, the rest in ``config.json``.
"""

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np

from hemf.core.errors import HemfError
from hemf.core.files import whole_file
from hemf.core.text import counted, one_line
from hemf.core.untrusted import check_regular

FILE = "familiarity.safetensors"
KEY = "familiarity"
"""Of the entry under ``hemf`` in a model's ``config.json``."""
METHOD = "residual and look"
ARRAYS = ("mean", "basis", "look_mean", "look_scale")
MOST_BYTES = 1 << 28
AGAIN = "repeat hemf ood"
MOST_NAMED = 5

Array = TypeVar("Array", bound=Any)


class Seen(NamedTuple):
    """What a network sees of N images: their features, N x D, and their looks, N x S."""

    features: Any
    looks: Any


@dataclass(frozen=True)
class Familiarity:
    """What the score is computed from.

    Args:
        mean: D, float32: of the training images' features.
        basis: D x d, float32: orthonormal directions in which these vary.
        limit: length of the residual above which an image is unlike the training images.
        look_mean: S, float32: of the training images' looks.
        look_scale: S x S, float32: makes the length of a look's distance from the mean 1 at its limit.
        false_alarms: share of images like those of training that may exceed the limit.
        fitted_on: data, and numbers of the images and groups that mean and basis (``train``) and the limit
            (``n``) come from.
    """

    mean: np.ndarray
    basis: np.ndarray
    look_mean: np.ndarray
    look_scale: np.ndarray
    limit: float
    false_alarms: float
    fitted_on: dict[str, Any]

    def score(self, seen: Seen) -> np.ndarray:
        """Return the unfamiliarity of N images: N numbers."""
        parts = self.mean / self.limit, self.basis, self.limit, self.look_mean, self.look_scale
        return unfamiliarity(seen.features, seen.looks, *parts)

    def summary(self) -> str:
        """Return in a sentence what is known."""
        about = self.fitted_on
        return (
            f"knows what is like its own by {counted(about['train'], 'training image', form=',')}; the limit "
            f"is exceeded by at most {self.false_alarms:.0%} of such images, by "
            f"{counted(about['n'], about['split'] + ' image', form=',')}"
        )

    def to_config(self) -> dict[str, Any]:
        """Write all but the arrays as it stands in ``config.json``."""
        return {
            "method": METHOD,
            "limit": self.limit,
            "false_alarms": self.false_alarms,
            "dimensions": [*self.basis.shape, len(self.look_mean)],
            "sha256": hashlib.sha256(self._bytes()).hexdigest(),
            "fitted_on": self.fitted_on,
        }

    def save(self, folder: str | os.PathLike) -> None:
        """Write the arrays into a model's folder, whole or not at all."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        with whole_file(Path(folder) / FILE) as temporary:
            temporary.write_bytes(self._bytes())

    def _bytes(self) -> bytes:
        from safetensors.numpy import save

        return save({name: np.ascontiguousarray(getattr(self, name)) for name in ARRAYS})

    @classmethod
    def load(cls, folder: str | os.PathLike, config: Mapping[str, Any]) -> Self | None:
        """Read what a model's folder keeps, which may come from anyone; None where it keeps none.

        Args:
            folder: the model's.
            config: its whole configuration.

        Raises:
            HemfError: it is damaged, or the arrays are not those that the configuration is about.
        """
        found = (config.get("hemf") or {}).get(KEY)
        if found is None:
            return None
        try:
            about = _checked(found)
            arrays = _read(Path(folder) / FILE, about["sha256"])
            return cls(**_fitting(arrays, about), **{name: about[name] for name in _KEPT})
        except (AttributeError, KeyError, TypeError, ValueError, OSError, MemoryError) as error:
            raise HemfError(
                f"the out-of-distribution score in {folder} is damaged ({one_line(error, 200)}); {AGAIN}"
            ) from error


_KEPT = ("limit", "false_alarms", "fitted_on")


def unfamiliar_line(names: Sequence[str], total: int) -> str:
    """Say which images are unlike the training images, of how many; ``names`` with their unfamiliarity."""
    shown = ", ".join(names[:MOST_NAMED]) + (
        f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    )
    return (
        f"warning: {len(names)} of {counted(total, 'image')} {'is' if len(names) == 1 else 'are'} unlike the "
        f"training images (unfamiliarity above 1), so do not rely on the class: {shown}"
    )


def unfamiliarity(
    features: Array,
    looks: Array,
    mean: Array,
    basis: Array,
    limit: float,
    look_mean: Array,
    look_scale: Array,
) -> Array:
    """Return the unfamiliarity of images: the larger of both distances, each over its limit.

    All are NumPy's arrays or torch's tensors alike. Everything is divided by the limit first, so that the
    numbers stay small enough for fp16.

    Args:
        features: N x D.
        looks: N x S.
        mean: D, divided by ``limit``.
        basis: D x d, orthonormal columns.
        limit: the length of the residual that gives 1.
        look_mean: S.
        look_scale: S x S.
    """
    centred = features / limit - mean
    residual, look = length(centred - (centred @ basis) @ basis.T), length((looks - look_mean) @ look_scale)
    return (residual + look + abs(residual - look)) / 2  # the larger, as both libraries write it


def length(vectors: Array) -> Array:
    """Return the Euclidean length of each row."""
    return (vectors * vectors).sum(-1) ** 0.5


def _checked(found: Mapping[str, Any]) -> dict[str, Any]:
    if found["method"] != METHOD:
        raise ValueError(f"it is by {found['method']!r}")
    limit, share, about = float(found["limit"]), float(found["false_alarms"]), dict(found["fitted_on"])
    if not (0 < limit < math.inf and 0 < share < 1):
        raise ValueError(f"limit {limit}, false alarms {share}")
    if not all(type(about[name]) is int for name in ("train", "n")) or type(about["split"]) is not str:
        raise ValueError("it does not say what it was fitted on")
    return {**found, "limit": limit, "false_alarms": share, "fitted_on": about}


def _read(file: Path, sha256: str) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    check_regular(file, AGAIN, MOST_BYTES)
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{FILE} is not the one that config.json names")
    try:
        return load(content)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _fitting(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays, checked."""
    found = {name: arrays[name] for name in ARRAYS}
    whole, kept, looks = about["dimensions"]
    wanted = {"mean": (whole,), "basis": (whole, kept), "look_mean": (looks,), "look_scale": (looks, looks)}
    for name, one in found.items():
        if one.shape != wanted[name] or one.dtype != np.float32 or not np.isfinite(one).all():
            raise ValueError(f"{name} is no finite float32 of shape {wanted[name]}")
    return found
