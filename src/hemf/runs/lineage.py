"""What a run learnt from: on which images its first weights and its teacher were trained, back to the first.

A run keeps a copy of these lists of images, with their fingerprints, in its folder, so that it is known which
images and patients its model has met, even when the earlier runs are gone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemf.config.names import weight_names
from hemf.config.pretraining import is_pretraining
from hemf.config.run_config import RunConfig
from hemf.core.errors import HemfError
from hemf.core.files import write_json
from hemf.core.text import printable
from hemf.core.untrusted import read_json
from hemf.runs.folder import OpenRun, open_run

if TYPE_CHECKING:
    from hemf.data.dataset import DataSet

FOLDER = "learnt_from"
FILE = "learnt_from.json"
MOST = 32
"""Ancestors that are believed of a run's folder."""
INSIDE_A_RUN = ("model", "checkpoints")
"""Folders of a run that hold files of weights."""


@dataclass(frozen=True)
class Ancestor:
    """What a run learnt from.

    Args:
        how: what it was to the run, or to one that the run learnt from, such as ``first weights``.
        source: its name.
        data: its images, with their split and fingerprints; None where they are not known.
    """

    how: str
    source: str
    data: "DataSet | None"


def ancestors_of(run: Path) -> tuple[Ancestor, ...]:
    """Read what a run learnt from, by the copies in its folder.

    Raises:
        HemfError: they are damaged.
    """
    folder = run / FOLDER
    if not (folder / FILE).is_file():
        return ()
    rows = read_json(folder / FILE).get("learnt_from")
    if not isinstance(rows, list) or len(rows) > MOST or not all(map(_is_row, rows)):
        raise HemfError(f"{folder / FILE} is not a list of up to {MOST} entries; restore it")
    return tuple(_ancestor(folder, number, row) for number, row in enumerate(rows))


def ancestors_behind(source: str, how: str) -> tuple[Ancestor, ...]:
    """Return what a run learns from that is given ``source``: that one, and all that it learnt from itself.

    Args:
        source: where weights come from, as ``--init`` takes it.
        how: what they are to the run.

    Returns:
        Empty for weights that a library brings, which were trained on everyday photographs.

    Raises:
        HemfError: the copies in a run's folder are damaged.
    """
    opened = _opened(source)
    if opened is None:
        elsewhere = ":" in source or Path(source).exists()
        return (Ancestor(how, source, None),) if elsewhere and source not in weight_names() else ()
    assert opened.path is not None, "_opened gives no other"
    name = opened.path.resolve().name
    how = "pretraining" if is_pretraining(opened.path) else how
    return (Ancestor(how, name, _read(opened.path)), *ancestors_of(opened.path))


def all_ancestors(config: RunConfig) -> tuple[Ancestor, ...]:
    """Return all that a run with these options learns from, each list of images once."""
    given = {"first weights": config.init, "teacher": config.teacher}
    found = [one for how, source in given.items() if source for one in ancestors_behind(source, how)]
    once = {(one.source, one.data and one.data.hash, one.data and one.data.files_hash): one for one in found}
    return tuple(once.values())


def write_ancestors(ancestors: Sequence[Ancestor], run: Path) -> None:
    """Write copies into a run's folder, which ``ancestors_of`` reads; nothing where there are none.

    Raises:
        HemfError: there are more than a run may have.
    """
    from hemf.data.manifest import write_data_set

    if not ancestors:
        return
    if len(ancestors) > MOST:
        raise HemfError(f"the first weights or the teacher come from more than {MOST} runs; begin anew")
    folder = run / FOLDER
    folder.mkdir()
    for number, one in enumerate(ancestors):
        if one.data is not None:
            (folder / str(number)).mkdir()
            write_data_set(one.data, folder / str(number))
    rows = [{"how": one.how, "source": one.source, "known": one.data is not None} for one in ancestors]
    write_json(folder / FILE, {"learnt_from": rows})


def data_behind(run: OpenRun) -> "Iterator[DataSet]":
    """Yield the images that a run's model has met, as far as they are known: its own, then its ancestors'."""
    if run.path is not None:
        yield _read(run.path)
        yield from (one.data for one in ancestors_of(run.path) if one.data is not None)


def _opened(source: str) -> OpenRun | None:
    """Find the run that weights come from; None for weights that are no run's."""
    place = Path(source.removeprefix("local-dir:"))
    if place.is_file() and place.resolve().parent.name in INSIDE_A_RUN:
        place = place.resolve().parent.parent
    if not place.is_dir():
        return None
    try:
        found = open_run(place)
    except HemfError:  # that it is no run is for those to say who read weights from it
        return None
    return found if found.path is not None else None


def _read(run: Path) -> "DataSet":
    from hemf.data.manifest import read_data_set

    return read_data_set(run, trainable=False)


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(key), str) for key in ("how", "source"))


def _ancestor(folder: Path, number: int, row: dict[str, Any]) -> Ancestor:
    place = folder / str(number)
    how, source = printable(row["how"]), printable(row["source"])
    return Ancestor(how, source, _read(place) if place.is_dir() else None)
