"""``hemf data audit`` finds what was planted, on made and on real images, and says it safely."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

import hemf
from hemf import cli
from hemf.auditing.duplicates import find_pairs
from hemf.auditing.scan import Workers, look_at
from hemf.data.dataset import Sample
from hemf.data.demo.lesions import Lesion, photograph
from hemf.data.image.read import read_image


def lesion(number: int) -> Image.Image:
    rng = np.random.default_rng(number)
    outline, texture = ("oval", "lobed")[number % 2], ("globular", "reticular")[number // 2 % 2]
    return photograph(Lesion.drawn(outline, texture, rng), 128, rng)


def list_of(folder: Path, rows: list[tuple[str, str, str, str]]) -> str:
    file = folder / "list.csv"
    with open(file, "w", newline="", encoding="utf-8") as text:
        csv.writer(text).writerows([("path", "label", "patient", "split"), *rows])
    return str(file)


@pytest.fixture
def leaky(tmp_path) -> str:
    """Twelve lesions, of which two patients are on two sides, and four copies with other names."""
    rows = []
    for i in range(12):
        lesion(i).save(tmp_path / f"{i}.png")
        patient = "p0" if i in (0, 9) else "p1" if i in (1, 11) else f"q{i}"
        rows.append((f"{i}.png", "ab"[i % 2], patient, "train" if i < 8 else "test"))
    (tmp_path / "same.png").write_bytes((tmp_path / "2.png").read_bytes())
    Image.open(tmp_path / "3.png").save(tmp_path / "pixels.bmp")
    Image.open(tmp_path / "4.png").save(tmp_path / "again.jpg", quality=60)
    ImageOps.mirror(Image.open(tmp_path / "5.png")).save(tmp_path / "flip.png")
    rows += [("same.png", "a", "r1", "test"), ("pixels.bmp", "b", "q3", "test")]
    rows += [("again.jpg", "b", "r2", "test"), ("flip.png", "b", "r3", "train")]
    return list_of(tmp_path, rows)


def test_every_planted_fault_is_found_and_nothing_else(leaky, tmp_path):
    result = hemf.audit(leaky, out=str(tmp_path / "out"), workers=0)
    found = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert found == result.findings
    pairs = {tuple(sorted(i["path"] for i in p["images"])): p for p in found["duplicates"]["pairs"]}
    assert set(pairs) == {
        ("2.png", "same.png"), ("3.png", "pixels.bmp"), ("4.png", "again.jpg"), ("5.png", "flip.png"),
    }  # fmt: skip
    assert [pairs[key]["kind"] for key in sorted(pairs)] == ["bytes", "pixels", "near", "near"]
    assert pairs["5.png", "flip.png"]["turn"] == "flipped left to right"
    assert [p["across_sides"] for _, p in sorted(pairs.items())] == [True, True, True, False]
    assert [p["different_labels"] for _, p in sorted(pairs.items())] == [False, False, True, False]
    assert [p["different_groups"] for _, p in sorted(pairs.items())] == [True, False, True, True]
    assert found["groups"]["straddling"] == 3
    assert found["groups"]["sides"]["test"]["leaking"] == 3
    assert found["groups"]["sides"]["test"]["by_class"]["b"] == {"images": 4, "leaking": 3}
    assert found["leakage"]["images"] == {"train": 5, "test": 5}
    assert result.leaks
    assert result.exit_code == 0


def test_strict_leaves_with_1_and_only_on_leakage(leaky, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out"), "--workers", "0"]
    assert cli.main(["data", "audit", leaky, *out, "--strict"]) == 1
    assert cli.main(["data", "audit", leaky, *out]) == 0
    shown = capsys.readouterr().out
    assert "LEAKAGE: 3 groups and 3 pairs" in shown
    rows = [(f"{i}.png", "ab"[i % 2], f"q{i}", ("train", "test")[i // 8]) for i in range(12)]
    assert cli.main(["data", "audit", list_of(tmp_path, rows), *out, "--strict"]) == 0
    assert "no leakage" in capsys.readouterr().out


def test_without_split_or_groups_the_rest_is_still_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for i in range(16):
        folder = tmp_path / "images" / ("x" if i % 2 else "y")
        folder.mkdir(parents=True, exist_ok=True)
        lesion(i).save(folder / f"{i}.{'png' if i % 2 else 'jpg'}")
    result = hemf.audit("images", workers=0)
    assert result.folder == Path("audits/images")
    assert not list((tmp_path / "images").rglob("*.json"))
    assert result.findings["groups"]["known"] == 0
    told = {row["property"]: row for row in result.findings["shortcuts"]}
    assert told["format"]["balanced_accuracy"] == 1
    assert told["format"]["level"] == "strong"
    assert "no leakage found" in capsys.readouterr().out


def test_a_column_that_tells_the_class_or_the_side_is_named(tmp_path):
    rows = ["path,label,split,site,age"]
    for i in range(24):
        lesion(i).save(tmp_path / f"{i}.png")
        side, age = ("train", 30 + i) if i < 16 else ("test", "" if i < 20 else 60 + i)
        rows.append(f"{i}.png,{'xy'[i % 2]},{side},{('north', 'south')[i % 2]},{age}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    found = hemf.audit(str(tmp_path / "list.csv"), out=str(tmp_path / "o"), workers=0).findings
    told = {row["property"]: row for row in found["shortcuts"]}
    assert (told["site"]["kind"], told["site"]["level"]) == ("column", "strong")
    assert told["site"]["values"][0] == {"value": "north", "images": {"x": 12, "y": 0}}
    assert not told["age"]["level"]
    age = next(row for row in found["shift"] if row["property"] == "age")
    assert (age["level"], age["balanced_accuracy"]) == ("strong", 1)
    assert age["values"][-1] == {"value": "missing", "images": {"train": 0, "test": 4}}


class Page(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def test_hostile_names_are_shown_and_do_nothing(tmp_path, capsys):
    evil = '<script>alert(1)</script>" onerror="x'.replace("/", "\N{DIVISION SLASH}")
    (tmp_path / evil).mkdir()
    lesion(0).save(tmp_path / evil / "a\x1b[31m.png")
    lesion(0).save(tmp_path / evil / "b[bold]&.png")
    (tmp_path / evil / "broken<b>.png").write_bytes(b"nothing")
    rows = [(f"{evil}/{name}", "<i>" + "ab"[i % 2], evil, "train") for i, name in enumerate(
        ("a\x1b[31m.png", "b[bold]&.png", "broken<b>.png")
    )]  # fmt: skip
    assert (
        cli.main(["data", "audit", list_of(tmp_path, rows), "--out", str(tmp_path / "o"), "--workers", "0"])
        == 1
    )
    shown = capsys.readouterr().out
    assert "\x1b[31m.png" not in shown
    assert "b[bold]&.png" in shown
    assert "unreadable: 1" in shown
    assert "broken<b>.png" in shown
    text = (tmp_path / "o" / "audit.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "i", "b"} & {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "&lt;script&gt;" in text
    assert ".pictures > div" in text  # the style is ours, and not escaped
    links = [a[key] for _, a in page.tags for key in ("src", "href") if key in a]
    assert links
    assert all(link.startswith(("data:image/jpeg;base64,", "#")) for link in links)
    assert not re.search(r"https?://", text)


def test_processes_find_the_same_as_none(leaky, tmp_path):
    alone = hemf.audit(leaky, out=str(tmp_path / "alone"), workers=0)
    together = hemf.audit(leaky, out=str(tmp_path / "together"), workers=2)
    assert alone.findings == together.findings


@pytest.mark.real
def test_planted_copies_of_real_images_are_found(real_data, tmp_path):
    """On 12 images; the shares of 300 stand in docs/how-to/audit.md."""
    files = sorted((real_data / "isic2018" / "ISIC2018_Task3_Training_Input").glob("*.jpg"))[::800][:12]

    def text(image):
        ImageDraw.Draw(image).text((4, 4), "PATIENT 0815", "white")
        return image

    def cropped(image, share):
        x, y = round(share * image.width / 2), round(share * image.height / 2)
        return image.crop((x, y, image.width - x, image.height - y))

    changes = {
        "half": (lambda i: i.reduce(2), 12),
        "flip": (ImageOps.flip, 12),
        "turn": (lambda i: i.rotate(90, expand=True), 12),
        "bright": (lambda i: ImageEnhance.Brightness(i).enhance(1.3), 11),
        "text": (text, 11),
        "crop 2 %": (lambda i: cropped(i, 0.02), 11),
        "crop 5 %": (lambda i: cropped(i, 0.05), 11),
    }
    samples, looks = [Sample(str(f), "a") for f in files], [look_at(f) for f in files]
    for name, (change, least) in changes.items():
        copies = [tmp_path / f"{name}-{f.stem}.png" for f in files]
        for file, copy in zip(files, copies, strict=True):
            change(read_image(file)).save(copy)
        with Workers(0) as none:
            both = samples + [Sample(str(c), "copy") for c in copies]
            pairs = find_pairs(both, looks + [look_at(c) for c in copies], none)
        found = {(p.first.path, p.second.path) for p in pairs}
        right = {(str(f), str(c)) for f, c in zip(files, copies, strict=True)}
        assert len(found & right) >= least, name
        assert not found - right, name


@pytest.mark.real
@pytest.mark.parametrize(
    ("source", "side", "images", "leaking", "by_class"),
    [("isic2018", "test", 3001, 1042, {"MEL": (333, 0.60)}), ("covid-ct", "test", 186, 125, {})],
)
def test_the_papers_splits_leak_as_counted_by_hand(real_data, source, side, images, leaking, by_class):
    """Against a count that goes through the manifest image by image."""
    from hemf.auditing.leakage import straddling
    from hemf.data.sources import SOURCES
    from hemf.data.splits import split_data

    kind = SOURCES[source]
    data = split_data(kind.read(real_data / source), "paper", published=kind.paper)
    found = straddling(data)["sides"][side]
    elsewhere = {s.group for s in data.samples if s.side != side}
    by_hand = [s for s in data.samples if s.side == side and s.group in elsewhere]
    assert (found["images"], found["leaking"]) == (images, leaking) == (images, len(by_hand))
    for label in data.classes:
        assert found["by_class"][label]["leaking"] == sum(s.label == label for s in by_hand)
    for label, (n, share) in by_class.items():
        assert found["by_class"][label]["images"] == n
        assert found["by_class"][label]["leaking"] / n == pytest.approx(share, abs=0.005)


@pytest.mark.real
def test_one_ct_slice_under_both_classes_of_covid_ct(real_data):
    """Two slices of the release stand among COVID and again among NonCOVID."""
    folder = real_data / "covid-ct" / "Images-processed"
    names = [
        "CT_COVID/kjr-21-e24-p5-29.png",
        "CT_NonCOVID/71%0.jpg",
        "CT_COVID/kjr-21-e24-p5-31.png",
        "CT_NonCOVID/71%1.jpg",
    ]
    samples = [Sample(name, name.split("/")[0], split="train") for name in names]
    with Workers(0) as none:
        pairs = find_pairs(samples, [look_at(folder / name) for name in names], none)
    assert sorted((p.first.path, p.second.path) for p in pairs if p.conflict) == [
        tuple(names[:2]),
        tuple(names[2:]),
    ]
