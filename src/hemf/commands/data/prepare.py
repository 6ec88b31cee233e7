"""``hemf data prepare``: a release, folder or CSV becomes a prepared data set."""

import shlex
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemf.config.options import Window
from hemf.core.errors import HemfError
from hemf.core.files import whole_folder
from hemf.core.machine import usable_cores
from hemf.core.text import counted
from hemf.core.untrusted import read_json
from hemf.data.splits import Method

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet, Sample
    from hemf.data.fingerprints import Fingerprint
    from hemf.data.sources import Source


def prepare(
    source: str,
    root: str | None = None,
    out: str | None = None,
    split: Method | None = None,
    val: float | None = None,
    test: float | None = None,
    folds: int = 5,
    seed: int | None = None,
    group_column: str | None = None,
    resize: int | None = None,
    window: Window = "auto",
    download: bool = False,
    skip_unreadable: bool = False,
    check_counts: bool = True,
    overwrite: bool = False,
    group_alike: bool = False,
    workers: int | None = None,
    columns: str = "auto",
) -> "DataSet":
    """Turn a release, folder or CSV into a prepared data set: manifest.csv, dataset.json, fingerprints.csv.

    Every image is decoded once. The folder appears whole or not at all.

    Args:
        source: what is prepared: isic2018, kvasir, covid-ct, folder or csv.
        root: folder of the release (or the one above, or its zip), of the class folders, or the CSV file.
        out: folder to write; by default prepared/ and the data set's name.
        split: how the images are split; by default as your folders or CSV say, else grouped where patients
            or lesions are known, else stratified; official and paper are those of the release and of the
            HEMF paper.
        val: share of all images to validate on; by default 0.1, or as the paper has it.
        test: share of all images to test on; by default 0.2, or as the paper has it.
        folds: number of folds of kfold and grouped-kfold.
        seed: seed of the split; by default 0, and 123 for paper.
        group_column: column of a CSV whose values keep images together, such as the patient's; none for no
            such column; by default the one with a usual name.
        resize: write images whose short side is at most this many pixels into the prepared folder.
        window: window of DICOM images, for the copies that --resize writes: auto is the file's own, the
            others are those of CT, see hemf train.
        download: fetch the release from its publisher into --root first.
        skip_unreadable: leave unreadable images out, named and counted, instead of stopping.
        check_counts: stop unless the number of images of each class is the published one.
        overwrite: replace a prepared data set in --out.
        group_alike: put images that look alike, as hemf data audit finds them, into one group, with their
            patients or lesions, and split by these groups; it takes the time of an audit.
        workers: threads that decode images; by default one a core.
        columns: what of age, sex, device and the like travels with the images: auto for all columns of the
            data but those that look like names, dates, identifiers or contact details, none, or names with
            commas between, which are kept whatever they hold.

    Returns:
        The prepared data set.

    Raises:
        HemfError: the release is not there or not whole, an image is unreadable, a split by shares would
            leave all in training, or out cannot be written.
    """
    from hemf.data.checks.gaps import all_in_training
    from hemf.data.manifest import WRITTEN, write_data_set
    from hemf.data.splits import split_data

    kind = _source(source)
    place, fetched = _place(kind, root, download)
    target = Path(out) if out else Path("prepared") / (source if kind.counts else place.stem)
    check_target(target, place, overwrite, inside=source == "folder")
    data = _read(kind, place, group_column, columns)
    if check_counts:
        kind.check_counts(data)
    if kind.group and not data.groups and split is None:
        raise HemfError(
            f"{place} lacks the file that names the {kind.group}, so no split can keep them on one side; "
            "fetch the whole release, or choose another --split, such as stratified"
        )
    if window != "auto" and resize is None:
        raise HemfError("--window is for the copies that --resize writes; give both, or it to hemf train")
    if resize is not None and resize < 1:
        raise HemfError(f"cannot resize to {resize} pixels; give the short side in pixels, such as 256")
    data.info |= {"licence": kind.licence} if kind.licence else {}
    data.info |= {"downloads": fetched} if fetched else {}
    divide = partial(
        split_data, method=split, val=val, test=test, folds=folds, seed=seed, published=kind.paper
    )
    data.check_trainable()
    first = divide(data, method=_ungrouped(split) if group_alike else split)
    if useless := all_in_training(first):  # which is better known before the images are read
        raise HemfError(useless)
    with whole_folder(target, WRITTEN) as staging:
        data = _decode(data, staging, resize, window, skip_unreadable, workers)
        if group_alike:
            data, split = _by_likeness(data, split, workers)
        data = divide(data, method=split)
        if group_alike and (useless := all_in_training(data)):
            raise HemfError(useless)
        data.check()
        data.check_trainable()
        write_data_set(data, staging)
    data = replace(data, root=target.resolve() / "images") if resize else data
    _show(data, kind, target)
    return data


