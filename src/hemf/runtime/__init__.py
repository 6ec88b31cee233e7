"""Exported models, run without torch; importing this package registers every runtime."""

from hemf.runtime import onnx, openvino
from hemf.runtime.exported import ExportedModel, open_export
from hemf.runtime.registry import RUNTIMES

__all__ = ["RUNTIMES", "ExportedModel", "onnx", "open_export", "openvino"]
