"""Images that show nothing are counted and named by prepare, audit and predict, and change no exit code."""

import json

import numpy as np
import pytest
from PIL import Image

from hemf.cli.app import main
from hemf.data.image.empty import NAMED, emptiness, empty_line

NOISE = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_one_value_and_two_are_told_from_a_picture(mode):
    assert emptiness(Image.fromarray(NOISE).convert(mode)) is None
    assert emptiness(Image.new(mode, (9, 7), "grey")) == "blank"
    two = Image.new(mode, (9, 7), "grey")
    two.putpixel((8, 6), 3 if mode == "L" else (3, 3, 3))
    assert emptiness(two) == "of two values"


def test_the_line_names_a_few_and_counts_all():
    assert empty_line(["a.png (blank)"], 5) == "1 of 5 images shows nothing: a.png (blank); look at them"
    line = empty_line([f"{i}.png (blank)" for i in range(NAMED + 3)], 99)
    assert line.startswith(f"{NAMED + 3} of 99 images show nothing: 0.png (blank), ")
    assert line.endswith(f"{NAMED - 1}.png (blank) and 3 more; look at them")


@pytest.fixture
def folder(tmp_path):
    for label in "ab":
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(12):
            values = np.random.default_rng(number).integers(0, 256, NOISE.shape, np.uint8)
            Image.fromarray(values).save(tmp_path / "photos" / label / f"{label}{number}.png")
    Image.new("RGB", (48, 40)).save(tmp_path / "photos" / "a" / "black.png")
    Image.fromarray(NOISE[..., 0] > 99).save(tmp_path / "photos" / "b" / "mask.png")
    return tmp_path / "photos"


def test_prepare_names_them(folder, tmp_path, capsys):
    assert main(["data", "prepare", "folder", "--root", str(folder), "--out", str(tmp_path / "out")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("images show nothing") == 1
    assert "2 of 26 images show nothing: a/black.png (blank), b/mask.png (of two values)" in said
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert about["empty"] == {"a/black.png": "blank", "b/mask.png": "of two values"}


def test_audit_names_them(folder, tmp_path):
    main(["data", "audit", str(folder), "--out", str(tmp_path / "audit"), "--workers", "0"])
    odd = json.loads((tmp_path / "audit" / "audit.json").read_text())["odd"]
    why = {one["path"]: " ".join(one["why"]) for one in odd}
    assert "blank" in why["a/black.png"]
    assert "of two values" in why["b/mask.png"]


@pytest.mark.parametrize("out", [True, False])
def test_predict_names_them(made_run, folder, tmp_path, capsys, out):
    more = ["--out", str(tmp_path / "p.csv")] if out else []
    assert main(["predict", str(made_run), str(folder), *more]) == 0
    said = capsys.readouterr().err
    assert said.count("2 of 26 images show nothing") == 1
    assert "black.png (blank)" in said
    assert "mask.png (of two values)" in said
