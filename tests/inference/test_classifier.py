"""``hemf.load``: what counts as images, and that it sees what validation saw."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hemf
from hemf.core.errors import HemfError
from hemf.data.preprocessing import InputSpec
from hemf.inference.classifier import Classifier

PLAIN = {"precision": "fp32", "device": "cpu"}


@pytest.fixture
def classifier(made_run: Path) -> Classifier:
    return hemf.load(made_run, **PLAIN)


@pytest.fixture
def image(tmp_path: Path, made_run: Path) -> Path:
    return tmp_path / "images" / "03 50%.png"


def names(predictions) -> list[str]:
    return [Path(p.path).name for p in predictions]


@pytest.mark.parametrize("batch_size", [5, 32])
def test_probabilities_are_those_of_evaluate_bit_for_bit(
    made_run: Path, tmp_path: Path, batch_size: int
) -> None:
    evaluation = hemf.evaluate(str(made_run), batch_size=batch_size, workers=0, **PLAIN)
    with open(evaluation.folder / "predictions.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    paths = [tmp_path / "images" / row["path"] for row in rows]
    for path in (made_run, made_run / "model"):
        found = hemf.load(path, **PLAIN).predict(paths, batch_size=batch_size)
        assert [p.label for p in found] == [row["prediction"] for row in rows]
        for prediction, row in zip(found, rows, strict=True):
            assert prediction.probabilities == {name: float(row[name]) for name in "abc"}


def test_says_what_it_is(classifier: Classifier, image: Path) -> None:
    assert classifier.classes == ["a", "b", "c"]
    assert classifier.input == InputSpec((3, 32, 32), 0.875, "center", "bilinear", (0.5,) * 3, (0.5,) * 3)
    (found,) = classifier.predict(image)
    assert found.path == str(image)
    assert found.probability == max(found.probabilities.values())
    assert sum(found.probabilities.values()) == pytest.approx(1)


def test_pixels_are_classified_as_their_file_is(classifier: Classifier, image: Path) -> None:
    with Image.open(image) as opened:
        found = classifier.predict([image, opened, np.array(opened), np.array(opened.convert("RGBA"))])
    assert [p.path for p in found] == [str(image), None, None, None]
    for other in found[1:]:
        assert other.probabilities == pytest.approx(found[0].probabilities, abs=1e-6)
    with Image.open(image) as opened:
        assert len(classifier.predict(opened)) == 1


def test_grey_arrays(classifier: Classifier) -> None:
    ramp = np.arange(1600, dtype=np.uint16).reshape(40, 40)
    wide, low, again = classifier.predict(
        [ramp, ramp * 4, (ramp * (255 / 1599)).round().astype(np.uint8)[..., None]]
    )
    assert wide.probabilities == pytest.approx(low.probabilities)
    assert wide.probabilities == pytest.approx(again.probabilities, abs=1e-6)


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8), np.zeros(3, np.uint8)],
)
def test_arrays_that_are_no_images_are_named(classifier: Classifier, array: np.ndarray) -> None:
    with pytest.raises(HemfError, match="image 1 cannot be read: an array of") as caught:
        classifier.predict(array)
    assert "\n" not in str(caught.value)


def test_folders_are_searched_to_the_bottom_in_order(
    classifier: Classifier, image: Path, tmp_path: Path
) -> None:
    deep = tmp_path / "scans" / "a" / "b"
    deep.mkdir(parents=True)
    for name in ("2.PNG", "1.png"):
        shutil.copy(image, deep / name)
    shutil.copy(image, tmp_path / "scans" / "z.png")
    (tmp_path / "scans" / "notes.txt").write_text("not an image")
    assert names(classifier.predict(tmp_path / "scans")) == ["1.png", "2.PNG", "z.png"]


def test_globs_and_names_that_look_like_globs(classifier: Classifier, image: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scan[1] 50%"
    folder.mkdir()
    for name in ("a[2].png", "a2.png", "b.png"):
        shutil.copy(image, folder / name)
    assert names(classifier.predict(folder)) == ["a2.png", "a[2].png", "b.png"]
    assert names(classifier.predict(folder / "a[2].png")) == ["a[2].png"]
    assert names(classifier.predict(folder / "a*.png")) == ["a2.png", "a[2].png"]
    assert names(classifier.predict(str(tmp_path / "**" / "?.png"))) == ["b.png"]
    assert names(classifier.predict([folder / "b.png", folder / "b*", image])) == [
        "b.png",
        "b.png",
        image.name,
    ]


def test_errors_are_raised_or_handed_over(classifier: Classifier, image: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    sources = [image, bad, tmp_path / "gone.png", tmp_path / "none*", image]
    errors = []
    assert names(classifier.predict(sources, on_error=errors.append)) == [image.name] * 2
    assert len(errors) == 3
    assert all(any(name in message for message in errors) for name in ("bad.png", "gone.png", "none*"))
    with pytest.raises(HemfError, match=r"bad\.png is an empty file"):
        classifier.predict([image, bad])


@pytest.mark.parametrize("source", ["gone.png", "none*.png", "", []])
def test_no_image_at_all_is_an_error(classifier: Classifier, tmp_path: Path, source, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path / "images" if source == "" else tmp_path / "runs")
    with pytest.raises(HemfError, match="no image"):
        classifier.predict(source, on_error=print)


def test_what_is_no_image_is_refused(classifier: Classifier) -> None:
    with pytest.raises(HemfError, match="int is no image"):
        classifier.predict([3])


def test_streams(classifier: Classifier, image: Path) -> None:
    stream = classifier.stream([image] * 50, batch_size=2)
    assert next(stream).path == str(image)
    assert sum(1 for _ in stream) == 49


def test_a_model_whose_class_is_called_like_a_column_is_refused(made_run: Path) -> None:
    config = made_run / "model" / "config.json"
    config.write_text(config.read_text().replace('"b"', '"prediction"'))
    with pytest.raises(HemfError, match=r"class 'prediction' of .* rename it"):
        hemf.load(made_run)


def test_folders_that_are_no_run(tmp_path: Path, made_run: Path) -> None:
    with pytest.raises(HemfError, match="no run at"):
        hemf.load(tmp_path / "gone")
    (made_run / "model" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(HemfError, match="cannot load the model") as caught:
        hemf.load(made_run)
    assert "\n" not in str(caught.value)


@pytest.mark.real
def test_real_images_of_every_mode(classifier: Classifier, real_data: Path) -> None:
    files = sorted((real_data / "covid-ct" / "Images-processed").glob("*/*%*"))[:40]
    found = classifier.predict(files, batch_size=16, workers=2)
    assert [p.path for p in found] == list(map(str, files))
    assert all(sum(p.probabilities.values()) == pytest.approx(1) for p in found)
    assert len({p.probability for p in found}) > 30
