"""Exports that come from a stranger: they are run, or refused in a line, and nothing else happens."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import hemf
from hemf.core.errors import HemfError
from hemf.runtime import open_export

SIDE, K = 8, 3
SEEN = {"input_size": [3, SIDE, SIDE], "crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.5] * 3}
SOUND = {
    "export": {"format": "onnx", "precision": "fp32", "tta": "none"},
    "architecture": "linear",
    "num_classes": K,
    "label_names": list("abc"),
    "pretrained_cfg": SEEN,
    "hemf": {},
}


def network(
    *, weight: Any = None, side: int = SIDE, outputs: int = K, operator: str = "MatMul", domain: str = ""
):
    """A linear network: images flattened, times a weight."""
    values = np.random.default_rng(0).normal(size=(3 * side * side, outputs)).astype(np.float32)
    weight = numpy_helper.from_array(values, "weight") if weight is None else weight
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["flat"]),
            helper.make_node(operator, ["flat", "weight"], ["logits"], domain=domain),
        ],
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", outputs])],
        [weight],
    )
    imports = [helper.make_opsetid("", 20), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def elsewhere(place: str):
    """A weight whose values are in another file."""
    weight = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[3 * SIDE * SIDE, K])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=place)
    return weight


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound export."""
    home = tmp_path / "export"
    home.mkdir()
    (home / "config.json").write_text(json.dumps(SOUND))
    onnx.save(network(), home / "model.onnx")
    return home


def image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (20, 20, 3), np.uint8)


def test_a_sound_one_is_run(folder: Path):
    (found,) = hemf.load(folder).predict(image())
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert [*found.probabilities] == list("abc")


def test_order_batches_and_unreadable_images(folder: Path, tmp_path: Path):
    from PIL import Image

    for i in range(11):
        Image.fromarray(image() if i % 3 else image() * 0).save(tmp_path / f"{i:02}.png")
    (tmp_path / "03.png").write_bytes(b"no image")
    loaded, said, empty = hemf.load(folder), [], []
    options = {"on_error": said.append, "on_empty": lambda path, what: empty.append((Path(path).name, what))}
    found = loaded.predict([tmp_path / f"{i:02}.png" for i in range(11)], batch_size=4, **options)
    assert [Path(one.path).name for one in found] == [f"{i:02}.png" for i in range(11) if i != 3]
    assert len(said) == 1
    assert "03.png" in said[0]
    assert empty == [("00.png", "blank"), ("06.png", "blank"), ("09.png", "blank")]
    alone = [loaded.predict(tmp_path / f"{i:02}.png", workers=0)[0] for i in (1, 10)]
    assert [one.label for one in alone] == [found[1].label, found[-1].label]
    with pytest.raises(HemfError, match=r"03\.png"):
        loaded.predict(tmp_path / "03.png")
    with pytest.raises(HemfError, match="--batch-size is 0"):
        loaded.predict(tmp_path / "01.png", batch_size=0)


def save(**what: Any) -> Callable[[Path], None]:
    return lambda folder: onnx.save(network(**what), folder / "model.onnx")


def config(**entries: Any) -> Callable[[Path], None]:
    return lambda folder: (folder / "config.json").write_text(json.dumps(SOUND | entries)) and None


def outside(folder: Path) -> None:
    """The network is a link to a file outside."""
    (folder / "model.onnx").rename(folder.parent / "secret")
    (folder / "model.onnx").symlink_to(folder.parent / "secret")


def huge(folder: Path) -> None:
    with open(folder / "model.onnx", "r+b") as file:
        file.truncate((2 << 30) + 1)


def pipe(folder: Path) -> None:
    import os

    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")


EXPORT = SOUND["export"]
HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "weights elsewhere": (save(weight=elsewhere("weights.bin")), "keep weights in other files"),
    "weights above": (save(weight=elsewhere("../../secret")), "keep weights in other files"),
    "custom operator": (save(operator="Steal", domain="evil"), "onnxruntime cannot open"),
    "unknown operator": (save(operator="Steal"), "onnxruntime cannot open"),
    "other input": (save(side=16), "does not take (3, 8, 8) and give 3 outputs"),
    "other outputs": (save(outputs=4), "does not take (3, 8, 8) and give 3 outputs"),
    "no network": (lambda folder: (folder / "model.onnx").write_bytes(b"\x08" * 100), "cannot open"),
    "empty": (lambda folder: (folder / "model.onnx").write_bytes(b""), "cannot open"),
    "link": (outside, "a link that leads out"),
    "huge": (huge, "more than 2147483648"),
    "classes": (config(label_names=["a", "b"]), "names 2 classes for 3 outputs"),
    "many classes": (config(num_classes=10**9), "must be from 1 to 100000"),
    "reserved class": (config(label_names=["a", "b", "path"]), "path"),
    "size": (
        config(pretrained_cfg=SEEN | {"input_size": [3, 10**6, 10**6]}),
        "input_size of the model's input",
    ),
    "input": (config(pretrained_cfg=SEEN | {"crop_mode": "steal"}), "no crop_mode 'steal'"),
    "no input": (config(pretrained_cfg=None), "is not of an export"),
    "no export": (config(export=None), "is not of an export"),
    "format": (config(export=EXPORT | {"format": "tensorrt"}), "no runtime 'tensorrt'"),
    "torch": (config(export=EXPORT | {"format": "torch"}), "which torch unpickles"),
    "views": (config(export=EXPORT | {"tta": "spin"}), "is damaged"),
    "lists": (config(export=EXPORT | {"format": ["onnx"]}), "is damaged"),
    "score": (config(export=EXPORT | {"outputs": ["logits", "unfamiliarity"]}), "does not take (3, 8, 8)"),
    "outputs": (config(export=EXPORT | {"outputs": 3}), "is damaged"),
    "task": (config(hemf={"task": "fortune telling"}), "no task 'fortune telling'"),
    "calibration": (
        config(hemf={"calibration": {"temperature": -1}}),
        "calibration in the model's config.json",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_one_is_refused_in_a_line(folder: Path, name: str):
    change, said = HOSTILE[name]
    change(folder)
    with pytest.raises(HemfError, match=re.escape(said)) as caught:
        hemf.load(folder)
    assert "\n" not in str(caught.value)


def test_outputs_that_are_no_numbers_are_refused(folder: Path):
    onnx.save(
        network(weight=numpy_helper.from_array(np.full((192, K), np.nan, np.float32), "weight")),
        folder / "model.onnx",
    )
    with pytest.raises(HemfError, match="outputs for image 1 are not finite"):
        hemf.load(folder).predict(image())


def test_a_pickle_in_a_torch_program_is_never_opened(folder: Path, tmp_path: Path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    (folder / "model.onnx").unlink()
    torch.save(Bomb(), folder / "model.pt2")
    config(export=EXPORT | {"format": "torch"})(folder)
    for use in (hemf.load, lambda path: hemf.evaluate(str(path), data=str(tmp_path)), open_export):
        with pytest.raises(HemfError):
            use(folder)
    assert not (tmp_path / "ran").exists()
