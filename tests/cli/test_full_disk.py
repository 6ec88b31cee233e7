"""A full disk ends every verb that writes in one line, exit code 2, and nothing half-written."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml

from hemf.cli import verbs
from hemf.cli.app import main
from hemf.models.convert import _LAYOUTS

resource = pytest.importorskip("resource", reason="no limits of processes here")

PLAIN = ("--device", "cpu")
SMALL = ("--epochs", "1", "--batch-size", "8", "--workers", "0", *PLAIN)
TRAIN = ("train", "--data", "TABLE", "--model", "test_resnet", "--image-size", "32", *SMALL, "--out", "OUT")
VERBS = {
    "predict": ("predict", "RUN", "IMAGES", "--out", "OUT.csv", "--workers", "0", *PLAIN),
    "explain": ("explain", "RUN", "IMAGES", "--out", "OUT", *PLAIN),
    "evaluate": ("evaluate", "RUN", "--resamples", "0", "--workers", "0", *PLAIN),
    "calibrate": ("calibrate", "RUN", "--workers", "0", *PLAIN),
    "compare": ("compare", "RUN", "TWIN", "--out", "OUT.json", "--resamples", "100"),
    "localise": ("localise", "RUN", "--perturb", "2", "--limit", "4", *PLAIN),
    "stress": ("stress", "RUN", "--limit", "4", "--resamples", "100", "--workers", "0", *PLAIN),
    "drift": (
        "drift",
        "RUN",
        "--data",
        "IMAGES",
        "--out",
        "OUT",
        "--permutations",
        "100",
        "--workers",
        "0",
        *PLAIN,
    ),
    "checklist": ("checklist", "RUN", "--out", "OUT"),
    "index": ("index", "RUNS", "--out", "OUT.html"),
    "export": ("export", "RUN", "--out", "OUT", "--workers", "0"),
    "profile": ("profile", "test_resnet", "--out", "OUT"),
    "bench": ("bench", "SUITE", "--out", "OUT"),
    "convert": ("convert", "CHECKPOINT", "--out", "OUT"),
    "train": TRAIN,
    "pretrain": ("pretrain", "--method", "vicreg", *TRAIN[1:]),
    "train, into a cache": (*TRAIN, "--cache-dir", "OUT"),
    "data demo": ("data", "demo", "--out", "OUT", "--lesions", "5", "--size", "32"),
    "data prepare": ("data", "prepare", "csv", "--root", "TABLE", "--out", "OUT"),
    "data info": ("data", "info", "RUN", "--out", "OUT.png"),
    "data audit": ("data", "audit", "RUN", "--out", "OUT"),
}


@contextmanager
def full_from(size: int) -> Iterator[None]:
    """Inside the block no file of this process grows beyond ``size`` bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def places(made_run: Path, tmp_path: Path) -> dict[str, Path]:
    """What the verbs read, by the words that stand for it above."""
    images, listed = tmp_path / "images", tmp_path / "list.csv"
    rows = [f"{file},{'ab'[i % 2]}" for i, file in enumerate(sorted(images.iterdir()))]
    listed.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    return {
        "RUNS": made_run.parent,
        "RUN": made_run,
        "IMAGES": images,
        "OUT": tmp_path / "out",
        "TABLE": listed,
    }


def more_places(verb: str, places: dict[str, Path], home: Path, request) -> dict[str, Path]:
    """What only one verb reads."""
    if verb == "compare":
        assert main(["evaluate", str(places["RUN"]), "--resamples", "0", "--workers", "0", *PLAIN]) == 0
        return {"TWIN": Path(shutil.copytree(places["RUN"], home / "twin"))}
    if verb == "index":
        assert main(["evaluate", str(places["RUN"]), "--resamples", "0", "--workers", "0", *PLAIN]) == 0
    if verb == "convert":
        names = json.loads((request.getfixturevalue("golden") / "hemf_keys.json").read_text())
        state = {name: torch.zeros(shape) for name, shape in names.items()}
        torch.save(state | dict(_LAYOUTS["hemf_base"]().constants), home / "theirs.pth")
        return {"CHECKPOINT": home / "theirs.pth"}
    if verb == "bench":
        options = {"epochs": 1, "image_size": 32, "batch_size": 8, "workers": 0, "accelerator": "cpu"}
        suite = {"title": "t", "rows": [{"model": "test_resnet"}], "options": options}
        suite["data"] = {"noise": {"path": str(places["TABLE"])}}
        (home / "mine.yaml").write_text(yaml.safe_dump(suite))
        return {"SUITE": home / "mine.yaml"}
    return {}


def test_every_verb_is_here() -> None:
    apart = {"serve", "node", "power", "ood"}  # which wait, write nothing, or need more images than these
    assert {verb.partition(",")[0] for verb in VERBS} | apart == set(verbs.VERBS)


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(verb, marks=[pytest.mark.golden, pytest.mark.slow] if verb == "convert" else [])
        for verb in VERBS
    ],
)
def test_a_full_disk_is_one_line_and_leaves_nothing(
    places, tmp_path: Path, capsys, request, verb: str
) -> None:
    places |= more_places(verb, places, tmp_path, request)
    words = list(VERBS[verb])
    for name, place in places.items():
        words = [word.replace(name, str(place)) if word.startswith(name) else word for word in words]
    before = contents(tmp_path)
    capsys.readouterr()
    with full_from(64):
        assert main(words) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith(f"hemf {verb.partition(',')[0]}: error: cannot write ")
    assert "File too large" in said[-1]
    assert not any("Traceback" in line for line in said)
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[Path, bytes]:
    """What every file below a folder holds; locks hold nothing."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.stat().st_size}
