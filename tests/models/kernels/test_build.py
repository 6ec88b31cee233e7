"""Compiling the kernels, and what happens where that is not possible."""

import ctypes
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from hemf.models import kernels
from hemf.models.kernels import build

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
SOURCES = Path(kernels.__file__).parent


@pytest.fixture
def folder(tmp_path) -> Path:
    """The sources alone."""
    for path in (*SOURCES.glob("*.c"), *SOURCES.glob("*.h")):
        shutil.copy(path, tmp_path)
    return tmp_path


@needs_compiler
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


@needs_compiler
def test_a_compiler_that_fails_leaves_what_there_was_and_nothing_half(folder):
    (folder / "manhattan.c").write_text("this is not C")
    old = folder / "kernels-0123456789ab-avx2.so"
    old.write_bytes(b"old")
    libraries, reason = build.compile_all(folder)
    assert not libraries
    assert "failed" in reason
    assert sorted(folder.iterdir()) == sorted([old, *folder.glob("*.c"), *folder.glob("*.h")])


@needs_compiler
def test_two_installations_at_once_do_no_harm(folder):
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(build.compile_all, [folder, folder]))
    assert [reason for _, reason in results] == ["", ""]
    assert len(list(folder.glob("kernels-*.so"))) == len(build.INSTRUCTION_SETS)


def test_other_flags_make_another_library(folder, monkeypatch):
    before = build.library_path(folder, "avx2")
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-O0"))
    assert build.library_path(folder, "avx2") != before


@pytest.mark.skipif(kernels.LIBRARY is None, reason="no compiled kernels here")
def test_a_damaged_library_is_passed_over_with_a_warning(folder, monkeypatch):
    monkeypatch.setattr(kernels, "__file__", str(folder / "__init__.py"))
    assert kernels._load() == (None, None)
    build.library_path(folder, kernels.INSTRUCTION_SET).write_bytes(b"")
    with pytest.warns(UserWarning, match="cannot be loaded"):
        assert kernels._load() == (None, None)


@needs_compiler
def test_what_is_installed_is_compiled_from_the_sources_beside_it():
    """With a compiler and such a processor, an installation without kernels is a fault."""
    if torch.backends.cpu.get_cpu_capability().lower() not in build.INSTRUCTION_SETS:
        pytest.skip("a processor without kernels")
    assert kernels.LIBRARY is not None


def test_why_kernels_were_left_out_is_kept_for_their_first_use_and_goes_when_they_are_made(
    folder, monkeypatch
):
    if torch.backends.cpu.get_cpu_capability().lower() not in build.INSTRUCTION_SETS:
        pytest.skip("a processor without kernels")
    monkeypatch.setattr(kernels, "__file__", str(folder / "__init__.py"))
    monkeypatch.setattr(kernels, "LIBRARY", None)
    assert "not compiled" in kernels.left_out()
    monkeypatch.setenv("CC", "no-such-compiler")
    build.build(folder)
    assert "no C compiler" in kernels.left_out()
    kernels._say_what_is_missing.cache_clear()
    image = torch.zeros(1, 2, 2, 4)
    with pytest.warns(UserWarning, match=rf"no C compiler.*python {folder / 'build.py'}"):
        assert not kernels.have_kernel(image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        assert not kernels.have_kernel(image)
    if shutil.which("cc"):
        monkeypatch.delenv("CC")
        assert build.build(folder)[1] == ""
        assert not (folder / build.LEFT_OUT).exists()


@pytest.mark.skipif(kernels.LIBRARY is None, reason="no compiled kernels here")
def test_nothing_is_said_where_there_are_kernels():
    assert kernels.left_out() is None
