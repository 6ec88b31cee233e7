"""A comparison as tables and as a page: which model is better, by how much, and how sure that is."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hemf.core.files import write_text
from hemf.core.tables import Column, Table
from hemf.core.text import counted, p_text
from hemf.metrics.wording import cell_text, interval_text
from hemf.pages.elements import (
    WARNING,
    Beside,
    Estimate,
    Lead,
    Part,
    Scale,
    Section,
    Sentences,
    Tabular,
    Verdict,
    Verdicts,
)
from hemf.pages.render import Page, render
from hemf.report.html import definitions
from hemf.report.tables import estimate_of

SURE = 0.05

LEVELS = {"first_not_worse": 0.025, "second_not_worse": 0.025, "equivalent": 0.05}
"""Of p: one-sided for "not worse", as goes with a 95% interval; of two one-sided tests for "equivalent"."""


def tables(report: dict[str, Any]) -> list[Table]:
    """Return the models' measures with their intervals; then every test of every pair.

    Args:
        report: what ``hemf.compare`` gives.
    """
    title = f"{report['data']} {report['split']}, n = {report['n']}"
    names = list(report["models"][0]["metrics"])
    models = [
        {"name": model["name"]} | {name: cell_text(model["metrics"][name]) for name in names}
        for model in report["models"]
    ]
    columns = [Column("name", "model"), *(Column(name, measure_words(name)) for name in names)]
    heads = {
        "first": "first",
        "second": "second",
        "test": "test",
        "difference": "difference [95% interval]",
        "p": "p",
        "p_holm": "p, Holm",
    }
    tests = [row for pair in report["pairs"] for row in _tests(pair)]
    differences = Table(f"Differences on {title}", [Column(key, head) for key, head in heads.items()], tests)
    found = [Table(title, columns, models), differences]
    if report.get("margin") is not None:
        found.append(_within(report, title))
    found[-1] = replace(found[-1], notes=report["notes"])
    return found


def _within(report: dict[str, Any], title: str) -> Table:
    """Return what each pair's differences say of a margin."""
    rows = [
        {
            "first": pair["first"],
            "second": pair["second"],
            "measure": measure_words(name),
            **{side: _shown(one[side], level) for side, level in LEVELS.items()},
        }
        for pair in report["pairs"]
        for name, one in pair["bootstrap"].items()
    ]
    heads = {
        "first": "first",
        "second": "second",
        "measure": "measure",
        "first_not_worse": "first not worse",
        "second_not_worse": "second not worse",
        "equivalent": "equivalent",
    }
    columns = [Column(key, head) for key, head in heads.items()]
    return Table(f"Within a margin of {report['margin']:g} on {title}", columns, rows)


def _shown(test: dict[str, Any], level: float) -> str | None:
    p = test["p_holm"]
    return None if p is None else f"{'yes' if p < level else 'not shown'} (p {_p(p)})"


def _tests(pair: dict[str, Any]) -> list[dict[str, Any]]:
    mcnemar, delong = pair["mcnemar"], pair["delong"]
    found = [(f"{measure_words(name)}, bootstrap", one) for name, one in pair["bootstrap"].items()]
    if mcnemar["method"] is None:  # a model of several seeds
        return [_test_row(pair, *one) for one in found]
    right = f"{mcnemar['only_first_right']} : {mcnemar['only_second_right']}"
    found += [(f"accuracy, McNemar ({mcnemar['method']})", mcnemar | {"text": right})]
    found += [("ROC AUC (macro), DeLong", delong["macro"])]
    if len(delong["per_class"]) > 2:
        found += [(f"ROC AUC of {name}, DeLong", one) for name, one in delong["per_class"].items()]
    return [_test_row(pair, *one) for one in found]


def _test_row(pair: dict[str, Any], test: str, one: dict[str, Any]) -> dict[str, Any]:
    return {
        "first": pair["first"],
        "second": pair["second"],
        "test": test,
        "difference": one.get("text") or cell_text(one | {"value": one["difference"]}, form="+.3f"),
        "p": p_text(one["p"]),
        "p_holm": p_text(one["p_holm"]),
    }


def measure_words(name: str) -> str:
    """Return what a measure of the whole split is called, by its key in ``metrics.json``."""
    for how in ("macro", "weighted"):
        if name.endswith(f"_{how}"):
            name = f"{name.removesuffix(f'_{how}')} ({how})"
    name = name.replace("roc_auc", "ROC AUC").replace("f1", "F1").replace("mcc", "MCC")
    return name.replace("_", " ")


def write_comparison(file: Path, report: Mapping[str, Any]) -> None:
    """Write one page about a comparison.

    Args:
        file: the page.
        report: what ``hemf.compare`` gives.

    Raises:
        HemfError: the file cannot be written.
    """
    sections = {
        "At a glance": [Lead(_lead(report)), Verdicts([_verdict(pair) for pair in report["pairs"]])],
        "Models": _models(report),
        "Differences": _differences(report),
        "How this was made": [Sentences(report["notes"])],
    }
    page = Page(
        f"{counted(len(report['models']), 'model')} on {report['data']}, {report['split']} split",
        [Section(title, parts) for title, parts in sections.items()],
        "Comparison by hemf",
        f"{', '.join(report['runs'])}: {counted(report['n'], 'image', form=',')}",
        "The same tables are in the files of this name in .md and .tex, every number in the one in .json.",
        definitions(),
    )
    write_text(file, render(page))


