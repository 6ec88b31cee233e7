"""What the pages name is there, and what is public has a page."""

import re
from pathlib import Path

import pytest

import hemf

ROOT = Path(__file__).parents[1]
PACKAGE = Path(hemf.__file__).parent
API = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/explanation/architecture.md", "README.md"])
def test_the_files_that_a_page_mentions_exist(page: str):
    text = (ROOT / page).read_text(encoding="utf-8")
    files = {name for name in re.findall(r"`((?:[\w.]+/)+\w+\.\w+)`", text) if "NAME" not in name}
    files -= {name for name in files if name.startswith("runs/")}  # made by commands
    assert len(files) >= 5
    assert not [name for name in files if not any((top / name).is_file() for top in (ROOT, PACKAGE))]


@pytest.mark.parametrize("name", [name for name in hemf.__all__ if not name.startswith("_")])
def test_every_public_name_is_in_the_reference(name: str):
    assert re.search(rf"^::: [\w.]+\.{name}$|^## hemf\.{name}$", API, re.MULTILINE)
