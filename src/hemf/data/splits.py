"""Splits: which images are trained on, validated on and tested on.

Every method but ``paper`` gives the same split for the same images, groups, ratios and seed, whatever order
the images come in.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

from hemf.core.errors import HemfError
from hemf.core.text import counted

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet, Sample

Method = Literal["official", "paper", "grouped", "stratified", "kfold", "grouped-kfold"]
VAL, TEST, FOLDS = 0.1, 0.2, 5
PAPER_SEED = 123


def split_data(
    data: "DataSet",
    method: Method | None = None,
    *,
    val: float | None = None,
    test: float | None = None,
    folds: int = FOLDS,
    seed: int | None = None,
    published: Mapping[str, float] | None = None,
) -> "DataSet":
    """Return the data set with every image on one side.

    Args:
        data: the data set; for ``official`` with its own split.
        method: ``official`` keeps the data's own split, ``paper`` is the published procedure, ``grouped`` and
            ``stratified`` hold the classes' shares with and without regard to groups, ``kfold`` and
            ``grouped-kfold`` give each image the fold it is tested in. By default the split that the user's
            own folders or CSV give, else ``grouped`` where any group is known, else ``stratified``.
        val: share of all images to validate on. By default 0.1, and for ``paper`` as published.
        test: share of all images to test on. By default 0.2, and for ``paper`` as published.
        folds: number of folds.
        seed: by default 0, and 123 for ``paper``.
        published: ``val`` and ``test`` of the published experiment, or ``folds``: 2 for one whose two halves
            test in turn.

    Raises:
        HemfError: the method or a ratio does not suit the data, or nothing is left to train on.
    """
    method = method or _default_method(data)
    if test is not None and (method == "official" or method.endswith("kfold")):
        raise HemfError(f"split {method} settles by itself which images test; leave out test")
    if method == "official":
        return _official(data, val, 0 if seed is None else seed)
    if method == "paper":
        return _paper(data, published or {}, val, test, PAPER_SEED if seed is None else seed)
    if method not in get_args(Method):
        raise HemfError(f"no split {method!r}; give one of {', '.join(get_args(Method))}")
    grouped = method.startswith("grouped")
    if grouped and not data.groups:
        plain = "stratified" if method == "grouped" else "kfold"
        raise HemfError(f"{data.name} names no patients or lesions to group by; use --split {plain}")
    val, test, seed = VAL if val is None else val, TEST if test is None else test, seed or 0
    if method.endswith("kfold"):
        return _folds(data, method, val, folds, seed)
    ratios = _ratios(val, test)
    parts = assign(data.samples, list(ratios.values()), seed, grouped=grouped)
    names = [list(ratios)[part] for part in parts]
    return _with(data, _sided(data, names), method=method, seed=seed, ratios=ratios)


def fold_training(data: "DataSet", folds: int = FOLDS, seed: int = 0) -> "DataSet":
    """Return the data set with its training and validation images in folds, and its test images in none.

    Folds are stratified by class, and keep patients or lesions together where they are known.

    Raises:
        HemfError: the data set has no test images, or too few others.
    """
    if not any(s.split == "test" for s in data.samples):
        raise HemfError(f"{data.name} has no test images to keep out of the folds; leave out --keep-test")
    rest = replace(data, samples=[s for s in data.samples if s.split != "test"])
    folded = _folds(rest, "grouped-kfold" if rest.groups else "kfold", 0.0, folds, seed)
    fold_of = {s.path: s.fold for s in folded.samples}
    samples = [
        s if s.split == "test" else replace(s, split="train", fold=fold_of[s.path]) for s in data.samples
    ]
    about = data.info.get("split", {}) | {"folds": folds, "folds_seed": seed}
    return _with(data, samples, **about)


def assign(
    samples: Sequence["Sample"], shares: Sequence[float], seed: int, grouped: bool = True
) -> list[int]:
    """Assign samples to parts that each have their share of every class, with no group in two parts.

    Groups go one by one, the largest first and in random order among equals, to the part where they lower
    sum (want - have)^2 / want over the classes the most. With single images that ends at the shares rounded;
    with groups it misses them by part of a group. Any ratios will do, and classes of any size, unlike
    scikit-learn's ``StratifiedGroupKFold``, which only makes equal folds (and is no closer on ISIC2018 or
    COVID-CT).

    Args:
        samples: images with labels and groups; one of unknown group is a group of its own.
        shares: share of each part, adding up to 1.
        seed: orders groups of equal size.
        grouped: keep groups together.
    """
    import numpy as np

    classes = {label: i for i, label in enumerate(sorted({s.label for s in samples}))}
    units: dict[tuple[str, str], list[int]] = {}
    for i, s in enumerate(samples):
        known = grouped and s.group
        units.setdefault(("group", s.group) if known else ("image", s.path), []).append(i)
    order = sorted(units)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda unit: -len(units[unit]))

    of_class = np.array([classes[s.label] for s in samples])
    want = np.outer(shares, np.bincount(of_class, minlength=len(classes)))
    have = np.zeros_like(want)
    open_parts = [part for part, share in enumerate(shares) if share > 0]
    parts = [0] * len(samples)
    for unit in order:
        number = np.bincount(of_class[units[unit]], minlength=len(classes))
        shown = number > 0
        w, h, n = want[open_parts][:, shown], have[open_parts][:, shown], number[shown]
        gain = (n * (2 * (w - h) - n) / w).sum(axis=1).round(9)
        fill = have[open_parts].sum(axis=1) / want[open_parts].sum(axis=1)
        part = open_parts[np.lexsort((fill, -gain))[0]]
        have[part] += number
        for i in units[unit]:
            parts[i] = part
    return parts


def validation_part(samples: Sequence["Sample"], number: float, seed: int) -> list["Sample"]:
    """Return about ``number`` of the samples, stratified by class, with no group both in and out of them.

    Raises:
        HemfError: ``number`` is negative, or leaves nothing to train on.
    """
    if number == 0:
        return []
    if not 0 < number < len(samples):
        raise HemfError(f"cannot validate on {number:.0f} of {counted(len(samples), 'image')}; change val")
    share = number / len(samples)
    parts = assign(samples, [1 - share, share], seed)
    return [s for s, part in zip(samples, parts, strict=True) if part == 1]


def published_split(
    samples: Sequence["Sample"], classes: Sequence[str], train: float, test: float, seed: int = PAPER_SEED
) -> list[str]:
    """Split names by the published procedure (He et al. 2025, code).

    One random stream shuffles the classes one after the other; the first ceil(train x n) images of a class
    train, the last floor(test x n) test, the rest validate. It knows nothing of groups, and depends on the
    order of classes and images.
    """
    stream = random.Random(seed)
    names = ["val"] * len(samples)
    for label in classes:
        of_class = [i for i, s in enumerate(samples) if s.label == label]
        stream.shuffle(of_class)
        n = len(of_class)
        first = math.ceil(train * n)
        last = max(first, n - math.floor(test * n))
        for i in of_class[:first]:
            names[i] = "train"
        for i in of_class[last:]:
            names[i] = "test"
    return names


def _default_method(data: "DataSet") -> Method:
    if "split" in data.info:
        return "official"
    return "grouped" if data.groups else "stratified"


def _ratios(val: float, test: float) -> dict[str, float]:
    if min(val, test) < 0 or val + test >= 1:
        raise HemfError(f"val {val:g} and test {test:g} must be 0 or more and leave something to train on")
    return {"train": round(1 - val - test, 12), "val": val, "test": test}


def _with(data: "DataSet", samples: list["Sample"], **about: object) -> "DataSet":
    return replace(data, samples=samples, info=data.info | {"split": about})


def _sided(data: "DataSet", names: list[str]) -> list["Sample"]:
    return [replace(s, split=name, fold=None) for s, name in zip(data.samples, names, strict=True)]


def _folded(data: "DataSet", folds: list[int]) -> list["Sample"]:
    return [replace(s, split="", fold=fold) for s, fold in zip(data.samples, folds, strict=True)]


def _official(data: "DataSet", val: float | None, seed: int) -> "DataSet":
    if not all(s.side for s in data.samples):
        raise HemfError(f"{data.name} comes with no split of its own; use another --split")
    about = {"method": "official"} | data.info.get("split", {})
    if val is None:
        return _with(data, data.samples, **about)
    if data.folds:
        _ratios(val, 1 / len(data.folds))
        return _with(data, data.samples, **about, val=val, seed=seed)
    if data.subset("val"):
        raise HemfError(f"the official split of {data.name} has validation images; leave out val")
    chosen = {s.path for s in validation_part(data.subset("train"), val * len(data.samples), seed)}
    samples = [replace(s, split="val") if s.path in chosen else s for s in data.samples]
    return _with(data, samples, **about, val=val, seed=seed)


def _folds(data: "DataSet", method: Method, val: float, folds: int, seed: int) -> "DataSet":
    units = data.groups if method == "grouped-kfold" else len(data.samples)
    if not 2 <= folds <= units:
        raise HemfError(f"cannot make {counted(folds, 'fold')} of {data.name}; give 2 to {units}")
    _ratios(val, 1 / folds)
    parts = assign(data.samples, [1 / folds] * folds, seed, grouped=method == "grouped-kfold")
    return _with(data, _folded(data, parts), method=method, seed=seed, folds=folds, val=val)


def _paper(
    data: "DataSet", published: Mapping[str, float], val: float | None, test: float | None, seed: int
) -> "DataSet":
    """Make the published split; of an experiment in two folds, fold 0 tests what was tested first."""
    if published.get("folds") == 2 and test is None:
        _ratios(val or 0.0, 0.5)
        names = published_split(data.samples, data.classes, 0.5, 0.5, seed)
        samples = _folded(data, [int(name != "test") for name in names])
        return _with(data, samples, method="paper", seed=seed, folds=2, val=val or 0.0)
    val = published.get("val") if val is None else val
    test = published.get("test") if test is None else test
    if val is None or test is None:
        raise HemfError(f"the paper names no split of {data.name}; give val and test, or another --split")
    ratios = _ratios(val, test)
    names = published_split(data.samples, data.classes, ratios["train"], test, seed)
    return _with(data, _sided(data, names), method="paper", seed=seed, ratios=ratios)


def few_of(samples: list["Sample"], most: int, seed: int = 0) -> list["Sample"]:
    """Return at most so many of the samples, drawn evenly, the same ones for a seed, in their order."""
    if len(samples) <= most:
        return samples
    import numpy as np

    kept = np.sort(np.random.default_rng(seed).choice(len(samples), most, replace=False))
    return [samples[i] for i in kept]