def _lead(report: Mapping[str, Any]) -> list[str]:
    """Say how many of a hundred images one model has more right than the other, to be read aloud."""
    lines = [one for one in report["notes"] if one.startswith(WARNING)]
    for pair in report["pairs"]:
        found = pair["bootstrap"].get("accuracy")
        if found and found["difference"] is not None:
            more = 100 * found["difference"]
            first, second = (pair["first"], pair["second"]) if more >= 0 else (pair["second"], pair["first"])
            sign = 1 if more >= 0 else -1
            ends = sorted(100 * sign * one for one in found["ci95"] or ())
            between = f" ({ends[0]:.0f} to {ends[1]:.0f})" if ends else ""
            lines.append(f"Of 100 images, {first} has {abs(more):.0f}{between} more right than {second}.")
    return lines


def _verdict(pair: Mapping[str, Any]) -> Verdict:
    """Judge a pair by its first measure and the p that is corrected for the number of pairs."""
    name, found = next(iter(pair["bootstrap"].items()))
    subject, words = f"{pair['first']} and {pair['second']}", measure_words(name)
    if found["p_holm"] is None:
        return Verdict(subject, "unknown", f"Their {words} cannot be compared.", "differences")
    ends = interval_text(found, form="+.3f")
    by = f"{found['difference']:+.3f}" + (f" ({ends})" if ends else "")
    told = f"{words} differs by {by}, p {_p(found['p_holm'])}"
    if found["p_holm"] > SURE:
        words = "Not told apart by these images, which does not make them equal"
        return Verdict(subject, "unknown", f"{words}: {told}.", "differences", "not told apart")
    better = pair["first"] if found["difference"] > 0 else pair["second"]
    return Verdict(subject, "good", f"{better} is better: {told}.", "differences", "told apart")


def _p(p: float) -> str:
    text = p_text(p) or ""
    return text if text.startswith("<") else f"= {text}"


def _models(report: Mapping[str, Any]) -> list[Part]:
    """Show each measure of all models under one another."""
    shown: list[list[Part]] = []
    heads = [Column("name", "model"), Column("value", "value and 95% interval")]
    for name in report["models"][0]["metrics"]:
        rows = [{"name": one["name"], "value": cell_text(one["metrics"][name])} for one in report["models"]]
        drawn = [estimate_of(one["metrics"][name]) for one in report["models"]]
        table = Table(measure_words(name), heads, rows)
        shown.append([Tabular(table, estimates=drawn, scale=_scale(drawn))])
    return [Beside(shown)]


def _differences(report: Mapping[str, Any]) -> list[Part]:
    """Show every test of every pair, differences drawn about 0."""
    _, table, *margins = tables(dict(report))
    tests = [one for pair in report["pairs"] for one in _drawn(pair)]
    ends = [abs(end) for one in tests if one for end in (one.value, one.low, one.high) if end is not None]
    reach = math.ceil(10 * max(ends, default=1.0)) / 10
    heads = {"test": "test", "difference": "difference", "p": "p", "p_holm": "p, Holm"}
    heads |= {} if len(report["pairs"]) == 1 else {"first": "first", "second": "second"}
    plain = Table(table.title, [Column(*one) for one in heads.items()], [_row(row) for row in table.rows])
    first = "the first model" if len(report["pairs"]) > 1 else report["pairs"][0]["first"]
    line = Sentences([f"Right of the middle line {first} is better, left of it the other."])
    within = [Tabular(replace(one, notes=())) for one in margins]
    return [line, Tabular(plain, estimates=tests, scale=Scale(-reach, reach, 0.0)), *within]


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the table whose differences are all numbers: McNemar's counts go with its name."""
    counts = row["difference"] if ":" in (row["difference"] or "") else None
    return {**row, "test": f"{row['test']}, {counts}", "difference": None} if counts else dict(row)


def _drawn(pair: Mapping[str, Any]) -> list[Estimate | None]:
    """Return the differences of a pair in the order of the table's rows."""
    found = [*pair["bootstrap"].values()]
    if pair["mcnemar"]["method"] is not None:  # of single runs
        found += [None, pair["delong"]["macro"]]
        found += pair["delong"]["per_class"].values() if len(pair["delong"]["per_class"]) > 2 else []
    return [None if one is None else estimate_of({**one, "value": one["difference"]}) for one in found]


def _scale(drawn: list[Estimate | None]) -> Scale:
    """Return a scale of 0 to 1, wider where a measure lies beyond."""
    ends = [end for one in drawn if one for end in (one.value, one.low, one.high) if end is not None]
    return Scale(min([0.0, *ends]), max([1.0, *ends]))
