"""Fetches releases from their publishers, and unpacks zips so that nothing leaves the target folder."""

import lzma
import os
import shutil
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from hemf.core.errors import HemfError

if TYPE_CHECKING:
    from requests import Response

DAMAGED_ZIP = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, NotImplementedError, RuntimeError, ValueError),
)
"""What reading a zip may raise where its bytes are wrong."""
MOST_GROWTH = 50
"""Times its size that an archive may unpack to; tables compress 20 times, images hardly at all."""
MOST_UNPACKED = 100_000_000
"""Bytes that any archive may unpack to."""
CHUNK = 1 << 16  # bytes; a cut connection loses less than one chunk


@dataclass(frozen=True)
class Download:
    """A file of a release.

    Args:
        url: where its publisher has it.
        name: what it is called here; by default as in the URL.
        sha256: its published hash, where there is one.
    """

    url: str
    name: str = ""
    sha256: str | None = None

    @property
    def file_name(self) -> str:
        """Name of the file on disk."""
        return self.name or self.url.rpartition("/")[2]


class ResumingDownloader:
    """A downloader for pooch that goes on where a cut one stopped, in this process or an earlier one.

    What has arrived waits in a hidden ``.NAME.part`` beside the target. It is continued (HTTP Range) only if
    the server vouches by ETag or date that the file is still the same (If-Range); otherwise it starts again.

    Args:
        name: file name of the target.
        folder: folder of the target.
        attempts: connections to try before giving up.
        wait: seconds before the second attempt; doubled each time.
    """

    def __init__(self, name: str, folder: Path, attempts: int = 5, wait: float = 1.0):
        self.part = folder / f".{name}.part"
        self.validator = folder / f".{name}.validator"
        self.attempts, self.wait = attempts, wait

    def __call__(self, url: str, output_file: str | os.PathLike, pooch: object) -> None:
        """Fetch ``url`` into ``output_file``, as pooch asks its downloaders to.

        Raises:
            requests.RequestException: the last attempt failed; what arrived is kept for the next call.
        """
        import requests

        for attempt in range(self.attempts):
            try:
                self._fetch(url)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                if attempt == self.attempts - 1:
                    raise
                time.sleep(self.wait * 2**attempt)
        shutil.move(self.part, output_file)
        self.validator.unlink(missing_ok=True)

    def _fetch(self, url: str) -> None:
        """One connection: the rest of the file, or all of it if the server cannot or must not go on."""
        import requests

        have = self.part.stat().st_size if self.part.exists() and self.validator.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": self.validator.read_text(encoding="utf-8")}
        with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
            if answer.status_code == 416:  # nothing is left to send, or the file has shrunk: start again
                self.validator.unlink(missing_ok=True)
                raise requests.ConnectionError(f"the server cannot go on at byte {have}")
            answer.raise_for_status()
            have = have if answer.status_code == 206 else 0
            self._remember(answer.headers)
            self._store(answer, have)

    def _remember(self, headers: Mapping[str, str]) -> None:
        etag = headers.get("ETag", "")
        validator = headers.get("Last-Modified", "") if etag.startswith("W/") or not etag else etag
        if validator:
            self.validator.write_text(validator, encoding="utf-8")
        else:
            self.validator.unlink(missing_ok=True)

    def _store(self, answer: "Response", have: int) -> None:
        import requests
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        columns = (
            "{task.description}",
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with open(self.part, "r+b" if have else "wb") as file, Progress(*columns) as progress:
            task = progress.add_task(self.part.name[1:-5], total=total, completed=have)
            file.seek(have)
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                progress.advance(task, len(chunk))
            if total is not None and file.tell() != total:
                raise requests.ConnectionError(f"{file.tell()} of {total} bytes arrived")


def fetch(
    downloads: Sequence[Download], folder: Path, attempts: int = 5, wait: float = 1.0
) -> list[dict[str, str]]:
    """Fetch the files that ``folder`` does not hold yet.

    Args:
        downloads: what to fetch.
        folder: where to; made if need be.
        attempts: connections to try for each file before giving up.
        wait: seconds before the second attempt; doubled each time.

    Returns:
        URL and SHA-256 of each file, to keep with what is made of them.

    Raises:
        HemfError: no network, the publisher does not answer, or a hash is wrong.
    """
    import logging

    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)  # else it prints a hash and advice for programmers
    folder.mkdir(parents=True, exist_ok=True)
    fetched = []
    for download in downloads:
        name = download.file_name
        downloader = ResumingDownloader(name, folder, attempts, wait)
        by_hand = f"or fetch it elsewhere into {folder}, and give --root {folder} without --download"
        try:
            file = pooch.retrieve(
                download.url,
                download.sha256,
                name,
                folder,
                downloader=downloader,  # pyright: ignore[reportArgumentType]  # pooch calls it as here, not as typed
            )
        except requests.RequestException as error:
            answer = error.response
            why = "no connection, or it was cut" if answer is None else str(answer.status_code)
            raise HemfError(
                f"cannot download {download.url} ({why}); check the network and try again, {by_hand}"
            ) from error
        except ValueError as error:
            raise HemfError(
                f"{download.url} is not the file that was published (its hash differs); {by_hand}"
            ) from error
        except OSError as error:
            raise HemfError(f"cannot write {name} into {folder}: {error}; free the disk") from error
        fetched.append({"url": download.url, "sha256": pooch.file_hash(file)})
    return fetched


