"""The classes of the demo need outline and texture: colour, size and brightness tell nothing of them."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hemf.core.errors import HemfError
from hemf.data.demo.lesions import CLASSES, Lesion, photograph
from hemf.data.demo.make import demo
from hemf.data.load import load_data

EACH = 60
OUTLINE, TEXTURE = np.repeat([0, 0, 1, 1], EACH), np.repeat([0, 1, 0, 1], EACH)
CLASS = 2 * OUTLINE + TEXTURE


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Pictures of ``EACH`` lesions a class, N x 96 x 96 x 3."""
    drawn = []
    for number, name in enumerate(CLASSES):
        for i in range(EACH):
            rng = np.random.default_rng([7, number, i])
            drawn.append(np.asarray(photograph(Lesion.drawn(*name.split("-"), rng), 96, rng)))
    return np.stack(drawn).astype(float)


@pytest.fixture(scope="module")
def masks(images) -> np.ndarray:
    """The lesions, found by their darkness once the texture is blurred away."""
    smooth = gaussian_filter(images.mean(-1), (0, 2.5, 2.5))
    centre, rim = (
        smooth[:, 40:56, 40:56].mean((1, 2)),
        smooth[:, [6, 6, -7, -7, 6, 48, -7, 48], [6, -7, 6, -7, 48, 6, 48, -7]].mean(1),
    )
    return smooth < ((centre + rim) / 2)[:, None, None]


def accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.3))
    return float((cross_val_predict(model, features, labels, cv=6) == labels).mean())


