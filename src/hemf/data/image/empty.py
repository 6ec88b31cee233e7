"""Finds images that show nothing: one value or two, as from a wrong reading, a failed export or a mask."""

from collections.abc import Sequence

from PIL import Image

from hemf.core.text import counted

NAMED = 10


def emptiness(image: Image.Image) -> str | None:
    """Return ``blank`` for one value, ``of two values``, or None for a picture, after a few pixels of it.

    Args:
        image: as ``hemf.data.image.read.read_image`` gives it.
    """
    colours = image.getcolors(2)
    return None if colours is None else ("blank", "of two values")[len(colours) - 1]


def empty_line(names: Sequence[str], number: int) -> str:
    """Return a line that counts and names images that show nothing.

    Args:
        names: their names, each with what it is, such as ``a.png (blank)``.
        number: number of all images.
    """
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    shown = "shows" if len(names) == 1 else "show"
    return (
        f"{len(names)} of {counted(number, 'image')} {shown} nothing: {', '.join(names[:NAMED])}{more}; "
        "look at them"
    )
