"""Compile the kernels: by ``hatch_build.py`` while hemf is installed, or by hand, ``python build.py``.

Only the standard library is used, because neither torch nor hemf is there while a wheel is built.
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

INSTRUCTION_SETS = {"avx2": "x86-64-v3", "avx512": "x86-64-v4"}  # as torch and as compilers name them
LEFT_OUT = "left-out.txt"  # why there are no libraries
FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-shared", "-fopenmp", "-Wno-psabi")


def library_path(folder: Path, instruction_set: str) -> Path:
    """Name a compiled library for what it was made from, so that an old one is never loaded."""
    digest = hashlib.sha256(" ".join((*FLAGS, INSTRUCTION_SETS[instruction_set])).encode())
    for source in sorted([*folder.glob("*.h"), *folder.glob("*.c")]):
        digest.update(source.read_bytes())
    return folder / f"kernels-{digest.hexdigest()[:12]}-{instruction_set}.so"


def build(folder: Path) -> tuple[list[Path], str]:
    """Run ``compile_all``, and leave its reason in ``LEFT_OUT``, because pip does not show it."""
    made, reason = compile_all(folder)
    if reason:
        (folder / LEFT_OUT).write_text(f"{reason}\n", encoding="utf-8")
    else:
        (folder / LEFT_OUT).unlink(missing_ok=True)
    return made, reason


def compile_all(folder: Path) -> tuple[list[Path], str]:
    """Compile for each instruction set; older libraries go once all new ones are there.

    Returns:
        The libraries, and why there are none or not all of them, else an empty text.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return [], f"they are written for Linux on x86-64, this is {sys.platform} on {platform.machine()}"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not compiler or shutil.which(compiler[0]) is None:
        return [], "there is no C compiler: install gcc, or name one in CC"
    made = []
    try:
        for name in INSTRUCTION_SETS:
            made.append(_compile(compiler, folder, name))
        for old in set(folder.glob("kernels-*.so")).difference(made):
            old.unlink(missing_ok=True)
    except subprocess.CalledProcessError as error:
        return made, f"{compiler[0]} failed: {error.stderr.strip()[-500:]}"
    except OSError as error:
        return made, str(error)
    return made, ""


def _compile(compiler: list[str], folder: Path, name: str) -> Path:
    """Compile under a name of its own, so that several installations at once do no harm."""
    out = library_path(folder, name)
    sources = map(str, sorted(folder.glob("*.c")))
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        part = Path(scratch) / out.name
        command = [*compiler, *FLAGS, f"-march={INSTRUCTION_SETS[name]}", *sources, "-o", str(part), "-lm"]
        subprocess.run(command, capture_output=True, text=True, check=True)
        part.replace(out)
    return out


if __name__ == "__main__":
    libraries, reason = build(Path(__file__).parent)
    print(*(path.name for path in libraries), sep="\n")
    sys.exit(f"kernels left out: {reason}" if reason else 0)
