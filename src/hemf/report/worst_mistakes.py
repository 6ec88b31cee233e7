"""The images that a model is most sure about and gets wrong, as it sees them, under its heat maps."""

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hemf.core.errors import HemfError
from hemf.inference.predictions import Predictions

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor, nn

    from hemf.data.preprocessing import InputSpec
    from hemf.inference.load import TrainedModel
    from hemf.runtime import ExportedModel

MOST, OF_CLASS = 12, 3
"""Mistakes to show of all images, and at least of each true class."""
SIDE = 224
"""Longer side of a picture in pixels."""

Explain = Callable[["Image.Image", "Tensor", int], tuple["Image.Image", tuple[int, int]]]
"""From what the model sees, as a picture and as its input (1 x C x H x W), and a class to the picture under
its heat map, and the map's own height and width."""


@dataclass(frozen=True)
class Mistake:
    """An image that was classified wrongly.

    Args:
        path: the image's, as in the manifest.
        label: its class.
        prediction: the class that the model gave it.
        probability: probability of the prediction.
        of_label: probability that the model gave to the image's class.
        image: what the model saw, as a data URI; None where that cannot be shown.
        heat: the same under the heat map of the prediction; None if there is none.
        grid: height and width of the heat map before it was stretched over the image.
        group: patient or lesion; "" where that is not known.
    """

    path: str
    label: str
    prediction: str
    probability: float
    of_label: float
    image: str | None = None
    heat: str | None = None
    grid: tuple[int, int] | None = None
    group: str = ""


def worst(found: Predictions, most: int = MOST, of_class: int = OF_CLASS) -> np.ndarray:
    """Pick wrongly classified images: the most confident ``most``, then ``of_class`` of each true class.

    Returns:
        Indices from the most to the least confident.
    """
    wrong = np.flatnonzero(found.decisions != found.labels)
    wrong = wrong[np.argsort(-found.probabilities[wrong].max(1), kind="stable")]
    of_classes = [wrong[found.labels[wrong] == k][:of_class] for k in range(len(found.classes))]
    shown = np.concatenate([wrong[:most], *of_classes])
    return wrong[np.isin(wrong, shown)]


def heat_mapped(model: "nn.Module") -> Explain:
    """Return a function that draws pictures under the model's heat maps."""
    from hemf.explanation.gradcam import heat_maps
    from hemf.explanation.overlay import overlay

    def heated(image: "Image.Image", seen: "Tensor", target: int) -> tuple["Image.Image", tuple[int, int]]:
        heat = heat_maps(model, seen, [target])[0]
        if not heat.any():
            raise HemfError("the heat map is blank")
        return overlay(image, heat), heat.shape

    return heated


def picture_mistakes(
    trained: "TrainedModel | ExportedModel",
    found: Predictions,
    indices: Iterable[int],
    root: Path,
    explain: Explain | None = None,
) -> list[Mistake]:
    """Return mistakes among some images, with their pictures.

    Args:
        trained: the model that made them.
        found: what it says of the images.
        indices: which of them to show.
        root: folder that the images' paths start from.
        explain: draws heat maps; where it raises HemfError, as for a model without a layer of maps, the
            pictures stay plain.
    """
    return [
        Mistake(
            found.paths[i],
            found.classes[found.labels[i]],
            found.classes[found.decisions[i]],
            float(found.probabilities[i].max()),
            float(found.probabilities[i, found.labels[i]]),
            *_pictures(trained, root / found.paths[i], int(found.decisions[i]), explain),
            group=found.groups[i],
        )
        for i in indices
    ]


def _pictures(
    trained: "TrainedModel | ExportedModel", file: Path, target: int, explain: Explain | None
) -> tuple[str | None, str | None, tuple[int, int] | None]:
    from hemf.data.image.read import read_image
    from hemf.data.transforms import eval_transform

    seen = eval_transform(trained.spec)(read_image(file, trained.spec.image_mode, trained.spec.window))
    image = _as_picture(seen, trained.spec)
    plain = _data_uri(image)
    try:
        heated, grid = explain(image, seen[None], target) if explain else (None, None)
    except HemfError:
        return plain, None, None
    return plain, None if heated is None else _data_uri(heated), grid


def _as_picture(seen: "Tensor", spec: "InputSpec") -> "Image.Image":
    """Return the model's input (C x H x W) as an RGB image."""
    import torch
    from torchvision.transforms.v2.functional import to_pil_image

    mean, std = (torch.tensor(values)[:, None, None] for values in (spec.mean, spec.std))
    return to_pil_image((seen * std + mean).clamp(0, 1)).convert("RGB")


def _data_uri(image: "Image.Image") -> str:
    small, file = image.copy(), io.BytesIO()
    small.thumbnail((SIDE, SIDE))
    small.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
