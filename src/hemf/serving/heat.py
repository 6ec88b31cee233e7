"""The picture of an image under the model's heat map, as a PNG."""

import io
from urllib.parse import quote

from PIL import Image

from hemf.data.image.decode import ImageBytes
from hemf.inference.classifier import Pixels, read
from hemf.serving.batching import Batcher
from hemf.serving.models import Served
from hemf.serving.refusals import Refused

MOST_SIDE = 2048
"""Of the picture that is sent, in pixels; larger images are shrunk for it."""


async def heat_png(
    batcher: Batcher, served: Served, image: ImageBytes, target: str | None, opacity: float
) -> tuple[bytes, dict[str, str]]:
    """Return an image under the heat map of a class.

    Args:
        batcher: whose threads are used.
        served: the model.
        image: the image.
        target: the class; None for the one that is predicted.
        opacity: of the map, from 0 (the picture as the model's reader reads it) to 1.

    Returns:
        A PNG, and headers that say which class the map is for and whether it is blank.

    Raises:
        Refused: the model cannot, or has no such class.
        HemfError: the image cannot be read.
    """
    if opacity and not served.explains:
        raise Refused(501, f"{served.name} is an export, which cannot show where it looks; serve its run")
    if target is not None and target not in served.classifier.classes:
        raise Refused(422, f"no class {target!r}; there are {', '.join(served.classifier.classes)}")
    async with batcher.turn_to_explain():
        spec = served.classifier.trained.members[0].spec
        picture = await batcher.read(read, image, spec.image_mode, spec.window)
        headers = {}
        if opacity:
            alone = len(served.classifier.trained.members) == 1  # several read the file each in its own way
            source = Pixels(image.name, picture) if alone else image
            picture, headers = await batcher.compute(_explained, served, source, target, opacity)
        return await batcher.read(_png, picture), headers


def _explained(
    served: Served, source: Pixels | ImageBytes, target: str | None, opacity: float
) -> tuple[Image.Image, dict[str, str]]:
    from hemf.explanation.images import explained
    from hemf.explanation.overlay import overlay

    found = explained(served.classifier, source, target)
    about = {"Hemf-Class": quote(found.target), "Hemf-Blank": str(found.blank).lower()}
    return overlay(found.image, opacity * found.heat), about


def _png(picture: Image.Image) -> bytes:
    picture.thumbnail((MOST_SIDE, MOST_SIDE))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
