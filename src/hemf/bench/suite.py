"""A suite: which models are trained on which data, in which folds and with which seeds, by one protocol.

A suite is a YAML file; ``Suite`` is its format. Those of the paper's tables and others come with the package.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hemf.bench.published import PRINTED_NAMES
from hemf.config.run_config import RunConfig
from hemf.config.shelf import Shelf
from hemf.core.errors import HemfError
from hemf.core.registry import suggestion
from hemf.core.untrusted import read_yaml
from hemf.runs.consent import check_options, check_recipe

SUITES = Shelf("suite", "hemf.bench.suites")
FIXED = {
    "model": "the rows name the models; choose among them with --only",
    "model_args": "they belong to the rows; write a suite of your own",
    "seed": "give --seeds",
    "fold": "give --folds",
    "name": "the runs are named by the suite",
    "devices": "each run has one device; several runs go side by side with --cluster",
    "num_nodes": "each run has one device; several runs go side by side with --cluster",
    "strategy": "each run has one device; several runs go side by side with --cluster",
}


@dataclass(frozen=True)
class Row:
    """A row of the table: a model and how it is trained.

    Args:
        model: name of a registered model, ours or timm's.
        name: what --only and the runs' folder call the row; by default the model.
        title: what the table calls it; by default what the paper prints for the model, or the name.
        model_args: further arguments of the model's constructor.
        recipe: recipe of this row, instead of the suite's.
        options: options of this row's runs, over those of the suite.
    """

    model: str
    name: str = ""
    title: str = ""
    model_args: dict[str, Any] = field(default_factory=dict)
    recipe: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Where a suite's data set is: at its path, drawn, or in the folder of prepared data under its name.

    Args:
        path: prepared data set, class-folder tree, train/val/test tree or CSV file.
        prepare: the command that prepares it, for those who lack it.
        demo: arguments of `hemf data demo`, for a data set that is drawn into the suite's folder.
    """

    path: str | None = None
    prepare: str | None = None
    demo: dict[str, int] | None = None


@dataclass(frozen=True)
class Suite:
    """A matrix of runs on one protocol.

    Args:
        title: heading of the table.
        rows: the models.
        data: the data sets, by the names that the table and the runs' folders give them.
        recipe: name of a recipe of the package, or path of a YAML file.
        options: options of every run, over those of the recipe.
        folds: folds to test on, for data prepared with k folds; their results are averaged.
        seeds: each row is trained once with each.
    """

    title: str
    rows: list[Row]
    data: dict[str, Source]
    recipe: str = "paper"
    options: dict[str, Any] = field(default_factory=dict)
    folds: list[int] | None = None
    seeds: list[int] = field(default_factory=lambda: [0])

    def named(self) -> "Suite":
        """Return the suite with every row's name and title filled in."""
        rows = [replace(row, name=row.name or row.model.rpartition("/")[2]) for row in self.rows]
        rows = [
            replace(
                row, title=row.title or (row.name == row.model and PRINTED_NAMES.get(row.model)) or row.name
            )
            for row in rows
        ]
        return replace(self, rows=rows)

    def check(self) -> None:
        """Check that the matrix is not empty and that its names are different and fit for folders.

        Raises:
            HemfError: one of these does not hold.
        """
        names = {"rows": [row.name for row in self.rows], "data": list(self.data), "seeds": self.seeds}
        names |= {} if self.folds is None else {"folds": self.folds}
        for what, values in names.items():
            if not values:
                raise HemfError(f"the list {what} is empty; give at least one")
            if twice := [value for value in values if values.count(value) > 1]:
                raise HemfError(f"{what} has {twice[0]!r} twice; give each a name of its own")
        for name in (*names["rows"], *names["data"]):
            if not re.fullmatch(r"\w[\w.+-]*", name):
                raise HemfError(
                    f"{name!r} is not a name for a folder; use letters, digits, '_', '-', '+' and '.'"
                )

    def config(self, row: Row, **options: Any) -> RunConfig:
        """Return the options of a row's runs: the recipe's, the suite's, the row's, then ``options``.

        Raises:
            HemfError: an option that does not exist, is bad, or is not the suite's to set.
        """
        for name in (*self.options, *row.options):
            if name in (*FIXED, "data", "out"):
                raise HemfError(
                    f"row {row.name}: option {name!r} cannot be set here; {FIXED.get(name, 'leave it out')}"
                )
        values: dict[str, Any] = self.options | row.options | {"devices": 1} | options
        try:
            return RunConfig.of(
                row.recipe or self.recipe, model=row.model, model_args=row.model_args, **values
            )
        except HemfError as error:
            raise HemfError(f"row {row.name}: {error}") from error


