"""What ``hemf localise`` found, in tables."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hemf.evaluation.words import measure_text
from hemf.text import printable


def show(report: dict[str, Any], file: Path) -> None:
    """Print the tables and where the file is.

    Args:
        report: what the file holds.
        file: where it is.
    """
    console = Console()
    head = f"{report['data']['name']}, split {report['split']}, {report['method']} at {report['layer']}"
    console.print(Text(printable(head)))
    if inside := report["inside_masks"]:
        console.print(_inside(inside))
        left_out = (
            f"{inside['without_mask']} without a mask, {inside['mask_out_of_sight']} with it out of sight"
        )
        console.print(Text(f"n = {inside['n']}; left out: {left_out}."))
    if faithful := report["faithfulness"]:
        console.print(_curves(faithful))
        console.print(_weights(faithful["random_weights"]))
        console.print(
            Text(f"n = {faithful['n']}, drawn at random; a model's maps must change with its weights.")
        )
    console.print(Text(str(file)), soft_wrap=True)


def _inside(inside: dict[str, Any]) -> Table:
    table = Table("heat map", "share inside the lesion", "hottest pixel inside", "blank", box=box.SIMPLE_HEAD)
    rows = {"even": inside["even"], "centre of the image": inside["centre"], **inside["layers"]}
    for name, one in rows.items():
        blank = str(one.get("blank", ""))
        table.add_row(Text(name), measure_text(one["energy"]), measure_text(one["pointing"]), blank)
    return table


def _curves(faithful: dict[str, Any]) -> Table:
    table = Table(
        "pixels in order of", "deletion (low is good)", "insertion (high is good)", box=box.SIMPLE_HEAD
    )
    words = {
        "model": "the model's heat",
        "centre": "nearness to the centre",
        "random": "a random map",
        "model_beyond_centre": "model less centre",
        "model_beyond_random": "model less random",
    }
    for name, text in words.items():
        table.add_row(text, *(measure_text(faithful[curve][name]) for curve in ("deletion", "insertion")))
    return table


def _weights(parts: list[dict[str, Any]]) -> Table:
    table = Table("weights drawn anew down to", "rank correlation", "SSIM", box=box.SIMPLE_HEAD)
    for one in parts:
        name = "none, but of another image" if one["part"] == "another image" else one["part"]
        table.add_row(Text(name), measure_text(one["spearman"]), measure_text(one["ssim"]))
    return table
