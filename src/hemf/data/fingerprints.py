"""Fingerprints of image files, by which a run recognises its images even if they are moved or changed.

``fingerprints.csv`` lies beside ``manifest.csv``, with a row for each image: its path, the size of its file
in bytes, the SHA-256 of its content, and perceptual hashes of what it shows. No picture can be made from it,
but anyone who has an image can find out whether it is one of these.
"""

import base64
import csv
import hashlib
import io
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemf.core.errors import HemfError
from hemf.core.files import write_text
from hemf.core.machine import usable_cores
from hemf.core.untrusted import check_regular

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from hemf.data.dataset import DataSet, Sample

FILE = "fingerprints.csv"
COLUMNS = ("path", "bytes", "sha256", "picture")
PICTURE_BYTES = 11 * 32  # hashes of the whole image and of ten windows
MOST_ROWS = 1_000_000
MOST_BYTES = 1 << 30
MEND = "put it back as it was, or remove it: hemf then cannot know these images again"
SECONDS = 60.0  # the most that a training waits for pictures to be hashed


@dataclass(frozen=True)
class Fingerprint:
    """What identifies one image file.

    Args:
        bytes: size of the file.
        sha256: SHA-256 of its content, in hexadecimal.
        picture: ``upright_hashes`` in base64; empty for an image that could not be read, or was not
            looked at for want of time.
    """

    bytes: int
    sha256: str
    picture: str = ""

    @property
    def hashes(self) -> "np.ndarray":
        """11 x 4 words of 64 bits: the perceptual hashes of the whole image and of ten windows of it."""
        import numpy as np

        return np.frombuffer(base64.b64decode(self.picture), np.uint64).reshape(-1, 4)


def fingerprint(file: Path, image: "Image") -> Fingerprint:
    """Take the fingerprint of a file that has been read as ``image``."""
    return Fingerprint(file.stat().st_size, sha256_of(file), _picture(image))


def take_fingerprints(data: "DataSet", seconds: float | None = SECONDS) -> dict[str, Fingerprint]:
    """Take the fingerprint of each image of a data set, by its path there.

    Every file is read to its end; a picture is decoded only where the data set does not bring its hashes for
    the very same content.

    Args:
        data: the data set; all its files are there.
        seconds: after so many no further picture is decoded, and those that are left have no hashes; None
            for no such limit.

    Raises:
        HemfError: a file cannot be read from the disk.
    """
    until = None if seconds is None else time.monotonic() + seconds

    def take(sample: "Sample") -> Fingerprint:
        file, known = data.path(sample), data.fingerprints.get(sample.path)
        size, sha256 = file.stat().st_size, sha256_of(file)
        if known and known.sha256 == sha256 and known.picture:
            return known
        late = until is not None and time.monotonic() > until
        return Fingerprint(size, sha256, "" if late else _picture_of(file))

    try:
        found = _by_threads(take, data.samples, "taking fingerprints of images")
    except OSError as error:
        raise HemfError(
            f"cannot read {error.filename}: {error.strerror or error}; put the file back, or leave it out"
        ) from error
    return {s.path: one for s, one in zip(data.samples, found, strict=True)}


def changed_files(data: "DataSet", samples: Sequence["Sample"] | None = None) -> list[str] | None:
    """List the samples whose files are gone or have changed since their fingerprints were taken.

    Args:
        data: the data set, with the fingerprints of then.
        samples: samples of it; by default all.

    Returns:
        None if one of the samples has no fingerprint, so that this is unknown.
    """
    samples = data.samples if samples is None else samples
    if any(s.path not in data.fingerprints for s in samples):
        return None

    def changed(sample: "Sample") -> bool:
        return not is_file_of(data.path(sample), data.fingerprints[sample.path])

    found = _by_threads(changed, samples, "checking images")
    return [s.path for s, is_changed in zip(samples, found, strict=True) if is_changed]


def is_file_of(file: Path, known: Fingerprint) -> bool:
    """Return whether ``file`` is there and has the very content of which ``known`` was taken."""
    try:
        return file.stat().st_size == known.bytes and sha256_of(file) == known.sha256
    except OSError:
        return False


def sha256_of(file: Path) -> str:
    """Return SHA-256 of a file's content, in hexadecimal."""
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def write_fingerprints(file: Path, paths: Iterable[str], known: Mapping[str, Fingerprint]) -> None:
    """Write the fingerprints of ``paths``, as far as they are known; no file where none is."""
    rows = [(path, known[path]) for path in paths if path in known]
    if not rows:
        file.unlink(missing_ok=True)  # of a data set that was here before
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow(COLUMNS)
    writer.writerows((path, one.bytes, one.sha256, one.picture) for path, one in rows)
    write_text(file, text.getvalue())


def read_fingerprints(file: Path) -> dict[str, Fingerprint]:
    """Read the fingerprints in a file, by path; there are none without the file.

    Raises:
        HemfError: the file is damaged, no regular file, or larger than 1 GiB or a million rows.
    """
    if not file.exists():
        return {}
    check_regular(file, MEND, MOST_BYTES)
    try:
        with open(file, encoding="utf-8", newline="") as opened:
            rows = csv.DictReader(opened, strict=True)
            found = {row["path"]: _checked(row) for row in islice(rows, MOST_ROWS)}
            if next(rows, None) is not None:
                raise ValueError(f"it has more than {MOST_ROWS:,} rows")
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise HemfError(f"{file} is damaged ({error}); {MEND}") from error
    return found


def _checked(row: dict[str, str]) -> Fingerprint:
    if not re.fullmatch("[0-9a-f]{64}", row["sha256"]):
        raise ValueError(f"sha256 {row['sha256'][:80]!r}")
    if row["picture"] and len(base64.b64decode(row["picture"], validate=True)) != PICTURE_BYTES:
        raise ValueError(f"picture {row['picture'][:80]!r}")
    return Fingerprint(int(row["bytes"]), row["sha256"], row["picture"])


def _picture_of(file: Path) -> str:
    from hemf.core.errors import UnreadableImage
    from hemf.data.image.read import read_image

    try:
        return _picture(read_image(file))
    except UnreadableImage:  # the code that needs its pixels says so
        return ""


def _picture(image: "Image") -> str:
    from hemf.data.image.hashes import small_grey, upright_hashes

    return as_text(upright_hashes(small_grey(image)))


def as_text(hashes: "np.ndarray") -> str:
    """Return the ``picture`` of a ``Fingerprint`` from its ``hashes``."""
    return base64.b64encode(hashes.tobytes()).decode()


def _by_threads(what: Callable[["Sample"], Any], samples: Sequence["Sample"], doing: str) -> list[Any]:
    """Return ``what`` of each sample, in order, under a progress bar on standard error."""
    from rich.console import Console
    from rich.progress import track

    with ThreadPoolExecutor(usable_cores()) as pool:
        results = pool.map(what, samples)
        return list(track(results, doing, len(samples), console=Console(stderr=True), transient=True))
