"""Makes groups from DICOM headers: images of one patient share a pseudonym that does not tell who it is.

A plain hash of a patient id can be undone by hashing all short numbers. The pseudonym is therefore a keyed
hash (HMAC-SHA-256), and the key is the SHA-256 of all patient ids and all unique identifiers (UIDs) of
studies, series and images in the data set: anyone who holds the files can work the pseudonyms out again
anywhere, and so gets the same split; anyone who holds only a manifest or a result cannot.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hemf.data.image.decode import DICOM_SUFFIXES, IMAGE_SUFFIXES, is_dicom

if TYPE_CHECKING:
    from hemf.data.dataset import Sample

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def with_patients(samples: Sequence["Sample"], root: Path) -> list["Sample"]:
    """Give samples the patients of their DICOM files as groups, unless one has a group already."""
    if any(sample.group for sample in samples):
        return list(samples)
    groups = patient_groups([root / sample.path for sample in samples])
    return [replace(sample, group=group) for sample, group in zip(samples, groups, strict=True)]


def patient_groups(files: Sequence[str | os.PathLike]) -> list[str]:
    """Make a pseudonym of the patient in each file; empty without a DICOM header or a patient id in it.

    They depend on what the headers of ``files`` say and not on the files' names or order.
    """
    patients = [_patient_and_image(Path(file)) for file in files]
    known = sorted(found for found in patients if found)
    key = hashlib.sha256(repr(known).encode("utf-8", "surrogateescape")).digest()
    return [_pseudonym(key, found[0]) if found else "" for found in patients]


def _pseudonym(key: bytes, patient: str) -> str:
    text = patient.encode("utf-8", "surrogateescape")
    return f"patient-{hmac.new(key, text, hashlib.sha256).hexdigest()[:16]}"


def _patient_and_image(file: Path) -> tuple[str, ...] | None:
    """Return patient id (with who issued it), and the UIDs; None where there is no patient id to be read."""
    named = file.suffix.lower() in DICOM_SUFFIXES
    if not named and file.suffix.lower() in IMAGE_SUFFIXES:
        return None
    from hemf.data.dicom.header import read_header

    tags = ["PatientID", "IssuerOfPatientID", *UIDS]
    try:
        with open(file, "rb") as opened:
            if not is_dicom(opened, file):
                return None
            header, _ = read_header(opened, tags)
        patient, issuer, *uids = (str(header.get(tag) or "").strip() for tag in tags)
    except Exception:  # what cannot be read is named when its image is
        return None
    return (f"{issuer}\\{patient}", *uids) if patient else None
