"""Figures: what they show, that they survive any class name, and that they are reproducible."""

import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from hemf.figures.classification import (
    confusion_figure,
    precision_recall_figure,
    roc_figure,
    save_figure,
    short_name,
)

HOSTILE = ["$\\frac{", "<b>&amp;</b>", "a\nb\x00c", "x" * 300, "_^$", "\udcff", " "]


def case(k: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of all but the last class, probabilities, and the confusion matrix."""
    rng = np.random.default_rng(k)
    labels, probabilities = rng.integers(0, max(1, k - 1), n), rng.dirichlet(np.ones(k), n)
    confusion = np.zeros((k, k), int)
    np.add.at(confusion, (labels, probabilities.argmax(1)), 1)
    return labels, probabilities, confusion


def texts(svg: Path) -> list[str]:
    """All words of an SVG, which must be well-formed and hold its text as text."""
    return [" ".join("".join(e.itertext()).split()) for e in ET.parse(svg).iter() if e.tag.endswith("}text")]


@pytest.mark.parametrize("k", [2, 7, 30])
def test_confusion_matrix_writes_counts_and_rates(tmp_path: Path, k: int) -> None:
    _, _, confusion = case(k, 900)
    classes = [f"class {i}" for i in range(k)]
    svg, png = save_figure(
        confusion_figure(confusion, classes, "test, n = 900"), tmp_path / "confusion-matrix"
    )
    words = texts(svg)
    for i, row in enumerate(confusion[:-1]):
        for count in row:
            assert str(count) in words
            assert f"{100 * count / confusion[i].sum():.1f}%" in words
    assert {"test, n = 900", "predicted", "true", *classes} <= set(words)
    assert "n = 0, absent" in words
    with Image.open(png) as image:
        assert min(image.size) > 300


def test_many_classes_leave_the_numbers_out_rather_than_overprint(tmp_path: Path) -> None:
    _, _, confusion = case(60)
    svg, _ = save_figure(confusion_figure(confusion, [f"c{i}" for i in range(60)]), tmp_path / "m")
    assert not any(word.endswith("%") for word in texts(svg))


def test_roc_names_areas_and_the_classes_left_out(tmp_path: Path) -> None:
    labels, scores = np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.6, 0.1])
    probabilities = np.stack([1 - scores, scores, 0 * scores], 1)
    svg, _ = save_figure(roc_figure(labels, probabilities, ["a", "_b", "gone"]), tmp_path / "roc")
    words = texts(svg)
    assert "0.750 a (n = 2)" in words
    assert "0.750 _b (n = 2)" in words
    assert "not drawn: gone (no image)" in words


def test_roc_of_one_class_says_that_there_is_none(tmp_path: Path) -> None:
    svg, _ = save_figure(roc_figure(np.array([0, 0]), np.full((2, 2), 0.5), ["a", "b"]), tmp_path / "roc")
    words = texts(svg)
    assert "no curve: all images are of one class" in words
    assert "not drawn: a (every image); b (no image)" in words


def test_precision_recall_names_areas_shares_and_the_classes_left_out(tmp_path: Path) -> None:
    labels, scores = np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.6, 0.1])
    probabilities = np.stack([1 - scores, scores, 0 * scores], 1)
    figure = precision_recall_figure(labels, probabilities, ["a", "_b", "gone"], "test, n = 4")
    words = texts(save_figure(figure, tmp_path / "pr")[0])
    # of "_b": precision 1 at recall 1/2, then 2/3 at recall 1: 1/2 x 1 + 1/2 x 2/3
    assert "0.833 _b (n = 2, share 0.500)" in words
    assert {"average precision", "test, n = 4", "not drawn: gone (no image)"} <= set(words)
    steps = [line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post"]
    assert len(steps) == 2
    recall, precision = steps[1].get_data()
    assert np.sum(np.diff(recall) * precision[1:]) == pytest.approx(0.8333, abs=1e-4)


@pytest.mark.parametrize("figure_of", [roc_figure, precision_recall_figure])
def test_curves_of_one_class_and_of_many(tmp_path: Path, figure_of) -> None:
    figure = figure_of(np.array([0]), np.full((1, 2), 0.5), ["a", "b"])
    assert "no curve: all images are of one class" in texts(save_figure(figure, tmp_path / "one")[0])
    labels, probabilities, _ = case(40, 400)
    svg, _ = save_figure(figure_of(labels, probabilities, [f"c{i}" for i in range(40)]), tmp_path / "many")
    assert sum("(n = " in word for word in texts(svg)) == 39


def test_class_names_are_never_read_as_markup(tmp_path: Path) -> None:
    labels, probabilities, confusion = case(len(HOSTILE))
    svg, _ = save_figure(confusion_figure(confusion, HOSTILE, "$^{"), tmp_path / "m")
    assert {"$\\frac{", "<b>&amp;</b>", "a b c", "_^$", "$^{"} <= set(texts(svg))
    save_figure(roc_figure(labels, probabilities, HOSTILE, "$^{"), tmp_path / "roc")
    save_figure(precision_recall_figure(labels, probabilities, HOSTILE, "$^{"), tmp_path / "pr")


@pytest.mark.filterwarnings("error")
def test_letters_that_no_font_has_are_text_in_the_svg_and_no_warning(tmp_path: Path) -> None:
    classes = ["黑色素瘤", "흑색종", "मेला"]
    labels, probabilities, confusion = case(3)
    svg, png = save_figure(confusion_figure(confusion, classes, "数据 test"), tmp_path / "m")
    assert {*classes, "数据 test"} <= set(texts(svg))
    with Image.open(png) as image:
        assert min(image.size) > 300
    save_figure(roc_figure(labels, probabilities, classes), tmp_path / "roc")


def test_no_name_turns_the_words_around_it(tmp_path: Path) -> None:
    name = "a\u202eb\u2067c\u2069"
    svg, _ = save_figure(confusion_figure(case(2)[2], [name, "d"], f"{name} test, n = 60"), tmp_path / "m")
    assert {"a b c", "a b c test, n = 60"} <= set(texts(svg))


def test_the_same_numbers_give_the_same_file_whatever_the_users_style(tmp_path: Path) -> None:
    labels, probabilities, confusion = case(3)
    files = []
    for style in ({}, {"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        with matplotlib.rc_context(style):
            for name, figure in [
                ("m", confusion_figure(confusion, ["a", "b", "c"])),
                ("roc", roc_figure(labels, probabilities, ["a", "b", "c"])),
            ]:
                files.append(save_figure(figure, tmp_path / f"{name}{len(files)}")[0].read_bytes())
    assert files[:2] == files[2:]


def test_short_names_keep_both_ends() -> None:
    name = "actinic keratosis or Bowen's disease (intraepithelial carcinoma) of the left hand"
    short = short_name(name)
    assert short.startswith("actinic keratosis")
    assert short.endswith("left hand")
    assert max(map(len, short.split("\n"))) <= 24
    assert short_name("nevus") == "nevus"
    assert short_name("\x00\n") == "(no name)"
