"""Writes the numbers of an ONNX network smaller: int8 where that is fast and costs little, or fp16."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from shutil import copyfile
from typing import Any, cast

import numpy as np

from hemf.core.machine import library_threads
from hemf.exporting.registry import Job
from hemf.runtime.registry import OUTPUTS

LAYERS = ("Conv", "Gemm", "MatMul")
"""Operators with weights, whose products are taken in int8; all between them stays in fp32."""
CLIPPED = ("Clip", "Relu")
"""Operators that are nothing but the range of the layer before them, once that gives int8."""


QUIET = 0.003
"""Mean squared change of the logits, in units of their variance, that quantised layers may make together."""
MOST_KEPT = 0.25
"""Share of the layers that may stay in fp32 for their noise."""


def to_int8(file: Path, job: Job, images: str) -> dict[str, Any]:
    """Quantise a network in place: weights, and what goes into their layers by its range on training images.

    Static quantisation of ONNX Runtime: QuantizeLinear and DequantizeLinear around each layer, weights by
    channel and symmetric, activations by tensor. The first layer, which sees the pixels, and the last, which
    gives the logits, stay in fp32, and so do the unfamiliarity, products of two activations, as in attention,
    and the layers that are found to change the logits most (see ``loudest``).

    Args:
        file: the network.
        job: what is exported; ``training_images`` gives what to look at.
        images: name of the network's input.

    Returns:
        How many layers there are, how many of them stayed in fp32 and the names of those that were loud, the
        noise that all others make, and how many images were looked at.
    """
    from onnxruntime.quantization import quant_pre_process

    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / file.name
        quant_pre_process(file, prepared, skip_symbolic_shape=True, skip_optimization=True)
        layers, ranges = _layers(prepared), Path(scratch) / "ranges.json"
        between, reader = [*layers][1:-1], _Reader(images, iter(job.training_images()))
        _quantise(prepared, file, _nodes(layers, between), ranges, reader)
        few = np.concatenate([batch[:1] for batch in job.training_images()])
        noise = _Noise(prepared, layers, ranges, images, few)
        loud = loudest(between, noise, int(MOST_KEPT * len(layers)))
        quiet = [name for name in between if name not in loud]
        _quantise(prepared, file, _nodes(layers, quiet), ranges)
        left = noise(quiet)
    kept = len(layers) - len(quiet)
    about = {"layers": len(layers), "layers_in_fp32": kept, "loud_layers": loud, "noise": left}
    return about | {"training_images": reader.seen}


def loudest(layers: Sequence[str], noise: Callable[[Sequence[str]], float], most: int) -> list[str]:
    """Find the layers whose quantisation changes the logits most, until the others are quiet together.

    The noise of layers adds up, nearly, for their errors know nothing of each other. So the loudest group is
    halved again and again, which takes far fewer trials than there are layers where few of them are loud.

    Args:
        layers: their names, in the order in which they compute.
        noise: of a group that alone is quantised; see ``QUIET``.
        most: so many are returned at most.

    Returns:
        Their names, the loudest first, more or less.
    """
    found: list[str] = []
    groups = [(-noise(layers), 0, layers)] if layers else []
    for number in count(1):
        if not groups or -sum(loudness for loudness, *_ in groups) <= QUIET or len(found) == most:
            return found
        _, _, group = heappop(groups)
        if len(group) == 1:
            found += group
            continue
        half = len(group) // 2
        for side, part in enumerate((group[:half], group[half:])):
            heappush(groups, (-noise(part), 2 * number + side, part))
    raise AssertionError("counting does not end")


class _Noise:
    """How far the quantisation of some layers moves a network's logits, as a share of their variance."""

    def __init__(
        self, file: Path, known: dict[str, list[str]], ranges: Path, name: str, images: np.ndarray
    ) -> None:
        self.file, self.known, self.ranges, self.name, self.images = file, known, ranges, name, images
        self.wanted = self._logits(file)

    def __call__(self, layers: Sequence[str]) -> float:
        trial = self.file.with_name("trial.onnx")
        _quantise(self.file, trial, _nodes(self.known, layers), self.ranges)
        change = np.square(self._logits(trial) - self.wanted).mean()
        return float(change / max(self.wanted.var(), np.finfo(np.float32).tiny))

    def _logits(self, file: Path) -> np.ndarray:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = library_threads(), 4
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        rows = [np.asarray(session.run(None, {self.name: image[None]})[0]) for image in self.images]
        return np.concatenate(rows)


def _nodes(layers: dict[str, list[str]], names: Sequence[str]) -> list[str]:
    """Return the nodes of some of the layers."""
    return [node for name in names for node in layers[name]]


def _quantise(
    file: Path, target: Path, nodes: list[str], ranges: Path, reader: "_Reader | None" = None
) -> None:
    """Write a network with some nodes in int8; the ranges of activations are read, or found and kept.

    Args:
        file: the network, prepared for it.
        target: the file to write.
        nodes: names of those to quantise; of none the network is written as it is.
        ranges: file for the ranges; it is made where ``reader`` is given.
        reader: images.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    if not nodes:
        copyfile(file, target)
        return
    quantize_static(
        file,
        target,
        cast(Any, reader),  # which has what is asked of theirs
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=[*LAYERS, *CLIPPED],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_quantize=nodes,
        calibration_cache_path=ranges,
        extra_options={"MatMulConstBOnly": True},
    )


def to_fp16(file: Path) -> None:
    """Round a network's numbers to fp16 in place; it still takes and gives fp32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(file), keep_io_types=True), file)


def _layers(file: Path) -> dict[str, list[str]]:
    """Return the layers with weights in the order in which they compute: name, and nodes that go with it.

    They are those that the logits come from, not those of the unfamiliarity. A layer takes the activation
    along that alone follows it: the range of its output is then what the activation leaves, not what it cuts
    off.
    """
    import onnx

    graph = onnx.load(file).graph
    weights = {tensor.name for tensor in graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    needed, found = {OUTPUTS[0]}, {}
    for node in reversed(graph.node):  # which stand in an order that computes
        needed |= set() if needed.isdisjoint(node.output) else set(node.input)
    for node in graph.node:
        if node.op_type in LAYERS and node.input[1] in weights and not needed.isdisjoint(node.output):
            after = readers.get(node.output[0], [])
            clipped = [one.name for one in after if one.op_type in CLIPPED and len(after) == 1]
            found[node.name] = [node.name, *clipped]
    return found


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
