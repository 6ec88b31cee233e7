"""The images of a data set, with the class, the group and the side of the split of each."""

import csv
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.data import splits
from hemf.data.checks.same_files import same_files
from hemf.data.fingerprints import Fingerprint
from hemf.data.metadata.column import Kind, MetadataColumn, describe

SPLITS = ("train", "val", "test")
COLUMNS = ("path", "label", "group", "split", "fold")
NAMELESS = (None, "folder", "csv")
"""Sources that do not say whose patients they name."""
RESERVED = (
    *("path", "label", "group", "split", "fold", "prediction", "probability"),
    *("set", "abstain", "disagreement"),
)
METADATA = "metadata."
"""What the names of metadata columns begin with in predictions.csv, where classes have columns too."""


@dataclass(frozen=True)
class Sample:
    """One image.

    Args:
        path: where it is, relative to the data set's root, with forward slashes.
        label: its class.
        group: patient or lesion it shows, which must not straddle splits; empty if unknown.
        split: ``train``, ``val`` or ``test``; empty with k folds.
        fold: the fold it is tested in, with k folds; where the test images are kept out of the folds, the
            one it validates.
        metadata: what else is known of it, by column: text, "" where it is missing.
    """

    path: str
    label: str
    group: str = ""
    split: str = ""
    fold: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def side(self) -> str:
        """Its split, else its fold, as a word."""
        return self.split or ("" if self.fold is None else f"fold {self.fold}")


