"""Images that a run was trained on are found wherever they lie and however encoded; else it is said."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import hemf
from hemf.core.errors import HemfError
from hemf.data.dataset import DataSet, Sample
from hemf.data.demo.lesions import Lesion, photograph
from hemf.data.fingerprints import take_fingerprints
from hemf.data.image.read import read_image
from hemf.data.manifest import read_data_set, write_data_set
from hemf.evaluation.seen_in_training import seen_in_training

PLAIN = {"precision": "fp32", "workers": 0, "device": "cpu"}


def lesion(number: int) -> Image.Image:
    rng = np.random.default_rng(number)
    outline, texture = ("oval", "lobed")[number % 2], ("globular", "reticular")[number // 2 % 2]
    return photograph(Lesion.drawn(outline, texture, rng), 128, rng)


@pytest.fixture
def lesions_run(made_run: Path, tmp_path: Path) -> Path:
    """``made_run`` on photographs of lesions, with their fingerprints; 6 of 24 train."""
    data = read_data_set(made_run)
    for i, s in enumerate(data.samples):
        lesion(i).save(data.path(s))
    write_data_set(replace(data, fingerprints=take_fingerprints(data)), made_run)
    return made_run


def changed_to(folder: Path, run: Path, change: Callable[[Image.Image], Image.Image], suffix=".jpg") -> Path:
    """All of the run's images changed and under other names, and ten others; all of them for testing."""
    data = read_data_set(run)
    pictures = [(change(read_image(data.path(s))), s.label) for s in data.samples]
    pictures += [(lesion(100 + i), "abc"[i % 3]) for i in range(10)]
    samples = []
    (folder / "files").mkdir(parents=True)
    for i, (picture, label) in enumerate(pictures):
        picture.save(folder / "files" / f"x{i:02}{suffix}")
        samples.append(Sample(f"x{i:02}{suffix}", label, split="test"))
    write_data_set(DataSet("elsewhere", list("abc"), samples, folder / "files"), folder)
    return folder


def cropped(image: Image.Image, share: float = 0.05) -> Image.Image:
    x, y = round(share * image.width), round(share * image.height)
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "encoded anew": lambda image: image,
    "half the size": lambda image: image.reduce(2),
    "flipped": ImageOps.mirror,
    "turned": lambda image: image.rotate(90, expand=True),
    "cropped": cropped,
    "framed": lambda image: ImageOps.expand(image, 8),
}


@pytest.mark.parametrize("gone", [False, True], ids=["in place", "moved away"])
@pytest.mark.parametrize("change", CHANGES)
def test_training_images_are_known_by_what_they_show(
    lesions_run: Path, tmp_path: Path, change: str, gone: bool
) -> None:
    other = read_data_set(changed_to(tmp_path / "other", lesions_run, CHANGES[change]))
    if gone:
        shutil.move(tmp_path / "images", tmp_path / "away")
    ours = read_data_set(lesions_run)
    found = seen_in_training(ours, other, other.samples)
    right = {f"x{i:02}.jpg": s.path for i, s in enumerate(ours.samples) if s.split == "train"}
    assert found.alike == right
    assert (found.same, found.unknown) == ({}, [])
    assert found.strangers == found.compared == 34


def test_evaluate_says_so_and_names_the_training_data(lesions_run: Path, tmp_path: Path, capsys) -> None:
    other = changed_to(tmp_path / "other", lesions_run, CHANGES["encoded anew"])
    found = hemf.evaluate(str(lesions_run), data=str(other), resamples=0, **PLAIN)
    assert found.report["images_trained_on"] == 6
    about = json.loads((found.folder / "metrics.json").read_text(encoding="utf-8"))["trained_on"]
    assert (about["same_files"], about["same_pictures"], about["images"]) == (0, 6, 6)
    assert (about["name"], about["hash"]) == ("noise", read_data_set(lesions_run).hash)
    said = " ".join(capsys.readouterr().out.split())
    assert "Warning: the run was trained on 6 of these 34 images." in said
    assert "x00.jpg, which is 00 50%.png of noise" in said
    page = (found.folder / "report.html").read_text(encoding="utf-8")
    assert "the run was trained on 6 of these 34 images" in page
    assert f"noise ({about['hash'][:12]}): 6 images" in page


def test_calibrate_refuses_them(lesions_run: Path, tmp_path: Path) -> None:
    other = changed_to(tmp_path / "other", lesions_run, CHANGES["encoded anew"])
    before = (lesions_run / "model" / "config.json").read_bytes()
    with pytest.raises(
        HemfError, match=r"trained on 6 of these 34 images.*shows the same picture as the train"
    ):
        hemf.calibrate(str(lesions_run), data=str(other), split="test", **PLAIN)
    assert (lesions_run / "model" / "config.json").read_bytes() == before


