"""Draws docs/images/architecture.svg from the imports of src/hemf and the layers of pyproject.toml.

``python docs/architecture.py`` writes it anew; tests/test_architecture.py says when that is due.
"""

import ast
import tomllib
from html import escape
from pathlib import Path

import grimp
import networkx as nx

ROOT = Path(__file__).parents[1]
DRAWING = ROOT / "docs" / "images" / "architecture.svg"
ROW, LEFT, WIDTH = 30, 120, 870  # pixels: height of a package, room for the arrows, width of the whole


def layers() -> list[list[str]]:
    """The packages that pyproject.toml lists, top to bottom; those of one layer know nothing of each other."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return [[name.strip("() ") for name in row.split("|")] for row in contracts["contracts"][0]["layers"]]


def imports() -> nx.DiGraph:
    """Which package imports which, without the imports that follow from the others."""
    graph = grimp.build_graph("hemf", exclude_type_checking_imports=True, cache_dir=None)
    packages = sorted(graph.find_children("hemf") - {"hemf.__main__"})
    for package in packages:
        graph.squash_module(package)
    between = nx.DiGraph(
        (package.removeprefix("hemf."), imported.removeprefix("hemf."))
        for package in packages
        for imported in graph.find_modules_directly_imported_by(package) - {package}
    )
    return nx.transitive_reduction(between)


def purpose(package: str) -> str:
    """What a package says of itself in the first line of its docstring."""
    code = (ROOT / "src" / "hemf" / package / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(code)) or "").partition("\n")[0].replace("``", "")


def draw() -> str:
    """The drawing: a line a package, a band a layer, an arrow an import."""
    arrows = imports()
    bands = [[name for name in layer if name in arrows] for layer in layers()]
    names = [name for band in bands for name in band]
    middle = {name: ROW * row + ROW // 2 for row, name in enumerate(names)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {ROW * len(names)}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        "<title>The packages of hemf, top to bottom, and what they import</title>",
        '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#0072b2"/></marker>',
        *(_band(number, [middle[name] for name in band]) for number, band in enumerate(bands) if band),
        *(_arrow(middle[one], middle[other]) for one, other in sorted(arrows.edges)),
        *(_line(name, middle[name]) for name in names),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _band(number: int, rows: list[int]) -> str:
    colour = "#ffffff" if number % 2 else "#eef2f6"
    return f'<rect y="{rows[0] - ROW // 2}" width="{WIDTH}" height="{ROW * len(rows)}" fill="{colour}"/>'


def _arrow(start: int, end: int) -> str:
    out = LEFT - 14 - 12 * (end - start) // ROW
    return (
        f'<path d="M{LEFT} {start + 3}C{out} {start + 3} {out} {end - 3} {LEFT} {end - 3}" fill="none" '
        'stroke="#0072b2" stroke-opacity="0.7" marker-end="url(#tip)"/>'
    )


def _line(name: str, middle: int) -> str:
    return (
        f'<text x="{LEFT + 8}" y="{middle + 5}" fill="#1a1a1a"><tspan font-weight="bold">{name}</tspan>'
        f'<tspan x="{LEFT + 108}">{escape(purpose(name))}</tspan></text>'
    )


if __name__ == "__main__":
    DRAWING.write_text(draw(), encoding="utf-8")
