"""Turns a figure into a drawing of a page, with the page's font and colours, in light and in dark."""

import io
import re
import xml.etree.ElementTree as ET
from typing import Any

import matplotlib.style
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hemf.figures.classification import COLOURS, GREY, STYLE
from hemf.pages.elements import Curve, Drawing

INK = "#000000"
PALETTE = {colour.lower(): f"var(--c{k})" for k, colour in enumerate(COLOURS, 1) if colour != INK} | {
    INK: "currentColor",
    GREY: "var(--soft)",
    "#aaaaaa": "var(--soft)",
    "#eeeeee": "var(--grid)",
    "#ffffff": "var(--paper)",
}
"""The page's colour for each that hemf's figures have; others stay."""

SMALLER = 0.78
"""A drawing in a page is made smaller than a file and shown larger, so that a phone shows legible words."""

DASHES = {"-": "", "--": "6 3", "-.": "7 3 2 3", ":": "1.5 3"}


def inline(figure: Figure, name: str, alt: str, caption: str) -> Drawing:
    """Return a figure as a part of a page; its titles are dropped, and its legends become words above it.

    Args:
        figure: as the functions of this package draw it; it is changed, so save it before.
        name: tells its inner references from those of the page's other drawings.
        alt: what it shows, in words.
        caption: stands below it.
    """
    curves, title = [], ""
    for axes in figure.axes:
        found, words = _legend(axes)
        curves += [one for one in found if one not in curves]
        title = title or words
        for side in ("left", "center", "right"):
            axes.set_title("", loc=side)
    width, height = figure.get_size_inches()
    figure.set_size_inches(SMALLER * width, SMALLER * height)
    file = io.StringIO()
    with matplotlib.style.context(STYLE):
        figure.savefig(
            file,
            format="svg",
            bbox_inches="tight",
            pad_inches=0.05,
            transparent=True,
            metadata={"Date": None},
        )
    return Drawing(Markup(_in_page(file.getvalue(), name)), alt, caption, curves, title)


def _legend(axes: Axes) -> tuple[list[Curve], str]:
    """Take the legend off the axes; return its entries and its title."""
    legend = axes.get_legend()
    if legend is None:
        return [], ""
    legend.remove()
    handles, labels = axes.get_legend_handles_labels()
    title = legend.get_title().get_text()
    return [_curve(handle, label) for handle, label in zip(handles, labels, strict=True)], title


def _curve(handle: Any, label: str) -> Curve:
    line = handle.lines[0] if isinstance(handle, ErrorbarContainer) else handle
    if not isinstance(line, Line2D):
        return Curve(label, _colour(to_hex(line.get_facecolor())), marker="bar")
    marker, style = str(line.get_marker()), str(line.get_linestyle())
    pattern = vars(line)["_dash_pattern"][1] if style == "--" else None  # nothing public has it
    dashes = " ".join(f"{one:.3g}" for one in pattern) if pattern else DASHES.get(style, "none")
    return Curve(label, _colour(to_hex(line.get_color())), dashes, marker if marker in ("o", "s") else "")


def _colour(colour: str) -> str:
    return PALETTE.get(colour.lower(), colour)


def _in_page(svg: str, name: str) -> str:
    """Return matplotlib's SVG without what only a file needs: namespaces, metadata, size, global styles."""
    svg = re.sub(r"(\.\d\d)\d+", r"\1", svg)
    root = ET.fromstring(svg)
    kept = set(re.findall(r"#([\w-]+)[\")]", svg))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        if attributes.get("id") not in kept:
            attributes.pop("id", None)
        element.attrib.clear()
        element.attrib.update({key: _value(key, value, name) for key, value in attributes.items()})
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("aria-hidden", "true")
    root.set("focusable", "false")
    return ET.tostring(root, encoding="unicode")


def _value(key: str, value: str, name: str) -> str:
    """Return an attribute with the page's colours and font, and ids of this drawing alone."""
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return f"#{name}-{value[1:]}"
    value = re.sub(r"url\(#", f"url(#{name}-", value)
    value = re.sub(r"#[0-9a-fA-F]{6}\b", lambda found: _colour(found[0]), value)
    value = re.sub(r"font: ([\d.]+px)[^;]*", r"font-size: \1", value)  # as several families are written
    return re.sub(r"font-family: [^;]*;? ?", "", value)
