"""``hemf export``: a trained model in another format, measured beside the original."""

from typing import TYPE_CHECKING, Literal

from hemf.config.options import TTA
from hemf.core.errors import HemfError

if TYPE_CHECKING:
    from pathlib import Path

    from hemf.exporting.make import Export, Material
    from hemf.runs.folder import OpenRuns

MARGIN = 0.5  # points


def export(
    run: str,
    format: Literal["onnx", "openvino", "torch", "triton"] = "onnx",
    precision: Literal["fp32", "fp16", "int8"] = "fp32",
    out: str | None = None,
    data: str | None = None,
    split: str | None = None,
    images: int = 1000,
    margin: float = MARGIN,
    tta: TTA | None = None,
    any_size: bool = False,
    force: bool = False,
    workers: int | None = None,
) -> "Export":
    """Write a trained model for other runtimes, and measure what is written beside the model.

    Makes a folder that is whole by itself: the network, config.json (classes, input, temperature, prediction
    sets, thresholds), a model card, parity.json, and example.py, which gives the same numbers without hemf.
    The export predicts validation images beside the model: the largest difference of probabilities, the
    number of images of the same class, and the changes of accuracy and ROC AUC with their intervals are
    printed and kept. An fp32 export in which a probability differs by more than 0.0001, and any other that
    loses more than the margin, is not kept. An export to onnx, openvino or triton goes wherever a run goes in
    predict and evaluate, also where there is no torch. A cross-validation, or several runs, become one
    export: the mean of their probabilities, with the calibration of that mean.

    Args:
        run: a run's folder, or its model folder (which then needs --data); for one export of an ensemble a
            cross-validation's folder, or several runs with commas between (which then need --out).
        format: onnx, for ONNX Runtime and what reads ONNX; openvino; triton, the former as a model repository
            of NVIDIA's Triton server; or torch, a program of torch.export (.pt2).
        precision: format of the numbers in the weights: fp32; fp16, half the size; or int8, quantised by what
            training images show, a quarter of the size.
        out: folder to make; by default exports/FORMAT-PRECISION in the run or the cross-validation.
        data: other images of the same classes to measure on; by default the run's own.
        split: images to measure on: train, val, test or all; by default the run's validation images (test
            images where it has none, all where it has neither), or with --data all.
        images: most images to measure on, drawn evenly.
        margin: points of accuracy, or hundredths of ROC AUC, that an export of lower precision may lose.
        tta: views of each image that the export averages over by itself; by default those that the model's
            calibration was fitted under.
        any_size: let the network take images of any height and width, for programs of your own; hemf keeps to
            the model's input.
        force: keep an export that differs too much.
        workers: processes that read images; by default one a core, at most 8.

    Returns:
        Its folder, and what was measured.

    Raises:
        HemfError: no such run or images, a network that does not export, an export that differs too much, or
            something else where it should be written.
    """
    from pathlib import Path

    from hemf.exporting.make import Wanted, make_export
    from hemf.inference.ensemble import load_ensemble
    from hemf.runs.folder import open_runs

    if images < 1 or margin < 0:
        raise HemfError(f"--images is {images}, --margin {margin:g}; give at least 1 and at least 0")
    runs = open_runs(run)
    trained = load_ensemble(runs, tta)
    target = _place(runs, f"{format}-{precision}") if out is None else Path(out)
    material = _material(runs, trained.classes, data, split, images)
    how = Wanted(format, precision, margin, any_size, force)
    made = make_export(trained, runs, material, target, how, workers)
    _show(made)
    return made


def _place(runs: "OpenRuns", name: str) -> "Path":
    """Return the folder of an export for which none is named."""
    from hemf.core.untrusted import inside
    from hemf.runs.folder import EXPORTS

    if len(runs.members) > 1 and runs.folds is None:
        raise HemfError("an export of several runs belongs to none of them; say where it goes with --out")
    return inside(runs.home.path or runs.home.model, EXPORTS, name)


def _material(
    runs: "OpenRuns", classes: list[str], data: str | None, split: str | None, most: int
) -> "Material":
    """Find the images to measure on."""
    from hemf.data.splits import few_of
    from hemf.evaluation.samples import images_of, samples_of
    from hemf.exporting.make import Material

    images = images_of(runs.home, data, None).with_folds_trained_on()
    own = next((side for side in ("val", "test") if images.subset(side)), "all")
    split = split or (own if data is None else "all")
    samples = few_of(samples_of(images, split, classes), most)
    return Material(images, samples, split, images.subset("train"))


def _show(made: "Export") -> None:
    from hemf.core.text import counted
    from hemf.exporting.parity import MEASURES, upper_limit

    found = made.parity
    print(
        f"{counted(found['n'], 'image')} of {found['split']}: probabilities differ by at most "
        f"{found['largest_difference']:.1e}, the class is the same in {found['same_class']}"
    )
    for name, words in MEASURES.items():
        measured = found.get(name)
        if measured and measured["change"] is not None:
            both = f"{measured['original']:.4f} -> {measured['export']:.4f}"
            print(f"{words} {both}{upper_limit(measured)}")
    if other := found.get("other_size"):
        height, width = other["size"]
        print(f"at {height} x {width} pixels they differ by at most {other['largest_difference']:.1e}")
    for why in found["shortcomings"]:
        print(f"warning: kept by --force although {why}")
    print(f"{made.path}")
