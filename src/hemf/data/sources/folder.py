"""A folder of class folders, as it is or under train, val and test, or with these in every class folder."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from hemf.core.errors import HemfError
from hemf.core.text import counted, printable
from hemf.data.dataset import DataSet, Sample
from hemf.data.sources.registry import Source, register
from hemf.data.sources.tree import Tree, read_tree

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
ADDED = frozenset(
    {"set", "data", "dataset", "images", "image", "imgs", "input", "split", "folder", "samples"}
)
GLUED = re.compile("(training|train|validation|valid|val|testing|test)(set|data|images|split)")
FOLD = re.compile(r"(cv|k)?[\W_]*fold[\W_]*\d+", re.IGNORECASE)
NONE_HERE = PurePosixPath(".")


def split_name(name: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` for any usual name of it, in any case; else None."""
    return SPLIT_NAMES.get(name.lower())


def side_of(folder: str) -> str | None:
    """Tell the side of a split from a folder's name, such as ``Train``, ``test_set`` or ``val-images``.

    None for other names, those that say more among them (``post-training``).
    """
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder).lower()
    words = [GLUED.sub(r"\1", word) for word in re.split(r"[\W_\d]+", plain) if word]
    telling = [word for word in words if word not in ADDED]
    return split_name(telling[0]) if len(telling) == 1 else None


def read_folder(root: str | os.PathLike, trainable: bool = True) -> DataSet:
    """Read a folder of class folders, of such folders under train, val and test, or over them.

    Classes are in alphabetical order; images lie anywhere below their class folder. In a split tree a class
    may be absent from a split. Groups are the patients of DICOM files. ``info["left_out"]`` says what was
    left out, see ``hemf.data.sources.tree``.

    Args:
        root: the folder.
        trainable: whether a class folder must hold images.

    Raises:
        HemfError: no class folders, one of them without images, images beside them, of which no one knows the
            class, or folders that look like a split but are not one throughout.
    """
    from hemf.data.patients import with_patients

    root = Path(root).resolve()
    if not root.is_dir():
        raise HemfError(f"{root} is no folder; give a folder with one folder of images a class")
    tree = read_tree(root)
    tops = tree.candidates(NONE_HERE)
    if not tops:
        lines = "".join(f"; left out: {line}" for line in tree.left_out())
        raise HemfError(
            f"{root} holds no class folders; give a folder with one folder of images a class{lines}"
        )
    sides = _sides(tree, tops)
    _check_strays(tree, NONE_HERE)
    samples = _split_tree(tree, sides, trainable) if sides else _class_tree(tree, tops, trainable)
    samples = with_patients(samples, root)
    classes = sorted({s.label for s in samples})
    own = {"split": {"method": "official", "given_by": "folders"}} if any(s.split for s in samples) else {}
    notes = {"left_out": tree.left_out(), "doubts": [*tree.doubts(), *_patients_folders(samples)]}
    info = {"source": "folder"} | {name: lines for name, lines in notes.items() if lines} | own
    data = DataSet(root.name, classes, samples, root, info)
    if trainable:
        _check_single(data, tree)
    data.check()
    return data


def _check_strays(tree: Tree, folder: PurePosixPath) -> None:
    """Refuse images beside the class or split folders."""
    if strays := [path for path in tree.images if path.parent == folder]:
        number = counted(len(strays), "image") + (" lies" if len(strays) == 1 else " lie")
        raise HemfError(
            f"{number} beside the folders in {tree.root / folder}, first {strays[0].name}, so the class is "
            "unknown; move what belongs there into a class folder, and the rest away"
        )


def _sides(tree: Tree, tops: list[PurePosixPath]) -> dict[PurePosixPath, str]:
    """Return the split that each of the uppermost folders is; empty where they are classes.

    Raises:
        HemfError: it cannot be told.
    """
    sides = {folder: side_of(folder.name) for folder in tops}
    _check_folds(tree, tops)
    if not any(sides.values()):
        return {}
    taken: dict[str, PurePosixPath] = {}
    for folder, side in sides.items():
        if side is None:
            named = next(other for other, known in sides.items() if known)
            raise HemfError(
                f"{tree.root / folder} names no split, but {named} beside it does; call it train, val or "
                f"test, or move it away (and rename {named} if it is a class)"
            )
        if side in taken:
            raise HemfError(
                f"{tree.root / taken[side]} and {tree.root / folder} are both the {side} split; keep one"
            )
        taken[side] = folder
    return {folder: side for side, folder in taken.items()}


