"""What the server says of images, in JSON."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hemf.core.errors import HemfError
from hemf.inference.classifier import Prediction
from hemf.serving.models import Served

RESEARCH = "Research use only: not a medical device, and no substitute for a diagnosis."


class ModelName(BaseModel):
    """Which model speaks."""

    name: str
    sha256: str = Field(description="of the model's configuration and weights: the same hash, the same model")


class ImageAnswer(BaseModel):
    """What the model says of one image, or why it says nothing."""

    name: str = Field(description="of the file, as it was sent")
    error: str | None = Field(
        default=None, description="why the image could not be read; all else is then null"
    )
    label: str | None = Field(default=None, description="the most probable class")
    probability: float | None = Field(
        default=None, description="of that class, calibrated where the model is"
    )
    probabilities: dict[str, float] | None = Field(
        default=None, description="of every class; they sum to one"
    )
    set: list[str] | None = Field(
        default=None,
        description="the classes that the image may be of, at the model's coverage; null without sets",
    )
    abstain: bool | None = Field(
        default=None,
        description="whether the set is empty or holds several classes, so that the label does not stand",
    )
    disagreement: float | None = Field(default=None, description="of the members of an ensemble, from 0 to 1")
    unfamiliarity: float | None = Field(
        default=None,
        description="how unlike the training images it is, above 1 beyond the model's limit; null without a "
        "score",
    )
    warnings: list[str] = Field(default_factory=list, description="what to look at before the label is used")


class Predicted(BaseModel):
    """The answer to images."""

    model: ModelName
    images: list[ImageAnswer] = Field(description="in the order in which they were sent")
    notice: str = RESEARCH


class ModelAbout(ModelName):
    """What a user of a model should know."""

    model_config = ConfigDict(protected_namespaces=())

    architecture: str
    task: str
    classes: list[str]
    input_size: list[int] = Field(description="channels, height and width")
    window: str = Field(description="of DICOM images")
    tta: str = Field(description="views of each image that probabilities are averaged over")
    precision: str
    device: str
    temperature: float | None
    coverage: float | None = Field(description="share of images whose set is to hold the true class")
    calibrated_on: dict[str, Any] | None = Field(description="split and number of images")
    explains: bool = Field(description="whether it can show where it looks")


class Catalogue(BaseModel):
    """The models of a server; the first is meant where a request names none."""

    models: list[ModelAbout]
    notice: str = RESEARCH


class Health(BaseModel):
    """That the server is there."""

    status: str


def answer(name: str, found: Prediction | HemfError, empty: str | None = None) -> dict[str, Any]:
    """Return what is said of one image.

    Args:
        name: of its file.
        found: the prediction, or why there is none.
        empty: what the image is where it shows nothing.
    """
    if isinstance(found, HemfError):
        return ImageAnswer(name=name, error=str(found)).model_dump()
    return {
        "name": name,
        "error": None,
        "label": found.label,
        "probability": found.probability,
        "probabilities": found.probabilities,
        "set": None if found.set is None else list(found.set),
        "abstain": found.abstain,
        "disagreement": found.disagreement,
        "unfamiliarity": found.unfamiliarity,
        "warnings": _warnings(found, empty),
    }


def _warnings(found: Prediction, empty: str | None) -> list[str]:
    lines = [f"the image shows nothing: it is {empty}"] if empty else []
    if found.unfamiliar:
        lines.append(
            "the image is unlike those that the model learnt from (unfamiliarity "
            f"{found.unfamiliarity:.2f}, the limit is 1), so its class means nothing"
        )
    return lines


def predicted(served: Served, images: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the whole answer to images."""
    return {
        "model": {"name": served.name, "sha256": served.sha256},
        "images": list(images),
        "notice": RESEARCH,
    }
