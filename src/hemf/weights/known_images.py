"""Images that what a run learns from has been trained on, and that the run is to be tested on."""

from collections.abc import Iterable

from hemf.core.text import counted
from hemf.data.dataset import DataSet
from hemf.runs.lineage import Ancestor


def known_images_lines(ancestors: Iterable[Ancestor], data: DataSet) -> list[str]:
    """Return what makes the results of a run on ``data`` too good, as far as it has learnt from others.

    Files are compared by content, and patients or lesions by name where both data sets are of one source.

    Args:
        ancestors: what the run learns from.
        data: the run's images, with their split and fingerprints.

    Returns:
        A sentence for each ancestor that is known to have met such images.
    """
    lines = (_line(one, one.data, data) for one in ancestors if one.data is not None)
    return [line for line in lines if line]


def _line(ancestor: Ancestor, theirs: DataSet, data: DataSet) -> str:
    trained = theirs.subset("train")
    files = {theirs.fingerprints[s.path].sha256 for s in trained if s.path in theirs.fingerprints}
    groups = {s.group for s in trained if s.group} if data.names_groups_of(theirs) else set()
    for split in ("test", "val"):
        samples = data.subset(split)
        prints = [data.fingerprints.get(s.path) for s in samples]
        same = sum(one is not None and one.sha256 in files for one in prints)
        related = sum(s.group in groups for s in samples)
        if same or related:
            what = f"{same} are files" if same >= related else f"{related} show patients or lesions"
            return (
                f"of the {counted(len(samples), f'{split} image')} {what} that {ancestor.source}, which the "
                f"run learns from ({ancestor.how}), was trained on, so results on them will be too good; "
                "split both data sets alike"
            )
    return ""