def _source(name: str) -> "Source":
    from hemf.data.sources import SOURCES

    if name not in SOURCES and (meant := _meant(Path(name))):
        raise HemfError(f"no source {name!r}; {meant}")
    return SOURCES.find(name)


def _meant(path: Path) -> str:
    """Return the command for who gives data where the kind of data goes; empty where it is none."""
    kind = "folder" if path.is_dir() else "csv" if path.suffix.lower() in (".csv", ".tsv") else ""
    command = f"hemf data prepare {kind} --root {shlex.quote(str(path))}"
    return f"for your own images: {command}" if kind and path.exists() else ""


def _place(kind: "Source", root: str | None, download: bool) -> tuple[Path, list[dict[str, str]]]:
    """Return where the release lies, after fetching it if asked to, and what was fetched."""
    if not download:
        if not root:
            more = ", or fetch it with --download" if kind.downloads else ""
            raise HemfError(f"where is the data? give its place with --root{more}")
        if not Path(root).exists():
            raise HemfError(f"nothing at {root}; give the folder or file of the data as --root")
        return Path(root), []
    if not kind.downloads:
        raise HemfError(f"source {kind.name} has no publisher to download from; give --root instead")
    from hemf.data.sources.download import fetch

    place = Path(root or f"{kind.name}-release")
    return place, fetch(kind.downloads, place)


def _read(kind: "Source", place: Path, group_column: str | None, columns: str) -> "DataSet":
    from hemf.data.metadata.private import AUTO
    from hemf.data.sources.csv import read_csv
    from hemf.data.sources.release import with_columns

    if kind.name == "csv":
        return read_csv(place, group_column, columns)
    if group_column is not None:
        raise HemfError(
            f"--group-column names a column of a CSV, and source {kind.name} has none; leave it out"
        )
    data = kind.read(place)
    return data if columns == AUTO else with_columns(data, columns)


def check_target(target: Path, place: Path, overwrite: bool, inside: bool, flag: str = "--out") -> None:
    """Refuse a folder for a prepared data set that lies around its images, or holds something already.

    Args:
        target: the folder.
        place: place of the images.
        overwrite: whether a prepared data set in ``target`` may be replaced.
        inside: refuse it also inside ``place``, where it would become a class.
        flag: that gives the folder.

    Raises:
        HemfError: it must be another folder.
    """
    here, there = target.resolve(), place.resolve()
    if there.is_relative_to(here) or (inside and here.is_relative_to(there)):
        raise HemfError(f"{target} and the data in {place} would lie inside one another; give another {flag}")
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / "dataset.json").is_file() or not (target / "manifest.csv").is_file():
        raise HemfError(f"{target} exists and is not a prepared data set; give another {flag}")
    if not overwrite:
        raise HemfError(
            f"{target} holds a prepared data set; give --overwrite to replace it, or another --out"
            if flag == "--out"
            else f"{target} holds a prepared data set; give another {flag}"
        )
    own = read_json(target / "dataset.json").get("root") == "images"
    if (target / "images").exists() and not own:
        raise HemfError(f"{target / 'images'} is none of the prepared data set there; give another --out")


def _ungrouped(split: Method | None) -> Method:
    """Return the method that divides like ``split`` where no group is known yet.

    Raises:
        HemfError: ``split`` does not go by groups.
    """
    plain: dict[Method | None, Method] = {None: "stratified", "grouped": "stratified"}
    plain["grouped-kfold"] = "kfold"
    if split not in plain:
        raise HemfError(
            f"--group-alike makes groups to split by, which --split {split} does not; leave --split out, or "
            "give grouped or grouped-kfold"
        )
    return plain[split]


