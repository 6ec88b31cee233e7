"""``hemf ood``: let a trained model notice images unlike those that it learnt from, and measure how well."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from hemf.core.errors import HemfError

if TYPE_CHECKING:
    from hemf.inference.classifier import Classifier
    from hemf.runs.folder import OpenRun
    from hemf.shift.detection import Detection

FILE = "ood.json"


def ood(
    run: str,
    against: list[str] | None = None,
    false_alarms: float | None = None,
    split: str = "test",
    batch_size: int = 32,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    workers: int | None = None,
    device: str = "auto",
    resamples: int = 2000,
    seed: int = 0,
) -> "Detection":
    """Let a model notice images unlike those it learnt from, and measure how well it does.

    Training ends with this score where there are validation images; for a run without one it is fitted here,
    to the features of training images, and its limit on validation images. It is kept with the model:
    predict, serve and exports then give each image's unfamiliarity, and warn above 1. Prints, and writes into
    evaluation/SPLIT/ood.json, the share of the run's own images that are warned of, which are false alarms,
    and with --against the share of other images that are noticed, and the area under the ROC curve of the
    score between both.

    Args:
        run: a run's folder.
        against: folders of other images, such as another modality or organ, or blank ones.
        false_alarms: fit the score anew, with a limit that at most this share of images like the run's own
            exceed; by default 0.05 where the model keeps no score, and what it keeps where it does.
        split: the run's own images to measure on: train, val, test, or all.
        batch_size: images that go through the model at once.
        precision: format of the numbers: auto takes bf16 or fp16 autocast where the hardware is fast at it,
            else fp32.
        workers: processes that read images; by default one a core, at most 8.
        device: where to compute: cpu, cuda, cuda:1 ..., or auto for a GPU where there is one.
        resamples: bootstrap resamples, of patients or lesions where they are known.
        seed: seed of the resamples.

    Returns:
        What was measured.

    Raises:
        HemfError: no such run, split or images, too few images to fit to, or an unreadable image.
    """
    from hemf.core.files import write_json
    from hemf.core.untrusted import read_json
    from hemf.evaluation.samples import samples_of
    from hemf.familiarity.record import KEY
    from hemf.inference.classifier import load
    from hemf.metrics.bootstrap import Draws
    from hemf.runs.folder import open_classifier
    from hemf.shift.detection import Detection, Scores
    from hemf.shift.detection import against as measured

    opened, draws = open_classifier(run), Draws(resamples, seed)
    if draws.resamples == 0:
        raise HemfError("--resamples is 0; give 1 or more")
    if opened.path is None or opened.is_export:
        raise HemfError(
            f"{run} is a model without its run, whose images the score is measured on; give the run"
        )
    how = {"batch_size": batch_size, "workers": workers}
    _fit(opened, false_alarms, {**how, "precision": precision, "device": device})
    classifier, images = load(run, precision, device), opened.data
    samples = samples_of(images, split, classifier.classes)
    own = Scores(_scores(classifier, [images.path(s) for s in samples], **how), [s.group for s in samples])
    others = {}
    for place in against or []:
        values = _scores(classifier, [place], **how)
        others[place] = measured(own, Scores(values, [""] * len(values)), draws)
    score = read_json(opened.model / "config.json")["hemf"][KEY]
    found = Detection(str(run), split, score, own.warned(), others)
    file = opened.path / "evaluation" / split / FILE
    write_json(file, found.to_json())
    _show(found)
    print(file)
    return found


def _fit(opened: "OpenRun", false_alarms: float | None, options: dict[str, Any]) -> None:
    """Fit the score and keep it with the model, unless that has one and no other is asked for."""
    from hemf.core.device import pick_device
    from hemf.core.precision import resolve_precision
    from hemf.core.untrusted import read_json
    from hemf.familiarity.fit import FALSE_ALARMS
    from hemf.familiarity.record import KEY, Familiarity
    from hemf.inference.features import familiarity_of
    from hemf.inference.load import load_network
    from hemf.models.hub import CONFIG, add_to_config

    if false_alarms is None:
        with suppress(HemfError):  # one that is damaged is fitted anew
            if Familiarity.load(opened.model, read_json(opened.model / CONFIG)) is not None:
                return
    model, spec, _ = load_network(opened.model)
    device = pick_device(options["device"])
    options |= {"device": device, "precision": resolve_precision(options["precision"], device.type)}
    share = FALSE_ALARMS if false_alarms is None else false_alarms
    known = familiarity_of(model, opened.data, spec, share, **options)
    known.save(opened.model)
    add_to_config(opened.model, "hemf", {KEY: known.to_config()})
    print(known.summary())


def _scores(classifier: "Classifier", images: list[Any], **options: Any) -> Any:
    import numpy as np

    found = classifier.stream(images, bar=True, **options)
    return np.array([one.unfamiliarity for one in found], dtype=np.float64)


def _show(found: "Detection") -> None:
    from rich.console import Console

    from hemf.core.tables import Column, Table
    from hemf.metrics.wording import cell_text

    rows = [{"images": f"its own ({found.split})", "n": found.own["n"], "warned": cell_text(found.own)}]
    rows += [
        {
            "images": name,
            "n": one["warned"]["n"],
            "warned": cell_text(one["warned"]),
            "auc": cell_text(one["roc_auc"]),
        }
        for name, one in found.others.items()
    ]
    columns = [Column("images", "images"), Column("n", "n", ","), Column("warned", "warned of")]
    columns += [Column("auc", "ROC AUC")]
    Console(soft_wrap=True).print(Table("images unlike those of training", columns, rows))
