"""The images that a model is most sure about and wrong, as it sees them and with what it looks at."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hemf.core.errors import HemfError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from hemf.data.transforms import InputSpec
    from hemf.inference.stream import TrainedModel

MOST = 12
SIDE = 224
"""Longer side of a picture in pixels."""

Explain = Callable[["Image.Image", "Tensor", int], "Image.Image"]
"""From what the model sees, as a picture and as its input (1 x C x H x W), and a class to the picture under
its heat map."""


@dataclass(frozen=True)
class Mistake:
    """An image that was classified wrongly.

    Args:
        path: the image's, as in the manifest.
        label: its class.
        prediction: the class that the model gave it.
        probability: of the prediction.
        of_label: probability that the model gave to the image's class.
        image: what the model saw, as a data URI; None where that cannot be shown.
        heat: the same under the heat map of the prediction; None where there is none.
    """

    path: str
    label: str
    prediction: str
    probability: float
    of_label: float
    image: str | None = None
    heat: str | None = None


def worst(labels: np.ndarray, probabilities: np.ndarray, most: int = MOST) -> np.ndarray:
    """Indices of the wrongly classified images, from the most to the least confident, ``most`` of them.

    Args:
        labels: N class indices.
        probabilities: N x K.
        most: how many.
    """
    wrong = np.flatnonzero(probabilities.argmax(1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:most]


def picture_mistakes(
    trained: "TrainedModel",
    names: Sequence[str],
    files: Sequence[Path],
    labels: np.ndarray,
    probabilities: np.ndarray,
    explain: Explain | None = None,
) -> list[Mistake]:
    """The worst mistakes among N images, with their pictures.

    Args:
        trained: the model that made them.
        names: the images' paths as in the manifest.
        files: where the images are.
        labels: N class indices.
        probabilities: N x K.
        explain: draws heat maps; where it raises HemfError, as for a model without a layer of maps, the
            pictures stay plain.
    """
    return [
        Mistake(
            names[i],
            trained.classes[labels[i]],
            trained.classes[probabilities[i].argmax()],
            float(probabilities[i].max()),
            float(probabilities[i, labels[i]]),
            *_pictures(trained, files[i], int(probabilities[i].argmax()), explain),
        )
        for i in worst(labels, probabilities)
    ]


def _pictures(
    trained: "TrainedModel", file: Path, target: int, explain: Explain | None
) -> tuple[str | None, str | None]:
    from hemf.data.image.read import read_image
    from hemf.data.transforms import eval_transform

    seen = eval_transform(trained.spec)(read_image(file, trained.spec.image_mode, trained.spec.window))
    image = _as_picture(seen, trained.spec)
    if explain is None:
        return _data_uri(image), None
    try:
        return _data_uri(image), _data_uri(explain(image, seen[None], target))
    except HemfError:
        return _data_uri(image), None


def _as_picture(seen: "Tensor", spec: "InputSpec") -> "Image.Image":
    """The model's input (C x H x W) as an RGB image."""
    import torch
    from torchvision.transforms.v2.functional import to_pil_image

    mean, std = (torch.tensor(values)[:, None, None] for values in (spec.mean, spec.std))
    return to_pil_image((seen * std + mean).clamp(0, 1)).convert("RGB")


def _data_uri(image: "Image.Image") -> str:
    small, file = image.copy(), io.BytesIO()
    small.thumbnail((SIDE, SIDE))
    small.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
