"""``hemf drift``: whether new images differ from those that a run was measured on."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hemf.core.errors import HemfError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hemf.data.dataset import Sample
    from hemf.inference.classifier import Classifier
    from hemf.shift.drift import Drift, Seen


def drift(
    run: str,
    data: str | None = None,
    split: str = "test",
    out: str | None = None,
    batch_size: int = 32,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    workers: int | None = None,
    device: str = "auto",
    permutations: int = 2000,
    seed: int = 0,
) -> "Drift":
    """Test whether new images differ from those that a run was measured on.

    Compares what goes in (size, brightness, contrast, saturation, sharpness), what comes out (unfamiliarity,
    confidence, predicted classes) and, where the new images have labels, accuracy; each by a permutation test
    that exchanges patients or lesions whole, corrected for their number. A difference is no fault by itself,
    and none found says no more than so many images can. Prints a table, and writes drift.json and drift.html.

    Args:
        run: a run's folder.
        data: the new images: a prepared data set, class folders or CSV with labels, or a folder of images
            without.
        split: the run's own images that are the reference: val, test, or all.
        out: folder to write; by default drift/ and the new data's name in the run.
        batch_size: images that go through the model at once.
        precision: format of the numbers: auto takes bf16 or fp16 autocast where the hardware is fast at it,
            else fp32.
        workers: processes that read images; by default one a core, at most 8.
        device: where to compute: cpu, cuda, cuda:1 ..., or auto for a GPU where there is one.
        permutations: random exchanges for each test; p is never below 1 over one more than these.
        seed: seed of the exchanges.

    Returns:
        What was found.

    Raises:
        HemfError: no such run or images, no --data, or fewer than two readable images on a side.
    """
    from rich.console import Console

    from hemf.core.outputs import check_report
    from hemf.core.untrusted import inside, plain_name
    from hemf.evaluation.samples import samples_of
    from hemf.inference.classifier import load
    from hemf.runs.folder import open_classifier
    from hemf.shift.drift import drift as compared
    from hemf.shift.drift_page import drift_table, write_drift

    if data is None:
        raise HemfError("nothing to compare with; give the new images with --data")
    if permutations < 100:
        raise HemfError(f"--permutations is {permutations}; give at least 100")
    opened = open_classifier(run)
    ours, classifier = opened.data, load(run, precision, device)
    name, theirs, labelled, root = _new_images(data, classifier.classes)
    assert opened.path is not None, "without a run there are no images"
    folder = Path(out) if out else inside(opened.path, "drift", plain_name(name))
    check_report(folder / "drift.json", ["verdict", "tests"], [".html"])
    how = {"batch_size": batch_size, "workers": workers}
    reference = _seen(classifier, ours.root, samples_of(ours, split, classifier.classes), True, **how)
    new = _seen(classifier, root, theirs, labelled, **how)
    about = {"reference": {"data": ours.name, "split": split}, "new": {"data": name, "labelled": labelled}}
    found = compared(run, about, reference, new, permutations, seed)
    page = write_drift(found, folder)
    console = Console(soft_wrap=True)
    console.print(drift_table(found))
    print(found.verdict())
    print(page)
    return found


def _new_images(place: str, classes: "list[str]") -> "tuple[str, list[Sample], bool, Path]":
    """Return name, images, whether these have labels, and root of a data set or a plain folder of images."""
    from hemf.data.dataset import Sample
    from hemf.data.image.read import find_images, is_image_name
    from hemf.data.load import load_test_data
    from hemf.evaluation.samples import samples_of

    path = Path(place)
    listed = path.is_dir() and not (path / "manifest.csv").is_file()
    if listed and any(one.is_file() and is_image_name(one.name) for one in path.iterdir()):
        files = [str(one.relative_to(path)) for one in find_images(path)]
        return path.resolve().name, [Sample(one, "", "", "") for one in files], False, path
    found = load_test_data(place)
    return found.name, samples_of(found, "all", classes), True, found.root


def _seen(
    classifier: "Classifier",
    root: Path,
    samples: "Sequence[Sample]",
    labelled: bool,
    batch_size: int,
    workers: int | None,
) -> "Seen":
    """Describe and classify images; those that cannot be read are left out and counted."""
    from hemf.core.errors import UnreadableImage
    from hemf.shift.drift import describe_image, seen_of

    described, kept = [], []
    for sample in samples:
        try:
            described.append(describe_image(root / sample.path))
            kept.append(sample)
        except UnreadableImage:
            continue
    if len(kept) < 2:
        raise HemfError(f"{root} holds {len(kept)} readable images, of which nothing can be said; give more")
    predictions = classifier.predict(
        [root / one.path for one in kept], batch_size=batch_size, workers=workers
    )
    labels = [one.label for one in kept] if labelled else None
    return seen_of(described, predictions, [one.group for one in kept], labels, len(samples) - len(kept))
