"""Compiling the kernels, and what happens where that is not possible."""

import ctypes
import importlib.util
import shutil
from pathlib import Path

import pytest

from hemf.models import kernels
from hemf.models.kernels import build

SOURCES = Path(kernels.__file__).parent


@pytest.fixture
def folder(tmp_path) -> Path:
    """The sources alone."""
    for path in (*SOURCES.glob("*.c"), *SOURCES.glob("*.h")):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_compiles_every_instruction_set_in_place_of_older_libraries(folder):
    (folder / "kernels-0123456789ab-avx2.so").write_bytes(b"old")
    libraries, reason = build.compile_all(folder)
    assert not reason
    assert sorted(folder.glob("kernels-*")) == sorted(libraries)
    assert set(libraries) == {build.library_path(folder, name) for name in build.INSTRUCTION_SETS}
    assert ctypes.CDLL(str(libraries[0])).manhattan_forward


def test_a_library_of_other_sources_has_another_name(folder):
    before = build.library_path(folder, "avx2")
    with open(folder / "lines.h", "a") as file:
        file.write("\n")
    assert build.library_path(folder, "avx2") != before


def test_says_why_nothing_was_compiled(folder, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    assert build.compile_all(folder) == ([], "there is no C compiler: install gcc, or name one in CC")
    monkeypatch.setattr(build.sys, "platform", "win32")
    libraries, reason = build.compile_all(folder)
    assert not libraries
    assert "win32" in reason


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_a_compiler_that_fails_leaves_no_half_library(folder):
    (folder / "manhattan.c").write_text("this is not C")
    libraries, reason = build.compile_all(folder)
    assert not libraries
    assert "failed" in reason
    assert not list(folder.glob("kernels-*"))


def test_what_is_installed_is_compiled_from_the_sources_beside_it():
    """Not where there is no compiler; but with one, an installation without kernels is a fault."""
    if importlib.util.find_spec("hemf") is None or shutil.which("cc") is None:
        pytest.skip("no C compiler here")
    if kernels.torch.backends.cpu.get_cpu_capability().lower() not in build.INSTRUCTION_SETS:
        pytest.skip("a processor without kernels")
    assert kernels.LIBRARY is not None
