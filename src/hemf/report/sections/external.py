"""What a reader must know of images from another place, and what the model is worth there."""

from hemf.pages.elements import Part, Sentences, Tabular
from hemf.report.external import external_lines, external_tables
from hemf.report.material import Material


def external(material: Material) -> list[Part]:
    """Show what the two places do not share, what could be mended, and thresholds."""
    lines = external_lines(material.report)
    return [Sentences(lines[1:]), *map(Tabular, external_tables(material.report))] if lines else []
