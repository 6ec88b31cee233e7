"""A full disk ends every verb that writes in one line, exit code 2, and nothing half-written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hemf.cli.app import main

resource = pytest.importorskip("resource", reason="no limits of processes here")

PLAIN = ("--device", "cpu")
VERBS = {
    "predict": ("predict", "RUN", "IMAGES", "--out", "OUT.csv", "--workers", "0", *PLAIN),
    "explain": ("explain", "RUN", "IMAGES", "--out", "OUT", *PLAIN),
    "evaluate": ("evaluate", "RUN", "--resamples", "0", "--workers", "0", *PLAIN),
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


@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_is_one_line_and_leaves_nothing(
    made_run: Path, tmp_path: Path, capsys, verb: str
) -> None:
    images, listed = tmp_path / "images", tmp_path / "list.csv"
    rows = [f"{file},{'ab'[i % 2]}" for i, file in enumerate(sorted(images.iterdir()))]
    listed.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    places = {"RUN": made_run, "IMAGES": images, "OUT": tmp_path / "out", "TABLE": listed}
    words = list(VERBS[verb])
    for name, place in places.items():
        words = [word.replace(name, str(place)) if word.startswith(name) else word for word in words]
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with full_from(64):
        assert main(words) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"hemf {verb}: error: cannot write ")
    assert "File too large" in said
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
