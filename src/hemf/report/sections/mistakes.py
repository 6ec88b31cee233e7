"""The images that the model was most sure about and wrong, as it saw them."""

from collections.abc import Sequence

from hemf.pages.elements import Exhibit, Gallery, Part, Picture, Ramp, Sentences
from hemf.report.material import Material
from hemf.report.sections.glance import localised
from hemf.report.worst_mistakes import Mistake

TRUE, PREDICTED, GROUP = "true class", "taken for", "patient or lesion"


def mistakes(material: Material) -> list[Part]:
    """Show the images that the model was most sure about and wrong."""
    if material.mistakes is None:
        return []
    if not material.mistakes:
        return [Sentences(["No image was classified wrongly."])]
    lines = [
        f"Of {material.images}, {_wrong(material):,} were classified wrongly. Shown are those that the model "
        "was most sure about, of all and of each class, as it saw them. They are part of this file: pass it "
        "on only to those who may see the data."
    ]
    shown = material.mistakes
    told = localised(material.localisation) if material.localisation else "not measured (hemf localise does)"
    exhibits = [_exhibit(k, one, told) for k, one in enumerate(shown, 1)]
    return [Sentences(lines), *_legend(shown), Gallery(exhibits, _filters(shown))]


def _wrong(material: Material) -> int:
    counts = material.report["confusion_matrix"]
    return sum(n for i, row in enumerate(counts) for j, n in enumerate(row) if i != j)


def _legend(shown: Sequence[Mistake]) -> list[Part]:
    """Say how to read the heat maps, where there are any."""
    heated = [one for one in shown if one.heat]
    if not heated:
        return []
    from hemf.explanation.overlay import COLOURS, MOST_COVER

    sizes = sorted({one.grid for one in heated if one.grid})
    grid = " or ".join(f"{height} x {width}" for height, width in sizes)
    words = (
        "The second picture shows where the model found its wrong answer (Grad-CAM++). Each map is scaled "
        "to its own strongest place: colours compare places of one picture, never two pictures. Where there "
        f"is no evidence the picture shows through; at most {MOST_COVER:.0%} of it is covered. The maps have "
        f"{grid} places, stretched over the image: finer outlines mean nothing."
    )
    return [Sentences([words]), Ramp("no evidence", "the most in this picture", _stops(COLOURS))]


def _stops(name: str) -> list[str]:
    import matplotlib
    from matplotlib.colors import to_hex

    return [to_hex(matplotlib.colormaps[name](k / 8)) for k in range(9)]


def _filters(shown: Sequence[Mistake]) -> list[str]:
    """Return what one may choose by: the patient only where one has several of the mistakes."""
    groups = [one.group for one in shown if one.group]
    return [TRUE, PREDICTED, *([GROUP] if len(set(groups)) < len(groups) else [])]


def _exhibit(number: int, one: Mistake, told: str) -> Exhibit:
    pictures = []
    if one.image:
        pictures.append(
            Picture(one.image, f"Mistake {number}: an image of {one.label}", "as the model saw it")
        )
    if one.heat:
        grid = f"heat map, {one.grid[0]} x {one.grid[1]}" if one.grid else "heat map"
        pictures.append(Picture(one.heat, f"The same under the heat map of {one.prediction}", grid))
    facts = [
        ("true", f"{one.label} ({one.of_label:.3f})"),
        ("predicted", f"{one.prediction} ({one.probability:.3f})"),
        *([("heat map", told)] if one.heat else []),
        *([("patient", one.group)] if one.group else []),
        ("file", one.path),
    ]
    keys = {TRUE: one.label, PREDICTED: one.prediction, GROUP: one.group}
    return Exhibit(pictures, facts, keys=keys)
