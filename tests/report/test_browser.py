"""The report in a real Chromium: narrow and wide, light, dark and printed; its filters run no script."""

from pathlib import Path

import numpy as np
import pytest
from recorded import of_probabilities

from hemf.figures.classification import precision_recall_figure, roc_figure
from hemf.metrics.classification import classification_metrics
from hemf.report.html import write_report
from hemf.report.material import Material
from hemf.report.worst_mistakes import Mistake

CLASSES = ["melanoma", "naevus with a long name", "c"]
PICTURE = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """A report with figures, promises and mistakes."""
    rng = np.random.default_rng(0)
    labels, probabilities = np.arange(60) % 3, rng.dirichlet(np.ones(3), 60)
    mistakes = [
        Mistake(
            f"{k}.png",
            CLASSES[k % 2],
            CLASSES[2],
            0.9,
            0.1,
            PICTURE,
            PICTURE,
            (3, 3),
            "p1" if k < 3 else "p2",
        )
        for k in range(5)
    ]
    measure = {"value": 0.8, "n": 60, "ci95": [0.7, 0.85]}
    point = {
        "class": "melanoma",
        "target": "sensitivity",
        "at": 0.95,
        "threshold": 0.1,
        "sensitivity": measure,
    }
    report = {
        "split": "test",
        "split_method": "grouped",
        "split_info": {},
        "groups_on_two_sides": 2,
        "images_of_those_groups": 4,
        "images_trained_on": 0,
        "chose_checkpoint": False,
        "data": {"name": "other", "hash": "0" * 64, "own": False},
        "external": dict.fromkeys(["class_map", "prevalence", "recalibration"])
        | dict.fromkeys(["lacking", "thresholds", "left_out"], ())
        | {"developed_on": "ours"},
        "model": "net",
        "run": "runs/x",
        "operating_points": [point | {"specificity": measure}],
        **classification_metrics(labels, probabilities, CLASSES),
    }
    folder, found = tmp_path_factory.mktemp("report"), of_probabilities(labels, probabilities)
    seen = (labels, probabilities, CLASSES)
    figures = {"roc": roc_figure(*seen), "precision-recall": precision_recall_figure(*seen)}
    write_report(Material(report, folder, mistakes=mistakes, figures=figures, predictions=found))
    return folder / "report.html"


def opened(browser, file: Path, width: int = 1280, scheme: str = "light"):
    """Return the page, and what it complained of or asked for."""
    tab = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    said: list[str] = []
    tab.on("console", lambda one: said.append(one.text))
    tab.on(
        "request", lambda one: said.append(one.url) if not one.url.startswith(("file:", "data:")) else None
    )
    tab.goto(file.as_uri())
    return tab, said


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1440, "dark")])
def test_nothing_is_out_of_reach_or_out_of_sight(browser, page: Path, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    tab, said = opened(browser, page, width, scheme)
    found = Axe().run(tab).response["violations"]
    assert not [f"{one['id']}: {[node['html'][:90] for node in one['nodes']]}" for one in found]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    box = tab.locator(".canvas svg").first.bounding_box()
    assert box["x"] + box["width"] <= width
    assert box["width"] > 250
    ground = tab.locator("body").evaluate("one => getComputedStyle(one).backgroundColor")
    grid = tab.locator(".canvas text").first.evaluate("one => getComputedStyle(one).fill")
    assert ground != grid
    assert grid == tab.locator("body").evaluate("one => getComputedStyle(one).color")  # the page's own ink
    assert tab.locator("nav").evaluate("one => getComputedStyle(one).position") == (
        "sticky" if width > 1200 else "static"
    )
    assert said == []


def test_mistakes_are_filtered_without_a_script(browser, page: Path) -> None:
    tab, said = opened(browser, page)
    shown = tab.locator(".exhibit:visible")
    assert shown.count() == 5
    tab.get_by_role("combobox", name="true class").select_option("melanoma")
    assert shown.count() == 3
    tab.get_by_role("combobox", name="patient or lesion").select_option("p2")
    assert [one.locator("dd").last.inner_text() for one in shown.all()] == ["4.png"]
    tab.get_by_role("combobox", name="true class").select_option("all")
    assert shown.count() == 2
    assert said == []


def test_on_paper_there_is_no_navigation_and_the_banner_stays(browser, page: Path) -> None:
    tab, _ = opened(browser, page)
    tab.emulate_media(media="print")
    assert not tab.locator("nav").is_visible()
    assert not tab.locator(".filters").is_visible()
    assert tab.get_by_text("External data.").is_visible()
    assert tab.pdf(prefer_css_page_size=True).startswith(b"%PDF")
