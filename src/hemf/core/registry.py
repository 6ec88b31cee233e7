"""Things of one kind by name: losses, sources, tasks ...; those of hemf, and those that other packages add.

A package adds to a registry by a module that registers, named in its ``pyproject.toml``::

    [project.entry-points."hemf.plugins"]
    mine = "my_package.my_losses"

Importing hemf loads none of these; asking for a name that hemf does not know does.
"""

import difflib
import functools
from collections import UserDict
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import TypeVar

from hemf.core.errors import HemfError
from hemf.core.text import one_line

T = TypeVar("T")

PLUGINS = "hemf.plugins"


class Registry(UserDict[str, T]):
    """A mapping from names to things of one kind, in the order in which they were registered.

    Args:
        kind: what one of them is called in messages, such as ``loss``.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def register(self, name: str) -> Callable[[T], T]:
        """Register what is decorated, or what the result is called with, under ``name``.

        Raises:
            ValueError: something else has that name.
        """

        def keep(thing: T) -> T:
            if self.setdefault(name, thing) is not thing:
                raise ValueError(f"there is another {self.kind} called {name!r}")
            return thing

        return keep

    def find(self, name: str) -> T:
        """Return what has that name; plugins are loaded if hemf itself has nothing of that name.

        Raises:
            HemfError: nothing has that name; the message suggests the nearest.
        """
        if name not in self:
            load_plugins()
        if name not in self:
            raise HemfError(f"no {self.kind} {name!r}; {suggestion(name, self)}")
        return self[name]


@functools.cache
def load_plugins() -> None:
    """Import the modules that installed packages name as hemf's plugins.

    Raises:
        HemfError: one cannot be imported.
    """
    for plugin in entry_points(group=PLUGINS):
        try:
            plugin.load()
        except Exception as error:  # whatever the module does
            reason = one_line(error)
            raise HemfError(f"the plugin {plugin.name} ({plugin.value}) does not load: {reason}") from error


def suggestion(name: str, names: Iterable[str], otherwise: str = "", most: int = 3) -> str:
    """Suggest what to give instead of a name that is not among ``names``: the nearest, or all of them.

    Args:
        name: what was given.
        names: what could have been.
        otherwise: what to say where none is near; by default all names are listed.
        most: how many near ones are named.
    """
    names = sorted(names)
    if near := difflib.get_close_matches(name, names, n=most):
        return f"did you mean {' or '.join(near)}?"
    return otherwise or f"give one of {', '.join(names)}"
