"""Shrinks images much longer than wide, for which an ordinary resize would take far too much memory."""

from PIL import Image

LONGEST = 100  # times the short side; what is longer is a strip


def is_strip(size: tuple[int, int]) -> bool:
    """Return whether an image of that width and height is one."""
    return max(size) > LONGEST * min(size)


def central_part(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom edge of the middle of an image: all of it, unless it is a strip."""
    kept = [min(side, LONGEST * min(size)) for side in size]
    left, top = ((side - part) // 2 for side, part in zip(size, kept, strict=True))
    return left, top, left + kept[0], top + kept[1]


def shrink(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    """Resize as Pillow does; of a tall strip the height first, which Pillow does last.

    Args:
        image: any.
        size: width and height that it gets.
        resample: how pixels are resampled.
    """
    if is_strip(image.size) and image.height > image.width:
        image = image.resize((image.width, size[1]), resample)
    return image.resize(size, resample)
