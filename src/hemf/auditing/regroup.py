"""Groups images that look alike, so that a split keeps a picture and its copies on one side."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hemf.auditing.duplicates import Pair, find_pairs
from hemf.auditing.scan import Look, Workers, look_at
from hemf.core.errors import HemfError
from hemf.core.files import whole_folder
from hemf.core.text import counted
from hemf.data.dataset import DataSet
from hemf.data.loading.workers import worker_count
from hemf.data.manifest import WRITTEN, write_data_set
from hemf.data.splits import split_data

LARGE = 0.1  # of the images in one group: worth a word
LARGEST = 0.5  # no split by groups is worth its name beyond this


def look_for_pairs(data: DataSet, workers: int | None) -> tuple[list[Look | str], list[Pair]]:
    """Return what each image is like, and the pairs that show the same picture.

    Args:
        data: the data set.
        workers: processes; by default one a core.
    """
    with Workers(worker_count(workers, len(data.samples))) as pool:
        looks = pool.map(look_at, [data.path(s) for s in data.samples], "reading images")
        return looks, find_pairs(data.samples, looks, pool)


def group_alike(data: DataSet, pairs: Sequence[Pair]) -> DataSet:
    """Put images that look alike into one group, together with their patients or lesions.

    A group is a connected component: what is alike, or of one patient, over any number of steps. A component
    of one known patient keeps that name; one of several, or of none, gets a name made from its images' paths.
    ``info["grouped_alike"]`` says how many pairs there were, and how many groups and images they made or
    merged, the largest among them.

    Raises:
        HemfError: more than half of the images would be one group.
    """
    component = _components(data, pairs)
    members: dict[int, list[int]] = defaultdict(list)
    for i, of in enumerate(component):
        members[of].append(i)
    names = [""] * len(data.samples)
    new = []
    for group in members.values():
        known = {data.samples[i].group for i in group} - {""}
        name = known.pop() if len(known) == 1 else "" if len(group) == 1 else _name(data, group)
        if name.startswith("alike-"):
            new.append(len(group))
        for i in group:
            names[i] = name
    largest = max(Counter(names[i] for i in range(len(names)) if names[i]).values(), default=0)
    if largest > LARGEST * len(names):
        raise HemfError(
            f"{largest} of the {counted(len(names), 'image')} of {data.name} are linked by likeness or "
            "patient, so no split can part them; look at the pairs with hemf data audit, and leave out "
            "what is one film"
        )
    about = {"pairs": len(pairs), "new_groups": len(new), "images": sum(new), "largest": largest}
    samples = [replace(s, group=name) for s, name in zip(data.samples, names, strict=True)]
    return replace(data, samples=samples, info=data.info | {"grouped_alike": about})


def regroup(data: DataSet, pairs: Sequence[Pair]) -> DataSet:
    """Apply ``group_alike``, and split anew by those groups, with the same shares or number of folds.

    Raises:
        HemfError: no such split can be made.
    """
    grouped, about = group_alike(data, pairs), data.info.get("split", {})
    seed = about.get("seed", 0)
    if data.folds and not any(s.split for s in data.samples):
        method = "grouped-kfold" if grouped.groups else "kfold"
        return split_data(grouped, method, folds=len(data.folds), val=about.get("val"), seed=seed)
    sides = Counter(s.split for s in data.samples)
    asked = {side: sides[side] / len(data.samples) for side in ("val", "test")} | about.get("ratios", {})
    method = "grouped" if grouped.groups else "stratified"
    return split_data(grouped, method, val=asked["val"], test=asked["test"], seed=seed)


def write_regrouped(
    target: Path, data: DataSet, looks: Sequence[Look | str], pairs: Sequence[Pair]
) -> DataSet:
    """Write what ``regroup`` makes as a prepared data set, whose images stay where they are, and say so.

    Raises:
        HemfError: no such split can be made, or the folder cannot be written.
    """
    from rich.console import Console

    from hemf.data.checks.gaps import all_in_training
    from hemf.data.summary import counts_table, group_lines, next_training, notes, split_line

    read = {s.path: look for s, look in zip(data.samples, looks, strict=True) if isinstance(look, Look)}
    new = regroup(data, pairs)
    if useless := all_in_training(new):
        raise HemfError(useless)
    new = replace(new, fingerprints={path: look.fingerprint for path, look in read.items()})
    with whole_folder(target, WRITTEN) as staging:
        write_data_set(new, staging)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(counts_table(new))
    console.print(split_line(new), *group_lines(new), *notes(new), *group_alike_lines(new), sep="\n")
    console.print(f"regrouped in {target}; {next_training(new, target)}")
    return new


def group_alike_lines(data: DataSet) -> list[str]:
    """Return what ``group_alike`` did, in sentences."""
    about = data.info["grouped_alike"]
    if not about["pairs"]:
        return ["grouped by likeness: no two images look alike"]
    lines = [
        f"grouped by likeness: {counted(about['pairs'], 'pair', form=',')}; {about['new_groups']:,} new or "
        f"merged groups of {counted(about['images'], 'image', form=',')}"
    ]
    if about["largest"] > LARGE * len(data.samples):
        share = about["largest"] / len(data.samples)
        lines.append(
            f"warning: the largest group has {about['largest']:,} of "
            f"{counted(len(data.samples), 'image', form=',')} ({share:.0%}), so the sides may miss the "
            "shares that were asked for"
        )
    return lines


def _components(data: DataSet, pairs: Sequence[Pair]) -> np.ndarray:
    """Return the number of each image's connected component, over pairs and known groups."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    place = {s.path: i for i, s in enumerate(data.samples)}
    edges = [(place[p.first.path], place[p.second.path]) for p in pairs]
    first: dict[str, int] = {}
    for i, s in enumerate(data.samples):
        if s.group:
            edges.append((first.setdefault(s.group, i), i))
    rows, columns = np.array(edges, int).reshape(-1, 2).T
    n = len(data.samples)
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def _name(data: DataSet, group: Sequence[int]) -> str:
    """Return the same for the same images, and for no others."""
    paths = "\n".join(sorted(data.samples[i].path for i in group))
    return f"alike-{hashlib.sha256(paths.encode()).hexdigest()[:12]}"
