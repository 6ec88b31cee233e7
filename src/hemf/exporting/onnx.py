"""Exports to ONNX, which ONNX Runtime, OpenVINO, TensorRT and others run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hemf.core.errors import HemfError
from hemf.exporting.network import operator_named, program_of
from hemf.exporting.quantise import to_fp16, to_int8
from hemf.exporting.registry import EXPORTERS, Exporter, Job
from hemf.runtime.onnx import FILE, open_onnx
from hemf.runtime.registry import OUTPUTS

if TYPE_CHECKING:
    from torch.export import ExportedProgram

INPUT = "images"
OPSET = 20


def write_onnx(job: Job, folder: Path) -> dict[str, Any]:
    """Write ``model.onnx``, one file for batches of any size; see ``Exporter.write``.

    Raises:
        HemfError: onnxscript is not installed, or an operator has no form in ONNX.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError as error:
        raise HemfError(
            "exporting to ONNX needs onnx, onnxscript and onnxruntime; pip install 'hemf[export]'"
        ) from error
    outputs = OUTPUTS if job.scored else OUTPUTS[:1]
    with operator_named(job.name, "onnx"):
        program = _written_out_sums(_copied_attention(program_of(job)))
        found = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(outputs),
            optimize=False,  # which takes minutes for what ONNX Runtime does below in a second
            verbose=False,
        )
        assert found is not None, "without a file torch returns the program"
        _without_notes(found.model)
    found.save(folder / FILE, external_data=False)
    _fold(folder / FILE, onnxruntime)
    about: dict[str, Any] = {"input": INPUT, "outputs": list(outputs), "opset": OPSET}
    if job.precision == "int8":
        about["quantised"] = to_int8(folder / FILE, job, INPUT)
    elif job.precision == "fp16":
        to_fp16(folder / FILE)
    _name_what_is_used(folder / FILE, onnx)
    return about | {"torch": torch.__version__, "onnxscript": onnxscript.__version__}


def _copied_attention(program: "ExportedProgram") -> "ExportedProgram":
    """Copy the output of every fused attention, so that a view of it stays one when it is written out.

    On a CPU the fused operator lays its output out in another order than the product and softmax that stand
    for it in ONNX, and torch has chosen between views and copies by the former.
    """
    attention, copy = torch.ops.aten.scaled_dot_product_attention.default, torch.ops.aten.clone.default
    for node in program.graph.find_nodes(op="call_function", target=attention):
        with program.graph.inserting_after(node):
            copied = program.graph.call_function(copy, (node,), {"memory_format": torch.contiguous_format})
        copied.meta = dict(node.meta)
        node.replace_all_uses_with(copied, delete_user_cb=lambda user, copied=copied: user is not copied)
    program.graph_module.recompile()
    return program


def _without_notes(model: Any) -> None:
    """Take out what torch notes of the sources: lines of code, and paths of this machine."""
    for graph in (model.graph, *model.functions.values()):
        for node in graph.all_nodes():
            node.doc_string = None
            node.metadata_props.clear()
            for value in node.outputs:
                value.doc_string = None
                value.metadata_props.clear()
        for value in (*graph.inputs, *getattr(graph, "initializers", {}).values()):
            value.metadata_props.clear()
        graph.metadata_props.clear()
    model.metadata_props.clear()
    model.doc_string = None


def _written_out_sums(program: "ExportedProgram") -> "ExportedProgram":
    """Write every log-sum-exp out as what it is, shifted by the maximum.

    ONNX Runtime has an operator for it, which is slow: with it ``hemf_tiny`` took 167 ms for four images,
    written out 138.
    """
    aten, graph = torch.ops.aten, program.graph
    for node in graph.find_nodes(op="call_function", target=aten.logsumexp.default):
        x, axes, kept = node.args[0], node.args[1], len(node.args) > 2 and bool(node.args[2])
        with graph.inserting_before(node):
            most = graph.call_function(aten.amax.default, (x, axes, True))
            powers = graph.call_function(aten.exp.default, (graph.call_function(aten.sub.Tensor, (x, most)),))
            total = graph.call_function(
                aten.log.default, (graph.call_function(aten.sum.dim_IntList, (powers, axes, True)),)
            )
            found = graph.call_function(aten.add.Tensor, (total, most))
            if not kept:
                found = graph.call_function(aten.squeeze.dims, (found, axes))
        found.meta = dict(node.meta)
        node.replace_all_uses_with(found)
        graph.erase_node(node)
    program.graph_module.recompile()
    return program


def _fold(file: Path, onnxruntime: Any) -> None:
    """Compute in advance what no image changes, in place, so that the file is opened in half the time.

    The operators stay those of the ONNX standard; those of ONNX Runtime's own come when it opens the file.
    The first pass writes out torch's functions, the second computes what was in them, and makes of each
    convolution and the normalisation after it one operator, without which int8 gains nothing.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    folded = file.with_name(f"folded-{file.name}")
    options.optimized_model_filepath = str(folded)
    for _ in range(2):
        onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        folded.replace(file)


def _name_what_is_used(file: Path, onnx: Any) -> None:
    """Take out the sets of operators that ONNX Runtime names in a file because it knows them, in place."""
    network = onnx.load(file)
    used = {"", *(node.domain for node in network.graph.node)}
    imports = [one for one in network.opset_import if one.domain in used]
    del network.opset_import[:]
    network.opset_import.extend(imports)
    onnx.save(network, file)


EXPORTERS.register("onnx")(
    Exporter((FILE,), ("fp32", "fp16", "int8"), ("onnxruntime",), write_onnx, open_onnx)
)
