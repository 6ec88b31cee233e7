"""COVID-CT: CT slices cut out of papers, with and without COVID-19 (Yang, He, Zhao et al. 2020)."""

import re
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.data.dataset import SPLITS, DataSet, Sample
from hemf.data.image.decode import IMAGE_SUFFIXES
from hemf.data.image.read import find_images
from hemf.data.sources.download import Download
from hemf.data.sources.registry import Source, register
from hemf.data.sources.release import Release, column, data_set, table, with_metadata

CLASSES = ["COVID", "NonCOVID"]
PREPRINT = re.compile(r"\d{4}\.\d\d\.\d\d\.\d+")  # the DOI of a preprint, by which its images are called


def read_covid_ct(root: Path) -> DataSet:
    """Read COVID, then NonCOVID, each in name order, with the patient and the official split of each image.

    Where an image was cut from, the column ``source``, is told by its name and its patient: ``preprint`` or
    ``journal`` for COVID, ``medpix`` or ``crawled`` for NonCOVID. It
    tells the class, so it is a shortcut if ever a model can see it.

    Raises:
        HemfError: images are missing, or a list names an image that is not there.
    """
    release = Release(_unzipped(root))
    patients = {"COVID": _covid_patients(release), "NonCOVID": _other_patients(release)}
    rows = []
    for label in CLASSES:
        files = find_images(release.need(f"Images-processed/CT_{label}"))
        official = _official_split(release, label, {file.name for file in files})
        rows += [
            (file, label, patients[label].get(stem(file.name), ""), official.get(file.name, ""))
            for file in files
        ]
    data = data_set("covid-ct", CLASSES, release.need("Images-processed"), rows)
    return with_metadata(data, {s.path: {"source": _source_of(s)} for s in data.samples})


def _source_of(sample: Sample) -> str:
    """Return where an image was cut from; empty where the release does not tell."""
    if sample.label == "COVID":
        return "preprint" if PREPRINT.match(Path(sample.path).name) else "journal"
    word, _, of_patient = sample.group.partition("_patient_")
    return word if of_patient else ""


def stem(name: str) -> str:
    """Return the file name without an image's suffix; the release's tables leave that out now and then.

    ``Path.stem`` would also cut names such as ``2020.03.25.20043166-p17-78``.
    """
    name = name.strip()
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in IMAGE_SUFFIXES else name


def _unzipped(root: Path) -> Path:
    """Return the folder itself, or the archive of the repository that a download left in it."""
    archive = root / "COVID-CT-master"
    if not (root / "Images-processed").exists() and archive.with_suffix(".zip").is_file():
        return Release(root).need(archive.name)
    return root


def _official_split(release: Release, label: str, names: set[str]) -> dict[str, str]:
    """Split of each file name; empty if the release lacks its lists."""
    official = {}
    for split in SPLITS:
        file = release.find(f"Data-split/{label}/{split}CT_{label}.txt")
        if file is None:
            return {}
        listed = [name.strip() for name in file.read_text(encoding="utf-8").splitlines() if name.strip()]
        if unknown := [name for name in listed if name not in names]:
            raise HemfError(f"{file} lists {counted(len(unknown), 'missing image')}, first {unknown[0]!r}")
        official |= dict.fromkeys(listed, split)
    return official


def _covid_patients(release: Release) -> dict[str, str]:
    file = release.find("COVID-CT-MetaInfo.xlsx")
    if file is None:
        return {}
    import openpyxl

    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        rows = list(book.worksheets[0].iter_rows(values_only=True))
        book.close()
    except (BadZipFile, KeyError, ValueError) as error:
        raise HemfError(f"{file} is no Excel table ({error}); fetch the release again") from error
    return _patients(file, rows)


def _other_patients(release: Release) -> dict[str, str]:
    file = release.find("NonCOVID-CT-MetaInfo.csv")
    return {} if file is None else _patients(file, table(file))


def _patients(file: Path, rows: Sequence[Sequence[object]]) -> dict[str, str]:
    """Return the patient by file name without suffix, from a table whose head names both columns."""
    head = [str(cell or "") for cell in rows[0]] if rows else []
    name, patient = column(file, head, ("file name", "image name")), column(file, head, ("patient id",))
    return {
        stem(str(row[name])): str(row[patient]).strip()
        for row in rows[1:]
        if row[name] is not None and row[patient] is not None
    }


register(
    Source(
        name="covid-ct",
        read=read_covid_ct,
        licence="none stated by the publisher for the images; research use",
        counts={"COVID": 349, "NonCOVID": 397},
        group="patients",
        paper={"val": 0.15, "test": 0.25},
        downloads=(
            Download(
                "https://github.com/UCSD-AI4H/COVID-CT/archive/refs/heads/master.zip", "COVID-CT-master.zip"
            ),
        ),
    )
)
