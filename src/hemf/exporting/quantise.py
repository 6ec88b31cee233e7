"""Writes the numbers of an ONNX network smaller: int8 where that is fast and costs little, or fp16."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from hemf.exporting.registry import Job

LAYERS = ("Conv", "Gemm", "MatMul")
"""Operators with weights, whose products are taken in int8; all between them stays in fp32."""


def to_int8(file: Path, job: Job, images: str) -> dict[str, Any]:
    """Quantise a network in place: weights, and what goes into their layers by its range on training images.

    Static quantisation of ONNX Runtime: QuantizeLinear and DequantizeLinear around each layer, weights by
    channel and symmetric, activations by tensor. The first layer, which sees the pixels, and the last, which
    gives the logits, stay in fp32, and so do products of two activations, as in attention.

    Args:
        file: the network.
        job: what is exported; ``training_images`` gives what to look at.
        images: name of the network's input.

    Returns:
        How many layers there are, how many of them stayed in fp32, and how many images were looked at.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quant_pre_process, quantize_static

    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / file.name
        quant_pre_process(file, prepared, skip_symbolic_shape=True, skip_optimization=True)
        layers = _layers(prepared)
        kept, reader = [layers[0], layers[-1]], _Reader(images, iter(job.training_images()))
        quantize_static(
            prepared,
            file,
            cast(Any, reader),  # which has what is asked of theirs
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=LAYERS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept,
            extra_options={"MatMulConstBOnly": True},
        )
    return {"layers": len(layers), "layers_in_fp32": len(kept), "training_images": reader.seen}


def to_fp16(file: Path) -> None:
    """Round a network's numbers to fp16 in place; it still takes and gives fp32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(file), keep_io_types=True), file)


def _layers(file: Path) -> list[str]:
    """Return the names of the layers with weights, in the order in which they compute."""
    import onnx

    graph = onnx.load(file).graph
    weights = {tensor.name for tensor in graph.initializer}
    return [node.name for node in graph.node if node.op_type in LAYERS and node.input[1] in weights]


class _Reader:
    """Gives ONNX Runtime images to look at, in its own manner."""

    def __init__(self, name: str, batches: Iterator[np.ndarray]) -> None:
        self.name, self.batches, self.seen = name, batches, 0

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch; None when there are no more."""
        batch = next(self.batches, None)
        if batch is None:
            return None
        self.seen += len(batch)
        return {self.name: batch}
