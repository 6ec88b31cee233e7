"""Finds paths that lead to the same file: by symbolic and hard links, linked folders, or spelling."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def same_files(root: Path, paths: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of paths, each later one with the first that leads to the same file.

    Only links cost a look at the file itself; the rest is in the folders' listings. Missing files are left
    out.

    Args:
        root: folder that the paths start from.
        paths: paths with forward slashes.
    """
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(path.rpartition("/")[0], []).append(path)
    seen: dict[tuple[int, int], str] = {}
    pairs = []
    for folder, files in by_folder.items():
        listed = dict(_files(root / folder))
        for path in files:
            file = listed.get(path.rpartition("/")[2])
            if file is not None and seen.setdefault(file, path) != path:
                pairs.append((seen[file], path))
    return pairs


def _files(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name, and device and number of the file itself, of all that is in a folder."""
    try:
        device = folder.stat().st_dev
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink() or entry.is_dir():
                    try:
                        found = entry.stat()
                    except OSError:  # a link that leads nowhere, which is missing
                        continue
                    yield entry.name, (found.st_dev, found.st_ino)
                else:
                    yield entry.name, (device, entry.inode())
    except OSError:
        return
