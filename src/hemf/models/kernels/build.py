"""Compile the kernels: by ``hatch_build.py`` while hemf is installed, or by hand, ``python build.py``.

Only the standard library is used, for neither torch nor hemf is there while a wheel is built.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

INSTRUCTION_SETS = {"avx2": "x86-64-v3", "avx512": "x86-64-v4"}  # as torch and as compilers name them
FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-shared", "-fopenmp", "-Wno-psabi")


def library_path(folder: Path, instruction_set: str) -> Path:
    """Where a compiled library lies: named for what it was made from, so that an old one is never loaded."""
    digest = hashlib.sha256()
    for source in sorted([*folder.glob("*.h"), *folder.glob("*.c")]):
        digest.update(source.read_bytes())
    return folder / f"kernels-{digest.hexdigest()[:12]}-{instruction_set}.so"


def compile_all(folder: Path) -> tuple[list[Path], str]:
    """Compile for each instruction set, in the place of older libraries.

    Returns:
        The libraries, and why there are none or not all of them, else an empty text.
    """
    for old in folder.glob("kernels-*.so"):
        old.unlink()
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return [], f"they are written for Linux on x86-64, this is {sys.platform} on {platform.machine()}"
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return [], "there is no C compiler: install gcc, or name one in CC"
    made = []
    for name, march in INSTRUCTION_SETS.items():
        out = library_path(folder, name)
        scratch = out.with_suffix(".part")
        command = [compiler, *FLAGS, f"-march={march}", *map(str, sorted(folder.glob("*.c")))]
        done = subprocess.run([*command, "-o", str(scratch), "-lm"], capture_output=True, text=True)
        if done.returncode:
            scratch.unlink(missing_ok=True)
            return made, f"{compiler} failed: {done.stderr.strip()[-500:]}"
        scratch.replace(out)
        made.append(out)
    return made, ""


if __name__ == "__main__":
    libraries, reason = compile_all(Path(__file__).parent)
    print(*(path.name for path in libraries), sep="\n")
    sys.exit(f"kernels left out: {reason}" if reason else 0)
