"""Finds masks and drawings that lie beside their images and are not images to classify.

A mask is known by its name and by its image: ``a_mask.png`` beside ``a.png``, or ``masks/a.png`` beside
``images/a.png`` where the pixels are a mask's. A name alone proves nothing: a class may be called so.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from hemf.core.errors import UnreadableImage
from hemf.data.image.read import read_image

MASK = (
    "masks?|segmentations?|segm?|ground[ _-]?truth|gt|annotations?|annotated|annot|labels?|contours?|overlay"
)
AFTER = re.compile(rf"(?P<image>.+?)[\s_.-]+(?:{MASK})[\s_.-]*\d*", re.IGNORECASE)
CAMEL = re.compile(r"(?<=[a-z0-9)])(?=[A-Z])")
BEFORE = re.compile(rf"(?:{MASK})[\s_.-]+(?P<image>.+)", re.IGNORECASE)
FEW, NEAR, LOOKED_AT = 8, 16, 3
FOLDER = re.compile(rf"(?:.*[\W_\d])?(?:{MASK})(?:[\W_\d].*)?", re.IGNORECASE)


def find_masks(root: Path, images: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """Return those of the files that are masks of others among them.

    Args:
        root: the data set's folder.
        images: paths from it.
    """
    by_folder = _in_mask_folders(root, images)
    stems: dict[str, set[PurePosixPath]] = defaultdict(set)
    for path in images:
        if path not in by_folder:
            stems[path.stem.casefold()].add(path)
    return [path for path in images if path in by_folder or _is_mask(path, stems)]


def named_like_masks(images: Iterable[PurePosixPath]) -> list[PurePosixPath]:
    """Return those of the files whose names, or whose folders', say that they are masks."""
    return [path for path in images if _image_stems(path.stem) or _mask_folder(path)]


def _image_stems(stem: str) -> list[tuple[str, bool]]:
    """Stems of the image that a file called so would be a mask of, and whether they must share a folder."""
    found = []
    if after := AFTER.fullmatch(CAMEL.sub("_", stem)):
        found.append((after["image"].casefold(), False))
    if after := AFTER.fullmatch(stem):
        found.append((after["image"].casefold(), False))
    if before := BEFORE.fullmatch(stem):
        found.append((before["image"].casefold(), True))
    return found


def _is_mask(path: PurePosixPath, stems: dict[str, set[PurePosixPath]]) -> bool:
    """Whether the image lies in the same folder, or under the name in front anywhere in the class's."""
    for stem, same_folder in _image_stems(path.stem):
        for image in stems.get(stem, ()):
            if image.parent == path.parent or (not same_folder and image.parts[:1] == path.parts[:1]):
                return True
    return False


def _mask_folder(path: PurePosixPath) -> PurePosixPath | None:
    """Return the uppermost of its folders that is called after masks."""
    return next((p for p in reversed(path.parents) if p.name and FOLDER.fullmatch(p.name)), None)


def _in_mask_folders(root: Path, images: Sequence[PurePosixPath]) -> set[PurePosixPath]:
    """Files of the folders called after masks that hold some, half or more of them of images elsewhere."""
    folders: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    outside = set()
    for path in images:
        if folder := _mask_folder(path):
            folders[folder].append(path)
        else:
            outside.add(path.stem.casefold())
    found = set()
    for files in folders.values():
        named = [
            f for f in files if {f.stem.casefold(), *(stem for stem, _ in _image_stems(f.stem))} & outside
        ]
        if (
            named
            and 2 * len(named) >= len(files)
            and all(_shows_a_mask(root / file) for file in named[:LOOKED_AT])
        ):
            found |= set(files)
    return found


def _shows_a_mask(file: Path) -> bool:
    """Return whether an image is of few values, or but for compression of black and white."""
    try:
        grey = np.asarray(read_image(file, "L"))
    except UnreadableImage:
        return True  # the others tell
    extreme = (grey <= NEAR) | (grey >= 255 - NEAR)
    return len(np.unique(grey)) <= FEW or extreme.mean() > 0.98
