"""``hemf predict``: exit codes, table, CSV."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import hemf
from hemf.cli.app import main
from hemf.core.errors import HemfError
from hemf.data.fingerprints import take_fingerprints
from hemf.data.manifest import read_data_set, write_data_set

PLAIN = ["--precision", "fp32", "--device", "cpu", "--workers", "0"]


def read_rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_holds_path_prediction_and_every_probability(made_run: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "new" / "predictions.csv"
    assert main(["predict", str(made_run), str(tmp_path / "images"), "--out", str(out), *PLAIN]) == 0
    rows = read_rows(out)
    assert list(rows[0]) == ["path", "prediction", "probability", "a", "b", "c"]
    assert [row["path"] for row in rows] == [str(tmp_path / "images" / f"{i:02d} 50%.png") for i in range(24)]
    found = hemf.load(made_run, precision="fp32", device="cpu").predict(tmp_path / "images")
    for row, prediction in zip(rows, found, strict=True):
        assert row["prediction"] == prediction.label
        assert float(row["probability"]) == prediction.probability
        assert {name: float(row[name]) for name in "abc"} == prediction.probabilities
    assert capsys.readouterr().out == f"24 predictions in {out}\n"


def test_table_keeps_the_order_given(made_run: Path, tmp_path: Path, capsys) -> None:
    files = [str(tmp_path / "images" / f"{i:02d} 50%.png") for i in (7, 3, 5)]
    assert main(["predict", str(made_run), *files, *PLAIN]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["prediction", "probability", "path"]
    assert [line.split(maxsplit=2)[2] for line in lines] == files


def test_goes_on_past_what_it_cannot_read_and_says_so(made_run: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "images" / "03 50%.png").write_bytes(b"damaged")
    out = tmp_path / "predictions.csv"
    sources = [str(tmp_path / "gone.png"), str(tmp_path / "images")]
    assert main(["predict", str(made_run), *sources, "--out", str(out), *PLAIN]) == 1
    assert len(read_rows(out)) == 23
    said = capsys.readouterr().err.splitlines()
    assert "gone.png" in said[0]
    assert "03 50%.png" in said[1]
    assert said[2] == "2 could not be read; 23 classified"


def test_nothing_found_is_bad_input(made_run: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "predictions.csv"
    assert main(["predict", str(made_run), str(tmp_path / "no*"), "--out", str(out), *PLAIN]) == 2
    assert "no image at" in capsys.readouterr().err
    assert not out.exists()


def test_file_names_are_data(made_run: Path, tmp_path: Path, capsys) -> None:
    name = '=1+1,"x"\n\x1b[31m@.png'
    folder = tmp_path / "odd"
    folder.mkdir()
    Image.new("RGB", (40, 40)).save(folder / name)
    out = tmp_path / "predictions.csv"
    assert main(["predict", str(made_run), str(folder), "--out", str(out), *PLAIN]) == 0
    assert [row["path"] for row in read_rows(out)] == [str(folder / name)]
    assert main(["predict", str(made_run), str(folder), *PLAIN]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_an_existing_csv_stays_when_prediction_fails(made_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions.csv"
    out.write_text("path,prediction,probability\nold")
    with pytest.raises(HemfError, match="no image at"):
        hemf.predict(str(made_run), [str(tmp_path / "none")], out=str(out))
    assert out.read_text() == "path,prediction,probability\nold"
    with pytest.raises(HemfError, match="is a folder"):
        hemf.predict(str(made_run), [str(tmp_path / "images")], out=str(tmp_path))


def test_only_an_earlier_csv_of_predictions_is_replaced(made_run: Path, tmp_path: Path, capsys) -> None:
    images = sorted((tmp_path / "images").iterdir())
    before = images[0].read_bytes()
    assert main(["predict", str(made_run), "--out", *map(str, images[:3]), *PLAIN]) == 2
    assert "was not written by hemf" in capsys.readouterr().err
    assert images[0].read_bytes() == before
    out = tmp_path / "patients.csv"
    out.write_text("name,born\n")
    assert main(["predict", str(made_run), str(images[0]), "--out", str(out), *PLAIN]) == 2
    assert out.read_text() == "name,born\n"
    out.unlink()
    for image in images[:2]:
        assert main(["predict", str(made_run), str(image), "--out", str(out), *PLAIN]) == 0
        assert [row["path"] for row in read_rows(out)] == [str(image)]


def test_images_that_the_run_was_trained_on_are_counted_wherever_they_lie(
    made_run: Path, tmp_path: Path, capsys
) -> None:
    data = read_data_set(made_run)
    write_data_set(replace(data, fingerprints=take_fingerprints(data)), made_run)
    training = data.path(data.subset("train")[0])
    copies = [tmp_path / "copy.png", tmp_path / "new.png"]
    copies[0].write_bytes(training.read_bytes())
    Image.new("RGB", (40, 30), (9, 90, 200)).save(copies[1])
    training.unlink()
    assert main(["predict", str(made_run), *map(str, copies), *PLAIN]) == 0
    assert "warning: the run was trained on 1 of these 2 images" in capsys.readouterr().err
    assert main(["predict", str(made_run), str(copies[1]), *PLAIN]) == 0
    assert "the run was trained on 0 of these 1 image, by the content" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["no fingerprints", "no run", "damaged"])
def test_what_cannot_be_checked_is_said(made_run: Path, tmp_path: Path, capsys, fault: str) -> None:
    run, image = made_run, tmp_path / "new.png"
    Image.new("RGB", (40, 30), (9, 90, 200)).save(image)
    (run / "fingerprints.csv").unlink(missing_ok=True)
    if fault == "no run":
        run = shutil.copytree(made_run / "model", tmp_path / "alone")
    elif fault == "damaged":
        (run / "fingerprints.csv").write_text("path,bytes\nx", encoding="utf-8")
    assert main(["predict", str(run), str(image), *PLAIN]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "trained on" in line]
    assert "is not checked: " in line
