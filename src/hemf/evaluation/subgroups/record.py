"""What was found in subgroups, as it stands in ``metrics.json``."""

import json
from dataclasses import asdict, dataclass
from typing import Any

Measure = dict[str, Any]
"""``value`` (None where undefined, then ``reason`` says why), ``n`` and, where there is one, ``ci95``."""


@dataclass(frozen=True)
class Group:
    """A subgroup and its measures.

    Args:
        column: the column that it is a part by.
        value: the column's value, a range of numbers, or ``missing``.
        n: number of images.
        units: number of patients or lesions, or of images where none are known.
        classes: images of each class.
        measures: by name; empty where there are too few units to show any.
        few: whether there are so few units that all of it is rough.
    """

    column: str
    value: str
    n: int
    units: int
    classes: dict[str, int]
    measures: dict[str, Measure]
    few: bool

    @property
    def name(self) -> str:
        """Column and value, as a line of a table says it."""
        return f"{self.column}: {self.value}"


@dataclass(frozen=True)
class Difference:
    """How much more a measure is in one subgroup than in other images.

    Args:
        column: the column that both are parts by.
        value: the subgroup.
        other: another subgroup of the column; None for the rest of the images.
        measure: name of the measure.
        difference: None where one side has no value.
        ci95: ends of its 95% interval; None where there is none.
        p: of the test that there is no difference.
        p_holm: the same, corrected for the number of such tests.
        reason: why there is no difference, or no interval.
    """

    column: str
    value: str
    other: str | None
    measure: str
    difference: float | None = None
    ci95: tuple[float, float] | None = None
    p: float | None = None
    p_holm: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Worst:
    """The subgroup of a column in which a measure is lowest, beside the mean over the subgroups.

    Args:
        column: the column.
        measure: name of the measure.
        value: the subgroup.
        lowest: the measure in it.
        mean: mean of the measure over the subgroups, each counting the same.
        groups: number of subgroups that have the measure.
    """

    column: str
    measure: str
    value: str
    lowest: float
    mean: float
    groups: int


@dataclass(frozen=True)
class Subgroups:
    """All that was found by columns.

    Args:
        by: names of the columns.
        smallest: units below which a subgroup has no measures.
        unit: what a unit is: ``group`` (a patient or lesion) or ``image``.
        resamples: of the differences' bootstrap.
        groups: the subgroups, column by column.
        from_rest: each subgroup's differences from the rest of the images.
        between: differences between any two subgroups of a column.
        worst: the worst subgroup of each column and measure.
    """

    by: tuple[str, ...]
    smallest: int
    unit: str
    resamples: int
    groups: tuple[Group, ...]
    from_rest: tuple[Difference, ...]
    between: tuple[Difference, ...]
    worst: tuple[Worst, ...]

    def to_json(self) -> dict[str, Any]:
        """Write it as it stands in ``metrics.json``."""
        return json.loads(json.dumps(asdict(self)))  # lists for tuples

    def of_column(self, column: str) -> list[Group]:
        """Return the subgroups of a column."""
        return [group for group in self.groups if group.column == column]
