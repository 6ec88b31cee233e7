"""Runs OpenVINO's own format with OpenVINO on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np

from hemf.core.errors import HemfError
from hemf.core.machine import library_threads
from hemf.core.text import one_line
from hemf.core.untrusted import check_regular
from hemf.runtime.registry import RUNTIMES, Compute, Runtime, joined

FILE, WEIGHTS = "model.xml", "model.bin"
MOST_TEXT, MOST_BYTES = 64 << 20, 2 << 30
AGAIN = "export the run again"


def open_openvino(
    file: Path, input_size: tuple[int, int, int], outputs: int, scored: bool = False
) -> Compute:
    """Make ``model.xml`` and the ``model.bin`` beside it ready to run; see ``Runtime.open``.

    Both are handed over as bytes, and no extension is loaded, so nothing else is read and no code is run. All
    numbers are computed in float32, where OpenVINO would take bfloat16 on processors that are fast at it.

    Raises:
        HemfError: openvino is not installed, or the files cannot or must not be run.
    """
    openvino = library()
    try:
        check_regular(file, AGAIN, MOST_TEXT)
        check_regular(file.with_name(WEIGHTS), AGAIN, MOST_BYTES)
        text, weights = file.read_bytes(), file.with_name(WEIGHTS).read_bytes()
    except OSError as error:
        raise HemfError(f"cannot read {file}: {error.strerror or error}; {AGAIN}") from error
    how = {"INFERENCE_NUM_THREADS": library_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    try:
        network = openvino.Core().read_model(text, weights)
        _check_ports(network, file, input_size, outputs, scored)
        compiled = openvino.compile_model(network, "CPU", how)
    except RuntimeError as error:
        raise HemfError(f"openvino cannot open {file}: {one_line(error, 300)}; {AGAIN}") from error

    def compute(images: np.ndarray) -> np.ndarray:
        try:
            found = compiled(images)
            return joined([np.array(found[i]) for i in range(1 + scored)])
        except RuntimeError as error:
            raise HemfError(f"openvino cannot run {file}: {one_line(error, 300)}; {AGAIN}") from error

    return compute


def library() -> Any:
    """Import openvino.

    Raises:
        HemfError: it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise HemfError("exports to openvino need openvino; pip install openvino") from error
    return openvino


def _check_ports(
    network: Any, file: Path, input_size: tuple[int, int, int], outputs: int, scored: bool
) -> None:
    """Check that the network takes the images that its configuration describes and gives so many outputs."""
    ports = [*network.inputs, *network.outputs]
    numbers = len(network.inputs), len(network.outputs)
    for port, shape in zip(ports, [input_size, (outputs,), ()][: 2 + scored], strict=False):
        sides = list(port.partial_shape)[1:]
        fits = numbers == (1, 1 + scored) and len(sides) == len(shape)
        fits = fits and port.element_type.get_type_name() == "f32"
        if not fits or any(
            side.is_static and side.get_length() != want for side, want in zip(sides, shape, strict=True)
        ):
            raise HemfError(
                f"{file} does not take {input_size} and give {outputs} outputs, as its config.json says; "
                f"{AGAIN}"
            )


RUNTIMES.register("openvino")(Runtime("openvino", FILE, open_openvino))
