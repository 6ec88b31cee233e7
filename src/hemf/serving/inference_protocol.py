"""The Open Inference Protocol (KServe's version 2) with tensors in JSON, for clients of KServe and Triton.

A model takes one tensor, ``image``: UINT8 of shape [N, height, width, 3] or [N, height, width] (pixels of
pictures, which the server resizes and standardises as it does files), or BYTES of shape [N], each the base64
of an image file. It gives ``probabilities``, ``label`` and, where it makes sets, ``set`` and ``abstain``.
"""

import base64
import binascii
import math
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hemf.core.errors import HemfError
from hemf.data.image.decode import ImageBytes
from hemf.data.image.limits import check_pixels
from hemf.inference.classifier import Pixels, Prediction
from hemf.serving.batching import Batcher
from hemf.serving.models import Models, Served
from hemf.serving.refusals import Refused, refusals

INPUT = "image"
TYPES = ("UINT8", "BYTES")
HOW = "give one input, image: UINT8 of [N, height, width, 3] or [N, height, width], or BYTES of [N] in base64"


class TensorIn(BaseModel):
    """A tensor of a request."""

    name: str
    shape: list[int]
    datatype: str = Field(examples=list(TYPES))
    data: list[Any] = Field(description="flat, or nested as its shape")
    parameters: dict[str, Any] | None = None


class TensorName(BaseModel):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(BaseModel):
    """A request."""

    id: str | None = None
    inputs: list[TensorIn] = Field(min_length=1)
    outputs: list[TensorName] | None = None
    parameters: dict[str, Any] | None = None


class TensorOut(BaseModel):
    """A tensor of an answer, flat in the order of its shape."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferAnswer(BaseModel):
    """An answer."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[TensorOut]


class TensorAbout(BaseModel):
    """What a tensor is like; -1 is any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What a model is like."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorAbout]
    outputs: list[TensorAbout]


class ServerMetadata(BaseModel):
    """What the server is."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """Whether the server lives."""

    live: bool


class Ready(BaseModel):
    """Whether server or model can be asked."""

    ready: bool


def add(app: FastAPI, models: Models, batcher: Batcher, version: str) -> None:
    """Add the protocol's addresses to the application."""
    tags: list[Any] = ["open inference protocol"]

    @app.get("/v2", tags=tags, summary="The server", responses=refusals(401))
    async def server() -> ServerMetadata:
        return ServerMetadata(name="hemf", version=version, extensions=[])

    @app.get("/v2/health/live", tags=tags, summary="Whether the server lives")
    async def live() -> Live:
        return Live(live=True)

    @app.get("/v2/health/ready", tags=tags, summary="Whether the server can be asked")
    async def ready() -> Ready:
        return Ready(ready=batcher.is_running)

    @app.get("/v2/models/{name}", tags=tags, summary="A model's tensors", responses=refusals(401, 404, 422))
    async def metadata(name: str) -> ModelMetadata:
        return _metadata(models[name])

    @app.get(
        "/v2/models/{name}/ready",
        tags=tags,
        summary="Whether a model can be asked",
        responses=refusals(401, 404, 422),
    )
    async def model_ready(name: str) -> Ready:
        return Ready(ready=models[name] is not None)

    @app.post(
        "/v2/models/{name}/infer",
        tags=tags,
        summary="Classes of images",
        response_model=InferAnswer,
        responses=refusals(400, 401, 404, 408, 413, 422, 429, 503),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": InferRequest.model_json_schema()}},
            }
        },
    )
    async def infer(name: str, request: Request) -> JSONResponse:
        served = models[name]
        asked, images = await batcher.read(_images, await request.body(), batcher.limits.queue)
        wanted = _wanted(asked, served)
        with batcher.room(len(images)):
            found = [one for one, _ in await batcher.predict(served, images)]
        if failed := next((one for one in found if isinstance(one, HemfError)), None):
            raise failed
        outputs = [one for one in _outputs(served, found) if one["name"] in wanted]
        head = {"model_name": served.name, "model_version": served.sha256[:12]}
        return JSONResponse(head | ({"id": asked.id} if asked.id is not None else {}) | {"outputs": outputs})


