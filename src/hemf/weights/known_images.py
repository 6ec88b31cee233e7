"""Images that the weights a run begins with have been trained on, and that the run is to be tested on."""

from pathlib import Path

from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.data.dataset import DataSet
from hemf.data.manifest import read_data_set
from hemf.runs.folder import open_run


def known_images_line(init: str, data: DataSet) -> str:
    """Return what makes the results of a run on ``data`` too good, as far as its first weights are concerned.

    Files are compared by content, and patients or lesions by name where both data sets are of one source.

    Args:
        init: where the weights come from.
        data: the run's images, with their split and fingerprints.

    Returns:
        A sentence; empty where no such image is known, as of weights that are no run's.
    """
    if not Path(init).is_dir():
        return ""
    try:
        path = open_run(init).path
        theirs = None if path is None else read_data_set(path)
    except HemfError:
        theirs = None
    if theirs is None:
        return ""
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
                f"of the {counted(len(samples), f'{split} image')} {what} that {init}, which the run learns "
                "from, was trained on, so results on them will be too good; split both data sets alike"
            )
    return ""
