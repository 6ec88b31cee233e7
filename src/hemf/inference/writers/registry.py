"""Output formats by suffix: a new one is one file of this package with one registration."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hemf.core.outputs import Known, check_output
from hemf.core.registry import Registry
from hemf.inference.classifier import Prediction

COLUMNS = ("path", "prediction", "probability")
"""What every format gives of an image first, whatever the model."""


@dataclass(frozen=True)
class OutputFormat:
    """How predictions become a file.

    Args:
        write: writes predictions of a model of these classes as they come, into a file that appears when all
            are there; the last argument names what they hold besides (``extras`` of the ``Classifier``).
            Returns their number.
        is_ours: whether a file is one that ``write`` made, which may be replaced.
    """

    write: Callable[[Iterable[Prediction], Sequence[str], Path, Sequence[str]], int]
    is_ours: Known


FORMATS: Registry[OutputFormat] = Registry("output format")


def format_of(path: Path, inputs: Iterable[Path] = ()) -> OutputFormat:
    """Return the format of a file that is to be written.

    Args:
        path: the file.
        inputs: files that are read.

    Raises:
        HemfError: no format has the file's suffix, or something else is there already.
    """
    suffix = path.suffix.lower()
    known = FORMATS.get(suffix)
    check_output(path, known.is_ours if known else lambda _: False, inputs)
    return FORMATS.find(suffix)
