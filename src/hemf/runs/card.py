"""The card of a run's model: ``model/README.md``, by which others can judge it and hubs can list it."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hemf.config.run_config import RunConfig
from hemf.core.files import write_text
from hemf.core.text import counted, in_words, patients, printable
from hemf.core.untrusted import read_json
from hemf.data.dataset import DataSet
from hemf.data.manifest import read_data_set
from hemf.data.preprocessing import InputSpec
from hemf.models.hub import CARD

USE = """This folder is in timm's hub layout. With FOLDER for its place:

```console
$ hemf predict FOLDER IMAGES        # preprocessing, calibration and prediction sets come with it
```
```python
import timm
model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
```
Networks of hemf's own are known to timm after `import hemf`."""


def update_card(run: Path, report: Mapping[str, Any]) -> None:
    """Write what an evaluation found into the card of a run's model.

    Args:
        run: the run's folder.
        report: what ``metrics.json`` holds of the run's own test images.

    Raises:
        HemfError: the run cannot be read, or the card not be written.
    """
    config, data = RunConfig.load(run / "config.yaml"), read_data_set(run)
    model = read_json(run / "model" / "config.json")
    write_text(run / "model" / CARD, card(run, config, data, model, report))


def card(
    run: Path,
    config: RunConfig,
    data: DataSet,
    model: Mapping[str, Any],
    report: Mapping[str, Any] | None = None,
    more: Sequence[str] = (),
    use: str = USE,
    library: str = "timm",
) -> str:
    """Return the card of a run's model, or of an export of it: Markdown under a head of YAML.

    Args:
        run: the run's folder.
        config: its options.
        data: its images.
        model: the model's configuration, as in its ``config.json``.
        report: what ``metrics.json`` holds of the test images; None where they are not measured.
        more: sections that follow the measures.
        use: what stands under Use.
        library: what computes it, as hubs call it.
    """
    name = run.resolve().name
    parts = [
        f"---\n{_head(name, model, data, report, library).strip()}\n---",
        f"# {_text(name)}",
        f"Made by hemf {version('hemf')}. Research software, not a medical device.",
        f"## Model\n\n{_model(config, model)}",
        f"## Data\n\n{_data(data)}",
        f"## Measures\n\n{_measures(data, report)}",
        *more,
        f"## Limits\n\n{_limits(data, model, report)}",
        f"## Licence\n\n{_licence(data, model)}",
        f"## Use\n\n{use}",
    ]
    return "\n\n".join(parts) + "\n"


def pretraining_card(run: Path, method: str, data: DataSet, model: Mapping[str, Any]) -> str:
    """Return the card of a network that was pretrained without labels, Markdown under a head of YAML.

    Args:
        run: the run's folder.
        method: how it was pretrained.
        data: its images.
        model: the network's configuration, as in its ``config.json``.
    """
    name, own = run.resolve().name, model.get("hemf") or {}
    taught = f", from {_text(str(own['teacher']))}" if own.get("teacher") else ""
    limits = (
        "It tells no classes apart before it is trained for them. Images and patients that it has met must "
        "not test what is trained from it; `hemf evaluate` counts them while the run's folder is at hand."
    )
    parts = [
        f"---\n{_head(name, model, data, None, 'timm').strip()}\n---",
        f"# {_text(name)}",
        f"Made by hemf {version('hemf')}. Research software, not a medical device.",
        f"## Network\n\n- architecture: `{model['architecture']}` (timm's name), without a head\n"
        f"- pretrained without labels by {method}{taught}, epoch {own.get('epoch')}\n"
        f"- first weights: {_text(str(own.get('first_weights') or 'none, drawn at random'))}",
        f"## Data\n\n{_data(data)}",
        f"## Limits\n\n{limits}",
        f"## Licence\n\n{_licence(data, model)}",
        "## Use\n\n```console\n$ hemf train --data DATA --init FOLDER\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _head(
    name: str, model: Mapping[str, Any], data: DataSet, report: Mapping[str, Any] | None, library: str
) -> str:
    """Return the YAML that hubs read."""
    from huggingface_hub import EvalResult, ModelCardData

    about: dict[str, Any] = {}
    if report is not None:
        about["eval_results"] = [
            EvalResult(
                task_type="image-classification",
                dataset_type=data.name,
                dataset_name=data.name,
                dataset_split=report["split"],
                metric_type=measure,
                metric_value=found["value"],
            )
            for measure, found in report["metrics"].items()
            if found["value"] is not None
        ]
    card = ModelCardData(
        model_name=name,
        license="unknown",
        library_name=library,
        pipeline_tag="image-classification",
        tags=[library, "image-classification", "medical", "hemf", str(model["architecture"])],
        **about,
    )
    return card.to_yaml()


