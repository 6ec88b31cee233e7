"""A small calibrated model, a DICOM file, and a real server in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hemf.calibration.record import Calibration, PredictionSets

CLASSES = ["benign", "malignant", "Übergang"]
TOKEN = "0123456789abcdef-token"


@dataclass
class Server:
    """A server that runs.

    Args:
        url: its address, without a slash at the end.
        process: it.
        said: what it writes on stderr.
    """

    url: str
    process: subprocess.Popen[str]
    said: IO[str]

    def words(self) -> str:
        """What it has written on stderr."""
        self.said.seek(0)
        return self.said.read()


def save(folder: Path, seed: int = 0, classes: list[str] = CLASSES) -> Path:
    """Save an untrained, calibrated model of 32 pixels; returns its folder."""
    import timm
    import torch

    from hemf.config.run_config import RunConfig
    from hemf.data.preprocessing import InputSpec
    from hemf.models.hub import save_model

    torch.manual_seed(seed)
    model = timm.create_model("test_resnet", num_classes=len(classes))
    fitted = {"data": "noise", "split": "val", "n": 40, "groups": 40, "tta": "none"}
    calibration = Calibration(1.3, PredictionSets(0.9, 0.66, 40), fitted_on=fitted, left_out=())
    save_model(
        model,
        folder,
        architecture="test_resnet",
        model_args={},
        classes=classes,
        pretrained_cfg=InputSpec.from_config(RunConfig.of(image_size=32)).to_pretrained_cfg(),
        extra={"hemf": {"task": "multiclass", "calibration": calibration.to_config()}},
    )
    return folder


def save_export(folder: Path) -> Path:
    """Save an exported linear model of 8 pixels; returns its folder."""
    import json

    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(0).normal(size=(192, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
        ],
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weight, "weight")],
    )
    folder.mkdir()
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10),
        folder / "model.onnx",
    )
    seen = {"input_size": [3, 8, 8], "crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.5] * 3}
    config = {"architecture": "linear", "num_classes": 3, "label_names": CLASSES, "pretrained_cfg": seen}
    about = {"format": "onnx", "precision": "fp32", "tta": "none"}
    (folder / "config.json").write_text(json.dumps(config | {"export": about, "hemf": {}}))
    return folder


def dicom(values: Any) -> bytes:
    """A DICOM file of 12-bit grey."""
    import io

    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.Modality, data.PatientName = "CT", "SECRET^NAME"
    data.Rows, data.Columns = values.shape
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.PixelData = values.tobytes()
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


@contextmanager
def started(folder: Path, *arguments: str, **environment: str) -> Iterator[Server]:
    """Run ``hemf serve`` inside the block, with its temporary files and its stderr in ``folder``."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "hemf", "serve", *arguments, "--device", "cpu", "--precision", "fp32"]
    with open(folder / "stderr.txt", "w+", encoding="utf-8") as said:
        process = subprocess.Popen(
            [*command, *([] if "--port" in arguments else ["--port", "0"])],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=os.environ | {"TMPDIR": str(folder)} | environment,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                said.seek(0)
                raise AssertionError(said.read())
            yield Server(line.rsplit("; ", 1)[1].strip(), process, said)
        finally:
            process.kill()
            process.wait()
