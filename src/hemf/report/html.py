"""Writes ``report.html``, ``tables.md`` and ``tables.tex``."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from hemf.core.files import write_text
from hemf.core.text import printable
from hemf.report import multiclass  # noqa: F401  registers its report
from hemf.report.elements import Section, Tabular
from hemf.report.material import Material
from hemf.report.registry import report_of
from hemf.report.sections import title_of
from hemf.report.worst_mistakes import Mistake


def write_report(
    folder: Path,
    report: Mapping[str, Any],
    run: Path | None = None,
    mistakes: Sequence[Mistake] | None = None,
) -> Path:
    """Write one page about an evaluation that needs no other file, and its tables as Markdown and LaTeX.

    Every section stands on keys of the report or on files, and is left out where they are missing.

    Args:
        folder: folder of the evaluation; its figures are read, and the files are written into it.
        report: what ``metrics.json`` holds.
        run: folder of the run, for its curves, options and environment; None where it is not at hand.
        mistakes: the worst mistakes; None if they were not looked for.

    Returns:
        The page's path.

    Raises:
        HemfError: a file cannot be written.
    """
    material = Material(report, folder, run, mistakes)
    found = [Section(title, parts(material)) for title, parts in report_of(report).sections.items()]
    sections = [section for section in found if section.parts]
    tables = [
        part.table for one in sections for part in one.parts if isinstance(part, Tabular) and part.exported
    ]
    write_text(folder / "tables.md", "\n".join(table.markdown() for table in tables))
    write_text(folder / "tables.tex", "\n".join(table.latex() for table in tables))
    write_text(folder / "report.html", render(title_of(report), sections))
    return folder / "report.html"


def render(title: str, sections: Sequence[Section]) -> str:
    """Return the page as HTML; every text in it is escaped.

    Args:
        title: title of the page.
        sections: from top to bottom.
    """
    return _template().render(title=title, sections=sections)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("hemf.report", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _plain(value: Any) -> Any:
    """Return text of others without what steers; what the template itself made stays as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
