"""Formats that models are exported to: a new one is one file of this package with one registration."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemf.core.registry import Registry
from hemf.runtime.registry import Compute

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


@dataclass(frozen=True)
class Job:
    """A network that is to be exported.

    Args:
        network: from images, B x C x H x W float32, to logits, B x K float32, or where ``scored`` to these
            and the unfamiliarity, B; in evaluation mode, on the CPU.
        images: two such images, as an example.
        precision: format of the numbers in its weights: ``fp32``, ``fp16`` or ``int8``.
        name: name of its architecture, for messages.
        training_images: gives some, standardised, in batches, for what is chosen by looking at them.
        classes: names of the classes, in the order of the outputs.
        any_size: whether it is to take images of any height and width.
        scored: whether it has that second output.
    """

    network: "nn.Module"
    images: "Tensor"
    precision: str
    name: str
    training_images: "Callable[[], Iterable[np.ndarray]]"
    classes: Sequence[str] = ()
    any_size: bool = False
    scored: bool = False


@dataclass(frozen=True)
class Exporter:
    """How a network is written in one format.

    Args:
        files: names of what is written, the one that is opened first.
        precisions: formats of the numbers that it can have.
        needs: packages that its users install, beside Pillow and NumPy.
        write: writes the network into a folder; returns what ``config.json`` says of it besides.
        open: makes what ``write`` has just written ready to run; arguments as for ``Runtime.open``.
    """

    files: Sequence[str]
    precisions: Collection[str]
    needs: Sequence[str]
    write: Callable[[Job, Path], dict[str, Any]]
    open: Callable[[Path, tuple[int, int, int], int, bool], Compute]

    @property
    def file(self) -> str:
        """The name of what is opened."""
        return self.files[0]


EXPORTERS: Registry[Exporter] = Registry("export format")
