"""``hemf evaluate RUN --data OTHER --map FILE``, from the command to the files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hemf
from hemf.core.errors import HemfError

PLAIN = {"precision": "fp32", "workers": 0, "device": "cpu", "resamples": 100}


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Sixty images of three classes under other names, one of which the model does not know."""
    rng, rows = np.random.default_rng(1), ["path,label,patient"]
    for i in range(60):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(tmp_path / f"other {i}.png")
        rows.append(f"other {i}.png,{('alpha', 'beta', 'odd')[i % 3]},q{i}")
    (tmp_path / "other.csv").write_text("\n".join(rows))
    (tmp_path / "map.csv").write_text("class,model_class\nalpha,a\nbeta,b\nodd,\n")
    return tmp_path / "other.csv"


def test_classes_are_mapped_and_the_report_says_so(
    made_run: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(HemfError, match=r"has images of 'alpha' \(20\), .* with hemf evaluate --map FILE"):
        hemf.evaluate(str(made_run), data=str(other), **PLAIN)
    capsys.readouterr()
    found = hemf.evaluate(str(made_run), data=str(other), map=str(tmp_path / "map.csv"), **PLAIN)
    shown = " ".join(capsys.readouterr().out.split())
    external = found.report["external"]
    assert json.loads((found.folder / "metrics.json").read_text())["external"] == external
    assert found.n == 40
    assert external["developed_on"] == "noise"
    assert external["lacking"] == ["c"]
    assert external["class_map"]["left_out"] == {"odd": 20}
    assert external["prevalence"]["here"] == {"a": 0.5, "b": 0.5, "c": 0.0}
    taken = (found.predictions.decisions == 2).mean()
    assert external["taken_for_lacking"]["value"] == taken
    assert external["among_shared"]["accuracy"]["value"] >= found.metrics["accuracy"]["value"]
    assert [one["method"] for one in external["recalibration"]["ways"]][2] == "slope and intercept"
    assert "External data: other, shown to a model developed on noise." in shown
    assert "Left out by map.csv: odd (20 images)." in shown
    assert "Recalibration on labelled cases" in shown
    page = (found.folder / "report.html").read_text(encoding="utf-8")
    assert "The model was developed on noise; these images are of other." in page
    assert 'id="external-validation"' in page


def test_a_models_own_images_are_not_external_however_they_are_given(made_run: Path, tmp_path: Path) -> None:
    found = hemf.evaluate(str(made_run), data=str(made_run), **PLAIN)
    assert "external" not in found.report
    with pytest.raises(HemfError, match="give it with --data"):
        hemf.evaluate(str(made_run), map=str(tmp_path / "map.csv"), **PLAIN)


def test_without_the_run_the_shares_of_development_are_unknown(
    made_run: Path, other: Path, tmp_path: Path
) -> None:
    shutil.copytree(made_run / "model", tmp_path / "alone")
    found = hemf.evaluate(str(tmp_path / "alone"), data=str(other), map=str(tmp_path / "map.csv"), **PLAIN)
    external = found.report["external"]
    assert external["prevalence"] is None
    assert external["developed_on"] is None
    assert "unknown: the run is not at hand" in external["left_out"][0]
