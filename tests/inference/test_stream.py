"""Streaming images through a model: order, errors in place, memory, precision."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from hemf.core.device import pick_device
from hemf.core.errors import HemfError
from hemf.data.image.read import read_image
from hemf.data.preprocessing import InputSpec
from hemf.data.transforms import eval_transform
from hemf.inference.stream import stream_logits

SPEC = InputSpec((3, 32, 32), 1.0, "squash", "bilinear", (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=3).eval()


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Eleven images of noise; the fifth is no image and the eighth is missing."""
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{i:02d}.png" for i in range(11)]
    for file in files:
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(file)
    files[4].write_text("no image")
    files[7].unlink()
    return files


def run(model, paths, **options) -> list:
    return list(stream_logits(model, paths, SPEC, **{"precision": "fp32", "device": "cpu"} | options))


def test_results_come_in_order_with_errors_in_their_place(model, paths) -> None:
    found = run(model, paths, batch_size=4)
    assert [path for path, _, _ in found] == paths
    assert [i for i, (_, logits, _) in enumerate(found) if logits is None] == [4, 7]
    assert [i for i, (_, _, error) in enumerate(found) if error is not None] == [4, 7]
    assert str(paths[4]) in found[4][2]


def test_logits_are_those_of_the_model_on_what_validation_sees(model, paths) -> None:
    good = [path for i, path in enumerate(paths) if i not in (4, 7)]
    batch = torch.stack([eval_transform(SPEC)(read_image(path)) for path in good])
    with torch.inference_mode():
        expected = model(batch.contiguous(memory_format=torch.channels_last))
    found = torch.stack([logits for _, logits, _ in run(model, good)])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_neither_workers_nor_a_broken_neighbour_change_a_bit(model, paths) -> None:
    alone = run(model, paths, batch_size=4, workers=0)
    shared = run(model, paths, batch_size=4, workers=2)
    Image.new("RGB", (8, 8)).save(paths[4])
    mended = run(model, paths, batch_size=4, workers=0)
    for (_, one, _), (_, two, _), (_, three, _) in zip(alone, shared, mended, strict=True):
        if one is not None:
            assert torch.equal(one, two)
            assert torch.equal(one, three)


def test_a_reading_process_that_is_killed_is_explained(model, paths: list[Path]) -> None:
    def killed(path: Path, mode: str, window: str) -> Image.Image:
        os.kill(os.getpid(), signal.SIGKILL)

    stream = stream_logits(model, paths, SPEC, batch_size=4, workers=1, device="cpu", read=killed)
    with pytest.raises(HemfError, match=r"stopped a process that reads images.*fewer --workers") as caught:
        list(stream)
    assert "\n" not in str(caught.value)


def test_the_first_results_come_before_the_last_images_are_read(model, paths) -> None:
    read = []

    def counting(path: Path, mode: str, window: str) -> Image.Image:
        read.append(path)
        return read_image(paths[0], mode)

    stream = stream_logits(model, range(1000), SPEC, batch_size=4, workers=0, device="cpu", read=counting)
    next(stream)
    assert len(read) <= 12


def test_consumer_is_not_left_in_inference_mode_nor_its_random_numbers_drawn(model, paths) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    for _ in stream_logits(model, paths, SPEC, batch_size=2, device="cpu"):
        assert not torch.is_inference_mode_enabled()
    assert torch.equal(torch.rand(1), expected)


def test_bf16_logits_are_close_and_not_rounded_to_bf16(model, paths) -> None:
    full = torch.stack([x for _, x, _ in run(model, paths) if x is not None])
    half = torch.stack([x for _, x, _ in run(model, paths, precision="bf16") if x is not None])
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.05 * full.abs().max().item())
    assert not torch.equal(half, full)
    assert not torch.equal(half, half.bfloat16().float())


def test_grey_input(paths) -> None:
    spec = InputSpec((1, 32, 32), 1.0, "squash", "bilinear", (0.5,), (0.5,))
    grey = timm.create_model("test_resnet", num_classes=2, in_chans=1)
    (_, logits, _) = next(stream_logits(grey, paths, spec, device="cpu"))
    assert logits.shape == (2,)
    assert not grey.training


def test_outputs_that_are_not_finite_name_the_image(paths) -> None:
    broken = timm.create_model("test_resnet", num_classes=2)
    torch.nn.init.constant_(broken.get_classifier().bias, float("nan"))
    with pytest.raises(HemfError, match=r"00\.png are not finite"):
        run(broken, paths)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"workers": -1}, "--workers -1"),
        ({"device": "nonsense"}, "no device 'nonsense'"),
        ({"precision": "fp16"}, "fp16 needs a GPU"),
    ],
)
def test_bad_options(model, paths, options, words) -> None:
    with pytest.raises(HemfError, match=words):
        run(model, paths, **options)


def test_no_images_give_no_results(model) -> None:
    assert run(model, []) == []


def test_device_auto_is_a_device_that_works() -> None:
    torch.zeros(1, device=pick_device("auto"))