def test_a_clean_bill_for_what_was_checked(lesions_run: Path, tmp_path: Path, capsys) -> None:
    other = changed_to(tmp_path / "other", lesions_run, lambda image: lesion(np.asarray(image).sum()))
    found = hemf.evaluate(str(lesions_run), data=str(other), resamples=0, **PLAIN)
    assert found.report["images_trained_on"] == 0
    assert found.report["trained_on"]["compared_by_picture"] == 34
    said = " ".join(capsys.readouterr().out.split())
    assert "None of these images was found among the 6 that the run was trained on (noise)" in said
    assert "patients or lesions that these images show is unknown" in said
    hemf.calibrate(str(lesions_run), data=str(other), split="test", **PLAIN)


@pytest.mark.parametrize("names", ["the same", "others"])
def test_moved_images_are_known_by_their_content(lesions_run: Path, tmp_path: Path, names: str) -> None:
    ours, moved = read_data_set(lesions_run), tmp_path / "moved"
    shutil.move(tmp_path / "images", moved)
    if names == "others":
        for i, s in enumerate(ours.samples):
            (moved / s.path).rename(moved / f"{i}.png")
        ours.samples = [replace(s, path=f"{i}.png") for i, s in enumerate(ours.samples)]
    write_data_set(replace(ours, root=moved, fingerprints={}), tmp_path / "list")
    found = hemf.evaluate(str(lesions_run), data=str(tmp_path / "list"), split="train", resamples=0, **PLAIN)
    assert found.report["images_trained_on"] == 6
    with pytest.raises(HemfError, match="trained on 6 of these 6 images"):
        hemf.calibrate(str(lesions_run), data=str(tmp_path / "list"), split="train", **PLAIN)
    hemf.calibrate(str(lesions_run), data=str(tmp_path / "list"), split="val", **PLAIN)


def tree_of(run: Path, folder: Path, made: Callable[[Sample, int], Image.Image | None]) -> Path:
    """Class folders of the run's images, which become its data and go, and in ``folder`` what is ``made``."""
    data, base = read_data_set(run), folder.with_name("own")
    samples = [replace(s, path=f"{s.label}/{i}.png") for i, s in enumerate(data.samples)]
    for i, (old, new) in enumerate(zip(data.samples, samples, strict=True)):
        for root in (base, folder):
            (root / new.label).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(data.path(old), root / new.path)
        if (other := made(new, i)) is not None:
            other.save(folder / new.path)
    data = replace(data, samples=samples, root=base, fingerprints={})
    write_data_set(replace(data, fingerprints=take_fingerprints(data)), run)
    shutil.rmtree(base)
    return folder


def test_a_moved_folder_without_a_split_has_the_runs(lesions_run: Path, tmp_path: Path) -> None:
    moved = tree_of(lesions_run, tmp_path / "moved", lambda *_: None)
    found = hemf.evaluate(str(lesions_run), data=str(moved), split="train", resamples=0, **PLAIN)
    assert (found.n, found.report["images_trained_on"], found.report["images_changed"]) == (6, 6, 0)
    with pytest.raises(HemfError, match="trained on 6 of these 6 images"):
        hemf.calibrate(str(lesions_run), data=str(moved), split="train", **PLAIN)
    test = hemf.evaluate(str(lesions_run), data=str(moved), resamples=0, **PLAIN)
    assert (test.n, test.report["images_trained_on"]) == (12, 0)


def test_another_folder_of_the_same_names_is_all_for_testing(lesions_run: Path, tmp_path: Path) -> None:
    other = tree_of(lesions_run, tmp_path / "other", lambda _, i: lesion(300 + i))
    found = hemf.evaluate(str(lesions_run), data=str(other), resamples=0, **PLAIN)
    assert (found.n, found.report["images_trained_on"]) == (24, 0)


def test_without_fingerprints_and_images_it_is_unknown_and_not_zero(
    lesions_run: Path, tmp_path: Path, capsys
) -> None:
    other = changed_to(tmp_path / "other", lesions_run, CHANGES["encoded anew"])
    (lesions_run / "fingerprints.csv").unlink()
    shutil.move(tmp_path / "images", tmp_path / "away")
    found = hemf.evaluate(str(lesions_run), data=str(other), resamples=0, **PLAIN)
    assert found.report["images_trained_on"] is None
    said = " ".join(capsys.readouterr().out.split())
    assert "Warning: whether the run was trained on any of these images is unknown: 6 of the 6" in said
    assert "None of these images" not in said
    with pytest.raises(HemfError, match=r"cannot be checked: 6 of the 6 training images are gone"):
        hemf.calibrate(str(lesions_run), data=str(other), split="test", **PLAIN)


