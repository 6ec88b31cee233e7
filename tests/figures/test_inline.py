"""Drawings of a page: the page's colours, legends in words, no ids shared, nothing fetched."""

import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hemf.figures.class_reliability import class_reliability_figure
from hemf.figures.classification import COLOURS, precision_recall_figure, roc_figure
from hemf.figures.inline import inline
from hemf.figures.training_curves import training_panels

LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1])
PROBABILITIES = np.random.default_rng(0).dirichlet(np.ones(3), 8)


@pytest.mark.parametrize("draw", [roc_figure, precision_recall_figure])
def test_a_figure_takes_the_pages_colours_and_font_and_leaves_its_title_behind(draw) -> None:
    drawn = inline(draw(LABELS, PROBABILITIES, ["a", "<b>", "_c"], "The title"), "roc", "alt", "caption")
    svg = str(drawn.svg)
    assert svg.startswith('<svg viewBox="0 0 ')
    assert {"var(--c1)", "var(--c2)", "var(--c3)", "var(--grid)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert not re.search(r"#[0-9a-fA-F]{6}\b", svg)
    assert not re.search(r"http|<style|DejaVu|<metadata|The title", svg)
    assert all(one.startswith("#roc-") for one in re.findall(r'href="([^"]+)"', svg))
    assert [one.words.split()[1] for one in drawn.curves] == ["a", "<b>", "_c"]
    assert "_c" not in svg
    assert len({one.dashes for one in drawn.curves}) == 3  # colour is not the only difference
    assert drawn.title in ("area under the curve", "average precision")


def test_two_drawings_on_a_page_share_no_identifier() -> None:
    epochs = [
        {"epoch": float(k), "train_loss": 1.0 / k, "val_loss": 2.0 / k, "val_f1": 0.1 * k} for k in (1, 2, 3)
    ]
    found = [
        inline(figure, f"t{k}", "a", "c") for k, figure in enumerate(training_panels(epochs, 2).values())
    ]
    ids = [re.findall(r'\bid="([^"]+)"', one.svg) for one in found]
    assert not set(ids[0]) & set(ids[1])
    assert [one.words for one in found[0].curves] == ["training", "validation", "kept: epoch 2"]
    assert [one.words for one in found[1].curves] == ["F1", "kept: epoch 2"]


def test_words_in_a_figure_stay_words() -> None:
    figure = Figure()
    FigureCanvasAgg(figure)
    figure.subplots().text(0.5, 0.5, "<script>&", color=COLOURS[1], parse_math=False)
    assert "&lt;script&gt;&amp;" in inline(figure, "x", "a", "c").svg


def test_a_class_is_drawn_with_its_share_in_bins_and_its_thresholds() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random(1000)
    of_class = rng.random(1000) < probabilities
    figure = class_reliability_figure(of_class, probabilities, {"threshold 0.3": 0.3})
    (line,) = [one[0] for one in figure.axes[0].containers]
    assert np.abs(np.subtract(*line.get_data())).max() < 0.12  # calibrated by construction
    assert len(line.get_xdata()) == 10
    drawn = inline(figure, "class-0", "a", "c")
    assert [one.words for one in drawn.curves] == ["as promised", "threshold 0.3", "measured"]


def test_a_class_of_hardly_any_image_is_drawn_too() -> None:
    figure = class_reliability_figure(np.array([True]), np.array([0.4]), {})
    assert len(figure.axes[0].containers) == 1
