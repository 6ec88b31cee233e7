"""Runtimes by the format of what they run: a new one is one file of this package with one registration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hemf.core.registry import Registry

Compute = Callable[[np.ndarray], np.ndarray]
"""From images, B x C x H x W float32, to outputs, B x K float32; of scored networks B x (K + 1)."""

OUTPUTS = ("logits", "unfamiliarity")
"""Names of a network's outputs, B x K and, where its model keeps an out-of-distribution score, B."""


@dataclass(frozen=True)
class Runtime:
    """How exports of one format are run.

    Args:
        name: the library that runs them.
        file: the network's file in an export's folder.
        open: makes it ready for input of channels, height and width and so many outputs; the last argument
            says whether it also gives the unfamiliarity. The file may come from anyone: whatever it holds,
            nothing else is read and no code of it is run.
    """

    name: str
    file: str
    open: Callable[[Path, tuple[int, int, int], int, bool], Compute]


def joined(found: Sequence[np.ndarray]) -> np.ndarray:
    """Return logits, B x K, with the unfamiliarity, B, as their last column where there is one."""
    return found[0] if len(found) == 1 else np.concatenate([found[0], found[1][:, None]], 1)


RUNTIMES: Registry[Runtime] = Registry("runtime")
