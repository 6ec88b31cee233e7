"""What ``hemf stress`` found: a table of what breaks first for the terminal, and a page."""

from pathlib import Path
from typing import Any

from hemf.core.files import write_json, write_text
from hemf.core.tables import Column, Table
from hemf.core.text import counted, p_text, patients
from hemf.figures.classification import save_figure
from hemf.figures.inline import inline
from hemf.figures.robustness import robustness_figure
from hemf.metrics.wording import cell_text
from hemf.pages.elements import Drawing, Section, Sentences, Tabular
from hemf.pages.render import Page, render
from hemf.shift.stress import LEVEL, Stress

FIGURE = "stress"
ALT = "For each corruption accuracy over its steps, with 95% intervals; the tables hold the same numbers."
CAPTION = "Accuracy and its 95% interval; dotted: clean images; squares: share that the model warns of."


def write_stress(found: Stress, folder: Path) -> Path:
    """Write ``stress.json``, the figure and ``stress.html`` beside an evaluation; returns the page."""
    names = [row["name"] for row in found.order]
    report = found.to_json()
    figure = robustness_figure(report, names)
    save_figure(figure, folder / FIGURE)
    title = f"{found.about['data']['name']} under stress"
    page = Page(title, _sections(found, inline(figure, FIGURE, ALT, CAPTION)), "Stress test by hemf")
    write_text(folder / "stress.html", render(page))
    write_json(folder / "stress.json", report)
    return folder / "stress.html"


def order_table(found: Stress) -> Table:
    """Return what breaks first: for each corruption the first step that costs accuracy, and the last step."""
    columns = [
        Column("name", "corruption"),
        Column("step", "breaks at step", missing="none"),
        Column("amount", "amount there"),
        Column("mean", "mean change", "+.3f"),
        Column("worst", "accuracy at step 5"),
        Column("warned", "warned of at step 5"),
    ]
    rows = []
    for row in found.order:
        first, worst = row["breaks"], row["worst"]
        rows.append(
            {
                "name": row["name"],
                "step": first and first["step"],
                "amount": first and f"{first['amount']:g}",
                "mean": row["mean_change"],
                "worst": cell_text(worst["accuracy"]),
                "warned": cell_text(worst["warned"]) if worst["warned"] else None,
            }
        )
    return Table(f"clean images: {cell_text(found.clean)}", columns, rows)


def _sections(found: Stress, drawing: Drawing) -> list[Section]:
    about = found.about
    units = patients(about["groups"]) if about["groups"] else None
    who = f"{counted(about['n'], 'image')} of {about['split']}" + (f" ({units})" if units else "")
    lines = [
        f"The images are {who}. Each corruption has five steps, from what is hardly seen to what spoils one.",
        "A model breaks at the first step whose loss of accuracy is more than chance: below 0 at "
        f"{LEVEL:.0%} by a paired bootstrap, corrected by Holm for all steps of all of them. That it does "
        "not break says only that so many images do not show it.",
        "The corruptions are made from the images here: real faults of a device may look otherwise.",
    ]
    tables = [Tabular(_steps_table(name, found.corruptions[name]), folded=True) for name in found.corruptions]
    return [
        Section("What breaks first", [Sentences(lines), Tabular(order_table(found))]),
        Section("Curves", [drawing]),
        Section("Every step", tables),
    ]


def _steps_table(name: str, of: dict[str, Any]) -> Table:
    columns = [Column("step", "step"), Column("amount", of["unit"]), Column("accuracy", "accuracy")]
    columns += [Column("change", "change"), Column("p", "p, corrected"), Column("warned", "warned of")]
    rows = [
        {
            "step": one["step"],
            "amount": f"{one['amount']:g}",
            "accuracy": cell_text(one["accuracy"]),
            "change": cell_text(one["change"], form="+.3f"),
            "p": p_text(one["change"]["p_corrected"]),
            "warned": cell_text(one["warned"]) if one["warned"] else None,
        }
        for one in of["steps"]
    ]
    return Table(name, columns, rows)
