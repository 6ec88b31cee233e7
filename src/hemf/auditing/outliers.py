"""Finds files that cannot be read, and images unlike the rest."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from hemf.auditing.scan import Look
from hemf.core.text import counted
from hemf.data.dataset import Sample

BLANK = 3.0  # grey values of standard deviation: nothing is to be seen
SMALL = 32  # pixels
LONG = 3.0  # width over height, or height over width
RARE = 0.01  # of the images
TIMES = 10  # the median area, or a tenth of it


def unreadable(samples: Sequence[Sample], looks: Sequence[Look | str]) -> list[dict[str, str]]:
    """Return the path of each file that cannot be read, and why."""
    pairs = zip(samples, looks, strict=True)
    return [{"path": s.path, "reason": look} for s, look in pairs if isinstance(look, str)]


def odd_images(samples: Sequence[Sample], looks: Sequence[Look | str]) -> list[dict[str, Any]]:
    """Return images that are blank, tiny, very long, far from the usual size, or of a rare mode or format.

    Returns:
        For each its ``path`` and ``why``: a list of sentences.
    """
    readable = [(s, look) for s, look in zip(samples, looks, strict=True) if isinstance(look, Look)]
    if not readable:
        return []
    area = float(np.median([look.width * look.height for _, look in readable]))
    modes = Counter(look.mode for _, look in readable)
    formats = Counter(look.format for _, look in readable)
    found = []
    for s, look in readable:
        why = _looks_odd(look, area)
        why += [
            f"{what} {value}, as {counts[value]} of {counted(len(readable), 'image')}"
            for what, value, counts in (("mode", look.mode, modes), ("format", look.format, formats))
            if counts[value] < RARE * len(readable)
        ]
        if _misnamed(s.path, look.format):
            why.append(f"named {PurePosixPath(s.path).suffix} but is {look.format}")
        if why:
            found.append({"path": s.path, "why": why})
    return found


def _looks_odd(look: Look, median_area: float) -> list[str]:
    width, height = look.width, look.height
    why = []
    if look.contrast < BLANK:
        why.append(f"blank: grey values {look.brightness:.0f} ± {look.contrast:.1f}")
    elif look.empty is not None:
        why.append(f"{look.empty}: black and white, or a mask")
    if min(width, height) < SMALL:
        why.append(f"small: {width} x {height} pixels")
    if max(width, height) > LONG * min(width, height):
        why.append(f"long: {width} x {height} pixels")
    if not 1 / TIMES <= width * height / median_area <= TIMES:
        why.append(
            f"size: {width} x {height} pixels, {width * height / median_area:.2g} times the median area"
        )
    return why


def _misnamed(path: str, kind: str) -> bool:
    meant = Image.registered_extensions().get(PurePosixPath(path).suffix.lower())
    known = {"MPO": "JPEG", "DIB": "BMP", "": meant}
    return meant is not None and known.get(kind, kind) != known.get(meant, meant)
