"""Damaged files of every kind that hemf reads, made from sound ones, and the commands that read them."""

import io
import json
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from folders import Job, Place
from PIL import Image

Damage = Callable[[bytes, random.Random], bytes]


def corpus(place: Place, count: int, seed: int = 0) -> Iterator[tuple[str, Job]]:
    """Jobs on damaged files, the kinds in turn; the same for the same seed.

    Args:
        place: where they are made.
        count: how many.
        seed: of the damages.
    """
    sound = _sound_images()
    for number in range(count):
        rng = random.Random(f"{seed}-{number}")
        kind = list(KINDS)[number % len(KINDS)]
        name, job = KINDS[kind](place, rng, sound)
        yield f"{number} {kind}: {name}", job


def damaged(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Bytes damaged in one to three ways, and the names of the ways."""
    ways = rng.choices(list(BYTES), k=rng.randint(1, 3))
    for way in ways:
        content = BYTES[way](content, rng)
    return "+".join(ways), content


def garbled(text: str, rng: random.Random) -> tuple[str, str]:
    """JSON, YAML or CSV damaged in one to three ways that keep much of it, and the names of the ways."""
    ways = rng.choices(list(TEXTS), k=rng.randint(1, 3))
    for way in ways:
        text = TEXTS[way](text, rng)
    return "+".join(ways), text


def _place_in(content: bytes, rng: random.Random) -> tuple[int, int]:
    """Beginning and end of a stretch, near the head as often as anywhere."""
    reach = min(len(content), 200) if rng.random() < 0.5 else len(content)
    start = rng.randrange(max(1, reach))
    return start, min(len(content), start + rng.choice((1, 2, 4, 16, 256)))


def _flip(content: bytes, rng: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(rng.choice((1, 3, 30))):
        if found:
            found[_place_in(content, rng)[0]] ^= 1 << rng.randrange(8)
    return bytes(found)


def _replace(value: Callable[[int, random.Random], bytes]) -> Damage:
    def damage(content: bytes, rng: random.Random) -> bytes:
        start, end = _place_in(content, rng)
        return content[:start] + value(end - start, rng) + content[end:]

    return damage


def _repeat(content: bytes, rng: random.Random) -> bytes:
    start, end = _place_in(content, rng)
    return content[:end] + content[start:end] * rng.choice((1, 10, 1000)) + content[end:]


BYTES: dict[str, Damage] = {
    "cut": lambda content, rng: content[: rng.randrange(len(content) + 1)],
    "flip": _flip,
    "zeros": _replace(lambda n, rng: bytes(n)),
    "ones": _replace(lambda n, rng: b"\xff" * n),
    "noise": _replace(lambda n, rng: rng.randbytes(n)),
    "delete": _replace(lambda n, rng: b""),
    "insert": _replace(lambda n, rng: rng.randbytes(2 * n)),
    "repeat": _repeat,
    "empty": lambda content, rng: b"" if rng.random() < 0.2 else content,
    "append": lambda content, rng: content + rng.randbytes(1000),
}
ODD = (
    "-1",
    "0",
    "1e999",
    "NaN",
    "99999999999999999999",
    "null",
    "true",
    "[]",
    "{}",
    '""',
    '"../../x"',
    "0.5",
    "'",
    "\\u0000",
)


def _number(text: str, rng: random.Random) -> str:
    found = list(re.finditer(r"-?\d+(?:\.\d+)?", text))
    if not found:
        return text
    one = rng.choice(found)
    return text[: one.start()] + rng.choice(ODD) + text[one.end() :]


def _value(text: str, rng: random.Random) -> str:
    found = list(re.finditer(r"(?<=[:,] )[^,\n\]}]+|(?<=,)[^,\n]+", text))
    if not found:
        return text
    one = rng.choice(found)
    return text[: one.start()] + rng.choice(ODD) + text[one.end() :]


def _line(change: Callable[[list[str], int, random.Random], Any]) -> Callable[[str, random.Random], str]:
    def damage(text: str, rng: random.Random) -> str:
        lines = text.split("\n")
        change(lines, rng.randrange(len(lines)), rng)
        return "\n".join(lines)

    return damage


def _mark(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice("\"'{}[]:,;\t\0\ufeff&*!|>#%@`") + text[at:]


TEXTS: dict[str, Callable[[str, random.Random], str]] = {
    "number": _number,
    "value": _value,
    "line out": _line(lambda lines, i, rng: lines.pop(i)),
    "line twice": _line(lambda lines, i, rng: lines.insert(i, lines[i])),
    "line long": _line(lambda lines, i, rng: lines.insert(i, lines[i] * rng.choice((2, 5000)))),
    "lines swapped": _line(lambda lines, i, rng: lines.insert(rng.randrange(len(lines)), lines.pop(i))),
    "mark": _mark,
    "cut": lambda text, rng: text[: rng.randrange(len(text) + 1)],
    "deep": lambda text, rng: text.replace("[", "[" * rng.choice((2, 3000)), 1),
}


def _sound_images() -> dict[str, bytes]:
    """Sound image files, by name."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8))
    grey = Image.fromarray(rng.integers(0, 65536, (40, 48), np.uint16))
    kinds: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "a.png": (colour, {"format": "PNG"}),
        "palette.png": (colour.quantize(16), {"format": "PNG"}),
        "grey16.png": (grey, {"format": "PNG"}),
        "a.jpg": (colour, {"format": "JPEG", "quality": 90}),
        "progressive.jpg": (colour, {"format": "JPEG", "progressive": True}),
        "cmyk.jpg": (colour.convert("CMYK"), {"format": "JPEG"}),
        "a.tif": (colour, {"format": "TIFF"}),
        "lzw.tif": (colour, {"format": "TIFF", "compression": "tiff_lzw"}),
        "grey16.tif": (grey, {"format": "TIFF"}),
        "float.tif": (Image.fromarray(rng.random((40, 48), np.float32)), {"format": "TIFF"}),
        "a.bmp": (colour, {"format": "BMP"}),
        "a.webp": (colour, {"format": "WEBP"}),
    }
    found = {}
    for name, (image, how) in kinds.items():
        content = io.BytesIO()
        image.save(content, **how)
        found[name] = content.getvalue()
    return found | {f"{name}.dcm": _dicom(**how) for name, how in DICOMS.items()}


