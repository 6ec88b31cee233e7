"""How good the model is: the measures of the whole split, of each fold, its confusions and its curves."""

from collections.abc import Mapping
from typing import Any

from hemf.metrics.wording import value_text
from hemf.pages.elements import Beside, Matrix, Part, Sentences, Tabular
from hemf.report import tables
from hemf.report.material import Material
from hemf.report.terminal import HEADLINE, interval_lines

MOST_LISTED = 12  # a longer table stands behind its title
MOST_CONFUSED = 5  # pairs of classes that are named
FEW_CLASSES = 5  # a matrix of so many leaves room beside it
MOST_NAMED = 10  # more classes than this make an alternative text no one would listen to
SHARES = [name for name in HEADLINE if name not in ("log_loss", "mcc", "kappa")]


def measures(material: Material) -> list[Part]:
    """Show every measure of the whole split, each with its interval drawn."""
    found = material.report["metrics"]
    shown = [name for name in HEADLINE if name in found]
    estimates = [tables.estimate_of(found[name]) if name in SHARES else None for name in shown]
    table = Tabular(tables.measures_table(material.report), estimates=estimates)
    return [table, Sentences(_intervals(material.report))]


def confusion(material: Material) -> list[Part]:
    """Show which class is taken for which; the table of counts goes into the other files."""
    report, counts = material.report, material.report["confusion_matrix"]
    table = tables.confusion_table(report)
    lines = ["The darker, the larger the share of the row; framed are right answers."]
    wrong = [(n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if n and i != j]
    for n, i, j in sorted(wrong, key=lambda one: -one[0])[:MOST_CONFUSED]:
        name, taken = report["classes"][i], report["classes"][j]
        lines.append(f"{name} is taken for {taken} in {n:,} of {sum(counts[i]):,}.")
    matrix = Matrix(table.title, report["classes"], counts)
    words = Sentences([*lines, *(["No image is taken for another class."] if not wrong else [])])
    shown: list[Part] = [Beside([[matrix], [words]])] if len(counts) <= FEW_CLASSES else [words, matrix]
    return [*shown, Tabular(table, hidden=True)]


def curves(material: Material) -> list[Part]:
    """Show how well each class is ranked before the rest."""
    report = material.report
    roc = material.drawing(
        "roc",
        f"ROC curve of each class against the rest. {_areas(report, 'roc_auc', 'Areas under the curves')}",
        "Sensitivity against false positive rate at every threshold. The dotted diagonal is guessing.",
    )
    precision = material.drawing(
        "precision-recall",
        f"Precision over recall of each class. {_areas(report, 'average_precision', 'Average precisions')}",
        "Precision against recall at every threshold. The thin level lines are guessing: the class's share.",
    )
    return [Beside([roc, precision])] if roc or precision else []


def folds(material: Material) -> list[Part]:
    """Show the measures of each fold of a cross-validation."""
    return [
        Tabular(table, folded=len(table.rows) > MOST_LISTED) for table in tables.folds_tables(material.report)
    ]


def _areas(report: Mapping[str, Any], name: str, words: str) -> str:
    """Return the areas of the classes' curves in a sentence, as far as one would listen."""
    found = {k: value_text(one.get(name)) for k, one in report["per_class"].items()}
    if len(found) > MOST_NAMED:
        return f"{words} are in the table of classes."
    return f"{words}: {', '.join(f'{k} {value}' for k, value in found.items() if value) or 'none'}."


def _intervals(report: Mapping[str, Any]) -> list[str]:
    """Show how the intervals were made, and what they leave out."""
    if "intervals" not in report:
        return ["95% intervals are Wilson's, for proportions, and treat images as independent."]
    limit = (
        "They tell how far the numbers would move with other images of this kind, not with another training."
    )
    return [*interval_lines(report["intervals"]), limit]
