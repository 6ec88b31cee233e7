"""Kvasir, version 1: endoscopy in eight classes of 500 images (Pogorelov et al. 2017)."""

from pathlib import Path

from hemf.data.dataset import DataSet
from hemf.data.sources.download import Download
from hemf.data.sources.folder import read_folder
from hemf.data.sources.registry import Source, register
from hemf.data.sources.release import Release

CLASSES = (
    "dyed-lifted-polyps",
    "dyed-resection-margins",
    "esophagitis",
    "normal-cecum",
    "normal-pylorus",
    "normal-z-line",
    "polyps",
    "ulcerative-colitis",
)


def read_kvasir(root: Path) -> DataSet:
    """Read images by class and name. The release tells no patients, so no split of it can keep them apart.

    Raises:
        HemfError: there is no release, or a class folder without images.
    """
    release = Release(root)
    itself = all((release.root / label).is_dir() for label in CLASSES)
    data = read_folder(release.root if itself else release.need("kvasir-dataset"))
    data.name, data.info = "kvasir", {"source": "kvasir"}
    return data


register(
    Source(
        name="kvasir",
        read=read_kvasir,
        licence="research and education only; other use needs the publisher's permission (Simula)",
        counts=dict.fromkeys(CLASSES, 500),
        paper={"folds": 2},
        downloads=(Download("https://datasets.simula.no/downloads/kvasir/kvasir-dataset.zip"),),
    )
)