DICOMS: dict[str, dict[str, Any]] = {
    "grey": {},
    "signed": {"PixelRepresentation": 1, "RescaleIntercept": -1024, "RescaleSlope": 1},
    "window": {"WindowCenter": [40, 400], "WindowWidth": [400, 1500]},
    "colour": {"samples": 3},
    "rle": {"syntax": "RLELossless"},
    "deflated": {"syntax": "DeflatedExplicitVRLittleEndian"},
    "big": {"syntax": "ExplicitVRBigEndian"},
}


def _dicom(samples: int = 1, syntax: str = "ExplicitVRLittleEndian", **elements: Any) -> bytes:
    import pydicom.uid
    from pydicom.dataset import Dataset, FileMetaDataset

    rng = np.random.default_rng(1)
    kind = np.uint16 if samples == 1 else np.uint8
    shape = (40, 48) if samples == 1 else (40, 48, samples)
    pixels = rng.integers(0, 4096 if samples == 1 else 256, shape).astype(kind)
    target = getattr(pydicom.uid, syntax)
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = (
        pydicom.uid.ExplicitVRLittleEndian if syntax == "RLELossless" else target
    )
    one.SOPClassUID, one.SOPInstanceUID = pydicom.uid.CTImageStorage, "1.2.3"
    one.PatientID, one.Modality = "P1", "CT"
    one.Rows, one.Columns, one.SamplesPerPixel = 40, 48, samples
    one.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "RGB"
    if samples > 1:
        one.PlanarConfiguration = 0
    one.BitsAllocated = one.BitsStored = pixels.itemsize * 8
    one.HighBit, one.PixelRepresentation = one.BitsStored - 1, 0
    for name, value in elements.items():
        setattr(one, name, value)
    one.PixelData = (pixels.byteswap() if syntax == "ExplicitVRBigEndian" else pixels).tobytes()
    one["PixelData"].VR = "OW"
    if syntax == "RLELossless":
        one.compress(target)
    content = io.BytesIO()
    one.save_as(content, enforce_file_format=True)
    return content.getvalue()


def _image(place: Place, rng: random.Random, sound: dict[str, bytes]) -> tuple[str, Job]:
    name = rng.choice([name for name in sound if not name.endswith(".dcm")])
    return _one_image(place, name, *damaged(sound[name], rng))


def _dicom_file(place: Place, rng: random.Random, sound: dict[str, bytes]) -> tuple[str, Job]:
    name = rng.choice([name for name in sound if name.endswith(".dcm")])
    return _one_image(place, name, *damaged(sound[name], rng))


def _one_image(place: Place, name: str, way: str, content: bytes) -> tuple[str, Job]:
    folder = place.new()
    (folder / name).write_bytes(content)
    return f"{name} {way}", place.job(folder, "predict", place.run, folder / name, "--workers", 0)


def _archive(place: Place, rng: random.Random, sound: dict[str, bytes]) -> tuple[str, Job]:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for label in ("dyed-lifted-polyps", "normal-cecum"):
            for number in range(3):
                archive.writestr(f"kvasir-dataset/{label}/{number}.jpg", sound["a.jpg"])
    way, spoilt = damaged(content.getvalue(), rng)
    folder = place.new()
    (folder / "kvasir-dataset.zip").write_bytes(spoilt)
    words = ["--root", folder / "kvasir-dataset.zip", "--check-counts=false", "--out", folder / "out"]
    return way, place.job(folder, "data", "prepare", "kvasir", *words)


