"""The images of a request: a form with files in it, or one file as the whole body."""

import logging
from collections.abc import AsyncGenerator

from fastapi import Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from hemf.core.text import printable
from hemf.data.image.decode import ImageBytes
from hemf.serving.refusals import Refused

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it tells of bytes that were sent

RAW = ("application/octet-stream", "application/dicom")
LONGEST_NAME = 100
MOST_FIELDS = 100
NO_IMAGE = "the request holds no image; send a form (multipart/form-data) with files, or one file as the body"
BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"images": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                "required": ["images"],
            }
        },
        **{
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in (*RAW, "image/png", "image/jpeg", "image/tiff")
        },
    },
}
"""For OpenAPI: what is taken. Any ``image/...`` is, and the content decides what it is."""


class _InMemory(MultiPartParser):
    """Starlette's, which otherwise writes files above a megabyte to the disk."""

    spool_max_size = 0  # no bound: that of the whole request holds


async def images_of(request: Request, most: int) -> list[ImageBytes]:
    """Return the images of a request, in their order.

    Args:
        request: its body is read here; the guard bounds it.
        most: images that may be in it.

    Raises:
        Refused: there is none, there are too many, or it is of another form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _of_form(request.headers, request.stream(), most)
    if kind not in RAW and not kind.startswith("image/"):
        raise Refused(
            415,
            f"the content type is {kind or 'missing'}; send multipart/form-data, image/..., "
            "application/dicom or application/octet-stream",
        )
    data = await request.body()
    if not data:
        raise Refused(422, NO_IMAGE)
    return [ImageBytes("image.dcm" if kind == "application/dicom" else "image", data)]


async def _of_form(headers: Headers, stream: AsyncGenerator[bytes, None], most: int) -> list[ImageBytes]:
    try:
        form = await _InMemory(headers, stream, max_files=most, max_fields=MOST_FIELDS).parse()
    except MultiPartException as error:
        raise Refused(
            413 if "Too many" in error.message else 400, f"the form cannot be read: {error.message}"
        ) from error
    files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    images = [ImageBytes(_plain(part.filename), await part.read()) for part in files]
    await form.close()
    if not images:
        raise Refused(422, NO_IMAGE)
    return images


def _plain(name: str | None) -> str:
    """Return a file's name without folders, on one line."""
    last = printable(name or "").replace("\\", "/").rpartition("/")[2].strip()
    return last[-LONGEST_NAME:] or "image"
