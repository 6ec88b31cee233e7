"""``hemf index``: one page over all runs of a folder, with their measures, leaks and reports."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemf.core.errors import HemfError
from hemf.core.files import write_text
from hemf.core.outputs import check_output
from hemf.core.tables import Column, Table
from hemf.core.text import counted, printable
from hemf.core.untrusted import read_json

MEASURES = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc_macro")
MARK = '<meta name="generator" content="hemf">'
DEEPEST = 6  # folders between the one given and an evaluation


@dataclass(frozen=True)
class Found:
    """An evaluation in the folder.

    Args:
        place: its folder, from the one that was asked about.
        report: what its ``metrics.json`` holds.
    """

    place: Path
    report: Mapping[str, Any]

    @property
    def run(self) -> str:
        """The run's folder, from the one that was asked about."""
        return self.place.parents[1].as_posix()

    @property
    def images(self) -> tuple[str, str, int]:
        """What two evaluations of the same images have in common: data set, split, number of images."""
        return str(self.report["data"]["name"]), str(self.report["split"]), int(self.report["n"])


def index(folder: str, out: str | None = None) -> Path:
    """Write one page that lists all evaluations below a folder, side by side where the images are the same.

    Each line leads to its report. Nothing is evaluated here: hemf evaluate RUN comes first. Runs without an
    evaluation are named.

    Args:
        folder: the folder with the runs, such as runs.
        out: page to write; by default index.html in the folder.

    Returns:
        The page.

    Raises:
        HemfError: there is no such folder, no evaluation below it, or the page cannot be written.
    """
    from hemf.pages.elements import Section, Sentences
    from hemf.pages.render import Page, render
    from hemf.report.html import definitions

    root = Path(folder)
    if not root.is_dir():
        raise HemfError(f"no folder {folder}; give the one with the runs, such as runs")
    file = Path(out) if out else root / "index.html"
    if file.suffix != ".html":
        raise HemfError(f"{file} does not end in .html; give a name that does, such as index.html")
    check_output(file, is_page)
    found, left_out = find_evaluations(root)
    if not found:
        raise HemfError(f"no evaluation below {folder}; make one with hemf evaluate RUN")
    together: dict[tuple[str, str, int], list[Found]] = {}
    for one in sorted(found, key=lambda one: one.images):
        together.setdefault(one.images, []).append(one)
    away = Path(os.path.relpath(root.resolve(), file.resolve().parent))
    sections = [
        Section(f"{name}, {split} ({n:,})", _section(of, away)) for (name, split, n), of in together.items()
    ]
    if lines := [*left_out, *_without(root, found)]:
        sections.append(Section("Left out", [Sentences(lines)]))
    about = f"{counted(len(found), 'evaluation')} of {counted(len({one.run for one in found}), 'run')}"
    page = Page(f"Runs in {root.resolve().name}", sections, "Index by hemf", about, "", definitions())
    write_text(file, render(page))
    print(printable(f"{about}: {file}"))
    return file


def find_evaluations(root: Path) -> tuple[list[Found], list[str]]:
    """Find the evaluations below a folder; links are not followed.

    Returns:
        Those that can be read, and a sentence for each that cannot.
    """
    found, left_out = [], []
    for place in _places(root):
        where = place.relative_to(root)
        try:
            one = Found(where, read_json(place / "metrics.json"))
            if one.report["n"] and one.images and one.report["metrics"].items():
                found.append(one)
        except (HemfError, KeyError, TypeError, AttributeError):
            left_out.append(
                f"{where.as_posix()}: its metrics.json is not one of hemf's, or of another version."
            )
    return found, left_out


def _places(root: Path) -> Iterator[Path]:
    """Yield the folders of evaluations in order."""
    for folder, folders, files in os.walk(root):
        place = Path(folder)
        folders.sort()
        if len(place.relative_to(root).parts) >= DEEPEST:
            folders.clear()
        if place.parent.name == "evaluation" and "metrics.json" in files:
            if not (place / "metrics.json").is_symlink():
                yield place
            folders.clear()


def is_page(path: Path) -> bool:
    """Recognise a page that hemf wrote."""
    try:
        return MARK in path.read_text(encoding="utf-8")[:2000]
    except (OSError, UnicodeDecodeError):
        return False


def _section(found: list[Found], away: Path) -> list[Any]:
    """Show evaluations of the same images, the best balanced accuracy first."""
    from hemf.metrics.wording import cell_text
    from hemf.pages.elements import Sentences, Tabular
    from hemf.report.tables import estimate_of
    from hemf.report.terminal import HEADLINE

    known = [name for name in MEASURES if any(name in one.report["metrics"] for one in found)]
    by = "balanced_accuracy" if "balanced_accuracy" in known else next(iter(known), "")
    found = sorted(found, key=lambda one: -(_measure(one, by).get("value") or 0))
    columns = [Column("run", "run"), Column("leaks", "leakage"), Column("model", "model")]
    columns += [Column(name, HEADLINE[name]) for name in known] + [Column("date", "evaluated")]
    rows = [
        {"run": one.run, "leaks": _leaks(one.report), "model": one.report.get("model")}
        | {name: cell_text(_measure(one, name)) for name in known}
        | {"date": str((one.report.get("environment") or {}).get("started", ""))[:10] or None}
        for one in found
    ]
    links = [(away / one.place / "report.html").as_posix() for one in found]
    lines = [f"{counted(found[0].report['n'], 'image', form=',')}; drawn is {HEADLINE.get(by, by)}."]
    if (versions := len({str(one.report["data"].get("hash")) for one in found})) > 1:
        lines.append(
            f"The data set is here in {versions} versions, with other splits, folds or files: hemf "
            "compare tells whether the images are the same."
        )
    table = Table(f"Evaluations on {', '.join(map(str, found[0].images[:2]))}", columns, rows)
    drawn = [estimate_of(_measure(one, by)) for one in found]
    return [Sentences(lines), Tabular(table, estimates=drawn, links=links)]


def _measure(one: Found, name: str) -> dict[str, Any]:
    found = one.report["metrics"].get(name)
    return found if isinstance(found, dict) else {}


def _leaks(report: Mapping[str, Any]) -> str:
    """Say in a word whether the numbers are too good, outdated or unknown to be so."""
    keys = ("groups_on_two_sides", "images_trained_on", "images_of_groups_trained_on", "chose_checkpoint")
    if any(report.get(key) for key in keys):
        return "✕ leaks"
    if report.get("stale"):
        return "! outdated"
    return "? unknown" if None in (report.get(keys[0]), report.get(keys[1])) else "✓ none found"


def _without(root: Path, found: list[Found]) -> list[str]:
    """Name the runs of the folder, one below it, that have no evaluation."""
    known = {one.run.split("/")[0] for one in found}
    runs = [
        one.name
        for one in sorted(root.iterdir())
        if (one / "config.yaml").is_file() and one.name not in known
    ]
    return [f"Not evaluated: {', '.join(runs)}."] if runs else []
