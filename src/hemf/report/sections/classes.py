"""A card for each class: what it is taken for, how good its probability is, and what its threshold does."""

from collections.abc import Mapping, Sequence
from typing import Any

from hemf.core.tables import Column, Table
from hemf.core.text import counted
from hemf.figures.class_reliability import class_reliability_figure
from hemf.figures.inline import inline
from hemf.metrics.wording import cell_text, of_hundred
from hemf.pages.elements import Beside, Drawing, Folded, Panel, Panels, Part, Sentences, Tabular
from hemf.report import tables
from hemf.report.material import Material
from hemf.report.sections.measures import MOST_LISTED

OF_CARD = {"recall": "sensitivity", "specificity": "specificity", "precision": "precision", "roc_auc": "AUC"}
MOST_CONFUSED = 3  # named in a sentence


def classes(material: Material) -> list[Part]:
    """Show a card for each class; then the measures of all, for the other files too."""
    report = material.report
    panels = [_panel(material, k, name) for k, name in enumerate(report["classes"])]
    table = tables.classes_table(report)
    cards: Part = Panels(panels)
    if len(panels) > MOST_LISTED:
        cards = Folded(f"A card for each of the {counted(len(panels), 'class', 'classes')}", [cards])
    return [cards, Tabular(table, folded=len(panels) > 2)]


def found_line(name: str, of_class: Mapping[str, Any], others: Sequence[str]) -> str:
    """Say what the model finds of a hundred images of a class, and what it calls so wrongly."""
    found, wrongly = of_hundred(of_class["recall"]), of_hundred(of_class["specificity"], others=True)
    if found is None:
        return f"No image of {name} is in the split; of 100 others it calls {wrongly} {name} wrongly."
    line = f"Of 100 images of {name} it finds {found}"
    if wrongly is None:
        return f"{line}."
    those = f"of {others[0]}" if len(others) == 1 else "others"
    return f"{line}; of 100 {those} it calls {wrongly} {name} wrongly."


def _panel(material: Material, k: int, name: str) -> Panel:
    report = material.report
    of_class, others = report["per_class"][name], [one for one in report["classes"] if one != name]
    parts: list[Part] = [Sentences([found_line(name, of_class, others), *_confusions(report, k)])]
    shown = {
        key: words for key, words in OF_CARD.items() if (of_class.get(key) or {}).get("value") is not None
    }
    rows = [{"measure": words, "value": cell_text(of_class[key])} for key, words in shown.items()]
    if rows:
        table = Table(f"Measures of {name}", [Column("measure", ""), Column("value", "value")], rows)
        parts.append(
            Tabular(table, exported=False, estimates=[tables.estimate_of(of_class[key]) for key in shown])
        )
    drawn = [*_thresholds(report, name), *_calibration(material, k, name)]
    inside: list[Part] = [Beside([parts, drawn])] if drawn else parts
    return Panel(name, counted(of_class["n"], "image", form=","), inside)


def _confusions(report: Mapping[str, Any], k: int) -> list[str]:
    """Say what the class is most often taken for, and what is most often taken for it."""
    counts, names = report["confusion_matrix"], report["classes"]
    lines = []
    row = {names[j]: n for j, n in enumerate(counts[k]) if j != k and n}
    if row:
        lines.append(f"Most often taken for {_most(row)}, of {sum(counts[k]):,}.")
    column = {names[i]: line[k] for i, line in enumerate(counts) if i != k and line[k]}
    called = sum(line[k] for line in counts)
    if column:
        lines.append(f"Of {called:,} called {names[k]}, {sum(column.values()):,} are none: {_most(column)}.")
    elif called:
        lines.append(f"All {called:,} called {names[k]} are.")
    return lines


def _most(counts: Mapping[str, int]) -> str:
    """Name the largest counts."""
    most = sorted(counts.items(), key=lambda one: -one[1])[:MOST_CONFUSED]
    return ", ".join(f"{name} ({n:,})" for name, n in most)


def _calibration(material: Material, k: int, name: str) -> list[Drawing]:
    """Draw the class's probability against its share, with the thresholds, where predictions are at hand."""
    found = material.predictions
    if found is None or len(material.report["classes"]) > MOST_LISTED or not len(found.labels):
        return []
    points = [one for one in material.report.get("operating_points") or () if one["class"] == name]
    thresholds = {f"threshold {one['threshold']:.3g}": one["threshold"] for one in points}
    figure = class_reliability_figure(found.labels == k, found.probabilities[:, k], thresholds)
    caption = "Calibration of the class, in bins of as many images each; bars take images as independent."
    alt = f"Share of {name} against its probability: on the diagonal, a probability is what it promises."
    return [inline(figure, f"class-{k}", alt, caption)]


def _thresholds(report: Mapping[str, Any], name: str) -> list[Sentences]:
    """Say what each of the class's thresholds does to a hundred with and without it."""
    lines = []
    for point in report.get("operating_points") or ():
        if point["class"] == name:
            found = of_hundred(point.get("sensitivity")) or "an unknown number"
            alarms = of_hundred(point.get("specificity"), others=True) or "an unknown number"
            lines.append(
                f"Called from {point['threshold']:.3g} on (chosen for {point['target']} {point['at']:g}): "
                f"of 100 with {name} {found} are found, of 100 without it {alarms} are called so."
            )
    return [Sentences(lines)] if lines else []
