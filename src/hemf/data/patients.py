"""Makes groups and metadata from DICOM headers, which do not tell who a patient is.

Images of one patient share a pseudonym. A plain hash of a patient id can be undone by hashing all short
numbers. The pseudonym is therefore a keyed hash (HMAC-SHA-256), and the key is the SHA-256 of all patient ids
and all unique identifiers (UIDs) of studies, series and images in the data set: anyone who holds the files
can work the pseudonyms out again anywhere, and so gets the same split; anyone who holds only a manifest or a
result cannot. An institution has such a pseudonym too. Sex, age in years, manufacturer and view are kept as
the header has them.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemf.core.text import printable
from hemf.data.image.decode import DICOM_SUFFIXES, IMAGE_SUFFIXES, is_dicom

if TYPE_CHECKING:
    from hemf.data.dataset import Sample

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
COLUMNS = ("sex", "age", "manufacturer", "view", "institution")
LONGEST = 64
"""Characters of a value that are kept."""
KEPT = {"sex": "PatientSex", "manufacturer": "Manufacturer", "view": "ViewPosition"}
YEARS = {"D": 365.25, "W": 365.25 / 7, "M": 12, "Y": 1}
"""How many of DICOM's units of age make a year."""


@dataclass(frozen=True)
class Header:
    """What the header of a DICOM file tells of a patient and an image.

    Args:
        identity: patient id (with who issued it) and the UIDs; None where there is no patient id.
        institution: name of the place; empty where unknown.
        metadata: what travels as it is, by column.
    """

    identity: tuple[str, ...] | None = None
    institution: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


def with_patients(samples: Sequence["Sample"], root: Path) -> list["Sample"]:
    """Give samples what their DICOM files tell: patients as groups, unless one has a group, and metadata.

    Columns in which no file has a value are left out, and a column that the samples have already stays.
    """
    headers = [_header(root / sample.path) for sample in samples]
    groups = _patients(headers)
    if any(sample.group for sample in samples):
        groups = [sample.group for sample in samples]
    told = _metadata(headers)
    return [
        replace(sample, group=group, metadata=of_file | dict(sample.metadata))
        for sample, group, of_file in zip(samples, groups, told, strict=True)
    ]


def patient_groups(files: Sequence[str | os.PathLike]) -> list[str]:
    """Make a pseudonym of the patient in each file; empty without a DICOM header or a patient id in it.

    They depend on what the headers of ``files`` say and not on the files' names or order.
    """
    return _patients([_header(Path(file)) for file in files])


def _patients(headers: Sequence[Header]) -> list[str]:
    key = _key(headers)
    return [_pseudonym(key, "patient", one.identity[0]) if one.identity else "" for one in headers]


def _metadata(headers: Sequence[Header]) -> list[dict[str, str]]:
    """Return the metadata of each file, with the columns in which any has a value.

    Without any patient id there is no key that a stranger could not guess, and so no institution.
    """
    key, secret = _key(headers), any(one.identity for one in headers)
    told = [
        one.metadata | ({"institution": _pseudonym(key, "institution", one.institution)} if secret else {})
        if one.institution
        else one.metadata
        for one in headers
    ]
    names = [name for name in COLUMNS if any(name in one for one in told)]
    return [{name: one.get(name, "") for name in names} for one in told]


def _key(headers: Sequence[Header]) -> bytes:
    known = sorted(one.identity for one in headers if one.identity)
    return hashlib.sha256(repr(known).encode("utf-8", "surrogateescape")).digest()


def _pseudonym(key: bytes, kind: str, name: str) -> str:
    text = name.encode("utf-8", "surrogateescape")
    return f"{kind}-{hmac.new(key, text, hashlib.sha256).hexdigest()[:16]}"


def _header(file: Path) -> Header:
    """Return what the header of a file tells; nothing where it has none that can be read."""
    named = file.suffix.lower() in DICOM_SUFFIXES
    if not named and file.suffix.lower() in IMAGE_SUFFIXES:
        return Header()
    from hemf.data.dicom.header import read_header

    tags = ["PatientID", "IssuerOfPatientID", *UIDS, "InstitutionName", "PatientAge", *KEPT.values()]
    try:
        with open(file, "rb") as opened:
            if not is_dicom(opened, file):
                return Header()
            header, _ = read_header(opened, tags)
        word = {tag: str(header.get(tag) or "").strip() for tag in tags}
    except Exception:  # what cannot be read is named when its image is
        return Header()
    return _told(word)


def _told(word: dict[str, Any]) -> Header:
    """Return a header from the text of each of its elements."""
    patient, institution = word["PatientID"], " ".join(word["InstitutionName"].split()).casefold()
    identity = (f"{word['IssuerOfPatientID']}\\{patient}", *(word[tag] for tag in UIDS)) if patient else None
    metadata = {name: _plain(word[tag]) for name, tag in KEPT.items() if word[tag]}
    if age := _years(word["PatientAge"]):
        metadata["age"] = age
    return Header(identity, institution, metadata)


def _years(age: str) -> str:
    """Return an age such as 045Y or 018M in years; empty where it is none."""
    number, unit = age[:-1], age[-1:]
    if unit not in YEARS or not (number.isascii() and number.isdigit()):
        return ""
    return f"{int(number) / YEARS[unit]:.3g}"


def _plain(value: str) -> str:
    """Return the text of a stranger's header as one line of UTF-8."""
    line = printable(" ".join(value.split()))[:LONGEST]
    return line.encode("utf-8", "replace").decode()