def unpack(archive: Path) -> Path:
    """Unpack a zip where it lies, into a folder called as it is without ``.zip``, whole or not at all.

    A single folder of that name inside the zip becomes that folder. macOS's shadow files are left out.

    Returns:
        The folder; one that is there already is taken as it is.

    Raises:
        HemfError: a member would leave the folder or is a link, the zip is damaged, or it would fill the disk
            or grow out of all proportion.
    """
    target = archive.with_suffix("")
    if target.exists():
        return target
    staging = archive.with_name(f".{target.name}-unpacking")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as file:
            members = [m for m in file.infolist() if not _is_shadow(m.filename)]
            for member in members:
                _check_member(archive, member)
            _check_size(archive, sum(member.file_size for member in members))
            for member in members:
                file.extract(member, staging)
        inner = staging / target.name
        (inner if inner.is_dir() else staging).rename(target)
    except DAMAGED_ZIP as error:
        raise HemfError(f"cannot unpack {archive}: {error}; fetch it again, or unpack it by hand") from error
    except OSError as error:
        where = error.filename or archive.parent
        raise HemfError(
            f"cannot unpack {archive}: {error.strerror or error} ({where}); unpack it by hand"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _check_size(archive: Path, unpacked: int) -> None:
    """Refuse what the disk cannot hold, and what compresses too well to be images."""
    free, packed = shutil.disk_usage(archive.parent).free, archive.stat().st_size
    if unpacked > free:
        raise HemfError(
            f"{archive} unpacks to {unpacked / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; free the disk"
        )
    if unpacked > max(MOST_UNPACKED, MOST_GROWTH * packed):
        raise HemfError(
            f"{archive} unpacks to {unpacked / packed:.0f} times its size; do not trust this file"
        )


def _is_shadow(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and (parts[0] == "__MACOSX" or parts[-1] == ".DS_Store")


def _check_member(archive: Path, member: zipfile.ZipInfo) -> None:
    """Refuse what would be written, or lead, outside the target: absolute paths, drives, ``..`` and links."""
    name = member.orig_filename
    outside = any(path.anchor or ".." in path.parts for path in (PurePosixPath(name), PureWindowsPath(name)))
    if outside or "\0" in name or stat.S_ISLNK(member.external_attr >> 16):
        raise HemfError(f"{archive} holds {name!r}, which leads outside its folder; do not trust this file")
