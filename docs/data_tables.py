"""The tables of performance/data.md, made from the JSON of the benchmarks when the documentation is built."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
PAGE = "performance/data.md"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put each table in the place of its name in braces."""
    if page.file.src_uri != PAGE:
        return markdown
    for name, table in TABLES.items():
        place = f"{{{{ {name} }}}}"
        if place in markdown:
            markdown = markdown.replace(place, table())
    return markdown


def _read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _machine(name: str) -> str:
    about = _read(name)
    cpu, versions = about["machine"]["cpu"], about["packages"]
    with_ = ", ".join(f"{package} {versions[package]}" for package in ("torch", "torchvision", "pillow"))
    return f"*`{about['command']}`, one thread of {cpu}; {with_}.*"


def throughput() -> str:
    """Images a second of whole epochs, and the ratio to ImageFolder's."""
    data = _read("data-path")["data"]
    head = "".join(f" {name}: images/s | ratio |" for name in data)
    lines = [f"| |{head}", f"|---|{'---:|---:|' * len(data)}"]
    for work in next(iter(data.values()))["epochs"]:
        cells = (one["epochs"][work] for one in data.values())
        lines.append(
            f"| {work} | "
            + " | ".join(f"{c['images_per_second']:,.0f} | {c['ratio']:.1f}" for c in cells)
            + " |"
        )
    return "\n".join([*lines, "", _machine("data-path")])


def stages() -> str:
    """Microseconds an image of single steps."""
    data = _read("data-path")["data"]
    lines = [f"| microseconds an image | {' | '.join(data)} |", f"|---|{'---:|' * len(data)}"]
    for step in next(iter(data.values()))["stages_us"]:
        lines.append(
            f"| {step} | " + " | ".join(f"{one['stages_us'][step]:,.0f}" for one in data.values()) + " |"
        )
    return "\n".join(lines)


def agreement() -> str:
    """How the fast steps agree with Pillow's."""
    lines = [
        "| | images | decoded by simplejpeg | with Pillow's pixels | crops: largest difference | mean |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, one in _read("data-path")["data"].items():
        found, crops = one["decoder"], one["crops"]
        lines.append(
            f"| {name} | {found['images']:,} | {found['fast']:,} | {found['same_pixels']:,} | "
            f"{crops['largest_level']} of 255 | {crops['mean_level']:.4f} |"
        )
    return "\n".join(lines)


def end_to_end() -> str:
    """CPU time an image of the bare model and of the verb, and memory."""
    about = _read("end-to-end")
    lines = ["| CPU ms an image | " + " | ".join(next(iter(about["models"].values()))) + " |"]
    lines.append("|---|" + "---:|" * (lines[0].count("|") - 2))
    for name, works in about["models"].items():
        cells = (f"{w['ms_per_image']:.1f} ({w['over_bare']:.2f})" for w in works.values())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    memory = ", ".join(f"{mb:,.0f} MB for {int(n):,} images" for n, mb in about["peak_megabytes"].items())
    return "\n".join(
        [*lines, "", f"Peak memory of `hemf predict` (a small model): {memory}.", "", _machine("end-to-end")]
    )


def startup() -> str:
    """CPU seconds from process start."""
    lines = ["| from process start | CPU seconds, median | fastest |", "|---|---:|---:|"]
    for name, one in _read("startup")["commands"].items():
        lines.append(f"| `{name}` | {one['cpu_seconds']:.2f} | {one['fastest_cpu_seconds']:.2f} |")
    return "\n".join([*lines, "", _machine("startup")])


TABLES: dict[str, Callable[[], str]] = {
    "throughput": throughput,
    "stages": stages,
    "agreement": agreement,
    "end to end": end_to_end,
    "start-up": startup,
}