def _model(config: RunConfig, model: Mapping[str, Any]) -> str:
    seen, own = InputSpec.from_pretrained_cfg(model["pretrained_cfg"]), model.get("hemf") or {}
    channels, height, width = seen.input_size
    names = ", ".join(map(_text, model["label_names"]))
    kept = f"all layers, epoch {own.get('epoch')} of {config.epochs} kept"
    how = "a linear probe on fixed features" if config.probe or own.get("epoch") == 0 else kept
    if own.get("members"):
        how = f"{counted(own['members'], 'run')}, whose probabilities it averages"
    lines = [
        f"- architecture: `{model['architecture']}` (timm's name)",
        f"- classes, in the order of the outputs: {names}",
        f"- input: {height} x {width} pixels, {'RGB' if channels == 3 else 'grey'}; {seen.crop_mode} crop "
        f"{seen.crop_pct:g}, {seen.interpolation}",
        f"- first weights: {_text(str(own.get('first_weights') or 'none, drawn at random'))}",
        f"- trained: {how}",
    ]
    return "\n".join(lines)


def _data(data: DataSet) -> str:
    sides = {side: sum(row.values()) for side, row in data.counts().items()}
    split = data.info.get("split", {})
    lines = [
        f"- {_text(data.name)}: " + ", ".join(f"{n:,} {side or 'images'}" for side, n in sides.items()),
        f"- split: {_text(in_words(split) or 'unknown')}",
        f"- {patients(data.groups, ',')} known, "
        f"{len(data.leaking_groups())} of them on two sides of the split"
        if data.groups
        else "- no patients or lesions known: images of one may be on two sides of the split",
        f"- SHA-256 of images' names, labels and split: `{data.hash}`",
    ]
    return "\n".join(lines)


def _measures(data: DataSet, report: Mapping[str, Any] | None) -> str:
    if report is None:
        return "Not measured on test images yet; `hemf evaluate RUN` measures them and writes them here."
    rows = [f"| {name} | {_measure(found)} | {found['n']:,} |" for name, found in report["metrics"].items()]
    table = "\n".join(["| measure | value [95% interval] | n |", "|---|---:|---:|", *rows])
    tta = f", by test-time augmentation ({in_words(report['tta'])})" if report.get("tta") else ""
    measured = counted(report["n"], "image", form=",")
    return f"On {measured} of {_text(data.name)} ({report['split']}){tta}:\n\n{table}"


def _measure(found: Mapping[str, Any]) -> str:
    if found["value"] is None:
        return "undefined"
    interval = found.get("ci95")
    return f"{found['value']:.4f}" + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")


def _limits(data: DataSet, model: Mapping[str, Any], report: Mapping[str, Any] | None) -> str:
    lines = [
        "Measured on images of the data named above alone; other hospitals, devices and patients may give "
        "worse results. `hemf evaluate --data` measures them, `hemf calibrate` adapts thresholds."
    ]
    own = model.get("hemf") or {}
    if own.get("val_split") == "test":
        lines.append("The test images chose the checkpoint, so the measures are too good.")
    if leaking := data.leaks().get("test", 0):
        lines.append(
            f"{counted(leaking, 'test image')} of patients or lesions that are on another side of the split "
            "too, so the measures are too good."
        )
    if report is not None and report.get("images_trained_on"):
        lines.append(f"{counted(report['images_trained_on'], 'test image')} were trained on.")
    calibration = own.get("calibration") or {}
    lines += [f"Calibration: {_text(why)}." for why in calibration.get("left_out", ())]
    return "\n".join(f"- {line}" for line in lines)


def _licence(data: DataSet, model: Mapping[str, Any]) -> str:
    first = (model.get("hemf") or {}).get("first_weights")
    lines = [
        "No licence has been chosen for these weights: state one in `license` above before you hand them on.",
        f"Images: {_text(str(data.info.get('licence') or 'unknown to hemf'))}.",
        *([f"First weights: {_text(str(first))}."] if first else []),
        "hemf's code, which computes them, is under the MIT licence.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _text(text: str) -> str:
    """Return what others wrote as Markdown that shows it and does nothing else."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#!" else c for c in printable(text))
