"""What all objects of a node say of where they come from: the model, its series, that it is for research."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from hemf.node.results.concepts import plain
from hemf.node.source import MANUFACTURER

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept

    from hemf.inference.classifier import Classifier

SERIES_NUMBERS = {"report": 9501, "overlay": 9502}
SERIES_WORDS = {"report": "classes", "overlay": "heat maps"}


@dataclass(frozen=True)
class About:
    """A model as its results name it.

    Args:
        name: what it is called.
        sha256: of what decides its answers (``hemf.inference.identity.digest``).
        classes: its classes.
        parameters: what else decides how its answers are to be read, in words.
        codes: standard concepts of its classes, where they are known.
    """

    name: str
    sha256: str
    classes: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    codes: Mapping[str, "CodedConcept"] = field(default_factory=dict)

    @classmethod
    def of(
        cls, classifier: "Classifier", name: str, sha256: str, codes: Mapping[str, "CodedConcept"]
    ) -> "About":
        """Tell what a classifier is."""
        trained, calibration = classifier.trained, classifier.trained.calibration
        parameters = [f"architecture {trained.name}", f"views {trained.tta}"]
        if calibration.temperature is not None:
            parameters.append(f"temperature {calibration.temperature:g}")
        if calibration.sets is not None:
            parameters.append(f"coverage of prediction sets {calibration.sets.coverage:g}")
        return cls(name, sha256, tuple(classifier.classes), tuple(parameters), codes)

    @cached_property
    def version(self) -> str:
        """hemf's version and the model's hash."""
        return f"hemf {version('hemf')}, model {self.sha256[:16]}"

    @property
    def device_uid(self) -> str:
        """The UID of the model as a device, the same wherever the model runs."""
        return uid_of("device", self.sha256)

    def made(self, kind: str, study: str, instance: str, number: int) -> dict[str, Any]:
        """Return what highdicom is to say of an object's origin, apart from its source.

        Args:
            kind: ``report`` or ``overlay``.
            study: the study's UID. The results of a model in a study are one series of each kind.
            instance: UID of the object.
            number: its number in the series.
        """
        words = f"hemf {SERIES_WORDS[kind]}: {self.name} (research use only)"
        return {
            "series_instance_uid": uid_of(kind, study, self.sha256),
            "series_number": SERIES_NUMBERS[kind],
            "sop_instance_uid": instance,
            "instance_number": number,
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": plain(self.name),
            "device_serial_number": self.sha256,
            "software_versions": plain(self.version),
            "series_description": plain(words),
            "specific_character_set": "ISO_IR 192",
        }


def uid_of(*parts: str) -> str:
    """Return the UID that belongs to these words (PS3.5, B.2: from a UUID), always the same."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"


def new_uid() -> str:
    """Return a UID that nothing else has."""
    return f"2.25.{uuid.uuid4().int}"
