"""The report of an evaluation: whole, self-contained, and deaf to what file and class names say."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recorded import of_probabilities

import hemf
from hemf.core.errors import HemfError
from hemf.inference.load import load_trained
from hemf.inference.predictions import Predictions
from hemf.metrics.classification import classification_metrics
from hemf.pages.elements import Code, Section, Sentences
from hemf.pages.render import Page as PageOf
from hemf.pages.render import render
from hemf.report.html import write_report
from hemf.report.material import Material
from hemf.report.worst_mistakes import Mistake, picture_mistakes, worst

HOSTILE = [
    "<script>alert(1)</script>",
    "a\"b'c & d",
    "_under_\\back",
    "שלום",
    "\u202eevil",
    "x" * 300,
    "$ | %",
]
VOID = {"meta", "img", "br", "link", "input", "hr"}
RUNS_OR_LOADS = {"script", "iframe", "object", "embed", "link", "base", "form", "video", "audio", "source"}
ALWAYS = ["At a glance", "What was tested", "Measures", "Classes", "Confusion matrix"]
WORDS = "What the words mean"


class Page(HTMLParser):
    """Elements with their attributes and words; every element must be closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.words.append((self.open[-1], " ".join(data.split())))

    def of(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]

    def text_of(self, tag: str) -> list[str]:
        return [words for name, words in self.words if name == tag]


def report_of(classes: list[str], labels: np.ndarray, probabilities: np.ndarray) -> dict:
    return {
        "split": "test",
        "split_method": "grouped",
        "split_info": {"method": "grouped", "seed": 3},
        "groups_on_two_sides": 0,
        "images_of_those_groups": 0,
        "images_trained_on": 0,
        "chose_checkpoint": False,
        "data": {"name": classes[0], "hash": "0" * 64, "own": True},
        "model": "test_resnet",
        "run": "runs/x",
        **classification_metrics(labels, probabilities, classes),
    }


def case(classes: list[str], n: int = 60) -> tuple[dict, list[Mistake]]:
    """A report on ``n`` images, none of them of the last class, and its worst mistakes."""
    rng, k = np.random.default_rng(0), len(classes)
    labels, probabilities = rng.integers(0, max(1, k - 1), n), rng.dirichlet(np.ones(k), n)
    mistakes = [
        Mistake(f"{classes[labels[i]]}.png", classes[labels[i]], classes[probabilities[i].argmax()], 0.9, 0.1)
        for i in worst(of_probabilities(labels, probabilities))
    ]
    return report_of(classes, labels, probabilities), mistakes


def page_of(folder: Path, report: dict, **options) -> Page:
    write_report(Material(report, folder, **options))
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def titled(title: str, *sections: Section) -> str:
    return render(PageOf(title, sections))


def measure(value: float) -> dict:
    return {"value": value, "n": 12, "ci95": [value - 0.01, value + 0.01]}


EXTRA = {
    "Calibration": {
        "calibration": {
            "temperature": 1.25,
            "ece": measure(0.04),
            "brier": measure(0.2),
            "log_loss": measure(0.5),
            "uncalibrated": {"ece": measure(0.09)},
            "left_out": ["No sets: <3> images are too few."],
            "bins": [{"low": 0.0, "high": 0.5, "n": 0, "confidence": None, "accuracy": None}],
        }
    },
    "Prediction sets": {
        "conformal": {
            "target": 0.9,
            "coverage": measure(0.91),
            "mean_size": measure(1.3),
            "abstained": measure(0.02),
            "per_class": {"<b>": {"coverage": measure(0.88)}},
        }
    },
    "Operating points": {
        "operating_points": [
            {
                "class": "<b>",
                "target": "sensitivity",
                "at": 0.95,
                "threshold": 0.125,
                "sensitivity": measure(0.94),
                "specificity": {"value": None, "n": 0, "reason": "absent"},
                "chosen_on": "val",
            }
        ]
    },
    "Folds": {
        "folds": [{"fold": 0, "n": 6, "accuracy": 0.5}, {"fold": 1, "n": 6, "accuracy": None}],
        "across_folds": {"accuracy": {"mean": 0.5, "std": None, "folds": 1}},
    },
    "How this was made": {"environment": {"command": "hemf evaluate x", "packages": {"torch": "2.9"}}},
}


@pytest.mark.parametrize("section", [None, *EXTRA])
def test_a_section_stands_on_its_keys(tmp_path: Path, section: str | None) -> None:
    report, _ = case(["a", "b", "c"])
    page = page_of(tmp_path, report | (EXTRA[section] if section else {}))
    shown = [*ALWAYS, *([section] if section else []), WORDS]
    if section in ("Prediction sets", "Operating points"):
        shown.insert(3, "Promises")
    assert page.text_of("h2") == shown
    contents = [a for a in page.of("a") if a["href"].removeprefix("#") in [h["id"] for h in page.of("h2")]]
    assert len(contents) >= len(shown)


