"""The server's answers, from a server that runs: those of ``hemf predict``, and one line for bad input."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
import requests
from PIL import Image

import hemf
from hemf.cli.app import main
from hemf.inference.classifier import Prediction
from hemf.serving.answers import answer as answer_of

PLAIN = ["--precision", "fp32", "--device", "cpu", "--workers", "0"]


def predicted(model: Path, paths: list[Path], out: Path, *options: str) -> list[dict]:
    """What ``hemf predict`` says."""
    assert main(["predict", str(model), *map(str, paths), "--out", str(out), *PLAIN, *options]) == 0
    with open(out, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def same(answer: dict, row: dict, classes: list[str]) -> None:
    assert answer["label"] == row["prediction"]
    assert answer["probability"] == float(row["probability"])
    assert answer["probabilities"] == {name: float(row[name]) for name in classes}
    assert answer["set"] == json.loads(row["set"])
    assert answer["abstain"] == (row["abstain"].lower() == "true")
    assert answer["error"] is None


def test_many_images_get_what_predict_says_to_the_last_digit(
    server, model, pictures, files_of, tmp_path
) -> None:
    answer = requests.post(f"{server.url}/predict", files=files_of(pictures)).json()
    rows = predicted(model, pictures, tmp_path / "all.csv")
    assert [one["name"] for one in answer["images"]] == [path.name for path in pictures]
    for one, row in zip(answer["images"], rows, strict=True):
        same(one, row, hemf.load(model).classes)
    assert "Research use only" in answer["notice"]


def test_one_image_as_the_body_gets_what_predict_says_to_the_last_digit(
    server, model, pictures, tmp_path
) -> None:
    rows = predicted(model, pictures, tmp_path / "each.csv", "--batch-size", "1")
    kinds = {
        ".png": "image/png",
        ".jpg": "image/jpeg",
        ".tif": "application/octet-stream",
        ".dcm": "application/dicom",
    }
    for path, row in zip(pictures, rows, strict=True):
        head = {"Content-Type": kinds[path.suffix]}
        answer = requests.post(f"{server.url}/predict", path.read_bytes(), headers=head).json()
        same(answer["images"][0], row, hemf.load(model).classes)


def test_models_say_what_they_are_and_the_hash_is_that_of_the_files(server, model) -> None:
    import hashlib

    (about,) = requests.get(f"{server.url}/models").json()["models"]
    lines = [
        f"{hashlib.sha256((model / f).read_bytes()).hexdigest()}  {f}\n"
        for f in ("config.json", "model.safetensors")
    ]
    assert about["sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert about["name"] == model.name
    assert about["classes"] == ["benign", "malignant", "Übergang"]
    assert about["coverage"] == 0.9
    assert about["explains"] is True
    assert about["calibrated_on"] == {"split": "val", "n": 40}


def test_what_cannot_be_read_is_named_beside_what_can(server, pictures) -> None:
    files = [("a", ("good.png", pictures[0].read_bytes())), ("b", ("folder/bad.png", b"no image"))]
    answer = requests.post(f"{server.url}/predict", files=files)
    good, bad = answer.json()["images"]
    assert answer.status_code == 200
    assert good["label"] is not None
    assert bad["label"] is None
    assert bad["name"] == "bad.png"
    assert bad["error"].startswith("bad.png is not an image hemf reads")


def test_an_image_that_shows_nothing_is_warned_of(server) -> None:
    file = io.BytesIO()
    Image.new("RGB", (40, 40)).save(file, "PNG")
    answer = requests.post(f"{server.url}/predict", file.getvalue(), headers={"Content-Type": "image/png"})
    assert answer.json()["images"][0]["warnings"] == ["the image shows nothing: it is blank"]


def test_an_image_unlike_those_of_training_is_warned_of() -> None:
    strange, usual = (Prediction("a", "b", {"b": 1.0}, unfamiliarity=value) for value in (2.305, 0.9))
    said = answer_of("a.png", strange)
    assert said["unfamiliarity"] == 2.305
    assert len(said["warnings"]) == 1
    assert "unlike those that the model learnt from (unfamiliarity 2.3" in said["warnings"][0]
    assert answer_of("a.png", usual)["warnings"] == []
    assert len(answer_of("a.png", strange, "blank")["warnings"]) == 2


def cut(path: Path) -> bytes:
    return path.read_bytes()[:-200]


@pytest.mark.parametrize(
    ("status", "kind", "body", "words"),
    [
        (415, "text/plain", b"hello", "the content type is text/plain; send multipart"),
        (415, "", b"hello", "the content type is missing; send"),
        (422, "image/png", b"", "the request holds no image"),
        (422, "image/png", b"hello", "image is not an image hemf reads"),
        (422, "application/dicom", b"\x08\0", "image.dcm is"),
        (422, "image/png", cut, "image is damaged"),
        (400, "multipart/form-data", b"hello", "the form cannot be read: Missing boundary"),
        (400, "multipart/form-data; boundary=x", b"hello", "the form cannot be read"),
        (422, "multipart/form-data; boundary=x", b"--x--\r\n", "the request holds no image"),
        (413, "image/png", b"\x89PNG" + bytes(4 << 20), "the request has more than 4,194,304 bytes"),
    ],
)
def test_bad_bodies_are_one_line(server, pictures, status, kind, body, words) -> None:
    body = body(pictures[0]) if callable(body) else body
    answer = requests.post(f"{server.url}/predict", body, headers={"Content-Type": kind} if kind else {})
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert words in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize(
    ("status", "method", "path", "words"),
    [
        (404, "post", "/predict?model=lesoins", "there is no model 'lesoins'; did you mean lesions?"),
        (404, "get", "/nothing", "there is no /nothing; see /docs"),
        (405, "get", "/predict", "/predict takes no GET; see /docs"),
        (422, "post", "/explain?opacity=2", "opacity: Input should be less than or equal to 1"),
        (422, "post", "/explain?target=cat", "no class 'cat'; there are benign, malignant, Übergang"),
    ],
)
def test_bad_addresses_are_one_line(server, pictures, status, method, path, words) -> None:
    head = {"Content-Type": "image/png"}
    answer = requests.request(method, server.url + path, data=pictures[0].read_bytes(), headers=head)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert words in answer.json()["error"]


def test_large_pictures_are_refused_by_their_header(server) -> None:
    file = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(file, "PNG")
    answer = requests.post(f"{server.url}/predict", file.getvalue(), headers={"Content-Type": "image/png"})
    assert answer.status_code == 422
    assert "image is 20000 x 10000 pixels and of its kind at most" in answer.json()["error"]


def test_more_images_than_are_held_are_refused(server, pictures) -> None:
    files = [("images", ("a.png", pictures[0].read_bytes()))] * 65
    answer = requests.post(f"{server.url}/predict", files=files)
    assert answer.status_code == 413
    assert "Too many files" in answer.json()["error"]


def test_the_overlay_is_that_of_explain(server, model, pictures, tmp_path) -> None:
    path = pictures[3]
    assert main(["explain", str(model), str(path), "--out", str(tmp_path / "heat"), "--device", "cpu"]) == 0
    answer = requests.post(f"{server.url}/explain", path.read_bytes(), headers={"Content-Type": "image/png"})
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Hemf-Blank"] == "false"
    ours, theirs = Image.open(io.BytesIO(answer.content)), Image.open(tmp_path / "heat" / "03.png")
    assert ours.tobytes() == theirs.tobytes()


def test_without_opacity_the_overlay_is_the_picture_and_a_class_can_be_asked_for(server, pictures) -> None:
    def explain(query: str) -> requests.Response:
        head = {"Content-Type": "application/dicom"}
        return requests.post(f"{server.url}/explain?{query}", pictures[-1].read_bytes(), headers=head)

    plain = explain("opacity=0")
    assert (
        Image.open(io.BytesIO(plain.content)).tobytes() == hemf.data.image.read_image(pictures[-1]).tobytes()
    )
    assert explain("target=%C3%9Cbergang").headers["Hemf-Class"] == "%C3%9Cbergang"


def test_health_and_counts(server, pictures) -> None:
    for path, said in (("/healthz", "ok"), ("/readyz", "ready")):
        assert requests.get(server.url + path).json() == {"status": said}
    requests.post(f"{server.url}/predict", pictures[0].read_bytes(), headers={"Content-Type": "image/png"})
    text = requests.get(f"{server.url}/metrics").text
    assert float(re.search(r'hemf_images_total\{model="lesions",outcome="classified"\} (\S+)', text)[1]) >= 1
    assert 'hemf_requests_total{path="/predict",status="200"}' in text
    assert "process_resident_memory_bytes" in text


def test_nothing_that_was_sent_is_on_disk_or_in_a_log(server, pictures) -> None:
    name, padding = "Doe^Jane-1970.png", bytes(3 << 20)  # larger than what parsers keep in memory
    files = [("images", (name, pictures[0].read_bytes() + padding)), ("images", ("Roe.png", b"damaged"))]
    assert requests.post(f"{server.url}/predict", files=files).status_code == 200
    assert requests.post(f"{server.url}/predict", files=files[1:]).status_code == 422
    temporary = Path(server.said.name).parent
    opened = [path.resolve() for path in Path(f"/proc/{server.process.pid}/fd").iterdir()]
    assert list(temporary.iterdir()) == [Path(server.said.name)]
    assert not [path for path in opened if "deleted" in path.name]
    assert server.words() == ""