def _spoilt(folder: Path, file: str, rng: random.Random) -> str:
    """Damage a file of a copied folder: one of text mostly as text."""
    path = folder / file
    content = path.read_bytes()
    if path.suffix in (".json", ".yaml", ".csv") and rng.random() < 0.8:
        way, text = garbled(content.decode(), rng)
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
    else:
        way, spoilt = damaged(content, rng)
        path.write_bytes(spoilt)
    return f"{file} {way}"


def _manifest(place: Place, rng: random.Random, _: dict[str, bytes]) -> tuple[str, Job]:
    folder = place.new(place.prepared)
    way = _spoilt(folder, rng.choice(("manifest.csv", "dataset.json")), rng)
    verb = rng.choice(
        (["data", "info"], ["data", "audit", "--workers", 0], ["evaluate", place.run, "--data"])
    )
    if verb[0] == "evaluate":
        run = place.new(place.run)
        job = place.job(folder, "evaluate", run, "--data", folder, "--workers", 0, "--resamples", 0)
        job["may_write"].append(str(run))
        return f"{way}, evaluated", job
    return f"{way}, {verb[1]}", place.job(folder, *verb[:2], folder, *verb[2:])


def _table(place: Place, rng: random.Random, sound: dict[str, bytes]) -> tuple[str, Job]:
    folder = place.new()
    for number in range(12):
        (folder / f"{number}.png").write_bytes(sound["a.png"])
    rows = "path,label,patient_id,split\n" + "".join(
        f"{number}.png,{'ab'[number % 2]},p{number},{('train', 'val', 'test')[number // 2 % 3]}\n"
        for number in range(12)
    )
    (folder / "data.csv").write_text(rows)
    way = _spoilt(folder, "data.csv", rng)
    words = ["--root", folder / "data.csv", "--out", folder.parent / "out"]
    return way, place.job(folder, "data", "prepare", "csv", *words)


def _model(place: Place, rng: random.Random, _: dict[str, bytes]) -> tuple[str, Job]:
    folder = place.new(place.run / "model")
    way = _spoilt(folder, rng.choice(("config.json", "config.json", "model.safetensors")), rng)
    return way, place.job(folder, "predict", folder, place.image, "--workers", 0)


RUN_FILES = ("config.yaml", "environment.json", "manifest.csv", "dataset.json", "checkpoints/last.ckpt")


def _run(place: Place, rng: random.Random, _: dict[str, bytes]) -> tuple[str, Job]:
    folder = place.new(place.run)
    way = _spoilt(folder, rng.choice(RUN_FILES), rng)
    if rng.random() < 0.5:
        return f"{way}, resumed", place.job(
            folder, "train", "--resume", folder, "--epochs", 3, "--workers", 0
        )
    few = ["--workers", 0, "--resamples", 0]
    return f"{way}, evaluated", place.job(folder, "evaluate", folder, *few)


def _evaluation(place: Place, rng: random.Random, _: dict[str, bytes]) -> tuple[str, Job]:
    one, other = place.new(place.run), place.new(place.run)
    way = _spoilt(one, rng.choice(("evaluation/test/metrics.json", "evaluation/test/predictions.csv")), rng)
    return way, place.job(one, "compare", one, other, "--resamples", 20)


def _recipe(place: Place, rng: random.Random, _: dict[str, bytes]) -> tuple[str, Job]:
    folder = place.new(place.run)
    way = _spoilt(folder, "config.yaml", rng)
    few = [
        "--data",
        place.prepared,
        "--model",
        "test_resnet",
        "--epochs",
        1,
        "--image-size",
        32,
        "--batch-size",
        8,
    ]
    own = ["--out", folder.parent / "runs", "--name", "one", "--workers", 0]
    return way, place.job(folder, "train", "--recipe", folder / "config.yaml", *few, *own)


def _suite(place: Place, rng: random.Random, _: dict[str, bytes]) -> tuple[str, Job]:
    folder = place.new()
    suite = {
        "title": "one",
        "data": {"mine": {"path": str(place.prepared)}},
        "rows": [{"model": "test_resnet"}],
        "options": {"epochs": 1, "image_size": 32, "batch_size": 8, "workers": 0},
    }
    (folder / "suite.yaml").write_text(json.dumps(suite, indent=1))
    few = ["--epochs", 1, "--image-size", 32]  # so that a suite that lost its own trains no hundred epochs
    return _spoilt(folder, "suite.yaml", rng), place.job(folder, "bench", folder / "suite.yaml", *few)


KINDS: dict[str, Callable[[Place, random.Random, dict[str, bytes]], tuple[str, Job]]] = {
    "image": _image,
    "DICOM": _dicom_file,
    "archive": _archive,
    "manifest": _manifest,
    "image, again": _image,
    "DICOM, again": _dicom_file,
    "table": _table,
    "model": _model,
    "run": _run,
    "evaluation": _evaluation,
    "recipe": _recipe,
    "suite": _suite,
}
