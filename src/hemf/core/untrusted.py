"""What came from a stranger is data: it runs nothing, fetches nothing, and writes nowhere but where it lies.

This file owns that boundary for folders, JSON and YAML; ``models/constructor.py`` owns it for networks. What
is promised of each kind of input stands in ``docs/explanation/security.md``.
"""

import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hemf.core.errors import HemfError
from hemf.core.text import one_line

MOST_BYTES = 64 << 20
"""Of a JSON or YAML file: ten times what an evaluation of 100,000 images writes."""
MOST_VALUES = 1_000_000
"""Of a YAML file once its aliases are followed, each of which repeats a part."""
MOST_ENTRIES = 1_000_000
"""Of a run's folder."""
MOST_CLASSES = 100_000
"""That a model's configuration may name."""

STARTS = ("pretrained", "init", "teacher", "model", "compile", "devices", "num_nodes")
"""Options that may fetch or read weights, start a compiler, or start processes."""
PLACES = ("out", "name", "cache_dir")
"""Options that say where files are written."""


def read_json(path: str | os.PathLike, mend: str = "restore it") -> dict[str, Any]:
    """Read the JSON object in a file.

    Args:
        path: the file.
        mend: what the message of an error suggests.

    Raises:
        HemfError: it is missing, no regular file, larger than 64 MiB, or holds no JSON object.
    """
    text = _read_text(Path(path), mend)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HemfError(f"cannot read {path}: it is not JSON ({_line(error)}); {mend}") from error
    if not isinstance(value, dict):
        raise HemfError(f"{path} holds no JSON object; {mend}")
    return value


def read_yaml(path: str | os.PathLike, mend: str = "correct it") -> Any:
    """Read a YAML file: plain values alone, never Python objects.

    Args:
        path: the file.
        mend: what the message of an error suggests.

    Raises:
        HemfError: it is missing, no regular file, larger than 64 MiB, no YAML, or its aliases multiply.
    """
    import yaml

    text = _read_text(Path(path), mend)
    try:
        value = yaml.safe_load(text)
        _count_values(value)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise HemfError(f"{path} is not YAML ({_line(error)}); {mend}") from error
    return value


def check_regular(path: Path, mend: str, most: int = MOST_BYTES) -> None:
    """Check that a path leads to a file that ends, and not after more bytes than ``most``.

    Raises:
        HemfError: it does not.
        OSError: there is no such file.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):  # a pipe or a device would be read for ever
        raise HemfError(f"{path} is not a regular file; {mend}")
    if about.st_size > most:
        raise HemfError(f"{path} has {about.st_size} bytes, more than {most}; {mend}")


def _read_text(path: Path, mend: str) -> str:
    try:
        check_regular(path, mend)
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise HemfError(f"cannot read {path}: {error.strerror or error}; {mend}") from error
    except UnicodeDecodeError as error:
        raise HemfError(f"cannot read {path}: it is not text in UTF-8; {mend}") from error


def _count_values(value: Any) -> None:
    """Refuse values that aliases multiply beyond measure, and values that contain themselves."""
    left, count = [value], 0
    while left:
        one = left.pop()
        count += 1
        if count > MOST_VALUES:
            raise ValueError(f"it holds more than {MOST_VALUES} values")
        if isinstance(one, Mapping):
            left += one.values()
        elif isinstance(one, list | tuple | set):
            left += one


def refuse_links(folder: str | os.PathLike) -> None:
    """Check that no link in a folder leads out of it, so that neither reading nor writing can leave it.

    The folder itself may be reached through links: that is the user's choice. Links of a Hugging Face cache
    from a snapshot to the blobs beside it are its own layout, and allowed.

    Raises:
        HemfError: a link leads out, or the folder has too many entries.
    """
    root = Path(folder).resolve()
    homes = [root, root.parent.parent / "blobs"] if root.parent.name == "snapshots" else [root]
    seen = 0
    for parent, folders, files in os.walk(root):
        seen += len(folders) + len(files)
        if seen > MOST_ENTRIES:
            raise HemfError(f"{folder} holds more than {MOST_ENTRIES} files; give the folder of a run")
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink() and not _leads_into(path, homes):
                raise HemfError(
                    f"{path} is a link that leads out of {folder}; copy what it leads to, or remove it"
                )


def inside(home: str | os.PathLike, *parts: str) -> Path:
    """Return a path below a stranger's folder, for writing.

    Raises:
        HemfError: a link on the way leads out of the folder.
    """
    root = Path(home).resolve()
    path = Path(home, *parts)
    if not _leads_into(path, [root]):
        raise HemfError(f"{path} is a link that leads out of {home}; remove it, or choose another place")
    return path


def _leads_into(link: Path, homes: Iterable[Path]) -> bool:
    try:
        target = link.resolve()
    except (OSError, RuntimeError):  # links that go in a circle
        return False
    return any(target.is_relative_to(home) for home in homes)


def refuse_requests(values: Mapping[str, Any], where: str) -> None:
    """Check that options from a file do not ask to fetch, to start something, or to write somewhere.

    Args:
        values: options of a run, by name, as the file has them.
        where: the file, for the message.

    Raises:
        HemfError: they ask for that.
    """
    asked = [name for name in STARTS if _starts(name, values.get(name))]
    asked += [name for name in PLACES if values.get(name) is not None]
    if asked:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in asked)
        raise HemfError(
            f"{where} sets {flags}, which may fetch, start or write something; take that out, give it on the "
            "command line instead, or add --trust if the file is your own"
        )


def _starts(name: str, value: Any) -> bool:
    if name == "model":
        return isinstance(value, str) and ":" in value  # a place, such as hf-hub:...
    if name in ("devices", "num_nodes"):
        return value not in (None, "auto", 1, "1")
    return bool(value)


def plain_name(text: str, otherwise: str = "data") -> str:
    """Make a stranger's name one part of a path, without separators or leading dots.

    Args:
        text: the name.
        otherwise: what it becomes where nothing is left.
    """
    kept = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "-" for c in text)
    return kept.strip(" .-")[:100] or otherwise


def _line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return one_line(error, 300)
