"""Opening what a stranger sent runs nothing, fetches nothing and writes nowhere but where it lies."""

from pathlib import Path

import corpus
import folders
import fuzz
import jobs
import pytest


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Hostile folders are made from one sound run of two epochs."""
    home = tmp_path_factory.mktemp("hostile")
    return folders.Place(home / "place", *folders.sound_run(home))


def _tree(folder: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "step"), [("models", 3), ("runs", 9), ("pretrainings", 3), ("recipes", 7), ("data_sets", 2)]
)
def test_a_stranger_s_files_run_fetch_and_write_nothing(place, kind, step):
    """A part of the folders, so that it takes a minute; ``make fuzz`` opens them all."""
    before = _tree(place.outside)
    made = list(getattr(folders, kind)(place))[::step]
    found = jobs.run_jobs([job for _, job in made])
    wrong = {name: jobs.faults(job, one) for (name, job), one in zip(made, found, strict=True)}
    assert {name: faults for name, faults in wrong.items() if faults} == {}
    assert _tree(place.outside) == before


@pytest.mark.slow
def test_damaged_files_end_in_a_result_or_a_line(place):
    before = _tree(place.outside)
    assert fuzz.run(place, 2 * len(corpus.KINDS), seed=1)["faults"] == {}
    assert _tree(place.outside) == before