def test_without_fingerprints_the_images_in_place_still_tell(lesions_run: Path, tmp_path: Path) -> None:
    other = read_data_set(changed_to(tmp_path / "other", lesions_run, CHANGES["encoded anew"]))
    (lesions_run / "fingerprints.csv").unlink()
    assert seen_in_training(read_data_set(lesions_run), other, other.samples).number == 6


def test_without_anything_else_the_names_of_the_very_list_tell(lesions_run: Path, tmp_path: Path) -> None:
    (lesions_run / "fingerprints.csv").unlink()
    ours = read_data_set(lesions_run)
    moved = replace(ours, root=Path(shutil.move(tmp_path / "images", tmp_path / "moved")))
    found = seen_in_training(ours, moved, moved.samples)
    assert sorted(found.same) == sorted(s.path for s in ours.subset("train"))


def test_the_same_names_with_other_content_are_unknown(lesions_run: Path, tmp_path: Path) -> None:
    """Be it another data set that counts its images alike, or the same one shrunk beyond recognition."""
    ours, other = read_data_set(lesions_run), tmp_path / "other"
    other.mkdir()
    for i, s in enumerate(ours.samples):
        lesion(200 + i).save(other / s.path)
    found = seen_in_training(ours, replace(ours, root=other), ours.samples)
    assert found.number is None
    assert "6 have the names of training images in the very same list" in found.unknown[0]


def test_what_there_was_no_time_for_is_unknown(lesions_run: Path, tmp_path: Path) -> None:
    other = read_data_set(changed_to(tmp_path / "other", lesions_run, CHANGES["encoded anew"]))
    found = seen_in_training(read_data_set(lesions_run), other, other.samples, seconds=-1)
    assert found.number is None
    assert "34 images could not be compared by picture" in found.unknown[0]


def test_plain_areas_are_not_one_picture(lesions_run: Path, tmp_path: Path) -> None:
    data = read_data_set(lesions_run)
    for i, s in enumerate(data.samples):
        Image.new("RGB", (90, 90), (i, i, i)).save(data.path(s))
    data = replace(data, fingerprints=take_fingerprints(data), root=tmp_path / "nowhere")
    other = read_data_set(changed_to(tmp_path / "other", lesions_run, lambda _: Image.new("RGB", (64, 64))))
    assert seen_in_training(data, other, other.samples).alike == {}


def test_its_own_split_is_left_to_the_audit(lesions_run: Path, tmp_path: Path) -> None:
    data = read_data_set(lesions_run)
    train, val = data.subset("train")[0], data.subset("val")[0]
    content = io.BytesIO()
    read_image(data.path(train)).save(content, "JPEG", quality=90)
    data.path(val).write_bytes(content.getvalue())
    write_data_set(replace(data, fingerprints=take_fingerprints(data)), lesions_run)
    found = hemf.evaluate(str(lesions_run), split="val", resamples=0, **PLAIN)
    assert found.report["images_trained_on"] == 0
    assert found.report["trained_on"]["strangers"] == 0


def test_images_that_have_changed_since_are_named(lesions_run: Path, capsys) -> None:
    assert hemf.evaluate(str(lesions_run), resamples=0, **PLAIN).report["images_changed"] == 0
    data = read_data_set(lesions_run)
    for s in data.subset("test")[:2] + data.subset("val")[:1]:
        read_image(data.path(s)).resize((16, 16)).save(data.path(s))
    capsys.readouterr()
    found = hemf.evaluate(str(lesions_run), resamples=0, **PLAIN)
    words = "2 of these 12 images are no longer the files that the run was trained and split on"
    assert found.report["images_changed"] == 2
    assert words in " ".join(capsys.readouterr().out.split())
    assert words in (found.folder / "report.html").read_text(encoding="utf-8")
    hemf.calibrate(str(lesions_run), **PLAIN)
    assert "1 of these 6 images are no longer the files" in " ".join(capsys.readouterr().out.split())


@pytest.mark.real
def test_encoded_anew_and_moved_away_on_real_images(real_data: Path, tmp_path: Path) -> None:
    """COVID-CT's slices are much alike: 40 trained on, 20 of them again as small JPEG, and 20 others."""
    root = real_data / "covid-ct" / "Images-processed" / "CT_NonCOVID"
    files = sorted(root.iterdir())[::5][:60]
    data = DataSet("ct", ["a"], [Sample(f.name, "a", split="train") for f in files[:40]], root)
    data = replace(data, fingerprints=take_fingerprints(data), root=tmp_path / "gone")
    samples = []
    for i, file in enumerate(files[20:]):
        read_image(file).reduce(2).save(tmp_path / f"{i}.jpg", quality=70)
        samples.append(Sample(f"{i}.jpg", "a", split="test"))
    found = seen_in_training(data, DataSet("new", ["a"], samples, tmp_path), samples)
    assert found.alike == {f"{i}.jpg": files[20 + i].name for i in range(20)}
