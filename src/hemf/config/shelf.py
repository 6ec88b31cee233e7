"""YAML files that come with the package and are asked for by name, beside a user's own."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from hemf.core.errors import HemfError


@dataclass(frozen=True)
class Shelf:
    """The package's files of one kind.

    Args:
        kind: what one is called, such as ``recipe``.
        package: where they lie, such as ``hemf.config.recipes``.
    """

    kind: str
    package: str

    def names(self) -> list[str]:
        """Return the names of the files that come with the package."""
        files = (Path(file.name) for file in resources.files(self.package).iterdir())
        return sorted(file.stem for file in files if file.suffix == ".yaml")

    def path(self, name: str) -> Path:
        """Find a file, given its name or the path of a user's own.

        Raises:
            HemfError: there is none.
        """
        names = self.names()
        if name in names:
            return Path(str(resources.files(self.package) / f"{name}.yaml"))
        if Path(name).is_file():
            return Path(name)
        raise HemfError(
            f"no {self.kind} {name!r}; give one of {', '.join(names)}, or the path of a YAML file"
        )
