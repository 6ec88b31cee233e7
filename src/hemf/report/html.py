"""Writes ``report.html``, ``tables.md`` and ``tables.tex``."""

from functools import cache
from importlib.resources import files

import yaml

from hemf.core.files import write_text
from hemf.pages.elements import Section, tables_of
from hemf.pages.render import Page, render
from hemf.report import multiclass  # noqa: F401  registers its report
from hemf.report.material import Material
from hemf.report.registry import report_of
from hemf.report.sections.glance import about

FOOTER = (
    "The same tables are in tables.md and tables.tex, every number in metrics.json, every probability in "
    'predictions.csv beside this file. More on what the numbers mean: "How to read the numbers" in hemf\'s '
    "documentation."
)


def write_report(material: Material) -> None:
    """Write one page about an evaluation that needs no other file, and its tables as Markdown and LaTeX.

    Every section stands on keys of the report or on files, and is left out where they are missing.

    Args:
        material: what is known; the files are written into its folder.

    Raises:
        HemfError: a file cannot be written.
    """
    report, folder = material.report, material.folder
    found = [Section(title, parts(material)) for title, parts in report_of(report).sections.items()]
    sections = [section for section in found if section.parts]
    tables = [part.table for one in sections for part in tables_of(one.parts) if part.exported]
    what = "Cross-validation by hemf" if "folds" in report else "Evaluation by hemf"
    title = f"{report['model']} on {report['data']['name']}, {report['split']} split"
    page = Page(title, sections, what, about(report), FOOTER, definitions())
    write_text(folder / "tables.md", "\n".join(table.markdown() for table in tables))
    write_text(folder / "tables.tex", "\n".join(table.latex() for table in tables))
    write_text(folder / "report.html", render(page))


@cache
def definitions() -> dict[str, str]:
    """Return what the words of a report mean, by the term in lower case."""
    return yaml.safe_load(files("hemf.report").joinpath("definitions.yaml").read_text(encoding="utf-8"))
