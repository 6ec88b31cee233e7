"""What was asked for when the model was calibrated, and whether it holds on these images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hemf.core.tables import Column, Table
from hemf.metrics.wording import cell_text
from hemf.pages.elements import Estimate, Part, Scale, Sentences, Tabular
from hemf.report.material import Material
from hemf.report.tables import estimate_of

KEPT = {"kept": "✓ kept", "missed": "✕ missed", "exceeded": "! exceeded", "": "? no interval"}


@dataclass(frozen=True)
class Promise:
    """A share that was asked for, and the one that was reached.

    Args:
        words: what was promised.
        asked: the share asked for.
        reached: the measure that tells.
    """

    words: str
    asked: float
    reached: Mapping[str, Any]

    @property
    def fate(self) -> str:
        """``kept`` if the interval holds what was asked, else ``missed`` or ``exceeded``; "" without one."""
        if not (ends := self.reached.get("ci95")):
            return ""
        return "missed" if ends[1] < self.asked else "exceeded" if ends[0] > self.asked else "kept"


def promises_of(report: Mapping[str, Any]) -> list[Promise]:
    """Return what the model's prediction sets and thresholds promise, as far as these images can tell."""
    found, sets = [], report.get("conformal") or {}
    if sets.get("target") is not None and sets.get("coverage"):
        found.append(Promise("prediction sets hold the true class", sets["target"], sets["coverage"]))
    if sets.get("conditional") == "class":
        found += [
            Promise(
                f"prediction sets hold {name} where it is the true class", sets["target"], one["coverage"]
            )
            for name, one in sets["per_class"].items()
        ]
    for point in report.get("operating_points") or ():
        words = f"{point['target']} of {point['class']} from {point['threshold']:.3g} on"
        found.append(Promise(words, point["at"], point.get(point["target"]) or {}))
    return [one for one in found if one.reached.get("value") is not None]


def promises(material: Material) -> list[Part]:
    """Show each share that was asked for beside the one reached, marked where the interval excludes it."""
    found = promises_of(material.report)
    if not found:
        return []
    rows = [
        {"words": one.words, "asked": one.asked, "reached": cell_text(one.reached), "n": one.reached.get("n")}
        | {"fate": KEPT[one.fate]}
        for one in found
    ]
    heads = {
        "words": "what was asked for",
        "fate": "promise",
        "reached": "reached",
        "asked": "asked for",
        "n": "n",
    }
    formats = {"asked": ".2f", "n": ","}
    columns = [Column(key, head, formats.get(key, "")) for key, head in heads.items()]
    table = Table("Promises and what became of them", columns, rows)
    drawn = [estimate_of(one.reached, one.asked) for one in found]
    return [
        Sentences([
            "A promise is missed, or exceeded, where the 95% interval of what was reached excludes what was "
            "asked for (the dashed line)."
        ]),
        Tabular(table, estimates=drawn, scale=_scale(drawn)),
    ]  # fmt: skip


def _scale(drawn: list[Estimate | None]) -> Scale:
    """Return a scale from a round number below all that is drawn to 1."""
    least = min(min(one.value, one.asked or 1, one.low if one.low is not None else 1) for one in drawn if one)
    return Scale(max(0.0, int(10 * least) / 10 - (0.1 if least == int(10 * least) / 10 else 0)), 1.0)
