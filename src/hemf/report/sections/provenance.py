"""How a result was made: the sections about training, commands, machine and versions."""

from collections.abc import Mapping
from typing import Any

from hemf.core.tables import Column, Table
from hemf.core.text import counted, in_words
from hemf.figures.classification import save_figure
from hemf.figures.inline import inline
from hemf.figures.training_curves import epochs_table, read_epochs, training_figure, training_panels
from hemf.pages.elements import Beside, Code, Facts, Part, Tabular
from hemf.report.material import Material


def training(material: Material) -> list[Part]:
    """Return how the loss fell, and which epoch was kept."""
    epochs = read_epochs(material.run / "metrics.csv") if material.run else []
    if not epochs:
        return []
    save_figure(training_figure(epochs, material.kept_epoch), material.folder / "training")
    kept = "" if material.kept_epoch is None else f" The weights of epoch {material.kept_epoch} were kept."
    over = f"over {counted(len(epochs), 'epoch')}.{kept}"
    drawn = [
        [
            inline(
                figure, f"training-{k}", f"{what} {over} The table below holds every value.", f"{what} {over}"
            )
        ]
        for k, (what, figure) in enumerate(training_panels(epochs, material.kept_epoch).items())
    ]
    return [Beside(drawn), Tabular(epochs_table(epochs), folded=True, exported=False)]


def made_with(material: Material) -> list[Part]:
    """Return the exact commands, the machine and the versions."""
    sides = {"training": material.training, "evaluation": material.report.get("environment") or {}}
    known = {side: where for side, where in sides.items() if where}
    parts: list[Part] = [
        Code(f"Command of {side}", w["command"]) for side, w in known.items() if w.get("command")
    ]
    if known:
        parts.append(Tabular(_environments(known)))
    if "seconds" in material.report:
        speed = f"{material.images} in {material.report['seconds']:.1f} s"
        how = {
            k: material.report[k]
            for k in ("device", "precision", "batch_size", "tta")
            if k in material.report
        }
        settings = ", ".join(f"{name.replace('_', ' ')} {in_words(value)}" for name, value in how.items())
        parts.append(Facts([("Evaluation took", speed), ("Evaluation settings", settings)]))
    options = material.run / "config.yaml" if material.run else None
    if options and options.is_file():
        parts.append(Code("Options of the run (config.yaml)", options.read_text("utf-8"), folded=True))
    return parts


def _environments(known: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the machine and versions of training and evaluation, side by side."""
    rows: dict[str, dict[str, Any]] = {}
    for side, where in known.items():
        for name, value in (where | where.get("packages", {})).items():
            if name == "resumed":
                value = f"{counted(len(value), 'time')}: {in_words(one.get('started') for one in value)}"
            if name not in ("command", "packages") and value not in (None, "", []):
                rows.setdefault(name, {"name": name})[side] = in_words(value)
    columns = [Column("name", ""), *(Column(side, side) for side in known)]
    return Table("Machine and versions", columns, list(rows.values()))
