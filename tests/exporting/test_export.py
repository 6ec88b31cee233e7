"""``hemf export``: what is written agrees with its model wherever it is used, or is not kept."""

import hashlib
import importlib.util
import inspect
import json
import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
import timm
import torch
from huggingface_hub import ModelCard
from torch import nn

import hemf
from hemf.core.errors import HemfError
from hemf.exporting import EXPORTERS
from hemf.exporting.quantise import MOST_KEPT, QUIET
from hemf.exporting.registry import Job
from hemf.inference.writers import format_of

OPTIONS = {"model": "test_resnet", "image_size": 32, "epochs": 1, "batch_size": 8, "workers": 0}
PLAIN = {"precision": "fp32", "device": "cpu"}
UNWANTED = ("torch", "torchvision", "timm", "pytorch_lightning", "torchmetrics", "safetensors", "torchcam")
BLOCKED = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {unwanted!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="module")
def run(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a calibration."""
    out = tmp_path_factory.mktemp("export") / "runs"
    made = hemf.train(
        data=str(colours),
        recipe="paper",
        **OPTIONS,
        precision="fp32",
        accelerator="cpu",
        out=str(out),
        name="run",
    )
    return made.path


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    """Its export to ONNX."""
    return hemf.export(str(run), workers=0).path


def images_of(colours: Path) -> list[Path]:
    return sorted((colours / "test").rglob("*.png"))


def changed(folder: Path, target: Path, **entries) -> Path:
    """A copy of an export whose configuration has other ``entries``; the folder's own name lasts."""
    shutil.copytree(folder, target)
    file = target / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))
    return target


def test_an_export_is_whole_and_says_how_far_it_is_from_its_model(run: Path, exported: Path):
    assert exported == run / "exports" / "onnx-fp32"
    assert {file.name for file in exported.iterdir()} == {
        "model.onnx", "config.json", "README.md", "parity.json", "example.py", "requirements.txt",
    }  # fmt: skip
    parity = json.loads((exported / "parity.json").read_text())
    assert parity["split"] == "val"
    assert parity["n"] == parity["same_class"] == 20
    assert 0 < parity["largest_difference"] < 1e-5
    assert parity["accuracy"]["change"] == 0
    assert parity["shortcomings"] == []
    config = json.loads((exported / "config.json").read_text())
    weights = (exported / "model.onnx").read_bytes()
    assert config["export"]["sha256"]["model.onnx"] == hashlib.sha256(weights).hexdigest()
    assert config["hemf"]["calibration"]["fitted_on"]["n"] == 20
    network = onnx.load_from_string(weights)
    onnx.checker.check_model(network, full_check=True)
    assert [one.domain for one in network.opset_import] == [""]
    assert "BatchNormalization" not in {node.op_type for node in network.graph.node}  # part of convolutions
    notes = [text for node in network.graph.node for text in (node.doc_string, *node.metadata_props)]
    assert not any(notes)  # neither lines of code nor paths of this machine
    assert b"site-packages" not in weights
    card = ModelCard.load(exported / "README.md")
    assert card.data.to_dict()["library_name"] == "onnx"
    assert f"{parity['largest_difference']:.1e}" in card.text
    assert "## Licence" in card.text


