"""Files and folders appear whole or not at all: written under a name beside the target, then renamed."""

import errno
import glob
import json
import os
import re
import shutil
import tempfile
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hemf.core.errors import HemfError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on a clean exit it is flushed to disk and becomes ``path``.

    The temporary name keeps the target's suffix, for writers that choose their format by it. On any
    exception the temporary file is removed and ``path`` stays as it was.

    Raises:
        HemfError: the folder cannot be written or the disk is full.
    """
    path = Path(path)
    temporary: Path | None = None
    handle: int | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, handle = _temporary(path)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        open_to_others(temporary, 0o666)
        temporary.replace(path)
    except Exception as error:
        reason = error if isinstance(error, OSError) else full_disk(error)
        if reason is None or isinstance(error, HemfError):
            raise
        where = reason.filename or path
        raise HemfError(
            f"cannot write {path}: {reason.strerror or reason} ({where}); "
            "free the disk or choose another place"
        ) from error
    finally:
        if temporary is not None and handle is not None:
            temporary.unlink(missing_ok=True)
            os.close(handle)


def _temporary(path: Path) -> tuple[Path, int]:
    """Make an empty file beside ``path`` and lock it; remove those of processes that were killed."""
    clear_leftovers(path)
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-part-", suffix=path.suffix, dir=path.parent)
        lock(handle, wait=True)
        if os.path.exists(name):  # else another process took it for a leftover before it was locked
            return Path(name), handle
        os.close(handle)


def clear_leftovers(path: Path) -> None:
    """Remove what killed processes left behind while writing ``path``; locked files are in use."""
    if fcntl is None:
        return
    stem, suffix = glob.escape(path.stem), glob.escape(path.suffix)
    for left in path.parent.glob(f".{stem}-part-{'[a-z0-9_]' * 8}{suffix}"):
        with suppress(OSError):
            handle = os.open(left, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                lock(handle, wait=False)
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
            finally:
                os.close(handle)


def lock(handle: int, *, wait: bool) -> None:
    """Lock a file or folder while it is open; the lock ends with the process at the latest.

    Raises:
        BlockingIOError: another process has locked it, and we do not ``wait``.
    """
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def full_disk(error: BaseException) -> OSError | None:
    """Find the full disk, quota or limit behind an error that a library wrapped in one of its own."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if isinstance(link, OSError) and link.errno in FULL:
            return link
        if found := re.search(r"\(os error (\d+)\)", str(link)):  # as libraries written in Rust put it
            number = int(found[1])
            return OSError(number, os.strerror(number)) if number in FULL else None
        link = link.__cause__ or link.__context__
    return None


def open_to_others(path: Path, mode: int) -> None:
    """Give what ``tempfile`` made private the permissions of an ordinary new file or folder."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(mode & ~umask)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write ``value`` to ``path`` as indented JSON (no NaN or infinity), whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def whole_folder(path: str | os.PathLike, written: Container[str]) -> Iterator[Path]:
    """Yield an empty folder beside ``path``; on a clean exit it becomes ``path``, in place of one there.

    A process killed at any moment leaves either folder whole; the next one clears up after it. On any
    exception ``path`` stays as it was.

    Args:
        path: the folder to make. The caller checks whether an existing one may be replaced.
        written: names that the new folder replaces; everything else in the old one is kept as the user's.

    Raises:
        HemfError: the disk is full or may not be written.
    """
    target = Path(path).resolve()
    staging, old = (target.with_name(f".{target.name}-{word}") for word in ("partial", "replaced"))
    try:
        _clear_up(target, staging, old)
        staging.mkdir(parents=True)
        yield staging
        if target.exists():
            for other in (p for p in target.iterdir() if p.name not in written):
                copy = shutil.copytree if other.is_dir() else shutil.copy2
                copy(other, staging / other.name)
            target.rename(old)
        staging.rename(target)
    except Exception as error:
        reason = error if isinstance(error, OSError) else full_disk(error)
        if reason is None or isinstance(error, HemfError):
            raise
        why = f"{reason.strerror or reason} ({reason.filename or target})"
        raise HemfError(f"cannot write {target}: {why}; give another --out") from error
    finally:
        _clear_up(target, staging, old)


def _clear_up(target: Path, staging: Path, old: Path) -> None:
    if old.exists() and not target.exists():
        old.rename(target)
    for left in (staging, old):
        shutil.rmtree(left, ignore_errors=True)
