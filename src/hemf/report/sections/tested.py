"""What was tested: data, split, model, what it was trained on, and what makes the numbers too good."""

from collections.abc import Mapping
from typing import Any

from hemf.core.text import counted, in_words
from hemf.pages.elements import Beside, Facts, Part, Sentences
from hemf.report.material import Material
from hemf.report.terminal import provenance_lines


def tested(material: Material) -> list[Part]:
    """Show what was tested, on which split chosen how, and whether it leaks."""
    report = material.report
    about = {k: v for k, v in report["split_info"].items() if k != "method" and v is not None}
    present = counted(len(report["averaged_over"]), "class", "classes")
    rows = [
        ("Data set", f"{report['data']['name']} ({report['data']['hash'][:12]})"),
        ("Split", f"{report['split']}: {material.images} of {present}"),
        ("Split method", report["split_method"] or "unknown"),
        *([("Split made with", ", ".join(f"{k} {_setting(v)}" for k, v in about.items()))] if about else []),
        ("Model", f"{report['model']}, from {report['run']}"),
        *_trained_on(report),
    ]
    return [Beside([[Facts(rows)], [Sentences(provenance_lines(report)[1:])]])]


def _trained_on(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Show on which images the model was trained, where the run tells."""
    if not (about := report.get("trained_on")):
        return []
    images = counted(about["images"], "image", form=",")
    return [("Trained on", f"{about['name']} ({about['hash'][:12]}): {images}")]


def _setting(value: Any) -> str:
    """Return a value of the split's description in words."""
    if isinstance(value, Mapping) and not any(isinstance(one, Mapping | list) for one in value.values()):
        return "/".join(map(str, value.values()))
    return in_words(value)
