"""``hemf explain``: overlays, raw maps and the table, names that collide, images that cannot be read."""

import csv
import inspect
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hemf
from hemf.cli.app import main
from hemf.core.errors import HemfError
from hemf.explanation.placement import place
from hemf.inference.classifier import Classifier


def table(out: Path) -> list[dict[str, str]]:
    with open(out / "explain.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def explain(run: Path, *arguments: str | Path) -> int:
    return main(["explain", str(run), *map(str, arguments), "--device", "cpu"])


def test_every_image_gets_an_overlay_a_map_and_a_line(made_run, tmp_path, capsys):
    out = tmp_path / "maps"
    assert explain(made_run, tmp_path / "images", "--out", out) == 0
    assert capsys.readouterr().out == f"24 images explained in {out}\n"
    predictions = hemf.load(made_run, "fp32", "cpu").predict(tmp_path / "images")
    rows = table(out)
    assert len(rows) == 24
    for row, found in zip(rows, predictions, strict=True):
        assert (row["path"], row["prediction"], row["target"]) == (found.path, found.label, found.label)
        assert float(row["probability"]) == float(row["target_probability"])
        assert float(row["probability"]) == pytest.approx(found.probability, abs=1e-6)
        image, heat = Image.open(row["path"]), np.load(out / row["heat"])
        assert heat.dtype == np.float32
        assert heat.shape == (image.height, image.width)
        assert 0 <= heat.min() <= heat.max() <= 1
        with Image.open(out / row["overlay"]) as picture:
            pixels = np.asarray(picture)
        assert (pixels[heat == 0] == np.asarray(image)[heat == 0]).all()
    assert len(list(out.iterdir())) == 49


def test_the_map_is_that_of_the_class_and_layer_asked_for(made_run, tmp_path):
    import torch

    from hemf.data.transforms import eval_transform
    from hemf.explanation.gradcam import heat_maps

    file, out = tmp_path / "images" / "07 50%.png", tmp_path / "maps"
    assert explain(made_run, file, "--out", out, "--target", "b", "--layer", "layer3") == 0
    (row,) = table(out)
    classifier = hemf.load(made_run, "fp32", "cpu")
    probabilities = classifier.predict(file)[0].probabilities
    assert row["target"] == "b"
    assert float(row["target_probability"]) == pytest.approx(probabilities["b"], abs=1e-6)
    assert float(row["probability"]) == pytest.approx(max(probabilities.values()), abs=1e-6)
    image = Image.open(file)
    inputs = torch.stack([eval_transform(classifier.input)(image)])
    heat = heat_maps(classifier.trained.model, inputs, [1], "layer3")[0]
    np.testing.assert_allclose(
        np.load(out / row["heat"]), place(heat, classifier.input, image.size), atol=1e-5
    )


def test_images_of_one_name_do_not_overwrite_each_other(made_run, tmp_path):
    names = ["a/x.png", "b/x.png", "b/X.jpg", "c/x-2.png", "c/x-stages.png"]
    for shade, name in enumerate(names):
        file = tmp_path / "many" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + shade, 40)).save(file)
    out = tmp_path / "maps"
    assert explain(made_run, *(tmp_path / "many" / name for name in names), "--out", out, "--stages") == 0
    rows = table(out)
    assert [row["path"] for row in rows] == [str(tmp_path / "many" / name) for name in names]
    assert [np.load(out / row["heat"]).shape for row in rows] == [(40, 40 + shade) for shade in range(5)]
    files = [row[kind] for row in rows for kind in ("overlay", "heat", "stages")]
    assert len({name.casefold() for name in files}) == 15
    assert {path.name for path in out.iterdir()} == {*files, "explain.csv"}


def test_what_cannot_be_read_is_named_and_the_rest_is_done(made_run, tmp_path, capsys):
    (tmp_path / "images" / "03 50%.png").write_bytes(b"damaged")
    out = tmp_path / "maps"
    assert explain(made_run, tmp_path / "gone\x1b.png", tmp_path / "images", "--out", out) == 1
    said = capsys.readouterr().err
    lines = said.splitlines()
    assert "gone" in lines[0]
    assert "\x1b" not in said
    assert "03 50%.png" in lines[1]
    assert lines[2] == "2 could not be read; 23 explained"
    assert len(table(out)) == 23


def test_names_as_long_as_a_file_system_takes_them(made_run, tmp_path):
    folder, out = tmp_path / "long", tmp_path / "maps"
    folder.mkdir()
    for last in "ab":
        Image.new("RGB", (40, 40)).save(folder / ("\N{GRINNING FACE}" * 60 + f"{last}.png"))
    assert explain(made_run, folder, "--out", out) == 0
    assert len(list(out.iterdir())) == 5


