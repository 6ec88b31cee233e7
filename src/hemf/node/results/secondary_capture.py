"""An image under the model's heat map, as a secondary capture beside it in its study."""

from typing import TYPE_CHECKING

import numpy as np
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from PIL import Image
from pydicom.dataset import Dataset

from hemf.node.results.about import About
from hemf.node.results.concepts import plain
from hemf.node.source import belongs

if TYPE_CHECKING:
    from hemf.inference.classifier import Classifier

MOST_SIDE = 2048
"""Of the picture that is sent, in pixels; larger images are shrunk for it."""
SOURCE = CodedConcept("121322", "DCM", "Source image for image processing operation")


def heat_picture(classifier: "Classifier", image: object, label: str) -> tuple[Image.Image, str]:
    """Return an image under the heat map of a class, and what the picture shows.

    Raises:
        HemfError: the image cannot be read.
    """
    from hemf.explanation.images import explained
    from hemf.explanation.overlay import overlay

    found = explained(classifier, image, label)  # pyright: ignore[reportArgumentType]
    picture = overlay(found.image, found.heat)
    picture.thumbnail((MOST_SIDE, MOST_SIDE))
    return picture, f"{'No evidence' if found.blank else 'Grad-CAM++ evidence'} for {label}"


def secondary_capture(
    picture: Image.Image, words: str, source: Dataset, about: About, instance: str, number: int
) -> Dataset:
    """Make the picture an object of the image's study.

    Args:
        picture: RGB.
        words: what it shows.
        source: the image, as ``read_source`` gives it.
        about: the model.
        instance: UID of the object.
        number: its number in its series.
    """
    blank = {"patient_id": "", "patient_name": "", "patient_birth_date": "", "patient_sex": ""}
    made = SCImage(
        pixel_array=np.asarray(picture.convert("RGB")),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),  # required, and unknown: emptied below
        study_instance_uid=source.StudyInstanceUID,
        **blank,
        **about.made("overlay", source.StudyInstanceUID, instance, number),
    )
    for keyword in ("PatientOrientation", "Laterality"):
        setattr(made, keyword, None)
    made.DerivationDescription = plain(f"{words}, by {about.name}, research use only", 1024)
    made.ImageComments = "Research use only: not a medical device"
    made.BurnedInAnnotation = "NO"
    made.SourceImageSequence = [_reference(source)]
    belongs(made, source)
    return made


def _reference(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [SOURCE]
    return item