def test_it_predicts_what_its_run_predicts(run: Path, exported: Path, colours: Path):
    images = [*images_of(colours), np.zeros((50, 70), np.uint8)]
    ours, theirs = (hemf.load(one, **PLAIN).predict(images, batch_size=7) for one in (run, exported))
    assert [(p.path, p.label, p.set, p.abstain) for p in ours] == [
        (p.path, p.label, p.set, p.abstain) for p in theirs
    ]
    assert any(p.set is not None for p in theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert list(one.probabilities) == list(other.probabilities)
        assert [*one.probabilities.values()] == pytest.approx([*other.probabilities.values()], abs=1e-5)


def test_it_is_evaluated_like_its_run_and_leaves_the_run_alone(run: Path, exported: Path):
    card = (run / "model" / "README.md").read_text()
    found = hemf.evaluate(str(exported), workers=0, resamples=0)
    assert found.folder == exported / "evaluation" / "test"
    assert found.report["runtime"] == "onnxruntime"
    assert found.report["precision"] == "fp32"
    assert found.report["images_trained_on"] == 0
    assert not (run / "evaluation").exists()
    assert (run / "model" / "README.md").read_text() == card
    predicted = hemf.load(exported).predict(
        [Path(hemf.load_data(str(run)).root) / path for path in found.predictions.paths]
    )
    rows = [[*one.probabilities.values()] for one in predicted]
    assert np.array_equal(found.predictions.probabilities, rows)


def test_it_predicts_to_the_last_digit_where_there_is_no_torch(exported: Path, colours: Path, tmp_path: Path):
    arguments = ["predict", str(exported), *map(str, images_of(colours)), "--out"]
    code = BLOCKED.format(unwanted=UNWANTED) + "from hemf.cli.app import main; sys.exit(main(sys.argv[1:]))"
    here, there = tmp_path / "with.csv", tmp_path / "without.csv"
    command = [sys.executable, "-c", code, *arguments, str(there)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "torch" in sys.modules
    classifier = hemf.load(exported)
    found = classifier.stream([str(path) for path in images_of(colours)])
    format_of(here).write(found, classifier.classes, here, classifier.extras)
    assert here.read_bytes() == there.read_bytes()
    refused = subprocess.run([sys.executable, "-c", code, "profile"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert re.search(r"this needs (torch|timm), which is not installed", refused.stderr)


def test_the_example_gives_the_same_numbers_with_numpy_pillow_and_onnxruntime_alone(
    exported: Path, colours: Path
):
    images = images_of(colours)
    code = BLOCKED.format(unwanted=(*UNWANTED, "hemf")) + (
        "import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", code, str(exported / "example.py"), *map(str, images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line, found in zip(lines, hemf.load(exported).predict(images, batch_size=1), strict=True):
        assert line["prediction"] == found.label
        assert line["probabilities"] == found.probabilities
        assert tuple(line.get("set", ())) == (found.set or ())


def test_views_are_averaged_by_the_export_itself(run: Path, exported: Path, colours: Path, tmp_path: Path):
    made = hemf.export(str(run), tta="flip", out=str(tmp_path / "flip"), workers=0)
    assert made.parity["largest_difference"] < 1e-5
    images = images_of(colours)[:5]
    ours = hemf.load(run, tta="flip", **PLAIN).predict(images)
    theirs, plain = hemf.load(made.path).predict(images), hemf.load(exported).predict(images)
    for one, other, single in zip(ours, theirs, plain, strict=True):
        assert [*one.probabilities.values()] == pytest.approx([*other.probabilities.values()], abs=1e-5)
        assert [*other.probabilities.values()] != [*single.probabilities.values()]
    with pytest.raises(HemfError, match=r"averages over the views flip, not none; leave --tta out"):
        hemf.load(made.path, tta="none")


def test_a_torch_program_agrees_and_hemf_opens_none(run: Path, tmp_path: Path):
    made = hemf.export(str(run), format="torch", out=str(tmp_path / "program"), workers=0)
    assert made.parity["largest_difference"] < 1e-5
    program = torch.export.load(made.path / "model.pt2")
    assert [tuple(one.shape) for one in program.module()(torch.zeros(3, 3, 32, 32))] == [(3, 3), (3,)]
    with pytest.raises(HemfError, match=r"is a torch program \(\.pt2\), which torch unpickles"):
        hemf.load(made.path)


@pytest.fixture
def astray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports to ONNX give other outputs than their models."""
    sound = EXPORTERS["onnx"]

    def opened(file, input_size, outputs, scored):
        compute = sound.open(file, input_size, outputs, scored)
        return lambda images: compute(images) * np.float32(1.5) + np.float32([1, 0, 0] + [0] * scored)

    monkeypatch.setitem(EXPORTERS, "onnx", replace(sound, open=opened))


@pytest.mark.usefixtures("astray")
def test_an_export_that_differs_is_not_kept_unless_forced(run: Path, tmp_path: Path):
    with pytest.raises(
        HemfError, match=r"not exported, for on 20 val images a probability differs by .*--force"
    ):
        hemf.export(str(run), out=str(tmp_path / "out"), workers=0)
    assert not list(tmp_path.iterdir())
    made = hemf.export(str(run), out=str(tmp_path / "out"), force=True, workers=0)
    assert made.parity["shortcomings"]
    assert "exported with --force although a probability differs" in (made.path / "README.md").read_text()


def test_only_an_export_is_replaced_and_the_users_files_stay(run: Path, exported: Path, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    with pytest.raises(HemfError, match=r"mine exists and is no export of hemf"):
        hemf.export(str(run), out=str(tmp_path / "mine"))
    out = changed(exported, tmp_path / "again")
    (out / "notes.txt").write_text("mine")
    hemf.export(str(run), format="torch", out=str(out), workers=0)
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "model.pt2").is_file()
    assert not (out / "model.onnx").exists()


class Eigen(nn.Module):
    def forward(self, x):
        return torch.linalg.eigvals(x[:, 0]).real[:, :3].float()


def test_a_network_that_does_not_export_is_named_with_the_operator(tmp_path: Path):
    job = Job(Eigen(), torch.zeros(2, 3, 8, 8), "fp32", "eigen", lambda: [])
    with pytest.raises(
        HemfError, match=r"^eigen does not export to onnx: it stops at the operator aten\S*eig"
    ):
        EXPORTERS["onnx"].write(job, tmp_path)


def test_a_model_without_its_run_needs_images(run: Path, colours: Path, tmp_path: Path):
    model = tmp_path / "model"
    shutil.copytree(run / "model", model)
    with pytest.raises(HemfError, match=r"say on which images with --data"):
        hemf.export(str(model))
    made = hemf.export(str(model), data=str(colours), split="test", out=str(tmp_path / "out"), workers=0)
    assert made.parity["n"] == 20
    with pytest.raises(HemfError, match=r"int8 looks at training images, of which .* has none"):
        hemf.export(str(model), data=str(colours / "test"), precision="int8", out=str(tmp_path / "8"))
    assert "Unknown: the run of this model was not at hand" in (made.path / "README.md").read_text()


def test_what_an_export_cannot_do_is_said(run: Path, exported: Path, colours: Path, tmp_path: Path):
    image = str(images_of(colours)[0])
    cases = [
        (lambda: hemf.calibrate(str(exported)), "calibrate its run"),
        (lambda: hemf.explain(str(exported), [image], str(tmp_path / "maps")), "explain its run"),
        (lambda: hemf.load([exported, run]), "which speaks alone"),
        (lambda: hemf.load(exported, device="cuda"), "but exports run on the CPU, by onnxruntime"),
        (lambda: hemf.load(exported, precision="bf16"), "but the export is fp32"),
        (lambda: hemf.export(str(exported)), "for this give its run"),
        (lambda: hemf.export(str(run), images=0), "--images is 0"),
        (lambda: hemf.export(str(run), precision="int4"), "does not go with --format onnx"),
    ]
    for ask, said in cases:
        with pytest.raises(HemfError, match=said):
            ask()


def test_the_formats_of_the_verb_are_those_that_are_registered():
    from hemf.commands.export import export

    options = inspect.signature(export).parameters
    assert set(get_args(options["format"].annotation)) == set(EXPORTERS)
    known = {precision for one in EXPORTERS.values() for precision in one.precisions}
    assert set(get_args(options["precision"].annotation)) == known


@pytest.mark.parametrize(
    ("precision", "most"), [("fp16", 0.01), pytest.param("int8", 0.1, marks=pytest.mark.slow)]
)
def test_smaller_numbers_stay_near(run: Path, exported: Path, tmp_path: Path, precision: str, most: float):
    made = hemf.export(str(run), precision=precision, out=str(tmp_path / "out"), force=True, workers=0)
    assert 1e-6 < made.parity["largest_difference"] < most
    sizes = [(folder / "model.onnx").stat().st_size for folder in (made.path, exported)]
    assert sizes[0] < 0.65 * sizes[1]
    assert [one.domain for one in onnx.load(made.path / "model.onnx").opset_import] == [""]
    about = json.loads((made.path / "config.json").read_text())["export"]
    assert about["precision"] == precision
    if precision == "int8":
        found = about["quantised"]
        assert found["layers"] > found["layers_in_fp32"] == 2 + len(found["loud_layers"])
        assert found["noise"] < 2 * QUIET or len(found["loud_layers"]) == int(MOST_KEPT * found["layers"])
        assert about["quantised"]["training_images"] == 50
    assert hemf.load(made.path).precision == precision


def test_openvino_predicts_the_same(run: Path, exported: Path, colours: Path, tmp_path: Path):
    pytest.importorskip("openvino")
    made = hemf.export(str(run), format="openvino", out=str(tmp_path / "out"), workers=0)
    assert made.parity["largest_difference"] < 1e-5
    assert (made.path / "requirements.txt").read_text().split() == ["numpy", "pillow", "openvino"]
    images = images_of(colours)[:6]
    for one, other in zip(
        hemf.load(made.path).predict(images), hemf.load(exported).predict(images), strict=True
    ):
        assert [*one.probabilities.values()] == pytest.approx([*other.probabilities.values()], abs=1e-5)
    command = [sys.executable, str(made.path / "example.py"), *map(str, images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for line, found in zip(done.stdout.splitlines(), hemf.load(made.path).predict(images), strict=True):
        values = json.loads(line)["probabilities"].values()
        assert [*values] == pytest.approx([*found.probabilities.values()], abs=1e-6)
    (made.path / "model.bin").write_bytes(b"short")
    with pytest.raises(HemfError, match=r"openvino cannot open .*model\.xml"):
        hemf.load(made.path)


def test_a_model_repository_for_triton_holds_the_same_network(
    run: Path, exported: Path, colours: Path, tmp_path: Path
):
    made = hemf.export(str(run), format="triton", out=str(tmp_path / "out"), workers=0)
    model = made.path / "repository" / "classifier"
    files = {str(file.relative_to(model)) for file in model.rglob("*") if file.is_file()}
    assert files == {"config.pbtxt", "labels.txt", "1/model.onnx"}
    assert (model / "1" / "model.onnx").read_bytes() == (exported / "model.onnx").read_bytes()
    assert (model / "labels.txt").read_text().split() == ["blue", "green", "red"]
    images = images_of(colours)[:3]
    assert hemf.load(made.path).predict(images) == hemf.load(exported).predict(images)
    command = [sys.executable, str(made.path / "example.py"), str(images[0])]
    line = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert line["probabilities"] == hemf.load(exported).predict(images[:1])[0].probabilities


def test_tritons_own_definition_reads_its_configuration(run: Path, tmp_path: Path):
    found = importlib.util.find_spec("tritonclient")
    if found is None or not found.submodule_search_locations:
        pytest.skip("no tritonclient here")
    from google.protobuf import text_format

    file = Path(found.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    definition = runpy.run_path(str(file))  # without gRPC, which its package would import
    exporter = EXPORTERS["triton"]
    job = Job(nn.Flatten(), torch.zeros(2, 3, 8, 9), "fp32", "flat", list, ["a", "b"])
    exporter.write(job, tmp_path)
    config = definition["ModelConfig"]()
    text_format.Parse((tmp_path / "repository/classifier/config.pbtxt").read_text(), config)
    assert (config.backend, config.max_batch_size) == ("onnxruntime", 32)
    assert [*config.input[0].dims] == [3, 8, 9]
    assert [*config.output[0].dims] == [2]
    network = onnx.load(tmp_path / exporter.file).graph
    assert (config.input[0].name, config.output[0].name) == (network.input[0].name, network.output[0].name)


def test_an_export_may_take_images_of_any_size(run: Path, tmp_path: Path):
    made = hemf.export(str(run), any_size=True, out=str(tmp_path / "out"), workers=0)
    other = made.parity["other_size"]
    assert other["size"] == [96, 64]
    assert 0 < other["largest_difference"] < 1e-5
    shape = onnx.load(made.path / "model.onnx").graph.input[0].type.tensor_type.shape.dim
    assert [bool(side.dim_param) for side in shape] == [True, False, True, True]
    assert hemf.load(made.path).predict(np.zeros((40, 40, 3), np.uint8))[0].probability > 0


@pytest.mark.parametrize(
    ("network", "why"),
    [
        ("vit_tiny_patch16_224", "224 x 224 pixels alone, by its layers"),
        ("tf_efficientnet_lite0", "Conv2dSame"),
    ],
)
def test_a_network_that_takes_one_size_alone_is_not_exported_for_any(tmp_path: Path, network: str, why: str):
    short = {"depth": 1} if network.startswith("vit") else {}
    model = timm.create_model(network, num_classes=3, **short).eval()
    job = Job(model, torch.zeros(2, 3, 224, 224), "fp32", network, list, list("abc"), any_size=True)
    with pytest.raises(HemfError, match=rf"{network} takes images of .*{why}.*; leave --any-size out"):
        EXPORTERS["torch"].write(job, tmp_path)
