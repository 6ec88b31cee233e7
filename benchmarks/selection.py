"""What a selection of stages brings, and what it has learnt: a finished suite's results with the weights.

python benchmarks/selection.py bench/selection-nano-demo --out benchmarks/results/selection-nano-demo.json

To the results of ``hemf bench`` it adds, for each run, the epoch whose validation accuracy first reached 0.9,
and for each that selects, what its weights are on the test images, and how many of these are right under
other weights: the mean of all images in place of each image's own, those without one of the stages, and one
stage alone.
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hemf.core.files import write_json
from hemf.data.image.read import read_image
from hemf.data.load import load_data
from hemf.data.transforms import eval_transform
from hemf.explanation.selection import selected_stages, selects
from hemf.inference.load import load_trained

REACHED = 0.9


def first_epoch(run: Path) -> int | None:
    """The epoch whose validation accuracy first reached 0.9."""
    with open(run / "metrics.csv", encoding="utf-8", newline="") as file:
        reached = (int(row["epoch"]) for row in csv.DictReader(file) if float(row["val_accuracy"]) >= REACHED)
        return next(reached, None)


def learnt(run: Path, data: str) -> dict[str, Any] | None:
    """What a run's weights are on the test images; None of a model that does not select."""
    trained, found = load_trained(run / "model"), load_data(data)
    if not selects(trained.model):
        return None
    samples, transform = found.subset("test"), eval_transform(trained.spec)
    images = torch.stack([transform(read_image(found.path(s), trained.spec.image_mode)) for s in samples])
    targets = torch.tensor([trained.classes.index(s.label) for s in samples])
    selected = selected_stages(trained.model, images)
    weights = torch.tensor([one.weights for one in selected]).float()
    decided = [one.decided for one in selected]
    by_class = {name: weights[targets == i].mean(0).tolist() for i, name in enumerate(trained.classes)}
    return {
        "n": len(samples),
        "mean": weights.mean(0).tolist(),
        "mean_by_class": by_class,
        "std": weights.std(0).tolist(),
        "min": weights.amin(0).tolist(),
        "max": weights.amax(0).tolist(),
        "decided": [decided.count(stage + 1) for stage in range(weights.shape[1])],
        "accuracy": accuracies(trained.model, images, targets, weights),
    }


@torch.inference_mode()
def accuracies(model: Any, images: Tensor, targets: Tensor, weights: Tensor) -> dict[str, Any]:
    """The share of images that is right under their own weights and under others."""
    aligned = model.selection.align(model.forward_intermediates(images, intermediates_only=True))

    def right(others: Tensor) -> float:
        logits = model.forward_head(model.selection.mix(aligned, others))
        return (logits.argmax(1) == targets).float().mean().item()

    kept = 1 - torch.eye(weights.shape[1])
    return {
        "own": right(weights),
        "mean_of_all_images": right(weights.mean(0).expand_as(weights)),
        "without_stage": [right(weights * row) for row in kept],
        "one_stage_alone": [right(weights * (1 - row)) for row in kept],
    }


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", type=Path, help="folder of a suite that hemf bench has finished")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    report = json.loads((arguments.suite / "results.json").read_text(encoding="utf-8"))
    for row in report["rows"]:
        for run in row["runs"]:
            place = Path(run["path"])
            run["first_epoch_at_0.9"] = first_epoch(place)
            run["selection"] = learnt(place, row["options"]["data"])
    write_json(arguments.out, report)


if __name__ == "__main__":
    main()
