"""Which out-of-distribution score to keep with a model: several, measured on one run.

python benchmarks/familiarity.py RUN --other PLACE --out benchmarks/results/familiarity-NAME.json

Every score is fitted to the features (what the last layer reads) of training images, those of pytorch-ood by
its own code; its limit is the 95% conformal quantile on the validation images. Then it is shown the run's
test images, those of another data set, and what may reach a model by mistake: blank images, noise, negatives,
images in shuffled tiles, images half of which is lost, and blurred or noisy ones.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from sklearn.metrics import roc_auc_score

from common import described
from hemf.core.files import write_json
from hemf.data.image.read import read_image
from hemf.data.splits import few_of
from hemf.familiarity import fit
from hemf.familiarity.record import Seen, length
from hemf.inference.features import seen_in
from hemf.inference.load import load_trained
from hemf.metrics.classification import proportion
from hemf.runs.folder import open_classifier
from hemf.training.probe.fit import last_layer

Found = dict[str, Seen]
Score = Callable[[Seen], np.ndarray]


def blank(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return Image.new("RGB", image.size, tuple(rng.integers(0, 256, 3).tolist()))


def noise(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (*image.size[::-1], 3)).astype(np.uint8))


def negative(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.point(lambda level: 255 - level)


def shuffled(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    tiles = np.asarray(image.resize((256, 256))).reshape(8, 32, 8, 32, 3).transpose(0, 2, 1, 3, 4)
    mixed = tiles.reshape(64, 32, 32, 3)[rng.permutation(64)].reshape(8, 8, 32, 32, 3)
    return Image.fromarray(np.ascontiguousarray(mixed.transpose(0, 2, 1, 3, 4).reshape(256, 256, 3)))


def half_lost(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    image = image.copy()
    image.paste((128, 128, 128), (0, image.height // 2, image.width, image.height))
    return image


def blurred(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(min(image.size) / 30))


def noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    values = np.asarray(image) + rng.normal(0, 60, (*image.size[::-1], 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


CHANGES = (blank, noise, negative, shuffled, half_lost, blurred, noisy)


def read_changed(change: Callable, rng: np.random.Generator, path: Path, *how: Any) -> Image.Image:
    return change(read_image(path, "RGB", *how[1:]), rng)


def features(
    run: Path, other: str, most: int, shown: int
) -> tuple[Found, np.ndarray, tuple[np.ndarray, ...]]:
    """The features of all images by name, the classes of the training images, and the last layer."""
    opened, strange = open_classifier(run), open_classifier(other).data
    trained, data = load_trained(opened.model), opened.data
    layer = last_layer(trained.model, trained.spec)
    rng, how = np.random.default_rng(0), {"precision": "fp32", "device": "cpu", "workers": 0}

    def of(samples: list, source: Any, read: Any = read_image) -> Seen:
        print(len(samples), "images of", source.name, flush=True)
        return seen_in(trained.model, [source.path(s) for s in samples], trained.spec, "", read, **how)

    training, test = few_of(data.subset("train"), most), few_of(data.subset("test"), shown)
    found = {
        "train": of(training, data),
        "val": of(few_of(data.subset("val"), 400), data),
        "test": of(test, data),
        strange.name: of(few_of(strange.subset("test"), shown), strange),
    }
    few = few_of(test, shown // 2)
    for change in CHANGES:
        found[change.__name__] = of(few, data, partial(read_changed, change, rng))
    labels = np.array([trained.classes.index(s.label) for s in training])
    return found, labels, (layer.weight.detach().numpy(), layer.bias.detach().numpy())


def scores(seen: Seen, labels: np.ndarray, layer: tuple[np.ndarray, ...]) -> dict[str, Score]:
    """Every score, fitted."""
    from pytorch_ood import detector

    train = seen.features
    weight, bias = (torch.from_numpy(one).float() for one in layer)
    x, y = torch.from_numpy(train).float(), torch.from_numpy(labels)
    found: dict[str, Score] = {}

    def of_logits(score: Callable) -> Score:
        return lambda z: score(torch.from_numpy(z.features).float() @ weight.T + bias).numpy()

    found["softmax"] = of_logits(detector.MaxSoftmax.score)
    found["energy"] = of_logits(lambda logits: -logits.logsumexp(1))
    kept = fit._main_directions(train - train.mean(0)).shape[1]
    detectors = {
        "k-nearest neighbours": detector.KNN(None, k=5),
        "Mahalanobis": detector.Mahalanobis(None),
        "relative Mahalanobis": detector.RMD(None),
        "ViM": detector.ViM(None, kept, weight, bias),
    }
    for name, one in detectors.items():
        try:
            one.fit_features(x, y)
            found[name] = lambda z, one=one: one.predict_features(
                torch.from_numpy(z.features).float()
            ).numpy()
        except Exception as error:  # such as a class without images
            print(f"{name}: {error}", file=sys.stderr)
    found["residual"] = _residual(train, fit.KEPT)
    mean, scale = seen.looks.mean(0), fit._whitening(seen.looks)
    found["look (Mahalanobis)"] = lambda z: length((z.looks - mean) @ scale)
    found["residual and look (hemf)"] = _both(seen)
    return found


def measure(score: Score, found: Found, seconds: float) -> dict[str, Any]:
    """False alarms on test images at the limit that validation gives, and what is noticed of the others."""
    values = {name: np.nan_to_num(score(one)) for name, one in found.items() if name != "train"}
    n = len(values["val"])
    limit = np.sort(values["val"])[min(n, math.ceil(0.95 * (n + 1))) - 1]
    own, others = values["test"], {k: v for k, v in values.items() if k not in ("val", "test")}
    rows = {
        name: {
            "roc_auc": float(roc_auc_score([0] * len(own) + [1] * len(other), [*own, *other])),
            "noticed": proportion(int((other > limit).sum()), len(other)),
        }
        for name, other in others.items()
    }
    return {
        "false_alarms": proportion(int((own > limit).sum()), len(own)),
        "mean_roc_auc": float(np.mean([row["roc_auc"] for row in rows.values()])),
        "mean_noticed": float(np.mean([row["noticed"]["value"] for row in rows.values()])),
        "others": rows,
        "fit_seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--other", required=True, help="a run on another kind of images, whose test images are shown"
    )
    parser.add_argument("--most", type=int, default=1000, help="training images")
    parser.add_argument("--shown", type=int, default=120, help="test images, and images of the other kind")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found, labels, layer = features(arguments.run, arguments.other, arguments.most, arguments.shown)
    started = time.process_time()
    fitted = scores(found["train"], labels, layer)
    seconds = time.process_time() - started
    rows = {name: measure(score, found, seconds) for name, score in fitted.items()}
    train = found["train"]
    others = {
        f"residual, {kept:.0%} of the variance": _residual(train.features, kept) for kept in (0.9, 0.99)
    }
    for n in (100, 200, 400):
        few = np.arange(len(labels))[:: len(labels) // n][:n]
        others[f"residual and look, {n} training images"] = _both(Seen(train.features[few], train.looks[few]))
    rows |= {name: measure(score, found, seconds) for name, score in others.items()}
    for name, row in rows.items():
        print(
            f"{name:36} {row['false_alarms']['value']:.3f} {row['mean_roc_auc']:.3f} "
            f"{row['mean_noticed']:.3f}"
        )
    report = {
        "run": arguments.run.name,
        "images": {name: len(one.looks) for name, one in found.items()},
        "limit": "95% conformal quantile on validation images",
        "scores": rows,
        **described(),
    }
    write_json(arguments.out, report)


def _residual(train: np.ndarray, kept: float) -> Score:
    before, fit.KEPT = fit.KEPT, kept
    try:
        mean, basis = train.mean(0), fit._main_directions(train - train.mean(0))
    finally:
        fit.KEPT = before
    return lambda z: length(z.features - mean - (z.features - mean) @ basis @ basis.T)


def _both(seen: Seen) -> Score:
    return fit.fit_familiarity(seen, seen, {"split": "train"}).score  # whose limit is not used here


if __name__ == "__main__":
    main()
