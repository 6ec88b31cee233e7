"""The images in a folder, and what else lies there: nothing is left out without being counted and named."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from hemf.core.errors import HemfError
from hemf.core.text import printable
from hemf.data.image.read import is_image_name
from hemf.data.sources.mask_files import find_masks, named_like_masks
from hemf.data.sources.own_outputs import own_files, own_folder, own_pictures

SYSTEM_FOLDERS = frozenset(  # in lower case
    [
        *("__macosx", "__pycache__", "cvs", "lost+found", "found.000", "system volume information"),
        *("$recycle.bin", "recycler", "#recycle", "@recycle", "@eadir", "@tmp", "#snapshot"),
        *("@recently-snapshot", "thumbs", "thumbnails"),
    ]
)
DICOM_ENDINGS = frozenset({"", ".ima", ".img", ".dc3", ".mr", ".ct"})
DICOM_DIRECTORY = "DICOMDIR"
NAMED = 3  # of each kind that is left out


@dataclass
class Tree:
    """A folder's images and what was left out of them, all as paths from the folder (which is itself ``.``).

    Args:
        root: the folder.
        images: sorted by their parts.
        folders: the folders that may hold images, the empty ones too.
        own: what hemf wrote: by folder, what it is.
        system: folders of the system and hidden ones.
        hidden: hidden files.
        masks: masks of the images.
        own_pictures: heat maps and contact sheets of hemf's.
        other: files that are no images hemf reads.
    """

    root: Path
    images: list[PurePosixPath] = field(default_factory=list)
    folders: list[PurePosixPath] = field(default_factory=list)
    own: dict[PurePosixPath, str] = field(default_factory=dict)
    system: list[PurePosixPath] = field(default_factory=list)
    hidden: list[PurePosixPath] = field(default_factory=list)
    masks: list[PurePosixPath] = field(default_factory=list)
    own_pictures: list[PurePosixPath] = field(default_factory=list)
    other: list[PurePosixPath] = field(default_factory=list)

    @cached_property
    def _below(self) -> dict[PurePosixPath, list[PurePosixPath]]:
        found: dict[PurePosixPath, list[PurePosixPath]] = {}
        for path in self.images:
            for parent in path.parents:
                found.setdefault(parent, []).append(path)
        return found

    @cached_property
    def _folders_below(self) -> dict[PurePosixPath, list[PurePosixPath]]:
        found: dict[PurePosixPath, list[PurePosixPath]] = {}
        for folder in sorted(self.folders):
            for parent in folder.parents:
                found.setdefault(parent, []).append(folder)
        return found

    @cached_property
    def _ours(self) -> set[PurePosixPath]:
        """Folders in or below which something of hemf's or a mask was left out."""
        left_out = (*self.own, *self.own_pictures, *self.masks)
        return {folder for path in left_out for folder in (path, *path.parents)}

    def images_in(self, folder: PurePosixPath) -> list[PurePosixPath]:
        """Return the images in a folder and those below it."""
        return self._below.get(folder, [])

    def folders_in(self, folder: PurePosixPath) -> list[PurePosixPath]:
        """Return the folders in a folder and those below it."""
        return self._folders_below.get(folder, [])

    def candidates(self, parent: PurePosixPath) -> list[PurePosixPath]:
        """Return folders in ``parent`` that may be classes or splits: not those of which all was left out."""
        children = [folder for folder in self.folders_in(parent) if folder.parent == parent]
        return [f for f in children if self.images_in(f) or f not in self._ours]

    def left_out(self) -> list[str]:
        """Return a line for each kind of thing that was left out, with its number and the first names."""
        lines = []
        if self.own:
            what = Counter(self.own.values()).most_common()
            kinds = ", ".join(f"{name} ({n} times)" if n > 1 else name for name, n in what)
            lines.append(f"{_number(self.own, 'output')} of hemf's own: {kinds}, {_such(list(self.own))}")
        if self.own_pictures:
            number = _number(self.own_pictures, "picture")
            lines.append(f"{number} that hemf drew, {_such(self.own_pictures)}")
        if self.masks:
            number = _number(self.masks, "mask or drawing", "masks or drawings")
            lines.append(f"{number} of other images, {_such(self.masks)}")
        if self.other:
            suffixes = Counter(path.suffix.lower() or "without a suffix" for path in self.other)
            kinds = ", ".join(f"{n} {suffix}" for suffix, n in suffixes.most_common())
            no = "is no image" if len(self.other) == 1 else "are no images"
            lines.append(f"{_number(self.other, 'file')} that {no} hemf reads: {kinds}, {_such(self.other)}")
        if self.system:
            number = _number(self.system, "folder")
            lines.append(f"{number} of the system's or hidden, {_such(self.system)}")
        if self.hidden:
            lines.append(f"{_number(self.hidden, 'hidden file')}, {_such(self.hidden)}")
        return list(map(printable, lines))

    def doubts(self) -> list[str]:
        """Return a line for each thing about the images that a user should look at."""
        lines = []
        if masks := named_like_masks(self.images):
            lines.append(
                f"{_number(masks, 'image')} called like masks but taken as images, {_such(masks)}; if masks "
                "they are, move them away"
            )
        twins = Counter(path.with_suffix("") for path in self.images)
        if double := [path for path in self.images if twins[path.with_suffix("")] > 1]:
            lines.append(
                f"{_number(double, 'image')} of one name but for the suffix, {_such(double)}; if one is the "
                "other's mask or copy, move it away"
            )
        return list(map(printable, lines))


