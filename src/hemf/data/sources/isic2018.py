"""ISIC 2018, task 3, training images: HAM10000, dermatoscopy in seven classes (Tschandl et al. 2018)."""

from pathlib import Path

from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.data.dataset import DataSet
from hemf.data.image.read import find_images
from hemf.data.sources.download import Download
from hemf.data.sources.registry import Source, register
from hemf.data.sources.release import Release, column, data_set, table, with_metadata

COUNTS = {"MEL": 1113, "NV": 6705, "BCC": 514, "AKIEC": 327, "BKL": 1099, "DF": 115, "VASC": 142}
PUBLISHER = "https://isic-challenge-data.s3.amazonaws.com/2018"
TRAINING = "ISIC2018_Task3_Training"
METADATA = "HAM10000_metadata.csv"
COLUMNS = ("age", "sex", "localization", "dx_type")


def read_isic2018(root: Path) -> DataSet:
    """Read images in the ground-truth file's order, with the lesion each of them shows.

    Age, sex, localization and how the diagnosis was made are those of HAM10000's own table, where it lies
    beside the release.

    Raises:
        HemfError: a part of the release is missing, a row is not one-hot, or an image is missing.
    """
    release = Release(root)
    classes, labels = _labels(release)
    lesions = _lesions(release)
    folder = release.need(f"{TRAINING}_Input")
    files = {file.stem: file for file in find_images(folder)}
    if missing := [image for image in labels if image not in files]:
        raise HemfError(
            f"{folder} lacks {len(missing)} of the {counted(len(labels), 'image')} of the ground truth, "
            f"first {missing[0]}; fetch the release again"
        )
    rows = ((files[image], label, lesions.get(image, ""), "") for image, label in labels.items())
    data, told = data_set("isic2018", classes, folder, rows), _metadata(release)
    return with_metadata(data, {s.path: told.get(Path(s.path).stem, {}) for s in data.samples})


def _labels(release: Release) -> tuple[list[str], dict[str, str]]:
    """Return the classes in the file's order, and the class of each image."""
    file = release.find(f"{TRAINING}_GroundTruth.csv")
    file = file or release.need(f"{TRAINING}_GroundTruth") / f"{TRAINING}_GroundTruth.csv"
    (_, *classes), *rows = table(file)
    labels = {}
    for image, *cells in rows:
        one_hot = [{"0": 0, "0.0": 0, "1": 1, "1.0": 1}.get(cell.strip()) for cell in cells]
        if len(one_hot) != len(classes) or one_hot.count(1) != 1 or None in one_hot:
            raise HemfError(f"{file}: the row of {image} has no single 1; fetch the file again")
        labels[image] = classes[one_hot.index(1)]
    return classes, labels


def _lesions(release: Release) -> dict[str, str]:
    """Return lesion of each image, from the challenge's file or HAM10000's own; empty if there is neither."""
    for name in (f"{TRAINING}_LesionGroupings.csv", METADATA):
        file = release.find(name)
        if file:
            head, *rows = table(file)
            image, lesion = column(file, head, ("image", "image_id")), column(file, head, ("lesion_id",))
            return {row[image]: row[lesion] for row in rows}
    return {}


def _metadata(release: Release) -> dict[str, dict[str, str]]:
    """Return the columns of HAM10000's own table by image; empty without the table."""
    file = release.find(METADATA)
    if not file:
        return {}
    head, *rows = table(file)
    image = column(file, head, ("image_id", "image"))
    place = {name: column(file, head, (name,)) for name in COLUMNS if name in map(str.lower, head)}
    return {row[image]: {name: row[i] for name, i in place.items()} for row in rows}


register(
    Source(
        name="isic2018",
        read=read_isic2018,
        licence="CC BY-NC 4.0 (HAM10000, Tschandl et al. 2018)",
        counts=COUNTS,
        group="lesions",
        paper={"val": 0.1, "test": 0.3},
        downloads=(
            Download(f"{PUBLISHER}/{TRAINING}_Input.zip"),
            Download(f"{PUBLISHER}/{TRAINING}_GroundTruth.zip"),
            Download(f"{PUBLISHER}/{TRAINING}_LesionGroupings.csv"),
        ),
    )
)
