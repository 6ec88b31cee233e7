"""The tables of subgroups, from the entry ``subgroups`` of ``metrics.json``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hemf.core.tables import Column, Table
from hemf.core.text import counted, p_text
from hemf.metrics.wording import cell_text
from hemf.report.terminal import HEADLINE

Report = Mapping[str, Any]
SHOWN = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "roc_auc_macro": "AUC",
    "overconfidence": "confidence less accuracy",
    "coverage": "coverage of the sets",
}
WORDS = HEADLINE | SHOWN
SENSITIVITY = "sensitivity of "
SURE = 0.05
MEANS = [
    "Accuracy goes with the mix of classes: a subgroup with more of an easy class has more. The "
    "sensitivities of the classes compare like with like.",
    "Confidence less accuracy is above 0 where the model promises more than it keeps.",
]


def subgroup_tables(report: Report) -> list[Table]:
    """Tabulate the subgroups of each column, the worst beside the mean, and what differs."""
    found = report.get("subgroups")
    if not found:
        return []
    of_columns = [measures_table(column, groups_by(column, found), found) for column in found["by"]]
    return [*of_columns, *worst_tables(found), *differences_tables(found)]


def groups_by(column: str, found: Report) -> list[Report]:
    """Return the subgroups of a column."""
    return [group for group in found["groups"] if group["column"] == column]


def measures_table(
    column: str, groups: Sequence[Report], found: Report, shown: Sequence[str] = tuple(SHOWN)
) -> Table:
    """Tabulate measures of a column's subgroups, and how far the accuracy of each is from the rest's."""
    rests = {
        one["value"]: one
        for one in found["from_rest"]
        if one["column"] == column and one["measure"] == "accuracy"
    }
    unit = "patients" if found["unit"] == "group" else "images"
    names = [name for name in shown if any(name in group["measures"] for group in groups)]
    columns = [Column("value", column), Column("n", "images", ",")]
    columns += [Column("units", "patients or lesions", ",")] if found["unit"] == "group" else []
    columns += [Column(name, SHOWN[name]) for name in names]
    columns += [Column("rest", "accuracy less the rest's"), Column("p", "p, corrected")]
    rows = [
        {"value": group["value"] + (" *" if group["few"] else ""), "n": group["n"], "units": group["units"]}
        | {name: cell_text(group["measures"].get(name)) for name in names}
        | _from_rest(rests.get(group["value"]))
        for group in groups
    ]
    return Table(f"Subgroups by {column}", columns, rows, list(_notes(groups, found, unit)))


def _from_rest(one: Report | None) -> dict[str, str | None]:
    if one is None or one["difference"] is None:
        return {}
    return {"rest": difference_text(one), "p": p_text(one["p_holm"])}


def difference_text(one: Report) -> str | None:
    """Write a difference with its sign and its interval."""
    return cell_text({**one, "value": one["difference"]}, form="+.3f")


def _notes(groups: Sequence[Report], found: Report, unit: str) -> Iterator[str]:
    hidden = [group["value"] for group in groups if not group["measures"]]
    if hidden:
        yield f"Fewer than {found['smallest']} {unit}, and so without figures: {', '.join(hidden)}."
    if any(group["few"] and group["measures"] for group in groups):
        yield f"* rests on fewer than 30 {unit}: rough."


def further_table(column: str, groups: Sequence[Report]) -> Table:
    """Tabulate what else is measured of a column's subgroups."""
    measured = [group for group in groups if group["measures"]]
    names = [name for name in SHOWN if name != "accuracy" and any(name in g["measures"] for g in measured)]
    rows = [
        {"value": group["value"]} | {name: cell_text(group["measures"].get(name)) for name in names}
        for group in measured
    ]
    columns = [Column("value", column), *(Column(name, SHOWN[name]) for name in names)]
    return Table(f"Further measures by {column}", columns, rows)


def sensitivities_table(column: str, groups: Sequence[Report], classes: Sequence[str]) -> Table:
    """Tabulate the sensitivity of each class in each subgroup."""
    measured = [group for group in groups if group["measures"]]
    names = [name for name in classes if any(SENSITIVITY + name in group["measures"] for group in measured)]
    rows = [
        {"value": group["value"]}
        | {name: _with_n(group["measures"].get(SENSITIVITY + name)) for name in names}
        for group in measured
    ]
    columns = [Column("value", column), *(Column(name, name) for name in names)]
    return Table(f"Sensitivity of each class by {column}", columns, rows)


def _with_n(measure: Report | None) -> str | None:
    return None if measure is None else f"{cell_text(measure)} of {measure['n']}"


def worst_tables(found: Report) -> list[Table]:
    """Tabulate the worst subgroup of each column beside the mean over its subgroups."""
    columns = [Column("column", "column"), Column("measure", "measure"), Column("value", "worst subgroup")]
    columns += [Column("lowest", "there", ".3f"), Column("mean", "mean over subgroups", ".3f")]
    rows = [one | {"measure": WORDS.get(one["measure"], one["measure"])} for one in found["worst"]]
    notes = [
        "Subgroups marked * are left out. The worst of several is low by chance too: see its interval above. "
        "Averages over classes are compared only among subgroups that have all of them."
    ]
    return [Table("Worst subgroup", [*columns, Column("groups", "of")], rows, notes)] if rows else []


def differences_tables(found: Report) -> list[Table]:
    """Tabulate the differences that stand after correction, from the rest and between subgroups."""
    rows = [
        {"column": one["column"], "value": one["value"], "other": one["other"] or "the rest"}
        | {"measure": WORDS.get(one["measure"], one["measure"]), "difference": difference_text(one)}
        | {"p": p_text(one["p_holm"])}
        for one in (*found["from_rest"], *found["between"])
        if one["p_holm"] is not None and one["p_holm"] < SURE
    ]
    if not rows:
        return []
    heads = {"column": "column", "value": "subgroup", "other": "less", "measure": "measure"}
    heads |= {"difference": "difference", "p": "p, corrected"}
    tests = sum(one["p"] is not None for one in (*found["from_rest"], *found["between"]))
    notes = [
        f"Of {counted(tests, 'difference')} tested, these have a p below {SURE:g} after Holm's correction, "
        "of each measure over all subgroups (from the rest) or over all pairs of a column. All are in "
        "metrics.json."
    ]
    columns = [Column(key, head) for key, head in heads.items()]
    return [Table("Differences that are more than chance", columns, rows, notes)]
