"""``hemf localise``: whether a run's heat maps can be believed, in numbers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hemf.core.errors import HemfError
from hemf.core.files import write_json

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from hemf.data.dataset import DataSet, Sample
    from hemf.inference.load import TrainedModel


def localise(
    run: str,
    split: str = "test",
    masks: str | None = None,
    layer: str | None = None,
    method: Literal["gradcam++", "gradcam"] = "gradcam++",
    limit: int | None = None,
    perturb: int = 200,
    batch_size: int = 16,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Measure whether a run's heat maps show the lesion, and what the model uses.

    With masks: the share of the heat that lies inside the lesion and whether the hottest pixel does, at every
    stage, beside an even map and one of the image's centre. With or without: how the class's probability
    falls when the hottest pixels are deleted and rises when they are inserted, beside a centre and a random
    order; and how far the maps change when the weights are drawn anew part by part, as they must. Maps are
    those of the predicted class. Every number has its n and a 95% interval from a bootstrap of patients or
    lesions.
    Prints tables and writes localisation.json (for gradcam localisation-gradcam.json) into
    evaluation/SPLIT of the run.

    Args:
        run: a run's folder.
        split: images to measure on: train, val, test, or all.
        masks: folder of lesion masks, white on black, called like their images or NAME_segmentation.png.
        layer: where in the model to look, by the layer's name; by default what the head reads, which for HEMF
            is the last fusion.
        method: gradcam++ counts what speaks for the class; gradcam sets what speaks against it off.
        limit: at most this many images, drawn at random; by default all.
        perturb: at most this many of them for deletion, insertion and random weights, which take about a
            hundred passes each; 0 leaves these out.
        batch_size: images that go through the model at once.
        seed: seed of the images drawn, the random orders and weights.
        device: where to compute: cpu, cuda, cuda:1 ..., or auto for a GPU where there is one.

    Returns:
        What localisation.json holds.

    Raises:
        HemfError: no such run, split, layer, mask or images, a layer that the class does not depend on, or an
            unreadable image.
    """
    import numpy as np

    from hemf.core.device import pick_device
    from hemf.evaluation.samples import samples_of
    from hemf.explanation.measures.means import about_intervals
    from hemf.explanation.measures.terminal import show
    from hemf.inference.load import load_trained
    from hemf.runs.environment import environment
    from hemf.runs.folder import open_classifier

    if batch_size < 1 or perturb < 0 or (limit is not None and limit < 1):
        raise HemfError("--batch-size and --limit must be at least 1, --perturb at least 0; correct them")
    if masks is None and not perturb:
        raise HemfError("nothing to measure: give --masks, or --perturb above 0")
    opened, rng = open_classifier(run), np.random.default_rng(seed)
    images, trained = opened.data, load_trained(opened.model)
    trained.model.to(pick_device(device))
    samples = _drawn(samples_of(images, split, trained.classes), limit, rng)
    layer, stages = _layers(trained, images, samples[0], layer)
    work = _Work(trained, images, layer, stages, method, batch_size)
    report = {
        "run": str(run),
        "model": trained.name,
        "split": split,
        "data": {"name": images.name, "hash": images.hash},
        "layer": layer,
        "method": method,
        "inside_masks": None if masks is None else work.inside(samples, masks),
        "faithfulness": work.faithfulness(_drawn(samples, perturb, rng), opened.model, seed)
        if perturb
        else None,
        "intervals": about_intervals([sample.group for sample in samples]),
        "seed": seed,
        "environment": environment("fp32"),
    }
    assert opened.path is not None, "without a run there are no images"
    file = (
        opened.path
        / "evaluation"
        / split
        / ("localisation.json" if method == "gradcam++" else f"localisation-{method}.json")
    )
    write_json(file, report)
    show(report, file)
    return report


def _drawn(samples: list["Sample"], most: int | None, rng: "np.random.Generator") -> list["Sample"]:
    """Return at most so many of the samples, drawn without replacement, in their order."""
    if most is None or most >= len(samples):
        return samples
    return [samples[i] for i in sorted(rng.choice(len(samples), most, replace=False))]


def _layers(
    trained: "TrainedModel", images: "DataSet", sample: "Sample", layer: str | None
) -> tuple[str, list[str]]:
    """Choose the layer asked for, or the default, and the stages' layers of the classified branch."""
    from hemf.explanation.layers import chosen_layer, stage_layers
    from hemf.explanation.measures.batches import batches

    (first,) = batches(trained, images, [sample], 1, "choosing the layer")
    shown = trained.model, first.inputs, first.targets
    return chosen_layer(*shown, layer), list(stage_layers(*shown).values())[-1]


@dataclass(frozen=True)
class _Work:
    """The two parts of the measurement, on samples of one data set."""

    trained: "TrainedModel"
    images: "DataSet"
    layer: str
    stages: list[str]
    method: Literal["gradcam++", "gradcam"]
    batch_size: int

    def inside(self, samples: list["Sample"], masks: str) -> dict[str, Any]:
        """Compare maps of every stage of the classified branch, and of the layer asked for, with masks."""
        from hemf.explanation.measures.batches import batches
        from hemf.explanation.measures.mask_overlap import inside_masks
        from hemf.explanation.measures.masks import find_masks

        model, spec = self.trained.model, self.trained.spec
        layers = list(dict.fromkeys([*self.stages, self.layer]))
        files = find_masks(masks)
        found = batches(self.trained, self.images, samples, self.batch_size, "comparing with masks")
        return inside_masks(model, spec, found, files, layers, self.method)

    def faithfulness(self, samples: list["Sample"], model: "Path", seed: int) -> dict[str, Any]:
        """Try deletion, insertion and random weights; ``model`` is the folder that says how to draw these."""
        import numpy as np

        from hemf.explanation.measures.batches import batches
        from hemf.explanation.measures.faithfulness import faithfulness
        from hemf.explanation.measures.randomisation import untrained

        found = batches(self.trained, self.images, samples, self.batch_size, "perturbing")
        fresh, rng = untrained(model, seed), np.random.default_rng(seed)
        how = self.layer, self.method, rng, self.trained.task
        return faithfulness(self.trained.model, fresh, found, *how)