@dataclass
class DataSet:
    """Images with classes, groups and splits.

    Args:
        name: its name in tables and run names.
        classes: classes in the order of the model's outputs.
        samples: the images, in the order of the manifest.
        root: folder that the samples' paths start from.
        info: the rest of ``dataset.json``: source, licence, ``split`` (method, seed, ratios or folds), images
            that were skipped.
        fingerprints: by path, what the files were like when the data set was prepared or the run began, as
            far as that is known.
    """

    name: str
    classes: list[str]
    samples: list[Sample]
    root: Path
    info: dict[str, Any] = field(default_factory=dict)
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict, repr=False, compare=False)
    kinds: dict[str, Kind] = field(default_factory=dict, repr=False, compare=False)

    def path(self, sample: Sample) -> Path:
        """Return the file of a sample."""
        return self.root / sample.path

    def subset(self, split: str) -> list[Sample]:
        """Return samples of ``train``, ``val`` or ``test``, or of ``all``, in the manifest's order.

        Raises:
            HemfError: no such split name, or the data set is in folds.
        """
        if split == "all":
            return list(self.samples)
        if split not in SPLITS:
            raise HemfError(f"no split {split!r}; give one of {', '.join(SPLITS)}, or all")
        if self.folds and not any(s.split for s in self.samples):
            raise HemfError(
                f"{self.name} is prepared in {counted(len(self.folds), 'fold')}; choose one with --fold"
            )
        return [s for s in self.samples if s.split == split]

    @property
    def column_names(self) -> list[str]:
        """Names of the columns of metadata, in the manifest's order."""
        return list(dict.fromkeys(name for s in self.samples for name in s.metadata))

    def column(self, name: str) -> list[str]:
        """Return the value of a column for each sample, "" where it is missing."""
        return [s.metadata.get(name, "") for s in self.samples]

    @property
    def columns(self) -> list[MetadataColumn]:
        """What each column of metadata holds."""
        return [describe(name, self.column(name), self.kinds.get(name)) for name in self.column_names]

    @property
    def folds(self) -> list[int]:
        """Numbers of the folds; empty if the data set has none."""
        return sorted({s.fold for s in self.samples if s.fold is not None})

    @property
    def keeps_test(self) -> bool:
        """Whether the folds divide the training images alone, and the test images are in none of them."""
        return bool(self.folds) and any(s.fold is None for s in self.samples)

    @property
    def groups(self) -> int:
        """How many patients or lesions are known."""
        return len({s.group for s in self.samples if s.group})

    def for_fold(self, fold: int, val: float | None = None, seed: int | None = None) -> Self:
        """Return the data set with fold ``fold`` as test, and a validation part taken out of the rest.

        Where the test images are in no fold they stay the test images, and the fold validates.

        Args:
            fold: number of the fold to test on.
            val: share of *all* images to validate on, stratified by class with no group on two sides; by
                default what the data set was prepared with, else 0.1. 0 leaves no validation images.
            seed: chooses the validation images; by default what the data set was prepared with.

        Raises:
            HemfError: the data set has no such fold, or no training images would be left.
        """
        if fold not in self.folds:
            have = f"it has {', '.join(map(str, self.folds))}" if self.folds else "it is not in folds"
            raise HemfError(f"no fold {fold} in {self.name}; {have}")
        about = self.info.get("split", {})
        if self.keeps_test:
            here = {fold: "val", None: "test"}
            kept = [replace(s, split=here.get(s.fold, "train"), fold=None) for s in self.samples]
            return replace(self, samples=kept, info=self.info | {"split": {**about, "fold": fold}})
        share: float = about.get("val", splits.VAL) if val is None else val
        drawn: int = about.get("seed", 0) if seed is None else seed
        rest = [s for s in self.samples if s.fold != fold]
        chosen = {s.path for s in splits.validation_part(rest, share * len(self.samples), drawn)}
        side = {s.path: "val" if s.path in chosen else "train" for s in rest}
        samples = [replace(s, split=side.get(s.path, "test")) for s in self.samples]
        info = self.info | {"split": {**about, "val": share, "seed": drawn, "fold": fold}}
        return replace(self, samples=samples, info=info)

    def with_folds_trained_on(self) -> Self:
        """Return the data set as a model of all folds' runs knows it: what is in a fold was trained on."""
        return replace(
            self,
            samples=[
                replace(s, split="train") if s.fold is not None and not s.split else s for s in self.samples
            ],
        )

    def names_groups_of(self, other: Self) -> bool:
        """Return whether a patient or lesion of one name is the same in both data sets.

        So it is in one and the same data set, and in two of one source that says whose patients it names,
        unless one was grouped by likeness, which gives the same patients other names.
        """
        if self.hash == other.hash:
            return True
        source = self.info.get("source")
        one_source = source not in NAMELESS and source == other.info.get("source")
        return one_source and "grouped_alike" not in self.info | other.info

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the images by side (split, or fold) and class; a class that a side lacks counts 0."""
        found = Counter((s.side, s.label) for s in self.samples)
        sides = sorted({s.side for s in self.samples}, key=_side_order)
        return {side: {label: found[side, label] for label in self.classes} for side in sides}

    def leaking_groups(self) -> dict[str, list[str]]:
        """Return the groups with images on more than one side of the split, and those sides."""
        sides: dict[str, set[str]] = {}
        for s in self.samples:
            if s.group:
                sides.setdefault(s.group, set()).add(s.side)
        return {group: sorted(found, key=_side_order) for group, found in sides.items() if len(found) > 1}

    def leaks(self) -> dict[str, int]:
        """Return the images of each side whose patient or lesion is also on another side."""
        leaking = self.leaking_groups()
        found = Counter(s.side for s in self.samples if s.group in leaking)
        return {side: found[side] for side in self.counts()}

    @property
    def hash(self) -> str:
        """SHA-256 over the classes and the rows of the manifest, which metadata does not change."""
        rows = self.rows(metadata=False)
        return hashlib.sha256(f"{json.dumps(self.classes)}\n{rows}".encode()).hexdigest()

    @property
    def files_hash(self) -> str | None:
        """SHA-256 over path and content of every image; None where the fingerprint of one is unknown."""
        if any(s.path not in self.fingerprints for s in self.samples):
            return None
        rows = sorted([s.path, self.fingerprints[s.path].sha256] for s in self.samples)
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def check(self, files: bool = False) -> None:
        """Check that the data set is whole.

        Args:
            files: check also that every image is there.

        Raises:
            HemfError: no image, a label that is no class, a class with a reserved name, an image listed
                twice, missing, or one file with another.
        """
        if not self.samples:
            raise HemfError(f"{self.name} has no images; check {self.root}")
        labels = {s.label for s in self.samples}
        if unknown := sorted(labels - set(self.classes)):
            raise HemfError(f"label {unknown[0]!r} of {self.name} is none of its classes; add it to them")
        check_class_names(self.classes, self.name)
        undecoded = [s.path for s in self.samples if not _is_text(s)]
        if undecoded:
            raise HemfError(
                f"the name of {undecoded[0]!a} in {self.root} is not UTF-8; rename the file or folder"
            )
        twice = [path for path, n in Counter(s.path for s in self.samples).items() if n > 1]
        if twice:
            raise HemfError(
                f"{self.name} lists {counted(len(twice), 'image')} twice, first {twice[0]}; keep one row"
            )
        if files and (missing := self._missing()):
            raise HemfError(
                f"{len(missing)} of the {counted(len(self.samples), 'image')} of {self.name} are missing, "
                f"first {self.root / missing[0]}; put them back, or correct the root in dataset.json"
            )
        if files:
            self._check_same_files()

    def _check_same_files(self) -> None:
        """Refuse one file under two names, which would be two images, of two classes or on two sides."""
        if pairs := same_files(self.root, (s.path for s in self.samples)):
            label = {s.path: s.label for s in self.samples}
            one, other = next(((a, b) for a, b in pairs if label[a] != label[b]), pairs[0])
            classes = (
                f" under two labels, {label[one]} and {label[other]}" if label[one] != label[other] else ""
            )
            more = f" ({len(pairs) - 1} more such pairs)" if len(pairs) > 1 else ""
            raise HemfError(
                f"{one} and {other} in {self.root} are one file, by a link or by spelling{classes}; keep "
                f"one{more}"
            )

    def check_trainable(self) -> None:
        """Check that there is something to tell apart, which only training needs.

        Raises:
            HemfError: a single class, or a class without images.
        """
        labels = {s.label for s in self.samples}
        if empty := [c for c in self.classes if c not in labels]:
            raise HemfError(f"class {empty[0]!r} of {self.name} has no images; add some, or remove the class")
        if len(self.classes) < 2:
            raise HemfError(
                f"{self.name} has the single class {self.classes[0]!r}, and training needs two or more; "
                "hemf evaluate --data takes it as it is"
            )

    def _missing(self) -> list[str]:
        folders: dict[str, set[str]] = {}
        missing = []
        for s in self.samples:
            folder, _, name = s.path.rpartition("/")
            if folder not in folders:
                where = self.root / folder
                folders[folder] = set(os.listdir(where)) if where.is_dir() else set()
            if name not in folders[folder]:
                missing.append(s.path)
        return missing

    def rows(self, metadata: bool = True) -> str:
        """Return the rows of ``manifest.csv``, its header first.

        Args:
            metadata: whether the columns of metadata are among them.
        """
        further = self.column_names if metadata else []

        def further_of(sample: Sample) -> list[str]:
            return [sample.metadata.get(name, "") for name in further]

        rows = [
            (s.path, s.label, s.group, s.split, "" if s.fold is None else str(s.fold), *further_of(s))
            for s in self.samples
        ]
        text = io.StringIO()
        odd = any("\r" in value for row in rows for value in row)
        quoting = csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL  # the writer lets a lone \r pass unquoted
        csv.writer(text, lineterminator="\n", quoting=quoting).writerows([(*COLUMNS, *further), *rows])
        return text.getvalue()


def check_class_names(classes: Iterable[str], where: str) -> None:
    """Refuse classes that would share a column's name in predictions.csv, where each has a column of its own.

    Raises:
        HemfError: one is called so.
    """
    if taken := [name for name in classes if name in RESERVED or name.startswith(METADATA)]:
        raise HemfError(
            f"class {taken[0]!r} of {where} has the name of a column of predictions.csv; "
            f"rename it, such as {taken[0]!r} to '{taken[0]}_class'"
        )


def _side_order(side: str) -> tuple[int, int, str]:
    known = SPLITS.index(side) if side in SPLITS else len(SPLITS)
    return (known, int(side.split()[-1]) if side.startswith("fold ") else 0, side)


def _is_text(sample: Sample) -> bool:
    """Return whether all of a sample can be written as UTF-8; file names of other encodings cannot."""
    try:
        "".join((sample.path, sample.label, sample.group, *sample.metadata.values())).encode()
    except UnicodeEncodeError:
        return False
    return True