def read_tree(root: Path) -> Tree:
    """Walk a folder.

    Images are the files with an image's suffix, and DICOM files without theirs; of these neither masks beside
    their images, nor what hemf wrote, nor what systems and file managers leave. Links are followed, but no
    folder is entered from within itself.

    Raises:
        HemfError: a folder may not be read.
    """
    tree = Tree(root)
    for parent, folders, names in os.walk(root, followlinks=True, onerror=_cannot_list):
        here = PurePosixPath(Path(parent).relative_to(root).as_posix())
        files = set(names)
        if here.parts and (what := own_folder(files)):
            tree.own[here] = what
            folders.clear()
            continue
        if what := own_files(files):
            tree.own[here] = what
        tree.folders.append(here)
        folders[:] = _entered(tree, here, Path(parent), sorted(folders))
        ours = own_pictures(Path(parent), files)
        tree.own_pictures += [here / name for name in sorted(ours)]
        for name in sorted(files - ours):
            _sort_in(tree, here / name, Path(parent, name))
    tree.images.sort(key=lambda path: path.parts)
    tree.masks = find_masks(root, tree.images)
    masks = set(tree.masks)
    tree.images = [path for path in tree.images if path not in masks]
    return tree


def _entered(tree: Tree, here: PurePosixPath, parent: Path, folders: Sequence[str]) -> list[str]:
    """Return those of the folders in ``parent`` that are entered; the others are put with the system's."""
    real = parent.resolve()
    within = {real, *real.parents}
    entered = []
    for name in folders:
        if name.startswith(".") or name.casefold() in SYSTEM_FOLDERS:
            tree.system.append(here / name)
        elif (parent / name).resolve() not in within:
            entered.append(name)
    return entered


def _sort_in(tree: Tree, path: PurePosixPath, file: Path) -> None:
    if path.name.startswith("."):
        tree.hidden.append(path)
    elif is_image_name(path.name) or _is_dicom(file):
        tree.images.append(path)
    else:
        tree.other.append(path)


def _is_dicom(file: Path) -> bool:
    """Return whether a file called as scanners and archives call theirs (IM0001, 1.2.840.5) is a DICOM file.

    A DICOMDIR, the directory of a medium, is not one.
    """
    ending = os.path.splitext(file.name)[1].lower()
    if ending not in DICOM_ENDINGS and not ending[1:].isdecimal():
        return False
    try:
        if file.name.upper() == DICOM_DIRECTORY or not file.is_file():
            return False
        with open(file, "rb") as opened:
            return opened.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _cannot_list(error: OSError) -> None:
    """Raise an error for a folder that ``os.walk`` would silently leave out."""
    raise HemfError(
        f"cannot read the folder {error.filename}: {error.strerror}; change its permissions"
    ) from error


def _number(things: Sequence | dict, one: str, several: str = "") -> str:
    n = len(things)
    return f"{n:,} {one if n == 1 else several or one + 's'}"


def _such(paths: Sequence[PurePosixPath]) -> str:
    names = ", ".join(str(path) for path in paths[:NAMED])
    return names if len(paths) <= NAMED else f"such as {names}"