def test_numbers_of_every_section_are_in_the_page_and_in_the_tables(tmp_path: Path) -> None:
    report, mistakes = case(["a", "b", "c"])
    for extra in EXTRA.values():
        report |= extra
    page = page_of(tmp_path, report, mistakes=mistakes)
    told = [*ALWAYS[:3], "Promises", *ALWAYS[3:], *list(EXTRA)[:-1], "Mistakes", "How this was made", WORDS]
    assert page.text_of("h2") == told
    words = {text for _, text in page.words}
    assert {"0.910", "0.900 to 0.920", "0.1250", "hemf evaluate x", "2.9", "sensitivity 0.95"} <= words
    assert "No sets: <3> images are too few." in words
    assert any("temperature 1.250" in text for text in words)
    markdown, latex = ((tmp_path / f"tables.{kind}").read_text("utf-8") for kind in ("md", "tex"))
    assert "| sensitivity 0.95 | 0.1250 | 0.940 [0.930, 0.950] |" in markdown
    assert r"sensitivity 0.95 & 0.1250 & 0.940 [0.930, 0.950]" in latex
    assert latex.count(r"\begin{table}") == latex.count(r"\end{table}") == markdown.count("**\n\n|") > 6


@settings(max_examples=20)
@example(["n", "p", "accuracy"])
@given(st.lists(st.text(min_size=1, max_size=30), min_size=2, max_size=4, unique=True))
@example(HOSTILE)
def test_no_name_is_read_as_markup(tmp_path_factory, names: list[str]) -> None:
    report, mistakes = case(names)
    hostile = page_of(tmp_path_factory.mktemp("r"), report, mistakes=mistakes)
    report, mistakes = case([f"c{i}" for i in range(len(names))])
    plain = page_of(tmp_path_factory.mktemp("r"), report, mistakes=mistakes)
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    shown = "".join(text for _, text in hostile.words) + "".join(str(a) for _, a in hostile.elements)
    assert "\u202e" not in shown
    for name in names:
        one_line = " ".join(name.split())
        if one_line.isprintable() and one_line:
            assert one_line in [" ".join(text.split()) for text in hostile.text_of("bdi")]


def test_the_page_asks_for_nothing_and_runs_nothing(tmp_path: Path, made_run: Path) -> None:
    found = hemf.evaluate(str(made_run), precision="fp32", workers=0, device="cpu")
    text = (found.folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "http" not in text.replace("http-equiv", "")
    policy = [a["content"] for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert not {tag for tag, _ in page.elements} & RUNS_OR_LOADS
    for attributes in page.of("img", "a", "use"):
        assert (attributes.get("src") or attributes.get("href")).startswith(("data:image/", "#"))
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_of_a_run_it_shows_figures_mistakes_and_commands(made_run: Path) -> None:
    (made_run / "environment.json").write_text(json.dumps({"command": "hemf train --data <x>"}))
    (made_run / "metrics.csv").write_text("epoch,train_loss,val_loss,val_accuracy\n1,1.5,,0.25\n2,0.5,1,\n")
    found = hemf.evaluate(str(made_run), precision="fp32", workers=0, device="cpu")
    page = Page((found.folder / "report.html").read_text(encoding="utf-8"))
    shown = ["Curves", "Calibration", "Mistakes", "Training", "How this was made", WORDS]
    assert page.text_of("h2") == [*ALWAYS, *shown]
    assert "hemf train --data <x>" in page.text_of("code")
    assert any(text.startswith("Warning: 1 of these 12 images") for text in page.text_of("p"))
    wrong = sum(map(sum, found.report["confusion_matrix"])) - np.trace(found.report["confusion_matrix"])
    pictures = [a for a in page.of("img") if a["src"].startswith("data:image/jpeg")]
    assert len(pictures) == 2 * wrong > 0
    assert len(page.of("img")) == len(pictures)
    drawn = [a for a in page.of("div") if a.get("role") == "img"]
    assert len(drawn) == 8  # two kinds of curves, reliability, two of training, a class each
    assert all(attributes["alt"] for attributes in page.of("img"))
    assert all(attributes["aria-label"] for attributes in drawn)
    assert (found.folder / "training.svg").is_file()


def test_it_is_made_for_keyboard_and_screen_reader(tmp_path: Path) -> None:
    report, mistakes = case(["a", "b", "c"])
    page = page_of(tmp_path, report, mistakes=mistakes)
    assert page.of("html")[0]["lang"] == "en"
    assert page.of("a")[0] == {"class": "skip", "href": "#main"}
    identifiers = [a["id"] for _, a in page.elements if "id" in a]
    assert len(set(identifiers)) == len(identifiers)
    assert all(a["href"][1:] in identifiers for a in page.of("a"))
    assert all(a["scope"] in ("col", "row") for a in page.of("th"))
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in page.elements}
    assert [tag for tag, _ in page.elements if tag in ("h1", "h2", "h3")][:2] == ["h1", "h2"]
    assert page.text_of("bdi")[0] == "test_resnet on a, test split"
    for attributes in page.of("div"):
        if attributes.get("class", "").startswith("scroll"):
            assert attributes["tabindex"] == "0"
            assert attributes["role"] == "region"


@pytest.mark.parametrize("n", [1, 2])
def test_a_split_of_hardly_any_image(tmp_path: Path, n: int) -> None:
    probabilities = np.array([[0.5, 0.3, 0.2]] * n)
    report = report_of(["a", "b", "c"], np.zeros(n, int), probabilities)
    page = page_of(tmp_path, report, mistakes=[])
    assert "No image was classified wrongly." in page.text_of("p")
    assert f"test: {'1 image' if n == 1 else '2 images'} of 1 class" in page.text_of("bdi")
    assert f"Training data unknown; tested on {'1 image' if n == 1 else '2 images'} of a" in page.text_of(
        "bdi"
    )
    assert any("specificity is undefined (one class only): a" in text for text in page.text_of("p"))
    assert "Absent from the split, and left out of the averages: b, c." in page.text_of("p")


def test_forty_classes(tmp_path: Path) -> None:
    report, mistakes = case([f"class {i}" for i in range(40)], 400)
    page = page_of(tmp_path, report, mistakes=mistakes)
    shown = [a for a in page.of("li") if a.get("class", "").startswith("exhibit")]
    assert len(shown) == len(mistakes) > 12
    assert len([a for a in page.of("th") if a["scope"] == "row"]) >= 80
    assert {"A card for each of the 40 classes", "Measures of each class against the rest"} <= set(
        page.text_of("summary")
    )
    assert "Confusion matrix" in (tmp_path / "tables.md").read_text(encoding="utf-8")


def test_the_worst_mistakes_are_the_most_confident() -> None:
    labels = np.array([0, 0, 1, 1, 0])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.95, 0.05], [0.2, 0.8]])
    assert worst(of_probabilities(labels, probabilities)).tolist() == [3, 1, 4, 2]
    assert worst(of_probabilities(labels, probabilities), 2, 0).tolist() == [3, 1]
    assert worst(of_probabilities(labels, probabilities), 1, 1).tolist() == [3, 1]


