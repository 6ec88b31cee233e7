"""``hemf data audit``: look for leakage, duplicates, odd files and shortcuts before anything is trained."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemf.core.untrusted import inside, plain_name

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Args:
        findings: what ``audit.json`` holds.
        folder: where ``audit.json`` and ``audit.html`` are.
        strict: whether leakage makes the exit code 1.
    """

    findings: dict[str, Any]
    folder: Path
    strict: bool = False

    @property
    def leaks(self) -> bool:
        """Whether a group or a picture is on two sides of the split."""
        return self.findings["leakage"]["found"]

    @property
    def exit_code(self) -> int:
        """1 where an image cannot be read, or with ``strict`` where something leaks; else 0."""
        return int(bool(self.findings["unreadable"]) or (self.strict and self.leaks))


def audit(
    data: str,
    *,
    out: str | None = None,
    strict: bool = False,
    regroup: str | None = None,
    run: str | None = None,
    workers: int | None = None,
) -> Audit:
    """Look for leakage, duplicates, odd files and shortcuts in a data set.

    Finds patients or lesions on two sides of the split; files, pixels or pictures that occur twice, also
    flipped, turned, cropped or compressed anew; different classes for one picture; unreadable and odd images;
    how well format, size, border and the like tell the class or the side by themselves. Writes audit.json and
    audit.html. The exit code is 1 if an image cannot be read. With --run, images whose label is likely wrong
    are listed too, by what a model that was not trained on them says of them (confident learning).

    Args:
        data: prepared data set, run, class-folder tree, train/val/test tree or CSV file.
        out: folder to write; by default audit/ inside a prepared data set or run, else audits/ and the data
            set's name in the current folder.
        strict: make the exit code 1 also where anything leaks between the sides of the split.
        regroup: folder to write a new prepared data set of the same images to, in which what looks alike, or
            is of one patient or lesion, is one group, and no group is on two sides of a new split.
        run: a run on these images that hemf evaluate has measured: best a cross-validation, whose folds
            predict every image; of a single run its validation and test images.
        workers: processes that read images; by default one a core. They start afresh, so a script that
            calls this needs the usual guard, if __name__ == "__main__", or 0 for none.

    Returns:
        The findings, and where they were written.

    Raises:
        HemfError: there is no data set, out or regroup cannot be written, or more than half of the images
            would be one group.
    """
    from hemf.auditing.findings import findings
    from hemf.auditing.html import write_page
    from hemf.auditing.regroup import look_for_pairs, write_regrouped
    from hemf.auditing.terminal import show
    from hemf.commands.data.prepare import check_target
    from hemf.core.files import write_json
    from hemf.core.outputs import check_report
    from hemf.data.load import load_data

    dataset = load_data(data)
    folder = Path(out) if out else _default_folder(Path(data), dataset.name)
    check_report(folder / "audit.json", ["hemf", "leakage"], [".html"])
    if regroup is not None:
        of_folders = dataset.info.get("source") == "folder"
        check_target(Path(regroup), dataset.root, overwrite=False, inside=of_folders, flag="--regroup")
    labels = None if run is None else _labels(run, dataset)
    looks, pairs = look_for_pairs(dataset, workers)
    found = findings(dataset, looks, pairs)
    if labels is not None:
        found["labels"] = labels
    write_json(folder / "audit.json", found)
    write_page(folder / "audit.html", dataset, found)
    result = Audit(found, folder, strict)
    show(dataset, found, folder)
    if regroup is not None:
        write_regrouped(Path(regroup), dataset, looks, pairs)
    return result


def _labels(run: str, dataset: "DataSet") -> dict[str, Any]:
    """Return which labels are likely wrong."""
    from hemf.evaluation.label_errors import label_findings, likely_wrong
    from hemf.evaluation.out_of_sample import out_of_sample

    found = out_of_sample(Path(run), dataset)
    of = found.predictions
    wrong = likely_wrong(of.paths, of.labels, of.probabilities, of.classes)
    return label_findings(run, found.how, len(of.paths), len(dataset.samples), wrong)


def _default_folder(data: Path, name: str) -> Path:
    """Choose a folder that is never among the user's own images."""
    prepared = (data / "dataset.json").is_file() and os.access(data, os.W_OK)
    return inside(data, "audit") if prepared else Path("audits") / plain_name(name)