def _check_folds(tree: Tree, folders: Iterable[PurePosixPath]) -> None:
    if folds := [folder for folder in folders if FOLD.fullmatch(folder.name)]:
        raise HemfError(
            f"{tree.root / folds[0]} looks like a fold; name the folds in a CSV with columns path, label and "
            "fold, or rename the folder"
        )


def _split_tree(tree: Tree, sides: dict[PurePosixPath, str], trainable: bool) -> list[Sample]:
    """Return the class folders under the folders of the splits."""
    samples = []
    for folder, side in sides.items():
        _check_strays(tree, folder)
        for class_folder in tree.candidates(folder):
            _check_no_split(tree, class_folder)
            samples += [_sample(path, class_folder.name, side) for path in tree.images_in(class_folder)]
    found = {s.label for s in samples}
    empty = [c for folder in sides for c in tree.candidates(folder) if c.name not in found]
    if empty and trainable:
        raise HemfError(
            f"class folder {tree.root / empty[0]} holds no images in any split; add some, or remove it"
        )
    return samples


def _class_tree(tree: Tree, tops: list[PurePosixPath], trainable: bool) -> list[Sample]:
    """Return the class folders, with or without the folders of the splits in every one of them."""
    inner = {top: {f: side_of(f.name) for f in tree.candidates(top)} for top in tops}
    if any(side for folders in inner.values() for side in folders.values()):
        return [s for top, folders in inner.items() for s in _split_class(tree, top, folders)]
    samples = []
    for top in tops:
        _check_no_split(tree, top)
        images = tree.images_in(top)
        if not images and trainable:
            lines = _other_files(tree, top)
            raise HemfError(f"class folder {tree.root / top} holds no images{lines}; add some, or remove it")
        samples += [_sample(path, top.name) for path in images]
    return samples


def _split_class(tree: Tree, top: PurePosixPath, folders: dict[PurePosixPath, str | None]) -> list[Sample]:
    """Return a class folder that holds the folders of the splits, and nothing else."""
    sides = [side for side in folders.values() if side]
    odd = [f for f, side in folders.items() if side is None or sides.count(side) > 1]
    beside = [path for path in tree.images if path.parent == top]
    if odd or beside or not sides:
        what = (odd or beside or [top])[0]
        raise HemfError(
            f"{tree.root} has train, val or test folders in its class folders, but {what} lies in none or is "
            "one of two; put every image into one of them, or move these folders away"
        )
    for folder in folders:
        _check_no_split(tree, folder)
    return [_sample(p, top.name, side or "") for f, side in folders.items() for p in tree.images_in(f)]


def _check_no_split(tree: Tree, class_folder: PurePosixPath) -> None:
    """Refuse a split further down, where it is unclear what it splits."""
    below = tree.folders_in(class_folder)
    _check_folds(tree, below)
    if found := [f for f in below if side_of(f.name) and tree.images_in(f)]:
        raise HemfError(
            f"{tree.root / found[0]} looks like a split inside a class; put train, val and test uppermost, "
            "or rename the folder if it is none"
        )


def _check_single(data: DataSet, tree: Tree) -> None:
    """Return where all is in one folder, say which one to give, or what was left out of the others."""
    if len(data.classes) != 1:
        return
    inner = tree.candidates(PurePosixPath(data.classes[0]))
    lines = "".join(f"; left out: {line}" for line in tree.left_out())
    if len(inner) > 1 and not any(s.split for s in data.samples):
        lines = f"; if the classes are the folders in it, give {data.root / data.classes[0]}{lines}"
    if lines:
        raise HemfError(
            f"{data.name} has the single class {data.classes[0]!r}; two or more are needed{lines}"
        )


def _patients_folders(samples: list[Sample]) -> Iterator[str]:
    """Yield a line where folders below the classes' may be patients, whom a split by image would part."""
    inner = Counter()
    for s in samples:
        folder = PurePosixPath(s.path).parent
        if not s.group and folder.name != s.label and not side_of(folder.name):
            inner[folder] += 1
    several = sorted(folder for folder, n in inner.items() if n > 1)
    if len({folder.name for folder in several}) >= 3:
        such = ", ".join(map(str, several[:3]))
        yield printable(
            f"images lie in {len(inner)} folders below their class, such as {such}; if these are patients, "
            "name them in a CSV, or a patient may be on two sides of the split"
        )


def _other_files(tree: Tree, folder: PurePosixPath) -> str:
    """Return what an image folder without images holds instead."""
    others = [path for path in tree.other if path.is_relative_to(folder)]
    return (
        f" hemf reads (but {counted(len(others), 'other file')}, such as {others[0].name})" if others else ""
    )


def _sample(path: PurePosixPath, label: str, split: str = "") -> Sample:
    return Sample(path.as_posix(), label, split=split)


register(Source(name="folder", read=read_folder))