@pytest.mark.parametrize("method", ["gradcam++", "gradcam"])
def test_maps_without_heat_are_named_and_counted(made_run, tmp_path, capsys, method):
    from hemf.models.hub import load_model, save_model

    model, config = load_model(made_run / "model")
    model.get_classifier().weight.data[1] = 0  # nothing speaks for or against b
    keys = ("architecture", "model_args", "pretrained_cfg")
    save_model(model, made_run / "model", classes=list("abc"), **{key: config.get(key, {}) for key in keys})
    files, out = sorted((tmp_path / "images").iterdir())[:3], tmp_path / "maps"
    asked = [*files, tmp_path / "gone.png", "--out", out, "--method", method]
    assert explain(made_run, *asked, "--target", "b") == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[2:5] == [f"{file}: no evidence for b at layer4, a blank heat map" for file in files]
    assert lines[5].startswith("3 of 3 heat maps are blank; ")
    assert ("--method gradcam" in lines[5]) == (method == "gradcam++")
    assert [(row["layer"], row["blank"]) for row in table(out)] == [("layer4", "true")] * 3
    assert not any(np.load(out / row["heat"]).any() for row in table(out))


def test_a_layer_without_evidence_is_refused_and_nothing_is_written(tmp_path, capsys):
    import timm
    import torch

    from hemf.data.preprocessing import InputSpec
    from hemf.models.hub import save_model

    torch.manual_seed(0)
    model, folder, out = (
        timm.create_model("test_vit", num_classes=2, img_size=64),
        tmp_path / "vit",
        tmp_path / "maps",
    )
    spec = InputSpec((3, 64, 64), 1.0, "center", "bilinear", (0.5,) * 3, (0.5,) * 3).to_pretrained_cfg()
    args = {"img_size": 64}
    save_model(
        model, folder, architecture="test_vit", model_args=args, classes=["a", "b"], pretrained_cfg=spec
    )
    Image.effect_noise((64, 64), 80).save(tmp_path / "x.png")
    assert explain(folder, tmp_path / "x.png", "--out", out, "--layer", "blocks.5") == 2
    assert "no evidence at layer 'blocks.5'" in capsys.readouterr().err
    assert not out.exists() or not list(out.iterdir())
    assert explain(folder, tmp_path / "x.png", "--out", out, "--method", "gradcam", "--stages") in (0, 1)
    assert table(out)[0]["layer"] == "blocks.5.norm1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "d"], "no class 'd'; its classes are a, b, c"),
        (["--layer", "layer5"], "no layer 'layer5'; near names: layer"),
        (["--batch-size", "0"], "--batch-size is 0"),
    ],
)
def test_bad_options_are_bad_input(made_run, tmp_path, capsys, arguments, words):
    out = tmp_path / "maps"
    assert explain(made_run, tmp_path / "images", "--out", out, *arguments) == 2
    assert words in capsys.readouterr().err
    assert not (out / "explain.csv").exists()


def test_a_file_in_the_place_of_the_folder_is_bad_input(made_run, tmp_path):
    (tmp_path / "maps").write_text("mine")
    with pytest.raises(HemfError, match="is a file"):
        hemf.explain(str(made_run), [str(tmp_path / "images")], str(tmp_path / "maps"))
    assert (tmp_path / "maps").read_text() == "mine"


def test_explain_is_the_verb_and_explanation_the_package():
    import hemf.explanation

    assert inspect.isfunction(hemf.explain)
    assert hemf.explain.__module__ == "hemf.commands.explain"
    assert inspect.ismodule(hemf.explanation)


@pytest.mark.parametrize("stages", [[], ["--stages"]])
def test_the_images_and_what_is_not_hemf_s_are_never_replaced(made_run, tmp_path, capsys, stages):
    folder = tmp_path / "images"
    before = {file: file.read_bytes() for file in folder.iterdir()}
    assert explain(made_run, folder, "--out", folder, *stages) == 2
    assert "one of the files to read" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    one = folder / "03 50%.png"
    for name in ("03 50%.npy", "explain.csv", *(["03 50%-stages.png"] if stages else [])):
        out = tmp_path / "maps" / name
        out.parent.mkdir(exist_ok=True)
        out.write_text("mine")
        assert explain(made_run, one, "--out", out.parent, *stages) == 2
        assert "was not written by hemf" in capsys.readouterr().err
        assert [out.read_text(), *out.parent.iterdir()] == ["mine", out]
        out.unlink()


