"""Exports to ONNX inside a model repository for NVIDIA's Triton Inference Server."""

import json
from pathlib import Path
from typing import Any

from hemf.core.files import write_text
from hemf.core.text import printable
from hemf.exporting.onnx import INPUT, write_onnx
from hemf.exporting.registry import EXPORTERS, Exporter, Job
from hemf.runtime.onnx import IN_TRITON, open_onnx
from hemf.runtime.registry import OUTPUTS

LABELS = "labels.txt"
SCALAR = "data_type: TYPE_FP32 dims: [1] reshape: { shape: [] }"
"""Of an output that is one number an image."""
LARGEST_BATCH, DELAY = 32, 5000
"""Images that Triton puts into one batch, and how many microseconds one waits for others."""


def write_triton(job: Job, folder: Path) -> dict[str, Any]:
    """Write ``repository/classifier``: configuration, names of the classes, and the network as version 1.

    The model is called as its folder is, which may be renamed and moved into another repository.
    """
    version = (folder / IN_TRITON).parent
    version.mkdir(parents=True)
    about = write_onnx(job, version)
    write_text(version.with_name(LABELS), "".join(f"{printable(name)}\n" for name in job.classes))
    write_text(version.with_name("config.pbtxt"), _configuration(job))
    return about


def _configuration(job: Job) -> str:
    """Return the text of Triton's ModelConfig; shapes leave out the batch."""
    channels, height, width = job.images.shape[1:]
    seen = [channels, -1, -1] if job.any_size else [channels, height, width]
    lines = [
        'backend: "onnxruntime"',
        f"max_batch_size: {LARGEST_BATCH}",
        f"input [{{ name: {json.dumps(INPUT)} data_type: TYPE_FP32 dims: {seen} }}]",
        f"output [{{ name: {json.dumps(OUTPUTS[0])} data_type: TYPE_FP32 dims: [{len(job.classes)}] "
        f"label_filename: {json.dumps(LABELS)} }}]",
        *([f"output [{{ name: {json.dumps(OUTPUTS[1])} {SCALAR} }}]"] if job.scored else []),
        f"dynamic_batching {{ max_queue_delay_microseconds: {DELAY} }}",
    ]
    return "\n".join(lines) + "\n"


EXPORTERS.register("triton")(
    Exporter((IN_TRITON,), ("fp32", "fp16", "int8"), ("onnxruntime",), write_triton, open_onnx)
)
