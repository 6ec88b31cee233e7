"""A contact sheet: a few images of every class in one picture."""

from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont, ImageOps

from hemf.core.errors import UnreadableImage
from hemf.data.dataset import DataSet, Sample
from hemf.data.image.read import read_image
from hemf.data.image.strips import central_part

TILE, GAP, CAPTION = 128, 8, 28
PAPER, INK = "white", "black"


def contact_sheet(data: DataSet, columns: int = 8) -> Image.Image:
    """Draw a row of images for each class, under the class's name and number of images.

    The images are those at even steps through the class, in the manifest's order, each shown whole; the next
    one stands in for an image that cannot be read.

    Args:
        data: the data set.
        columns: largest number of images of a class.
    """
    row = CAPTION + TILE + GAP
    sheet = Image.new("RGB", (GAP + columns * (TILE + GAP), GAP + len(data.classes) * row), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=17)
    for number, name in enumerate(data.classes):
        top = GAP + number * row
        samples = [s for s in data.samples if s.label == name]
        pen.text((GAP, top + CAPTION / 2), f"{name}   {len(samples):,}", INK, font, anchor="lm")
        for column, tile in enumerate(_tiles(data, samples, columns)):
            left = GAP + column * (TILE + GAP)
            place = (left + (TILE - tile.width) // 2, top + CAPTION + (TILE - tile.height) // 2)
            sheet.paste(tile, place)
    return sheet


def _tiles(data: DataSet, samples: Sequence[Sample], number: int) -> list[Image.Image]:
    """Return up to ``number`` images from even steps through ``samples``, shrunk or enlarged into a tile."""
    tiles = []
    bounds = [len(samples) * i // number for i in range(number + 1)]
    for start, stop in pairwise(bounds):
        for sample in samples[start:stop]:
            try:
                image = read_image(data.path(sample))
            except UnreadableImage:
                continue
            middle = image.crop(central_part(image.size))
            tiles.append(ImageOps.contain(middle, (TILE, TILE), Image.Resampling.LANCZOS))
            break
    return tiles
