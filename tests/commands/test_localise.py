"""``hemf localise``: from a run and masks to numbers with their n and interval."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hemf
from hemf.cli.app import main
from hemf.data.manifest import read_data_set, write_data_set
from hemf.explanation.placement import place

PLAIN = ["--device", "cpu"]


@pytest.fixture
def masks(made_run: Path, tmp_path: Path) -> Path:
    """A mask for every image of the made run: its left third."""
    folder = tmp_path / "masks"
    folder.mkdir()
    for file in (tmp_path / "images").iterdir():
        mask = np.zeros(Image.open(file).size[::-1], np.uint8)
        mask[:, : mask.shape[1] // 3] = 255
        Image.fromarray(mask).save(folder / f"{file.stem}_segmentation.png")
    return folder


def read(run: Path, split: str = "test") -> dict:
    return json.loads((run / "evaluation" / split / "localisation.json").read_text())


def test_masks_are_compared_at_every_stage_beside_two_baselines(made_run, masks, capsys):
    assert main(["localise", str(made_run), "--masks", str(masks), "--perturb", "0", *PLAIN]) == 0
    report = read(made_run)
    inside = report["inside_masks"]
    assert report["faithfulness"] is None
    assert report["layer"] == "layer4"
    assert (inside["n"], inside["without_mask"], inside["mask_out_of_sight"]) == (12, 0, 0)
    assert list(inside["layers"]) == ["act1", "layer1", "layer2", "layer3", "layer4"]
    spec, data = hemf.load(made_run, "fp32", "cpu").input, read_data_set(made_run)
    shares = []
    for sample in data.subset("test"):
        size = Image.open(data.path(sample)).size
        seen = place(np.ones((1, 1)), spec, size) > 0
        mask = np.asarray(Image.open(masks / f"{Path(sample.path).stem}_segmentation.png")) > 0
        shares.append((seen & mask).sum() / seen.sum())
    assert inside["even"]["energy"]["value"] == pytest.approx(np.mean(shares), abs=1e-6)
    last = inside["layers"]["layer4"]  # at 32 pixels a single place: an even map, unless blank
    assert last["energy"]["value"] == pytest.approx(np.mean(shares) * (1 - last["blank"] / 12), abs=0.05)
    assert inside["centre"]["pointing"]["value"] == 0  # the left third ends before the middle
    for one in inside["layers"].values():
        gain = one["energy_beyond_centre"]["value"]
        assert gain == pytest.approx(one["energy"]["value"] - inside["centre"]["energy"]["value"])
    assert report["intervals"]["unit"] == "group"
    assert "share inside the lesion" in capsys.readouterr().out


def test_deletion_insertion_and_random_weights_need_no_masks(made_run, capsys):
    found = hemf.localise(str(made_run), layer="layer2", perturb=5, limit=8, batch_size=3, device="cpu")
    assert found == read(made_run)
    faithful = found["faithfulness"]
    assert found["inside_masks"] is None
    assert faithful["n"] == 5
    for curve in ("deletion", "insertion"):
        areas = faithful[curve]
        assert {name for name in areas if "beyond" not in name} == {"model", "centre", "random"}
        assert all(0 < areas[name]["value"] < 1 for name in ("model", "centre", "random"))
        gain = areas["model"]["value"] - areas["random"]["value"]
        assert areas["model_beyond_random"]["value"] == pytest.approx(gain)
    parts = [one["part"] for one in faithful["random_weights"]]
    assert parts[0] == "fc"
    assert parts[-1] == "another image"
    assert "deletion" in capsys.readouterr().out
    again = hemf.localise(str(made_run), layer="layer2", perturb=5, limit=8, batch_size=3, device="cpu")
    assert again["faithfulness"] == faithful


def test_the_two_methods_are_kept_apart(made_run, masks):
    options = {"masks": str(masks), "layer": "layer2", "perturb": 0, "device": "cpu"}
    found = {name: hemf.localise(str(made_run), method=name, **options) for name in ("gradcam++", "gradcam")}
    assert {name: one["method"] for name, one in found.items()} == {
        "gradcam++": "gradcam++",
        "gradcam": "gradcam",
    }
    assert read(made_run) == found["gradcam++"]
    file = made_run / "evaluation" / "test" / "localisation-gradcam.json"
    assert json.loads(file.read_text()) == found["gradcam"]
    layers = [one["inside_masks"]["layers"]["layer2"] for one in found.values()]
    assert layers[0] != layers[1]


def test_images_without_a_mask_are_counted(made_run, masks):
    files = sorted(masks.iterdir())
    files[2].unlink()
    Image.new("L", Image.open(files[3]).size).save(files[3])
    inside = hemf.localise(str(made_run), masks=str(masks), perturb=0, device="cpu")["inside_masks"]
    assert (inside["n"], inside["without_mask"], inside["mask_out_of_sight"]) == (10, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--perturb", "0"], "nothing to measure"),
        (["--perturb", "-1"], "perturb at least 0"),
        (["--limit", "0"], "limit must be at least 1"),
        (["--layer", "layer9"], "near names: layer"),
        (["--split", "nowhere"], "no split 'nowhere'"),
        (["--masks", "gone"], "no folder gone"),
    ],
)
def test_bad_options_are_bad_input(made_run, capsys, arguments, words):
    assert main(["localise", str(made_run), *arguments, *PLAIN]) == 2
    assert words in capsys.readouterr().err
    assert not (made_run / "evaluation").exists()


def test_masks_of_other_images_are_bad_input(made_run, tmp_path, capsys):
    (tmp_path / "others").mkdir()
    Image.new("L", (4, 4), 255).save(tmp_path / "others" / "someone.png")
    assert main(["localise", str(made_run), "--masks", str(tmp_path / "others"), *PLAIN]) == 2
    assert "no image of the split has a mask" in capsys.readouterr().err


def test_two_images_of_one_name_cannot_share_a_mask(made_run, tmp_path, masks, capsys):
    data = read_data_set(made_run)
    first, second = [i for i, s in enumerate(data.samples) if s.split == "test"][:2]
    (tmp_path / "images" / "more").mkdir()
    twin = tmp_path / "images" / "more" / data.samples[first].path
    twin.write_bytes(data.path(data.samples[second]).read_bytes())
    data.samples[second] = replace(data.samples[second], path=f"more/{twin.name}")
    write_data_set(data, made_run)
    assert main(["localise", str(made_run), "--masks", str(masks), "--perturb", "0", *PLAIN]) == 2
    assert "have one mask" in capsys.readouterr().err
