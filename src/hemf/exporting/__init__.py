"""Models in other formats, measured beside the original; importing this package registers every format."""

from hemf.exporting import onnx, openvino, torch_program, triton
from hemf.exporting.registry import EXPORTERS

__all__ = ["EXPORTERS", "onnx", "openvino", "torch_program", "triton"]
