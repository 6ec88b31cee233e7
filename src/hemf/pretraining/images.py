"""The images of a pretraining: from any folder, CSV or data set, with labels or without."""

import os
from dataclasses import replace
from pathlib import Path

from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.data.dataset import DataSet, Sample
from hemf.data.fingerprints import take_fingerprints
from hemf.data.load import ALL_TEST, load_test_data
from hemf.data.patients import with_patients
from hemf.data.sources.folder import side_of
from hemf.data.sources.tree import read_tree

UNLABELLED = "unlabelled"
"""The label of images whose folders are no classes."""
NAMED = 3  # unreadable images in a line


def read_images(path: str | os.PathLike, use: str = "train", fold: int | None = None) -> DataSet:
    """Read the images of a pretraining, with those to learn from on the training side.

    Args:
        path: what ``load_data`` takes, or a folder with images anywhere below it.
        use: ``train`` keeps the sides of a data set that is split; ``all`` learns from every image.
        fold: the fold to test on, of a data set in folds.

    Raises:
        HemfError: nothing there, no images, or a data set in folds of which none is chosen.
    """
    data = _read(Path(path))
    in_folds = bool(data.folds) and not any(s.split for s in data.samples)
    if use == "all" or (data.info.get("split") or {}).get("method") == ALL_TEST:
        info = {key: value for key, value in data.info.items() if key != "split"}
        samples = [replace(s, split="train", fold=None) for s in data.samples]
        return replace(data, samples=samples, info=info | {"split": {"method": "none, all images train"}})
    if fold is not None:
        return data.for_fold(fold)
    if in_folds or data.keeps_test:
        raise HemfError(
            f"{data.name} is prepared in folds; choose the one to test on with --fold, as what is tested "
            "must not be met before, or take every image with --use all"
        )
    return data


def without_unreadable(data: DataSet) -> tuple[DataSet, list[str]]:
    """Leave out the images that cannot be read, after taking the fingerprints of all.

    Returns:
        The readable images with their fingerprints, and the paths of the others, which ``info["skipped"]``
        has too.

    Raises:
        HemfError: none can be read, or a file cannot be read from the disk.
    """
    prints = take_fingerprints(data, seconds=None)
    readable = [s for s in data.samples if prints[s.path].picture]
    skipped = [s.path for s in data.samples if not prints[s.path].picture]
    if not any(s.split == "train" for s in readable):
        raise HemfError(
            f"{data.name} has no readable image to learn from (first {data.root / data.samples[0].path})"
        )
    left = data.info.get("skipped") or []
    more = [{"path": path, "reason": "unreadable"} for path in skipped]
    info = data.info | ({"skipped": [*left, *more]} if more else {})
    kept = {s.path: prints[s.path] for s in readable}
    classes = [name for name in data.classes if any(s.label == name for s in readable)]
    return replace(data, samples=readable, classes=classes, info=info, fingerprints=kept), skipped


def skipped_line(skipped: list[str], left: int) -> str:
    """Say how many images cannot be read, and name the first."""
    such = ", ".join(skipped[:NAMED])
    return f"skipped {len(skipped)} unreadable of {counted(left + len(skipped), 'image')}, first {such}"


def has_labels(data: DataSet) -> bool:
    """Return whether the images are of several classes."""
    return len({s.label for s in data.samples}) > 1


def _read(path: Path) -> DataSet:
    try:
        return load_test_data(path)
    except HemfError:
        plain = path.is_dir() and not (path / "manifest.csv").is_file()
        if not plain or _split_below(path):
            raise
    return _unlabelled(path)


def _split_below(path: Path) -> bool:
    """Return whether a folder's name promises images to test with, which must not be met unnoticed."""
    return any(side_of(folder.name) in ("val", "test") for folder in read_tree(path.resolve()).folders)


def _unlabelled(path: Path) -> DataSet:
    root = path.resolve()
    tree = read_tree(root)
    if not tree.images:
        raise HemfError(f"{root} holds no images that hemf reads; give a folder with images")
    samples = [Sample(image.as_posix(), UNLABELLED) for image in tree.images]
    info = {"source": "folder", "split": {"method": ALL_TEST}}
    if left_out := tree.left_out():
        info["left_out"] = left_out
    data = DataSet(root.name, [UNLABELLED], with_patients(samples, root), root, info)
    data.check(files=True)
    return data
