"""``hemf checklist``: a reporting standard's check list, filled in with what a run knows."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hemf.core.errors import HemfError

if TYPE_CHECKING:
    from hemf.checklists.make import Checklist


def checklist(
    run: str,
    standard: Literal["claim-2024", "tripod-ai", "stard-ai"] = "claim-2024",
    split: str = "test",
    out: str | None = None,
) -> "Checklist":
    """Fill in a reporting standard's check list with what a run knows.

    Every item of the standard is there, worded by hemf under the standard's number. What the run's files tell
    (data, split, numbers, options, software, measures with intervals, calibration, failures, robustness) is
    filled in; what only a person can know stays a question. Writes STANDARD.md, to be completed, and
    STANDARD.html into checklists/ of the run, and prints how much is open. It makes no study compliant.

    Args:
        run: a run's folder, best after evaluate, stress and ood.
        standard: claim-2024, tripod-ai or stard-ai.
        split: whose evaluation counts.
        out: folder to write; by default checklists/ in the run.

    Returns:
        The list.

    Raises:
        HemfError: no such run or standard, or a file there that hemf did not write or that was filled in.
    """
    from hemf.checklists.known import Known
    from hemf.checklists.make import make_checklist
    from hemf.checklists.write import is_untouched, write_checklist
    from hemf.core.outputs import check_output
    from hemf.core.untrusted import inside
    from hemf.runs.folder import open_classifier

    opened = open_classifier(run)
    if opened.path is None or opened.is_export:
        raise HemfError(f"{run} is a model without its run, which knows too little; give the run's folder")
    folder = Path(out) if out else inside(opened.path, "checklists")
    known = Known(opened, split)
    found = make_checklist(known, standard, opened.path.resolve().name)
    check_output(folder / f"{standard}.md", is_untouched)
    check_output(
        folder / f"{standard}.html", lambda path: found.standard["doi"] in path.read_text(errors="replace")
    )
    paths = write_checklist(found, folder, standard)
    total = len(found.items)
    print(
        f"{found.standard['name']}: {total - found.open} of {total} items have answers, {found.open} are open"
    )
    if not known.measured:
        print(
            f"the run has no evaluation on its {split} images; hemf evaluate {shlex.quote(run)} answers more"
        )
    print(*paths, sep="\n")
    return found
