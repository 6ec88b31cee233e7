"""``hemf predict --out`` by the suffix: JSON lines beside CSV, a third by registration, refusals."""

import csv
import json
from pathlib import Path

import pytest

import hemf
from hemf.core.errors import HemfError
from hemf.inference.writers import FORMATS, OutputFormat

PLAIN = {"precision": "fp32", "workers": 0, "device": "cpu"}


def predict(run: Path, out: Path) -> int:
    return hemf.predict(str(run), [str(run.parents[1] / "images")], out=str(out), **PLAIN)


def test_it_says_what_the_csv_says(made_run: Path, tmp_path: Path) -> None:
    name = b"caf\xe9.png".decode(errors="surrogateescape")
    first = next((tmp_path / "images").iterdir())
    (tmp_path / "images" / name).write_bytes(first.read_bytes())
    for out in ("p.csv", "p.jsonl", "p.jsonl"):  # an earlier one is replaced
        assert predict(made_run, tmp_path / out) == 0
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text("ascii").splitlines()]
    with open(tmp_path / "p.csv", encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(lines) == len(rows) == 25
    assert name in {Path(line["path"]).name for line in lines}
    for line, row in zip(lines, rows, strict=True):
        assert (line["path"], line["prediction"]) == (row["path"], row["prediction"])
        assert line["probability"] == float(row["probability"]) == max(line["probabilities"].values())
        assert line["probabilities"] == {name: float(row[name]) for name in "abc"}
        assert "set" not in line


def test_another_jsonl_file_stays(made_run: Path, tmp_path: Path) -> None:
    for text in ('{"path": "x"}\n', "[" * 100_000, "é"):
        out = tmp_path / "mine.jsonl"
        out.write_text(text, encoding="utf-8")
        with pytest.raises(HemfError, match="was not written by hemf"):
            predict(made_run, out)
        assert out.read_text(encoding="utf-8") == text


def test_an_unknown_suffix_is_one_line_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(HemfError, match=r"^no output format '.jsnl'; did you mean .jsonl\?$"):
        predict(tmp_path / "no" / "run", tmp_path / "p.jsnl")


def test_a_third_format_is_one_registration(made_run: Path, tmp_path: Path) -> None:
    def write(predictions, classes, path, sets):
        labels = [one.label for one in predictions]
        path.write_text("\n".join(labels))
        return len(labels)

    FORMATS.register(".txt")(OutputFormat(write, lambda _: False))
    try:
        assert predict(made_run, tmp_path / "p.txt") == 0
    finally:
        del FORMATS[".txt"]
    assert set((tmp_path / "p.txt").read_text().splitlines()) <= set("abc")
