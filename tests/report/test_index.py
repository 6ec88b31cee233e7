"""The page over all runs of a folder: what it lists, in which order, and what it leads to."""

import json
import re
import shutil
from pathlib import Path

import pytest

import hemf
from hemf.cli import main
from hemf.report.index import index


@pytest.fixture
def runs(made_run: Path) -> Path:
    """Two evaluated runs, one of them better, one named like markup, and one that is not evaluated."""
    hemf.evaluate(str(made_run), precision="fp32", workers=0, device="cpu", resamples=0)
    better = made_run.parent / "<b>50% better"
    shutil.copytree(made_run, better)
    file = better / "evaluation" / "test" / "metrics.json"
    report = json.loads(file.read_text())
    report["metrics"]["balanced_accuracy"]["value"] = 0.99
    report["images_trained_on"] = report["groups_on_two_sides"] = 0
    file.write_text(json.dumps(report))
    (made_run.parent / "waiting").mkdir()
    (made_run.parent / "waiting" / "config.yaml").touch()
    return made_run.parent


def test_runs_on_the_same_images_stand_together_the_best_first(runs: Path) -> None:
    page = index(str(runs))
    text = page.read_text(encoding="utf-8")
    assert page == runs / "index.html"
    heads = re.findall(r'<th scope="row"><bdi><a href="([^"]+)">([^<]+)</a>', text)
    assert heads == [
        ("./%3Cb%3E50%25%20better/evaluation/test/report.html", "&lt;b&gt;50% better"),
        ("./made/evaluation/test/report.html", "made"),
    ]
    assert text.count("Evaluations on noise, test") == 2 - 1
    assert "✓ none found" in text
    assert "✕ leaks" in text  # the made run was trained on one of its test images
    assert "Not evaluated: waiting." in text


def test_links_lead_from_wherever_the_page_lies(runs: Path, tmp_path: Path) -> None:
    page = index(str(runs), str(tmp_path / "pages" / "all.html"))
    (link, *_) = re.findall(r'href="(\./[^"]*made/[^"]+)"', page.read_text(encoding="utf-8"))
    assert (page.parent / link).resolve() == (runs / "made" / "evaluation" / "test" / "report.html").resolve()


def test_it_replaces_its_own_page_and_nothing_else(runs: Path, capsys) -> None:
    index(str(runs))
    index(str(runs))
    (runs / "index.html").write_text("mine")
    assert main(["index", str(runs)]) == 2
    assert "was not written by hemf" in capsys.readouterr().err
    assert (runs / "index.html").read_text() == "mine"


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"n": 3}', '{"n": 3, "data": [], "split": "test", "metrics": 1}']
)
def test_what_is_no_evaluation_is_named_and_left_out(runs: Path, content: str) -> None:
    (runs / "made" / "evaluation" / "test" / "metrics.json").write_text(content)
    text = index(str(runs)).read_text(encoding="utf-8")
    assert "made/evaluation/test: its metrics.json is not one of hemf" in text
    assert "50% better" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "no folder"),
        (["."], "no evaluation below"),
        ([".", "--out", "page.txt"], "does not end in .html"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, monkeypatch, capsys, arguments, says: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["index", *arguments]) == 2
    assert says in capsys.readouterr().err
