"""Every network of hemf, and some of timm's, exports: the same numbers for every batch, none of ours."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from test_tracing import SMALL

import hemf.models
from hemf.data.preprocessing import InputSpec
from hemf.exporting import EXPORTERS
from hemf.exporting.network import Exported, program_of
from hemf.exporting.registry import Job
from hemf.inference.load import TrainedModel

TIMM = ("test_vit", "test_convnext")
SIDE = dict.fromkeys(TIMM, 160)


def exported(name: str) -> tuple[Exported, tuple[int, int, int]]:
    assert hemf.models
    torch.manual_seed(0)
    side = SIDE.get(name, 64)
    network = timm.create_model(name, num_classes=3, **SMALL.get(name, {})).eval()
    size = (3, side, side)
    spec = InputSpec(size, 0.9, "center", "bicubic", (0.5,) * 3, (0.5,) * 3)
    return Exported(TrainedModel(network, list("abc"), spec, name)).eval(), size


def agree(name: str, kind: str, folder: Path) -> None:
    network, size = exported(name)
    exporter = EXPORTERS[kind]
    exporter.write(Job(network, torch.randn(2, *size), "fp32", name, lambda: []), folder)
    compute = exporter.open(folder / exporter.file, size, 3)
    for batch in (1, 5):
        images = torch.randn(batch, *size, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            wanted = network(images).numpy()
        np.testing.assert_allclose(compute(images.numpy()), wanted, rtol=1e-4, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SMALL, *TIMM])
def test_a_network_exports_to_onnx(name: str, tmp_path: Path):
    agree(name, "onnx", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hemf_nano", "came", "pervit_medium"])
def test_a_network_exports_to_a_torch_program(name: str, tmp_path: Path):
    agree(name, "torch", tmp_path)


def test_the_compiled_kernels_step_aside():
    network, size = exported("hemf_nano")
    targets = {
        str(node.target)
        for node in program_of(Job(network, torch.randn(2, *size), "fp32", "hemf_nano", list)).graph.nodes
    }
    assert not [one for one in targets if "hemf" in one]
