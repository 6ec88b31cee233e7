"""Prints what ``hemf localise`` found, in tables."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from hemf.core.tables import Column, Table
from hemf.core.text import printable
from hemf.metrics.wording import measure_text


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
    found = {"even": inside["even"], "centre of the image": inside["centre"], **inside["layers"]}
    rows = [
        {"map": name, "energy": measure_text(one["energy"]), "pointing": measure_text(one["pointing"])}
        | {"blank": one.get("blank")}
        for name, one in found.items()
    ]
    heads = {"map": "heat map", "energy": "share inside the lesion", "pointing": "hottest pixel inside"}
    columns = [Column(key, head) for key, head in heads.items()]
    return Table("", [*columns, Column("blank", "blank", missing="")], rows)


def _curves(faithful: dict[str, Any]) -> Table:
    words = {
        "model": "the model's heat",
        "centre": "nearness to the centre",
        "random": "a random map",
        "model_beyond_centre": "model less centre",
        "model_beyond_random": "model less random",
    }
    curves = ("deletion", "insertion")
    rows = [
        {"order": text} | {curve: measure_text(faithful[curve][name]) for curve in curves}
        for name, text in words.items()
    ]
    heads = {
        "order": "pixels in order of",
        "deletion": "deletion (low is good)",
        "insertion": "insertion (high is good)",
    }
    return Table("", [Column(key, head) for key, head in heads.items()], rows)


def _weights(parts: list[dict[str, Any]]) -> Table:
    rows = [
        {"part": "none, but of another image" if one["part"] == "another image" else one["part"]}
        | {"spearman": measure_text(one["spearman"]), "ssim": measure_text(one["ssim"])}
        for one in parts
    ]
    heads = {"part": "weights drawn anew down to", "spearman": "rank correlation", "ssim": "SSIM"}
    return Table("", [Column(key, head) for key, head in heads.items()], rows)