def _metadata(served: Served) -> ModelMetadata:
    outputs = [
        TensorAbout(name=name, datatype=kind, shape=shape) for name, kind, shape in _shapes(served, -1)
    ]
    return ModelMetadata(
        name=served.name,
        versions=[served.sha256[:12]],
        platform="hemf",
        inputs=[TensorAbout(name=INPUT, datatype="UINT8", shape=[-1, -1, -1, 3])],
        outputs=outputs,
    )


def _shapes(served: Served, n: int) -> list[tuple[str, str, list[int]]]:
    classes = len(served.classifier.classes)
    shapes = [("probabilities", "FP64", [n, classes]), ("label", "BYTES", [n])]
    sets = [("set", "BOOL", [n, classes]), ("abstain", "BOOL", [n])]
    return shapes + (sets if served.classifier.makes_sets else [])


def _outputs(served: Served, found: list[Any]) -> list[dict[str, Any]]:
    """Return all outputs, classes in the model's order."""
    classes, predictions = served.classifier.classes, [one for one in found if isinstance(one, Prediction)]
    data = {
        "probabilities": [one.probabilities[name] for one in predictions for name in classes],
        "label": [one.label for one in predictions],
        "set": [name in (one.set or ()) for one in predictions for name in classes],
        "abstain": [bool(one.abstain) for one in predictions],
    }
    return [
        {"name": name, "datatype": kind, "shape": shape, "data": data[name]}
        for name, kind, shape in _shapes(served, len(predictions))
    ]


def _wanted(asked: InferRequest, served: Served) -> list[str]:
    have = [name for name, _, _ in _shapes(served, -1)]
    wanted = have if asked.outputs is None else [one.name for one in asked.outputs]
    if bad := next((one for one in wanted if one not in have), None):
        raise Refused(400, f"the model has no output {bad!r}; it has {', '.join(have)}")
    return wanted


def _images(body: bytes, most: int) -> tuple[InferRequest, list[Any]]:
    """Read a request and the images in it; a thread's work, for a large one takes a while."""
    try:
        asked = InferRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise Refused(400, f"{where}: {first['msg']}; {HOW}") from None
    if len(asked.inputs) != 1 or asked.inputs[0].name != INPUT or asked.inputs[0].datatype not in TYPES:
        raise Refused(400, HOW)
    tensor = asked.inputs[0]
    if not tensor.shape or not 1 <= tensor.shape[0] <= most:
        raise Refused(
            400, f"shape {tensor.shape} holds no images, or more than the {most} that are held; {HOW}"
        )
    return asked, _files(tensor) if tensor.datatype == "BYTES" else _pictures(tensor)


def _files(tensor: TensorIn) -> list[ImageBytes]:
    """Return the image files of a tensor of texts."""
    if tensor.shape != [len(tensor.data)] or not all(isinstance(one, str) for one in tensor.data):
        raise Refused(400, f"BYTES must be of shape [N], each a text in base64; {HOW}")
    try:
        files = [base64.b64decode(one, validate=True) for one in tensor.data]
    except (binascii.Error, ValueError):
        raise Refused(400, f"BYTES must be image files in base64; {HOW}") from None
    return [ImageBytes(f"image {i}", data) for i, data in enumerate(files, start=1)]


def _pictures(tensor: TensorIn) -> list[Pixels]:
    """Return the pictures of a tensor of numbers."""
    shape = tensor.shape
    if len(shape) not in (3, 4) or min(shape) < 1 or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise Refused(400, f"UINT8 cannot be of shape {shape}; {HOW}")
    check_pixels("the image", shape[2], shape[1])
    try:
        values = np.asarray(tensor.data)
        fits = values.size == math.prod(shape) and values.dtype.kind in "iu"
        if not fits or values.min() < 0 or values.max() > 255:
            raise ValueError
    except ValueError:  # also of lists that are not alike
        line = f"data must hold the {math.prod(shape):,} whole numbers from 0 to 255 of shape {shape}"
        raise Refused(400, line) from None
    pictures = values.astype(np.uint8).reshape(shape)
    return [Pixels(f"image {i}", picture) for i, picture in enumerate(pictures, start=1)]