def outlines(masks: np.ndarray) -> np.ndarray:
    """Strength of the first harmonics of the distance from the centre to the edge, by direction."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    steps = np.arange(4, 48)
    found = []
    for mask in masks:
        y, x = (c.mean() for c in np.nonzero(mask))
        rows = np.clip(np.rint(y + np.outer(np.sin(angles), steps)), 0, 95).astype(int)
        columns = np.clip(np.rint(x + np.outer(np.cos(angles), steps)), 0, 95).astype(int)
        found.append(np.abs(np.fft.rfft(mask[rows, columns].sum(1)))[2:9])
    return np.stack(found)


def patches(images: np.ndarray) -> np.ndarray:
    """Moments of the fine detail in the middle of the lesion, where no edge is to be seen."""
    grey = images.mean(-1)
    fine = (gaussian_filter(grey, (0, 0.7, 0.7)) - gaussian_filter(grey, (0, 3, 3)))[:, 36:60, 36:60]
    fine = fine / fine.std((1, 2), keepdims=True)
    edges = np.stack(np.gradient(fine, axis=(1, 2)), -1)
    return np.stack([(fine**3).mean((1, 2)), (fine**4).mean((1, 2)), (edges**2).sum(-1).mean((1, 2))], -1)


def test_colour_brightness_and_size_do_not_tell_the_classes(images, masks):
    inside = np.stack([image[mask].mean(0) for image, mask in zip(images, masks, strict=True)])
    spread = np.stack([image[mask].std(0) for image, mask in zip(images, masks, strict=True)])
    features = np.column_stack([images.mean((1, 2)), images.std((1, 2)), inside, spread, masks.mean((1, 2))])
    assert accuracy(features, CLASS) < 0.36  # 0.25 is chance


def test_the_outline_tells_two_classes_apart_and_nothing_of_the_texture(masks):
    found = outlines(masks)
    assert accuracy(found, OUTLINE) > 0.9
    assert accuracy(found, TEXTURE) < 0.65


def test_small_patches_tell_the_texture_and_nothing_of_the_outline(images):
    found = patches(images)
    assert accuracy(found, TEXTURE) > 0.9
    assert accuracy(found, OUTLINE) < 0.65


def test_the_texture_is_gone_from_a_thumbnail(images):
    thumbs = zoom(gaussian_filter(images.mean(-1), (0, 5, 5)), (1, 1 / 6, 1 / 6), order=1)
    spectra = np.abs(np.fft.rfft2(thumbs - thumbs.mean((1, 2), keepdims=True))).reshape(len(thumbs), -1)
    assert accuracy(spectra[:, :40], TEXTURE) < 0.66


def test_the_demo_is_a_prepared_data_set_with_lesions_on_one_side_each(tmp_path, capsys):
    demo(str(tmp_path / "demo"), lesions=6, size=32)
    assert "48 images of 24 lesions" in capsys.readouterr().out
    data = load_data(tmp_path / "demo")
    assert data.classes == list(CLASSES)
    assert len(data.samples) == 48
    assert data.groups == 24
    assert data.leaking_groups() == {}
    assert all(counts[name] for counts in data.counts().values() for name in CLASSES)
    assert set(data.counts()) == {"train", "val", "test"}
    image = Image.open(data.path(data.samples[0]))
    assert (image.size, image.mode) == ((32, 32), "RGB")


def test_pictures_come_from_the_seed_and_their_name_alone(tmp_path):
    demo(str(tmp_path / "a"), lesions=5, size=32)
    demo(str(tmp_path / "b"), lesions=6, size=32)
    demo(str(tmp_path / "c"), lesions=5, size=32, seed=1)
    name = "images/lobed-globular/lobed-globular-0003-2.png"
    first, same, other = ((tmp_path / folder / name).read_bytes() for folder in "abc")
    assert first == same
    assert first != other


def test_both_pictures_of_a_lesion_show_the_same_lesion_and_differ(tmp_path):
    demo(str(tmp_path), lesions=5, size=64)
    one, two = (Image.open(tmp_path / f"images/oval-globular/oval-globular-0001-{i}.png") for i in (1, 2))
    assert one.tobytes() != two.tobytes()


def test_an_earlier_demo_is_replaced_and_nothing_else_is(tmp_path):
    demo(str(tmp_path / "demo"), lesions=5, size=32)
    demo(str(tmp_path / "demo"), lesions=5, size=40)
    assert Image.open(next((tmp_path / "demo").rglob("*.png"))).size == (40, 40)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(HemfError, match="not empty"):
        demo(str(tmp_path / "mine"))
    with pytest.raises(HemfError, match="file"):
        demo(str(tmp_path / "mine" / "thesis.txt"))


def test_a_demo_of_other_numbers_leaves_no_picture_of_the_earlier_one(tmp_path):
    demo(str(tmp_path / "demo"), lesions=7, size=32)
    (tmp_path / "demo" / "notes.txt").write_text("mine")
    demo(str(tmp_path / "demo"), lesions=5, size=32)
    data = load_data(tmp_path / "demo")
    assert {data.path(s) for s in data.samples} == set((tmp_path / "demo").rglob("*.png"))
    assert len(data.samples) == 40
    assert (tmp_path / "demo" / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_demo_that_is_stopped_leaves_the_earlier_one_as_it_was(tmp_path, monkeypatch):
    demo(str(tmp_path / "demo"), lesions=5, size=32)
    before = {path: path.read_bytes() for path in (tmp_path / "demo").rglob("*.*")}
    drawn = iter(range(11))

    def stopped(*arguments):
        if next(drawn) == 10:
            raise KeyboardInterrupt
        return photograph(*arguments)

    monkeypatch.setattr("hemf.data.demo.lesions.photograph", stopped)
    with pytest.raises(KeyboardInterrupt):
        demo(str(tmp_path / "demo"), lesions=6, size=40)
    assert {path: path.read_bytes() for path in (tmp_path / "demo").rglob("*.*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


@pytest.mark.parametrize("options", [{"lesions": 4}, {"size": 16}, {"seed": -1}])
def test_what_cannot_be_drawn_is_refused(tmp_path, options):
    with pytest.raises(HemfError, match=next(iter(options))):
        demo(str(tmp_path / "demo"), **options)
    assert not (tmp_path / "demo").exists()
