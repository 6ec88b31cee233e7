"""``hemf profile``: what models cost, beside what the paper prints."""

from collections.abc import Sequence
from typing import Any, Literal

Precision = Literal["fp32", "bf16", "fp16"]


def profile(
    models: Sequence[str] = (),
    *,
    blocks: bool = False,
    num_classes: int = 7,
    image_size: int | tuple[int, int] = 224,
    batch_sizes: int | list[int] = 32,
    precisions: Precision | list[Precision] = "fp32",
    speed: bool = False,
    rounds: int = 5,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    out: str | None = None,
) -> dict[str, Any]:
    """Count what models cost, beside the paper's figures.

    Parameters, multiply-adds by two conventions (thop's count of layers; torch's flop counter, halved), the
    memory that a training step keeps for its backward pass, and with --speed images per second. Beside each
    model of the paper's Table 6 stand the paper's figures and which convention they follow, if any.

    Args:
        models: models of hemf or timm; without any, the eleven of the paper's Table 6.
        blocks: count SIRMLP and IRMLP in four sizes instead, as the paper's Table 3 does.
        num_classes: classes of each model; 7, ISIC2018's, is what most of the paper's figures have.
        image_size: height and width in pixels, or one number for both.
        batch_sizes: images in a training step, for memory and speed: one number, or several as 1,32.
        precisions: formats of a training step, for memory and speed: one, or several as fp32,bf16.
        speed: measure images per second too; takes minutes on a CPU, so give it small batch sizes.
        rounds: how often --speed times each model; the median counts.
        device: where --speed runs; a GPU also gives its peak memory.
        out: folder to write the tables to, as Markdown, LaTeX and JSON.

    Returns:
        What the JSON file holds.

    Raises:
        HemfError: no such model or device, or the model does not work at that size.
    """
    from hemf.config.names import check_model

    for name in models:
        check_model(name)
    from hemf.bench.costs import Task, profile_blocks, profile_models

    size = (image_size, image_size) if isinstance(image_size, int) else (image_size[0], image_size[1])
    if blocks:
        report, tables = profile_blocks(size)
    else:
        task = Task(num_classes, size, _several(batch_sizes), _several(precisions), device, speed, rounds)
        report, tables = profile_models(list(models), task)
    for table in tables:
        table.show()
    if out is not None:
        _write(out, "blocks" if blocks else "profile", report, tables)
    return report


def _several(value: Any) -> tuple:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _write(out: str, stem: str, report: dict[str, Any], tables: list) -> None:
    from pathlib import Path

    from hemf.core.files import write_json, write_text
    from hemf.core.outputs import check_report

    folder = Path(out)
    check_report(folder / f"{stem}.json", ["settings"], [".md", ".tex"])
    write_json(folder / f"{stem}.json", report)
    write_text(folder / f"{stem}.md", "\n".join(table.markdown() for table in tables))
    write_text(folder / f"{stem}.tex", "\n".join(table.latex() for table in tables))
    for suffix in ("json", "md", "tex"):
        print(folder / f"{stem}.{suffix}")
