"""Exports as a program of ``torch.export`` (.pt2), for programs with torch and without hemf."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hemf.exporting.network import operator_named, program_of
from hemf.exporting.registry import EXPORTERS, Exporter, Job
from hemf.runtime.registry import OUTPUTS, Compute, joined

FILE = "model.pt2"


def write_program(job: Job, folder: Path) -> dict[str, Any]:
    """Write ``model.pt2``; see ``Exporter.write``.

    Raises:
        HemfError: torch does not export the network.
    """
    with operator_named(job.name, "torch"):
        content = BytesIO()  # torch's own writer does not say that a disk is full
        torch.export.save(program_of(job), content)
    (folder / FILE).write_bytes(content.getbuffer())
    return {"outputs": list(OUTPUTS[: 1 + job.scored]), "torch": torch.__version__}


def open_program(file: Path, input_size: tuple[int, int, int], outputs: int, scored: bool = False) -> Compute:
    """Make a program that hemf has just written ready to run: torch unpickles it, so no stranger's."""
    network = torch.export.load(file).module()

    def compute(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            found = network(torch.from_numpy(images))
            return joined([one.numpy() for one in (found if scored else (found,))])

    return compute


EXPORTERS.register("torch")(Exporter((FILE,), ("fp32",), ("torch",), write_program, open_program))
