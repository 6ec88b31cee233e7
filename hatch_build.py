"""Compile hemf's kernels while its wheel is built; where that fails, the wheel works too, only slower."""

import importlib.util
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/hemf/models/kernels")


class CompileKernels(BuildHookInterface):
    """Hatchling's hook for a wheel, an editable one included."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile for each instruction set, and add what came out to the wheel."""
        folder = Path(self.root) / FOLDER
        specification = importlib.util.spec_from_file_location("build", folder / "build.py")
        build = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(build)
        libraries, reason = build.build(folder)
        if reason:
            self.app.display_warning(f"hemf's compiled kernels are left out: {reason}")
            build_data["artifacts"].append(str(FOLDER / build.LEFT_OUT))
        if libraries:
            build_data["artifacts"] += [str(FOLDER / path.name) for path in libraries]
            # No Python ABI is in them: any Python of this platform will do.
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data.update(pure_python=False, tag=f"py3-none-{platform}")
