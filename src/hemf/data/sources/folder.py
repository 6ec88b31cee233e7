"""A folder of class folders, as it is or under train, val and test."""

import os
from pathlib import Path

from hemf.data.info import SHEET
from hemf.data.manifest import DataSet, Sample
from hemf.data.sources.registry import Source, register
from hemf.errors import HemfError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
NOT_CLASSES = ("__MACOSX", "__pycache__")


def split_name(name: str) -> str | None:
    """``train``, ``val`` or ``test`` for any usual name of it, in any case; else None."""
    return SPLIT_NAMES.get(name.lower())


def read_folder(root: str | os.PathLike) -> DataSet:
    """Data set of a folder of class folders, or of such folders under train, val and test.

    Classes are in alphabetical order; images lie anywhere below their class folder. Files and folders whose
    name begins with a dot are no part of it. In a split tree a class may be absent from a split. Groups are
    the patients of DICOM files.

    Raises:
        HemfError: no class folders, one of them without images, images beside them, of which no one knows the
            class, or a folder beside train that names no split.
    """
    from hemf.data.patients import with_patients

    root = Path(root).resolve()
    if not root.is_dir():
        raise HemfError(f"{root} is no folder; give a folder with one folder of images a class")
    folders = _subfolders(root)
    if not folders:
        raise HemfError(f"{root} holds no class folders; give a folder with one folder of images a class")
    sides = {folder: split_name(folder.name) for folder in folders}
    split_tree = "train" in sides.values() or all(sides.values())
    _check_strays(root)
    samples = _split_tree(root, sides) if split_tree else _class_tree(root, root, "")
    samples = with_patients(samples, root)
    classes = sorted({s.label for s in samples})
    own = {"split": {"method": "official", "given_by": "folders"}} if split_tree else {}
    data = DataSet(root.name, classes, samples, root, {"source": "folder"} | own)
    data.check()
    return data


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name not in NOT_CLASSES
    )


def _check_strays(folder: Path) -> None:
    """Refuse images beside the class or split folders; the contact sheet is ours."""
    from hemf.data.image import is_image_name

    beside = (p for p in folder.iterdir() if p.is_file() and is_image_name(p.name) and p.name != SHEET)
    if strays := sorted(beside):
        raise HemfError(
            f"{len(strays)} images lie beside the folders in {folder}, first {strays[0].name}, so their "
            "class is unknown; move them into a class folder, or away"
        )


def _split_tree(root: Path, sides: dict[Path, str | None]) -> list[Sample]:
    taken: dict[str, Path] = {}
    for folder, side in sides.items():
        if side is None:
            raise HemfError(f"{folder} names no split; call it train, val or test, or move it away")
        if side in taken:
            raise HemfError(f"{taken[side]} and {folder} are both the {side} split; keep one")
        taken[side] = folder
        _check_strays(folder)
    samples = [s for side, folder in taken.items() for s in _class_tree(root, folder, side)]
    found = {s.label for s in samples}
    empty = [c for folder in taken.values() for c in _subfolders(folder) if c.name not in found]
    if empty:
        raise HemfError(f"class folder {empty[0]} holds no images in any split; add some, or remove it")
    return samples


def _class_tree(root: Path, folder: Path, split: str) -> list[Sample]:
    from hemf.data.image import find_images

    samples = []
    for class_folder in _subfolders(folder):
        images = find_images(class_folder)
        if not images and not split:
            raise HemfError(f"class folder {class_folder} holds no images; add some, or remove it")
        label = class_folder.name
        samples += [Sample(p.relative_to(root).as_posix(), label, split=split) for p in images]
    return samples


register(Source(name="folder", read=read_folder))
