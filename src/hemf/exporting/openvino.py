"""Exports to OpenVINO's own format, for Intel's and other processors; it is read from an export to ONNX."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hemf.core.errors import HemfError
from hemf.core.text import one_line
from hemf.exporting.network import operator_named
from hemf.exporting.onnx import write_onnx
from hemf.exporting.registry import EXPORTERS, Exporter, Job
from hemf.runtime.openvino import FILE, WEIGHTS, library, open_openvino


def write_openvino(job: Job, folder: Path) -> dict[str, Any]:
    """Write ``model.xml`` and ``model.bin``; see ``Exporter.write``.

    Raises:
        HemfError: openvino or what an export to ONNX needs is not installed, or an operator is not known.
    """
    openvino = library()
    small = job.precision == "fp16"
    with tempfile.TemporaryDirectory() as scratch:
        about = write_onnx(replace(job, precision="fp32") if small else job, Path(scratch))
        with operator_named(job.name, "openvino"):
            network = openvino.Core().read_model(Path(scratch) / "model.onnx")
        try:
            openvino.save_model(network, folder / FILE, compress_to_fp16=small)
        except RuntimeError as error:
            line = one_line(error, 200)
            raise HemfError(f"cannot write {folder / FILE}: {line}; free the disk") from error
    return about | {"openvino": openvino.__version__}


EXPORTERS.register("openvino")(
    Exporter((FILE, WEIGHTS), ("fp32", "fp16", "int8"), ("openvino",), write_openvino, open_openvino)
)
