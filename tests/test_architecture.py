"""What docs/explanation/architecture.md promises: which way imports go, how many files, where things are."""

import ast
import itertools
import os
import re
import runpy
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import grimp
import pytest

import hemf

PACKAGE = Path(hemf.__file__).parent
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
DOCS = PROJECT.with_name("docs")
MOST_FILES = 12
LINT = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]


@pytest.fixture(scope="module")
def drawing() -> dict[str, Any]:
    """The script that makes the drawing."""
    return runpy.run_path(str(DOCS / "architecture.py"))


def lint_imports(packages: Path) -> tuple[int, str]:
    """Check the package ``hemf`` of a folder against the layers of pyproject.toml: exit code and output."""
    command = [*LINT, "--no-cache", "--no-logo", str(PROJECT)]
    there = {**os.environ, "PYTHONPATH": str(packages)}
    done = subprocess.run(command, cwd=packages, env=there, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def ring(imports: dict[str, set[str]]) -> list[str]:
    """The modules of a ring of imports, or none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_imports_go_down():
    code, said = lint_imports(PACKAGE.parent)
    assert code == 0, said


def test_no_modules_import_each_other_in_a_ring():
    graph = grimp.build_graph("hemf", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 200
    assert not ring(imports)


def test_a_ring_is_found():
    assert set(ring({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}


def test_an_import_upwards_is_found_inside_functions_too_and_for_types_alone_allowed(
    drawing: dict[str, Any], tmp_path: Path
):
    for name in itertools.chain(*drawing["layers"]()):
        (tmp_path / "hemf" / name).mkdir(parents=True)
        (tmp_path / "hemf" / name / "__init__.py").touch()
    (tmp_path / "hemf" / "__init__.py").touch()
    core = tmp_path / "hemf" / "core"
    (core / "at_once.py").write_text("import hemf.cli")
    (core / "late.py").write_text("def late():\n    from ..cli import main")
    (core / "typed.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import hemf.cli")
    code, said = lint_imports(tmp_path)
    assert code == 1
    assert set(re.findall(r"hemf\.core\.(\w+) -> hemf\.cli", said)) == {"at_once", "late"}


def test_no_package_has_more_than_a_dozen_files():
    files = {
        folder: [file.name for file in folder.glob("*.py") if file.name != "__init__.py"]
        for folder in [PACKAGE, *(folder for folder in PACKAGE.rglob("*") if folder.is_dir())]
    }
    crowds = {str(folder): len(names) for folder, names in files.items() if len(names) > MOST_FILES}
    assert not crowds


def test_the_drawing_is_made_from_these_imports(drawing: dict[str, Any]):
    assert drawing["DRAWING"].read_text(encoding="utf-8") == drawing["draw"](), (
        "the imports or the docstrings of packages have changed: python docs/architecture.py draws them anew"
    )


def test_every_package_says_what_it_is_for():
    packages = PACKAGE.rglob("__init__.py")
    silent = [file for file in packages if not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))]
    assert not silent


def test_what_one_looks_for_is_where_the_page_says():
    page = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| where .* \| `(.+)` \| `(.+)` \|$", page, re.MULTILINE)
    assert len(rows) >= 15
    missing = [(file, name) for file, name in rows if name not in defined_in(PACKAGE / file)]
    assert not missing


def defined_in(file: Path) -> set[str]:
    """Functions, classes and constants that a file defines at its top level."""
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            if isinstance(target, ast.Name):
                names.add(target.id)
    return names
