"""What lies in an export's folder beside its network, and whether a folder may become one."""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hemf.core.errors import HemfError
from hemf.core.files import write_json, write_text
from hemf.core.text import counted, printable
from hemf.core.untrusted import read_json
from hemf.data.fingerprints import sha256_of
from hemf.data.preprocessing import InputSpec
from hemf.exporting.parity import MEASURES
from hemf.inference.ensemble import Ensemble
from hemf.inference.load import TrainedModel
from hemf.models.hub import CARD, CONFIG
from hemf.runs.card import card
from hemf.runs.folder import EXPORTED, EXPORTS, OpenRuns

PARITY, EXAMPLE, REQUIREMENTS = "parity.json", "example.py", "requirements.txt"
WRITTEN = (
    CONFIG,
    CARD,
    PARITY,
    EXAMPLE,
    REQUIREMENTS,
    *(file.split("/")[0] for file in EXPORTED),
    "evaluation",
)
"""Names that a new export replaces in an old one's folder, its evaluations among them."""


def check_place(folder: Path, runs: OpenRuns) -> None:
    """Check that an export of ``runs`` may be written to ``folder``.

    Raises:
        HemfError: something else is there, or it would pass for the export of one of several runs.
    """
    if _are_several(runs) and folder.absolute().parent.name == EXPORTS:
        raise HemfError(f"{folder} is a place for exports of one run, not of several; choose another --out")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise HemfError(f"{folder} is no folder; choose another --out")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        ours = "export" in json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, TypeError):
        ours = False
    if not ours or not (folder / PARITY).is_file():
        raise HemfError(f"{folder} exists and is no export of hemf; move it away, or choose another --out")


def _are_several(runs: OpenRuns) -> bool:
    """Return whether they are several runs, not those of one cross-validation."""
    return len(runs.members) > 1 and runs.folds is None


def configuration(
    trained: TrainedModel | Ensemble,
    spec: InputSpec,
    runs: OpenRuns,
    about: Mapping[str, Any],
    files: Sequence[Path],
) -> dict[str, Any]:
    """Return what ``config.json`` holds: the model's own, with its whole input, and what it was exported to.

    Args:
        trained: the model, or several.
        spec: its input.
        runs: where they are.
        about: format, precision, and what the exporter says.
        files: the exported network.
    """
    first = read_json(runs.members[0].model / CONFIG)
    own = first.get("hemf") or {}
    return {
        "export": {
            **about,
            "sha256": {file.name: sha256_of(file) for file in files},
            "tta": trained.tta,
            "made_by": f"hemf {version('hemf')}",
        },
        "architecture": trained.name,
        "num_classes": first["num_classes"],
        "label_names": trained.classes,
        "pretrained_cfg": spec.to_pretrained_cfg(),
        "hemf": {
            **(_of_all(trained, own) if isinstance(trained, Ensemble) else own),
            "window": spec.window,
            "task": trained.task.name,
        },
    }


def _of_all(ensemble: Ensemble, first: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands under ``hemf``: what the first member says of all, and what is of their mean."""
    shared = {key: first[key] for key in ("data", "data_hash", "first_weights") if key in first}
    calibrated = {"calibration": ensemble.calibration.to_config()} if ensemble.calibration.fitted_on else {}
    return {"members": len(ensemble.members), "members_sha256": ensemble.digest, **shared, **calibrated}


def write_beside(
    folder: Path,
    config: Mapping[str, Any],
    parity: Mapping[str, Any],
    runs: OpenRuns,
    needs: Sequence[str],
) -> None:
    """Write all files of an export but the network, ``config.json`` last.

    Args:
        folder: the export's.
        config: see ``configuration``.
        parity: what was measured.
        runs: the run, or the model alone, or several.
        needs: packages that run the network.
    """
    write_json(folder / PARITY, parity)
    write_text(folder / EXAMPLE, Path(__file__).with_name(EXAMPLE).read_text(encoding="utf-8"))
    write_text(folder / REQUIREMENTS, "\n".join(["numpy", "pillow", *needs]) + "\n")
    write_text(folder / CARD, export_card(runs, config, parity))
    write_json(folder / CONFIG, config)


def export_card(runs: OpenRuns, config: Mapping[str, Any], parity: Mapping[str, Any]) -> str:
    """Return the card of an export: its run's, with what was exported and how far it is from the model.

    Of a model without its run, and of several runs, it holds no more than that.
    """
    section, home = f"## Export\n\n{_export(config['export'], parity)}", runs.home
    if home.path is None or _are_several(runs):
        why = "there are those of several runs" if home.path else "the run of this model was not at hand"
        licence = f"Unknown: {why}. State it before you hand the export on."
        return f"# {config['architecture']}\n\n{section}\n\n## Licence\n\n{licence}\n\n## Use\n\n{USE}\n"
    data = home.manifest
    assert data is not None, "a run has its images"
    file = home.path / "evaluation" / "test" / "metrics.json"
    pooled = runs.folds is not None and not data.keeps_test  # measures of each fold's run, not of all as one
    report = read_json(file) if file.is_file() and not pooled else None
    return card(home.path, home.config, data, config, report, [section], USE, config["export"]["format"])


USE = """With FOLDER for this folder's place:

```console
$ hemf predict FOLDER IMAGES            # needs no torch
$ pip install -r FOLDER/requirements.txt && python FOLDER/example.py IMAGE ...   # needs no hemf
```
`config.json` holds what goes with the network: classes in the order of its outputs; under `pretrained_cfg`
how an image becomes its input; under `hemf.calibration` the temperature that divides its logits, prediction
sets and thresholds. `parity.json` holds what was measured when it was made."""


def _export(about: Mapping[str, Any], parity: Mapping[str, Any]) -> str:
    weights = ", ".join(f"`{name}`, SHA-256 `{digest}`" for name, digest in about["sha256"].items())
    lines = [
        f"- format: {about['format']}, {about['precision']}: {weights}",
        f"- views that it averages over by itself: {about['tta']}",
        f"- measured beside the model on {counted(parity['n'], 'image', form=',')} of "
        f"{printable(parity['data']['name'])} ({parity['split']}): largest difference of a probability "
        f"{parity['largest_difference']:.1e}, same class in {parity['same_class']:,} of {parity['n']:,}",
    ]
    for name, words in MEASURES.items():
        if found := parity.get(name):
            lines.append(f"- {words}: {_change(found)}")
    if found := parity.get("unfamiliarity"):
        lines.append(
            f"- unfamiliarity, its second output: largest difference {found['largest_difference']:.1e}, same "
            f"warning in {found['same_warning']:,} of {parity['n']:,}"
        )
    lines += [f"- **exported with --force although {why}**" for why in parity["shortcomings"]]
    return "\n".join(lines)


def _change(found: Mapping[str, Any]) -> str:
    if found["change"] is None:
        return "undefined on these images"
    interval = found["ci95"]
    known = f" [{interval[0]:+.4f}, {interval[1]:+.4f}]" if interval else " (the same in every resample)"
    return f"{found['original']:.4f}, of the export {found['export']:.4f}, {found['change']:+.4f}{known}"