def test_the_same_command_writes_over_its_own_files(made_run, tmp_path):
    one, out = tmp_path / "images" / "03 50%.png", tmp_path / "maps"
    for _ in range(2):
        assert explain(made_run, one, "--out", out, "--stages") == 0
    assert explain(made_run, out / "03 50%.png", "--out", out) == 2  # an overlay is an image like any other


def test_few_large_images_are_held_at_once_and_the_maps_are_the_same(made_run, tmp_path, monkeypatch):
    files = sorted((tmp_path / "images").iterdir())[:5]
    assert explain(made_run, *files, "--out", tmp_path / "together") == 0
    held, predict = [], Classifier.predict

    def watching(self, images, **options):
        held.append(len(images))
        return predict(self, images, **options)

    monkeypatch.setattr(Classifier, "predict", watching)
    monkeypatch.setattr("hemf.explanation.images.HELD_PIXELS", 1)
    assert explain(made_run, *files, "--out", tmp_path / "few") == 0
    assert held == [1] * 5
    for one, other in zip(table(tmp_path / "together"), table(tmp_path / "few"), strict=True):
        maps = (np.load(tmp_path / out / row["heat"]) for out, row in (("together", one), ("few", other)))
        assert np.allclose(*maps, atol=1e-5)


def selecting(folder: Path, seed: int = 0) -> Path:
    """A model's folder with a small untrained HEMF that selects among its stages."""
    import timm
    import torch

    from hemf.data.preprocessing import InputSpec
    from hemf.models.hub import save_model

    torch.manual_seed(seed)
    depths = [1, 1, 1, 1]
    args = {"dims": [8, 16, 24, 32], "num_heads": 2, "local_depths": depths, "global_depths": depths}
    args |= {"selection": "dynamic"}
    model = timm.create_model("hemf_nano", num_classes=3, **args)
    torch.nn.init.normal_(model.selection.gate.weight)
    spec = InputSpec((3, 32, 32), 1.0, "center", "bilinear", (0.5,) * 3, (0.5,) * 3).to_pretrained_cfg()
    save_model(
        model, folder, architecture="hemf_nano", model_args=args, classes=list("abc"), pretrained_cfg=spec
    )
    return folder


def parts(row: dict[str, str], name: str) -> list[float]:
    return [float(row[f"{name}_{stage}"]) for stage in (1, 2, 3, 4)]


def test_of_a_model_that_selects_the_table_says_which_stage_decided(made_run, tmp_path, capsys):
    from collections import Counter

    folder, out = selecting(tmp_path / "selecting"), tmp_path / "maps"
    files = sorted((tmp_path / "images").iterdir())[:3]
    assert explain(folder, *files, "--out", out, "--batch-size", "2", "--stages") in (0, 1)
    rows, said = table(out), capsys.readouterr().out
    for row in rows:
        evidence = parts(row, "evidence")
        assert sum(parts(row, "weight")) == pytest.approx(1, abs=1e-6)
        assert row["deciding_stage"] == str(1 + int(np.argmax(evidence)))
        assert row["layer"] == "selection"
        assert (out / row["stages"]).is_file()
    assert len({row["weight_1"] for row in rows}) == 3
    line = next(one for one in said.splitlines() if one.startswith("deciding stage: "))
    counts = Counter(row["deciding_stage"] for row in rows)
    assert all(f"{stage} in {n} image" in line for stage, n in counts.items())
    assert explain(folder, *files, "--out", out) in (0, 1)  # the table is known as hemf's own
    assert explain(made_run, *files, "--out", out) == 0
    assert "deciding_stage" not in table(out)[0]
    assert "deciding stage" not in capsys.readouterr().out.splitlines()[-1]


def test_the_weights_of_an_ensemble_are_those_of_its_members_on_average(made_run, tmp_path):
    folders = [selecting(tmp_path / name, seed) for seed, name in enumerate(("first", "second"))]
    file, found = tmp_path / "images" / "03 50%.png", []
    for number, run in enumerate([*map(str, folders), ",".join(map(str, folders))]):
        assert explain(Path(run), file, "--out", tmp_path / f"maps{number}", "--target", "b") in (0, 1)
        found.append(table(tmp_path / f"maps{number}")[0])
    for name in ("weight", "evidence"):
        first, second, both = (parts(row, name) for row in found)
        assert both == pytest.approx(np.mean([first, second], axis=0), abs=1e-9)
    assert explain(Path(f"{folders[0]},{made_run / 'model'}"), file, "--out", tmp_path / "mixed") in (0, 1)
    assert "deciding_stage" not in table(tmp_path / "mixed")[0]