def _by_likeness(data: "DataSet", split: Method | None, workers: int | None) -> "tuple[DataSet, Method]":
    """Return the data set with what looks alike in groups, and how to split it then."""
    from hemf.auditing.regroup import group_alike, look_for_pairs

    _, pairs = look_for_pairs(data, workers)
    data = group_alike(data, pairs)
    return data, (split or "grouped") if data.groups else _ungrouped(split)


def _decode(
    data: "DataSet",
    staging: Path,
    resize: int | None,
    window: Window,
    skip_unreadable: bool,
    workers: int | None,
) -> "DataSet":
    """Decode every image, and write it smaller if asked; the data set without those that are unreadable."""
    from concurrent.futures import ThreadPoolExecutor

    from rich.progress import track

    empty: dict[str, str] = {}

    def one(sample: "Sample") -> "tuple[Sample, Fingerprint] | HemfError":
        try:
            return _decode_one(data.path(sample), sample, staging / "images", resize, window, empty)
        except HemfError as error:
            return error

    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        results = pool.map(one, data.samples)
        results = list(track(results, "reading images", total=len(data.samples), transient=True))
    faults = {s.path: str(r) for s, r in zip(data.samples, results, strict=True) if isinstance(r, HemfError)}
    if faults and not skip_unreadable:
        more = f" ({len(faults) - 1} more cannot be read)" if len(faults) > 1 else ""
        raise HemfError(f"{next(iter(faults.values()))}, with --skip-unreadable{more}")
    taken = [r for r in results if not isinstance(r, HemfError)]
    skipped = [{"path": path, "reason": reason} for path, reason in faults.items()]
    info = data.info | {"resize": resize, "skipped": skipped}
    if window != "auto":
        info["window"] = window
    if empty:
        info["empty"] = dict(sorted(empty.items()))
    return replace(
        data,
        samples=[sample for sample, _ in taken],
        root=staging / "images" if resize else data.root,
        info=info,
        fingerprints={sample.path: taken_of for sample, taken_of in taken},
    )


def _decode_one(
    file: Path,
    sample: "Sample",
    images: Path,
    resize: int | None,
    window: Window,
    empty: dict[str, str],
) -> "tuple[Sample, Fingerprint]":
    """Read one image to its end; write it with a short side of at most ``resize``; take its fingerprint.

    JPEG stays JPEG, the others become PNG. What is small enough already is copied as it is. An image that
    shows nothing is noted in ``empty``.
    """
    from PIL.Image import Resampling

    from hemf.data.fingerprints import fingerprint
    from hemf.data.image.empty import emptiness
    from hemf.data.image.read import read_image

    image = read_image(file, window=window)
    if what := emptiness(image):
        empty[sample.path] = what
    if resize is None:
        return sample, fingerprint(file, image)
    is_jpeg = file.suffix.lower() in (".jpg", ".jpeg")
    name = sample.path if is_jpeg or file.suffix.lower() == ".png" else f"{sample.path}.png"
    target = images / name
    target.parent.mkdir(parents=True, exist_ok=True)
    scale = resize / min(image.size)
    if scale >= 1 and name == sample.path:
        shutil.copyfile(file, target)
        return sample, fingerprint(target, image)
    if scale < 1:
        width, height = (max(resize, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Resampling.LANCZOS)
    quality: dict[str, Any] = {"quality": 95, "subsampling": 0} if is_jpeg else {}
    image.save(target, **quality)
    return replace(sample, path=name), fingerprint(target, image)


def _show(data: "DataSet", kind: "Source", target: Path) -> None:
    """Print counts, groups, leakage, what was left out, and what to do next."""
    from rich.console import Console

    from hemf.data.image.empty import empty_line
    from hemf.data.summary import counts_table, group_lines, next_training, notes, split_line

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(counts_table(data))
    console.print(split_line(data), *group_lines(data, kind.group or "groups"), *notes(data), sep="\n")
    if "grouped_alike" in data.info:
        from hemf.auditing.regroup import group_alike_lines

        console.print(*group_alike_lines(data), sep="\n")
    skipped = data.info["skipped"]
    for left_out in skipped:
        console.print(f"left out: {left_out['reason']}")
    if skipped:
        console.print(
            f"left out {len(skipped)} unreadable of {counted(len(skipped) + len(data.samples), 'image')}"
        )
    if empty := data.info.get("empty"):
        console.print(empty_line([f"{path} ({what})" for path, what in empty.items()], len(data.samples)))
    console.print(f"prepared in {target}; {next_training(data, target)}")
