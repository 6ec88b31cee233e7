"""``audit.html``: the findings with the images side by side, in one file that needs no network."""

import base64
import io
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from hemf.auditing.terminal import share, verdict
from hemf.core.errors import UnreadableImage
from hemf.core.files import write_text
from hemf.data.dataset import DataSet
from hemf.data.image.read import read_image

THUMBNAIL = 176  # pixels of the longer side
PAIRS, GROUPS, ODD, NAMES = 36, 12, 24, 200  # shown; audit.json has them all
OF_A_SIDE = 2  # images of a straddling group


def write_page(file: Path, data: DataSet, found: dict[str, Any]) -> None:
    """Write the page of an audit.

    Every name of a file, class or group is escaped; no image or style is fetched from elsewhere.

    Raises:
        HemfError: the file cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = PackageLoader("hemf.auditing", "template")
    environment = Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters["surrogates"] = lambda text: str(text).encode("utf-8", "replace").decode()
    # our own style: escaped, its quotes and > would mean nothing
    style = Markup(files("hemf.auditing").joinpath("template/audit.css").read_text(encoding="utf-8"))
    page = environment.get_template("audit.html.j2").render(
        found=found,
        style=style,
        verdict=verdict(found),
        share=share,
        thumbnail=lru_cache(maxsize=1024)(lambda path: thumbnail(data.root / path)),
        galleries=_galleries(found["duplicates"]["pairs"]),
        groups=[_example(group) for group in found["groups"]["groups"][:GROUPS]],
        odd=found["odd"][:ODD],
        unreadable=found["unreadable"][:NAMES],
        told=[
            ("Shortcuts: what tells the class by itself", "shortcuts", found["shortcuts"]),
            ("Shift: what tells the side of the split by itself", "shift", found["shift"]),
        ],
    )
    write_text(file, page)


def _galleries(pairs: list[dict[str, Any]]) -> list[tuple[str, int, list[dict[str, Any]]]]:
    """Title, number and first pairs of each kind of fault; a pair stands under the first that it has."""
    titles = ("Different classes or groups", "On two sides of the split", "On one side")
    sorted_out: dict[str, list[dict[str, Any]]] = {title: [] for title in titles}
    for pair in pairs:
        parted = pair["different_labels"] or pair["different_groups"]
        sorted_out[titles[0] if parted else titles[1] if pair["across_sides"] else titles[2]].append(pair)
    return [(title, len(found), found[:PAIRS]) for title, found in sorted_out.items() if found]


def _example(group: dict[str, Any]) -> dict[str, Any]:
    """Return the first images of a group on each side."""
    return {
        "group": group["group"],
        "images": [(side, path) for side, paths in group["sides"].items() for path in paths[:OF_A_SIDE]],
    }


def thumbnail(path: Path) -> str:
    """Return an image as a data URI of a small JPEG; empty if it cannot be read."""
    try:
        image = read_image(path)
    except UnreadableImage:
        return ""
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
