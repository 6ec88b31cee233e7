"""How the model does in each part of the images: a forest plot by column, and what is more than chance."""

from collections.abc import Mapping, Sequence
from typing import Any

from hemf.pages.elements import Estimate, Folded, Part, Sentences, Tabular
from hemf.report.material import Material
from hemf.report.subgroups import (
    MEANS,
    differences_tables,
    further_table,
    groups_by,
    measures_table,
    sensitivities_table,
    worst_tables,
)
from hemf.report.tables import estimate_of

Report = Mapping[str, Any]


def subgroups(material: Material) -> list[Part]:
    """Show each column's subgroups beside their accuracy, drawn with what the whole split has."""
    report, found = material.report, material.report.get("subgroups")
    if not found:
        return []
    parts: list[Part] = [Sentences(MEANS)]
    whole = report["metrics"]["accuracy"]["value"]
    for column in found["by"]:
        groups = groups_by(column, found)
        forest = measures_table(column, groups, found, ["accuracy"])
        more = [further_table(column, groups), sensitivities_table(column, groups, report["classes"])]
        parts.append(Tabular(forest, estimates=_estimates(groups, whole)))
        parts.append(Folded(f"More by {column}", list(map(Tabular, more))))
    parts += map(Tabular, worst_tables(found))
    return [*parts, *(Tabular(table, folded=True) for table in differences_tables(found))]


def _estimates(groups: Sequence[Report], whole: float) -> list[Estimate | None]:
    """Return what is drawn beside each subgroup: its accuracy, with that of all images as a line."""
    return [estimate_of(group["measures"].get("accuracy"), whole) for group in groups]