def read_suite(suite: str, trust: bool = False) -> Suite:
    """Return the suite of that name, or of that YAML file.

    Args:
        suite: name or path.
        trust: whether a file may ask for anything; without it, not for what a stranger's may not.

    Raises:
        HemfError: there is none, it is not a suite, or it asks for what a file may not.
    """
    path = SUITES.path(suite)
    try:
        read = parse_suite(read_yaml(path))
        read.check()
        if suite not in SUITES.names() and not trust:
            _check_requests(read)
    except HemfError as error:
        raise HemfError(f"suite {path}: {error}") from error
    return read


def _check_requests(suite: Suite) -> None:
    """Check what a stranger's suite asks for.

    Raises:
        HemfError: it is for a person to ask.
    """
    for row in suite.rows:
        check_recipe(row.recipe or suite.recipe, {"model": row.model, "model_args": {}})
        asked = suite.options | row.options | {"model": row.model, "model_args": row.model_args}
        check_options(asked, f"row {row.name}")


def parse_suite(values: Any) -> Suite:
    """Return a suite from what its YAML file holds.

    Raises:
        HemfError: a key is missing or unknown, or a value is of the wrong type.
    """
    parts = dict(values) if isinstance(values, Mapping) else {}
    if isinstance(parts.get("rows"), list):
        parts["rows"] = [_record(Row, row, f"row {i}: ") for i, row in enumerate(parts["rows"], start=1)]
    if isinstance(parts.get("data"), Mapping):
        parts["data"] = {
            name: _record(Source, source or {}, f"data {name}: ") for name, source in parts["data"].items()
        }
    return _record(Suite, parts or values, "").named()


def _record(kind: type, values: Any, where: str) -> Any:
    """Return the dataclass ``kind`` from a mapping of its fields, each checked against its annotation."""
    fields = {one.name: one for one in dataclasses.fields(kind)}
    if not isinstance(values, Mapping):
        raise HemfError(f"{where}{values!r} is not a mapping; give {', '.join(fields)}")
    hints = get_type_hints(kind)
    for key, value in values.items():
        if key not in fields:
            raise HemfError(f"{where}no key {key!r}; {suggestion(str(key), fields)}")
        if not _fits(value, hints[key]):
            words = hints[key].__name__ if isinstance(hints[key], type) else hints[key]
            raise HemfError(
                f"{where}{key} is {value!r}; it must be {words}".replace("typing.", "").replace(
                    f"{__name__}.", ""
                )
            )
    for name, one in fields.items():
        if name not in values and one.default is one.default_factory is dataclasses.MISSING:
            raise HemfError(f"{where}the key {name!r} is missing; add it")
    return kind(**values)


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value from YAML is of an annotated type."""
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is Any:
        return True
    if kind is UnionType:
        return any(_fits(value, one) for one in inner)
    if not isinstance(value, kind) or isinstance(value, bool):
        return False
    if kind is dict:
        return all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    return kind is not list or all(_fits(one, inner[0]) for one in value)


def chosen_rows(suite: Suite, only: Sequence[str] | None) -> list[Row]:
    """Return the rows of these names, in the suite's order; all if none are named.

    Raises:
        HemfError: a name that no row has.
    """
    names = [row.name for row in suite.rows]
    for name in only or ():
        if name not in names:
            raise HemfError(f"the suite has no row {name!r}; {suggestion(name, names)}")
    return [row for row in suite.rows if not only or row.name in only]
