"""An image in the form that a model takes, read ahead of the batch that it will be part of."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prepared:
    """An image that any thread may read while another computes; made by ``Classifier.prepare``.

    Args:
        item: the image's file, or whatever was read.
        read: what the model's own stream makes of an item: its pixels, and what it says about them.
        error: why it could not be read; None where it could.
        empty: what it is where it shows nothing (see ``emptiness``), else None.
    """

    item: Any
    read: Any
    error: str | None
    empty: str | None