def test_a_model_without_heat_maps_keeps_its_pictures(made_run: Path) -> None:
    def refuse(*_):
        raise HemfError("no layer of maps")

    trained = load_trained(made_run / "model")
    probabilities, name = np.array([[0.1, 0.2, 0.7]]), "02 50%.png"
    wrong = Predictions([name], np.array([0]), probabilities, [""], list("abc"))
    (found,) = picture_mistakes(trained, wrong, [0], made_run.parents[1] / "images", refuse)
    assert (found.path, found.label, found.prediction) == (name, "a", "c")
    assert (found.probability, found.of_label) == (0.7, 0.1)
    assert found.image.startswith("data:image/jpeg;base64,")
    assert found.heat is None


@settings(max_examples=50)
@given(st.text())
def test_any_text_of_a_section_is_escaped(text: str) -> None:
    page = Page(titled(text, Section("Title", [Sentences([text])])))
    assert [tag for tag, _ in page.elements].count("p") == 3


def test_lines_of_code_stay_lines() -> None:
    text = titled("Title", Section("Options", [Code("config.yaml", "seed: 1\nname: <x>\u202e")]))
    assert "<code>seed: 1\nname: &lt;x&gt;\N{REPLACEMENT CHARACTER}</code>" in text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"temperature": 1.25, "fitted_on": {"data": "other", "split": "all", "n": 40}},
            "Logits are divided by the temperature 1.250, fitted on 40 images of other.",
        ),
        (
            {"temperature": None, "fold_temperatures": [1.2, 0.9]},
            "Each fold's probabilities are calibrated by its own model.",
        ),
        (
            {"temperature": None, "fold_temperatures": [None, None]},
            "The probabilities are the model's own: no temperature was fitted.",
        ),
    ],
)
def test_says_how_probabilities_were_calibrated(tmp_path: Path, changes: dict, says: str) -> None:
    report, _ = case(["a", "b", "c"])
    calibration = EXTRA["Calibration"]["calibration"] | changes
    assert says in page_of(tmp_path, report | {"calibration": calibration}).text_of("p")


def test_no_value_of_any_shape_is_shown_as_python_writes_it(tmp_path: Path) -> None:
    """A run's environment and a split's description may hold whatever a later version writes there."""
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    again = {"started": "2026-01-02T03:04:05+00:00", "packages": {"torch": "2.9"}, "gpus": []}
    about = {"resumed": [again, again], "extra": {"a": [1, {"b": None}], "c": True}, "gpus": ["one", "two"]}
    (run / "environment.json").write_text(json.dumps(again | about))
    report, _ = case(["a", "b"])
    info = {"method": "grouped", "ratios": {"train": 0.7, "val": {"x": [0.1]}}, "parts": [{"k": 1}, {"k": 2}]}
    page = page_of(tmp_path, report | {"split_info": info, "environment": about}, run=run)
    said = " ".join(words for _, words in page.words)
    assert "2 times: 2026-01-02T03:04:05+00:00, 2026-01-02T03:04:05+00:00" in said
    assert "one, two" in said
    for text in (said, (tmp_path / "tables.md").read_text(), (tmp_path / "tables.tex").read_text()):
        assert not re.search(r"\{'|\['|\[\{|None|True", text)
