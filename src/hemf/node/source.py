"""What the node reads of an image's header: whose it is, what it is of, and whether the model is for it."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom.config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from hemf.core.errors import HemfError
from hemf.data.dicom.header import read_header, word

MANUFACTURER = "hemf"
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")
FURTHER = ("IssuerOfPatientID", "PatientAge", "StudyDescription")
"""Of patient and study, in an object if they are in the image; the others are in it, empty if need be."""
FILTERS = ("Modality", "BodyPartExamined", "Manufacturer")
UID = re.compile(r"[0-9]+(\.[0-9]+)*")
LONGEST_UID = 64
UTF_8 = "ISO_IR 192"


@dataclass(frozen=True)
class Filter:
    """Which images the model is for.

    Args:
        modalities: DICOM's codes, such as CT; empty for any.
        body_parts: DICOM's words, such as CHEST; empty for any.
    """

    modalities: Collection[str] = ()
    body_parts: Collection[str] = ()

    def check(self, source: Dataset) -> None:
        """Refuse an image that the model is not for.

        Raises:
            HemfError: why, quoting nothing of its header.
        """
        if word(source, "Manufacturer") == MANUFACTURER.upper():
            raise HemfError("it was made by a hemf node")
        for name, wanted in (("Modality", self.modalities), ("BodyPartExamined", self.body_parts)):
            if wanted and word(source, name) not in wanted:
                raise HemfError(f"its {name} is not {' or '.join(sorted(wanted))}")


def is_uid(text: str) -> bool:
    """Return whether a text has the form of a UID (PS3.5, 9.1), leading zeros allowed."""
    return len(text) <= LONGEST_UID and UID.fullmatch(text) is not None


def read_source(path: Path) -> Dataset:
    """Read what results need to know of an image: patient and study as they are there, and its UIDs.

    Returns:
        These elements, with text as UTF-8 will hold it.

    Raises:
        HemfError: it is damaged, or lacks a UID; the message quotes nothing of its header.
    """
    wanted = [*UIDS, *PATIENT, *STUDY, *FURTHER, *FILTERS]
    try:
        with open(path, "rb") as file:
            header, _ = read_header(file, [*wanted, "SpecificCharacterSet"])
            source = Dataset()
            for keyword in wanted:
                if keyword in header:
                    _set(source, keyword, _text(header[keyword].value))
    except FileNotFoundError as error:
        raise HemfError("its file is gone from the folder of the queue") from error
    except OSError:
        raise
    except Exception:  # its words may be the header's
        raise HemfError("its header is damaged") from None
    for keyword in UIDS:
        if not is_uid(source.get(keyword, "")):
            raise HemfError(f"its header has no {keyword}")
    return source


def belongs(made: Dataset, source: Dataset) -> None:
    """Make an object one of its source's patient and study: the elements as they are there, in UTF-8."""
    made.SpecificCharacterSet = UTF_8
    for keyword in (*PATIENT, *STUDY, "StudyInstanceUID"):
        _set(made, keyword, _text(source.get(keyword)))
    for keyword in FURTHER:
        if source.get(keyword):
            _set(made, keyword, _text(source.get(keyword)))


def _text(value: Any) -> str:
    """Return a value, or several with backslashes between, as DICOM writes them."""
    if isinstance(value, MultiValue):
        return "\\".join(map(str, value))
    return "" if value is None else str(value)


def _set(data: Dataset, keyword: str, value: str) -> None:
    """Set an element as it is, even if the standard would not have it so."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, "only the standard's elements are named"
    data.add(DataElement(tag, dictionary_VR(tag), value, validation_mode=pydicom.config.IGNORE))
