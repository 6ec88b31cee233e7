"""What is installed where there is no torch is the extra of pyproject.toml, and enough."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_file_and_the_extra_name_the_same_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "runtime-requirements.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == project["optional-dependencies"]["runtime"]
    known = {*project["dependencies"], *project["optional-dependencies"]["export"]}
    assert set(project["optional-dependencies"]["runtime"]) <= known
