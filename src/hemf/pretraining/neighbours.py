"""A sheet of images beside those whose features are nearest: what a network takes for alike."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from hemf.core.errors import UnreadableImage
from hemf.data.contact_sheet import GAP, INK, PAPER, TILE
from hemf.data.dataset import DataSet, Sample
from hemf.data.image.read import read_image
from hemf.data.image.strips import central_part
from hemf.pretraining.batches import ViewedImages
from hemf.pretraining.health import similarities

ROWS, COLUMNS = 8, 6
CAPTION = 18
LONGEST = 18  # characters of a caption


def neighbours_sheet(features: Tensor, images: ViewedImages) -> Image.Image:
    """Draw a row for each of some images: the image, a gap, and its nearest, each over its class.

    The images are validation images where these have labels, else training images; none is beside another of
    the same patient or lesion.

    Args:
        features: N x D, of ``images.watched``.
        images: the run's.
    """
    start = images.bank if len(images.watched) > images.bank else 0
    rows = _evenly(range(start, len(images.watched)), ROWS)
    groups = [s.group for s in images.watched]
    bank = groups[: images.bank]
    cosines = similarities(features[rows], features[: images.bank], [groups[i] for i in rows], bank)
    for row, place in enumerate(rows):
        if place < images.bank:
            cosines[row, place] = -float("inf")
    nearest = cosines.topk(min(COLUMNS, images.bank)).indices.tolist()
    width, height = TILE + GAP, TILE + CAPTION + GAP
    sheet = Image.new("RGB", (GAP + (COLUMNS + 1) * width + 2 * GAP, GAP + len(rows) * height), PAPER)
    for row, (place, others) in enumerate(zip(rows, nearest, strict=True)):
        for column, sample in enumerate(images.watched[i] for i in [place, *others]):
            left = GAP + column * width + (2 * GAP if column else 0)
            _draw(sheet, images.data, sample, left, GAP + row * height)
    return sheet


def _evenly(places: Sequence[int], number: int) -> list[int]:
    number = min(number, len(places))
    return [places[len(places) * i // number] for i in range(number)]


def _draw(sheet: Image.Image, data: DataSet, sample: Sample, left: int, top: int) -> None:
    try:
        image = read_image(data.path(sample))
    except UnreadableImage:
        return
    tile = ImageOps.contain(image.crop(central_part(image.size)), (TILE, TILE), Image.Resampling.LANCZOS)
    sheet.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
    font = ImageFont.load_default(size=13)
    name = sample.label if len(sample.label) <= LONGEST else f"{sample.label[: LONGEST - 1]}…"
    ImageDraw.Draw(sheet).text((left, top + TILE + CAPTION / 2), name, INK, font, anchor="lm")
