"""What ``hemf drift`` found: a table for the terminal, and a page."""

from pathlib import Path
from typing import Any

from hemf.core.files import write_json, write_text
from hemf.core.tables import Column, Table
from hemf.core.text import counted, p_text, patients
from hemf.pages.elements import WARNING, Section, Sentences, Tabular
from hemf.pages.render import Page, render
from hemf.shift.drift import LEVEL, Drift


def write_drift(found: Drift, folder: Path) -> Path:
    """Write ``drift.json`` and ``drift.html`` into a folder; returns the page."""
    page = folder / "drift.html"
    title = f"Is {found.about['new'].get('data', 'what is new')} like the reference?"
    write_text(page, render(Page(title, _sections(found), "Drift by hemf")))
    write_json(folder / "drift.json", found.to_json())
    return page


def drift_table(found: Drift) -> Table:
    """Return each quantity of both sides, how far they are apart, and the corrected p."""
    columns = [Column("name", "quantity"), Column("kind", "of the"), Column("reference", "reference")]
    columns += [Column("new", "new"), Column("statistic", "distance", ".3f"), Column("p", "p, corrected")]
    words = {"input": "image", "score": "model", "performance": "result"}
    rows = [
        {
            "name": f"{one['name']} ({one['shown']})",
            "kind": words[one["kind"]],
            "reference": _shown(one["reference"]),
            "new": _shown(one["new"]),
            "statistic": one["statistic"],
            "p": p_text(one["p_corrected"]),
            "bold": one["p_corrected"] < LEVEL,
        }
        for one in found.tests
    ]
    return Table("reference and new images", columns, rows, bold="bold")


def _shown(value: float | dict[str, float]) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {share:.2f}" for name, share in value.items())
    return f"{value:.4g}"


def _sections(found: Drift) -> list[Section]:
    about = found.about
    verdict = found.verdict()
    lines = [
        (WARNING if found.found else "") + verdict[0].upper() + verdict[1:] + ".",
        f"Reference: {_side(about['reference'])}. New: {_side(about['new'])}.",
    ]
    notes = [
        "Each quantity is compared by a permutation test that exchanges patients or lesions whole between "
        f"both sides ({about['permutations']:,} times), and all p are corrected together (Holm).",
        "Numbers are compared by the largest distance of their distributions (Kolmogorov-Smirnov), predicted "
        "classes by half the sum of the differences of their shares, accuracy by its difference.",
        "A difference is no fault by itself: other patients differ too. None found says no more than "
        "so many images can show.",
    ]
    return [
        Section("What differs", [Sentences(lines), Tabular(drift_table(found))]),
        Section("How it was tested", [Sentences(notes)]),
    ]


def _side(of: dict[str, Any]) -> str:
    name = " ".join(str(of[key]) for key in ("data", "split") if key in of)
    units = f", {patients(of['units'])}" if of["units"] < of["n"] else ""
    left = f"; {of['unreadable']} cannot be read" if of["unreadable"] else ""
    return f"{name}, {counted(of['n'], 'image', form=',')}{units}{left}"
