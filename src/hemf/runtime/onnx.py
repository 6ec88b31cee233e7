"""Runs ONNX files with ONNX Runtime on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np

from hemf.core.errors import HemfError
from hemf.core.machine import library_threads
from hemf.core.text import one_line
from hemf.core.untrusted import check_regular
from hemf.runtime.registry import RUNTIMES, Compute, Runtime, joined

FILE, IN_TRITON = "model.onnx", "repository/classifier/1/model.onnx"
MOST_BYTES = 2 << 30  # the most that a protobuf holds
AGAIN = "export the run again"
ELSEWHERE = b"location"
"""The key under which a tensor names a file that holds its values. It stands in the file as it is here,
however the rest is encoded, so what does not hold it reads no other file."""


def open_onnx(file: Path, input_size: tuple[int, int, int], outputs: int, scored: bool = False) -> Compute:
    """Make an ONNX file ready to run; see ``Runtime.open``.

    ONNX Runtime computes the operators that it brings and no others: no library is registered with it. The
    file is handed to it as bytes, so that it knows no folder to look for others in.

    Raises:
        HemfError: onnxruntime is not installed, or the file cannot or must not be run.
    """
    ort = _onnxruntime()
    try:
        check_regular(file, AGAIN, MOST_BYTES)
        content = file.read_bytes()
    except OSError as error:
        raise HemfError(f"cannot read {file}: {error.strerror or error}; {AGAIN}") from error
    if ELSEWHERE in content:
        raise HemfError(f"{file} may keep weights in other files, which hemf does not open; {AGAIN}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = library_threads()
    options.log_severity_level = 4  # what goes wrong is told by exceptions
    try:
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of many kinds, all its own
        raise HemfError(f"onnxruntime cannot open {file}: {one_line(error, 300)}; {AGAIN}") from error
    _check_ports(session, file, input_size, outputs, scored)
    name, wanted = session.get_inputs()[0].name, [(outputs,), ()][: 1 + scored]

    def compute(images: np.ndarray) -> np.ndarray:
        try:
            found = session.run(None, {name: images})
        except Exception as error:
            raise HemfError(f"onnxruntime cannot run {file}: {one_line(error, 300)}; {AGAIN}") from error
        for one, shape in zip(found, wanted, strict=True):
            if one.dtype != np.float32 or one.shape != (len(images), *shape):
                raise HemfError(f"{file} gives outputs {one.shape} of {one.dtype}; {AGAIN}")
        return joined(found)

    return compute


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise HemfError("this export is run by onnxruntime; pip install onnxruntime") from error
    return onnxruntime


def _check_ports(
    session: Any, file: Path, input_size: tuple[int, int, int], outputs: int, scored: bool
) -> None:
    """Check that the network takes the images that its configuration describes and gives so many outputs."""
    ports = [*session.get_inputs(), *session.get_outputs()]
    wanted = [(None, *input_size), (None, outputs), (None,)][: 2 + scored]
    numbers = len(session.get_inputs()), len(session.get_outputs())
    for port, shape in zip(ports, wanted, strict=False):
        fits = numbers == (1, 1 + scored) and port.type == "tensor(float)" and len(port.shape) == len(shape)
        if not fits or any(
            isinstance(side, int) and side != want
            for side, want in zip(port.shape[1:], shape[1:], strict=True)
        ):
            raise HemfError(
                f"{file} does not take {input_size} and give {outputs} outputs, as its config.json says; "
                f"{AGAIN}"
            )


RUNTIMES.register("onnx")(Runtime("onnxruntime", FILE, open_onnx))
RUNTIMES.register("triton")(Runtime("onnxruntime", IN_TRITON, open_onnx))
