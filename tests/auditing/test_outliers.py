"""Unreadable and odd files are named with the reason; properties tell where an image comes from."""

import numpy as np
import pytest
from PIL import Image

from hemf.auditing.outliers import odd_images, unreadable
from hemf.auditing.properties import properties
from hemf.auditing.scan import look_at
from hemf.data.dataset import Sample


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


@pytest.fixture
def looked(tmp_path):
    """Twenty usual images and one of each oddity."""
    for i in range(20):
        noise(60, 80, i).save(tmp_path / f"usual-{i}.png")
    Image.new("RGB", (80, 60), (90, 90, 90)).save(tmp_path / "blank.png")
    noise(16, 20).save(tmp_path / "small.png")
    noise(40, 200).save(tmp_path / "long.png")
    noise(300, 400).save(tmp_path / "large.png")
    noise(60, 80).save(tmp_path / "is-jpeg.png", "JPEG")
    (tmp_path / "broken.png").write_bytes((tmp_path / "usual-0.png").read_bytes()[:300])
    files = sorted(tmp_path.glob("*.png"))
    return [Sample(file.name, "a") for file in files], [look_at(file) for file in files]


def test_each_oddity_is_named_once_with_its_reason(looked):
    found = {one["path"]: "; ".join(one["why"]) for one in odd_images(*looked)}
    assert set(found) == {"blank.png", "small.png", "long.png", "large.png", "is-jpeg.png"}
    for name, word in (
        ("blank", "blank"),
        ("small", "20 x 16"),
        ("long", "long"),
        ("large", "times"),
        ("is-jpeg", "JPEG"),
    ):
        assert word in found[f"{name}.png"]


def test_unreadable_files_are_named(looked):
    (one,) = unreadable(*looked)
    assert one["path"] == "broken.png"
    assert "damaged" in one["reason"]


def test_rare_modes_are_odd(tmp_path):
    for i in range(105):
        noise(40, 40, i).convert("L" if i == 7 else "RGB").save(tmp_path / f"{i:03}.png")
    files = sorted(tmp_path.iterdir())
    found = odd_images([Sample(f.name, "a") for f in files], [look_at(f) for f in files])
    assert found == [{"path": "007.png", "why": ["mode L, as 1 of 105 images"]}]


def test_frame_and_border_are_measured(tmp_path):
    image = np.full((100, 200, 3), 0, np.uint8)
    image[10:90, 20:180] = np.asarray(noise(80, 160))
    Image.fromarray(image).save(tmp_path / "framed.png")
    framed = look_at(tmp_path / "framed.png")
    assert framed.frame == pytest.approx(1 - 0.8 * 0.8)
    assert framed.border == 0
    noise(100, 200).save(tmp_path / "plain.png")
    assert look_at(tmp_path / "plain.png").frame == 0


def test_folder_and_name_tell_the_source_but_not_the_class_folder(looked):
    _, looks = looked
    looks = [look for look in looks if not isinstance(look, str)][:6]
    paths = ["train/benign/x/a1.png", "train/benign/x/a22.png", "test/benign/y/b3.png"] * 2
    known = {p.name: p for p in properties([Sample(path, "benign") for path in paths], looks)}
    assert known["folder"].values == ["x", "y"]
    assert known["name of the file"].values == ["a#", "b#"]
    assert known["folder"].codes.tolist() == [0, 0, 1] * 2


@pytest.mark.parametrize(("labels", "folder"), [("12", "images_001"), ("ab", "inventory"), ("01", "site1")])
def test_a_folder_that_holds_all_images_tells_no_class(looked, labels, folder):
    """Though the name of a class is part of the folder's."""
    _, looks = looked
    looks = [look for look in looks if not isinstance(look, str)][:6]
    samples = [Sample(f"{folder}/{i}.png", labels[i % 2]) for i in range(6)]
    assert "folder" not in {p.name for p in properties(samples, looks)}
