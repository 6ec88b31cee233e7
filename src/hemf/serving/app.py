"""The application: what is answered under which address."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response

from hemf.core.errors import HemfError
from hemf.core.text import counted
from hemf.serving import inference_protocol, page
from hemf.serving.answers import RESEARCH, Catalogue, Health, Predicted, answer, predicted
from hemf.serving.batching import Batcher
from hemf.serving.heat import heat_png
from hemf.serving.limits import Limits
from hemf.serving.metrics import Metrics
from hemf.serving.models import Models, Served
from hemf.serving.refusals import Refused, answer_refusals, refusals
from hemf.serving.uploads import BODY, images_of

ModelQuery = Annotated[
    str | None, Query(alias="model", description="a name of `/models`; the first where none is given")
]
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
        "description": "a PNG",
    }
}


def build(models: Models, limits: Limits, metrics: Metrics, version: str) -> FastAPI:
    """Make the application.

    Args:
        models: what it serves.
        limits: what it takes at most.
        metrics: where it counts.
        version: hemf's.
    """
    batcher = Batcher(limits, metrics)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        async with batcher.running():
            yield

    app = FastAPI(
        title="hemf",
        version=version,
        description=f"Classes of medical images, with calibrated probabilities. {RESEARCH}",
        docs_url=None,
        redoc_url=None,
        lifespan=running,
    )
    answer_refusals(app)
    _add_predictions(app, models, batcher)
    _add_health(app, models, batcher, metrics)
    inference_protocol.add(app, models, batcher, version)
    page.add(app)
    return app


def _add_predictions(app: FastAPI, models: Models, batcher: Batcher) -> None:
    @app.get(
        "/models",
        tags=["predictions"],
        summary="The models, and what they were made for",
        responses=refusals(401),
    )
    async def catalogue() -> Catalogue:
        return Catalogue.model_validate({"models": [one.about() for one in models.all()]})

    @app.post(
        "/predict",
        tags=["predictions"],
        summary="Classes of images",
        response_model=Predicted,
        openapi_extra={"requestBody": BODY},
        responses=refusals(400, 401, 404, 408, 413, 415, 422, 429, 503),
    )
    async def predict(request: Request, name: ModelQuery = None) -> JSONResponse:
        """Classify one image or many; where only some can be read, the others say why in `error`."""
        served = models[name]
        images = await images_of(request, batcher.limits.queue)
        with batcher.room(len(images)):
            found = await batcher.predict(served, images)
        failed = [one for one, _ in found if isinstance(one, HemfError)]
        _count(batcher.metrics, served, len(found) - len(failed), len(failed))
        if len(failed) == len(found):
            more = f" ({counted(len(failed), 'image')}, none of which can be read)" if len(failed) > 1 else ""
            raise Refused(422, f"{failed[0]}{more}")
        answers = [answer(image.name, *one) for image, one in zip(images, found, strict=True)]
        return JSONResponse(predicted(served, answers))

    @app.post(
        "/explain",
        tags=["predictions"],
        summary="Where in an image the model looks",
        response_class=Response,
        openapi_extra={"requestBody": BODY},
        responses=PICTURE | refusals(400, 401, 404, 408, 413, 415, 422, 429, 501, 503),
    )
    async def explain(
        request: Request,
        name: ModelQuery = None,
        target: Annotated[
            str | None, Query(description="the class; by default the one that is predicted")
        ] = None,
        opacity: Annotated[
            float, Query(ge=0, le=1, description="of the map; 0 gives the plain picture")
        ] = 1.0,
    ) -> Response:
        """Return the image under its Grad-CAM++ heat map; headers say its class, and whether it is blank."""
        served = models[name]
        (image,) = await images_of(request, 1)
        with batcher.room(1):
            png, headers = await heat_png(batcher, served, image, target, opacity)
        return Response(png, media_type="image/png", headers=headers)


def _add_health(app: FastAPI, models: Models, batcher: Batcher, metrics: Metrics) -> None:
    @app.get("/healthz", tags=["health"], summary="Whether the process lives")
    async def healthz() -> Health:
        return Health(status="ok")

    @app.get("/readyz", tags=["health"], summary="Whether images can be sent", responses=refusals(503))
    async def readyz() -> Health:
        if not batcher.is_running:
            raise Refused(503, "the server is not ready; come again", {"Retry-After": "1"})
        return Health(status="ready")

    @app.get(
        "/metrics",
        tags=["health"],
        summary="Counts for Prometheus",
        response_class=Response,
        responses=refusals(401),
    )
    async def counts() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _count(metrics: Metrics, served: Served, classified: int, unreadable: int) -> None:
    metrics.images.labels(served.name, "classified").inc(classified)
    metrics.images.labels(served.name, "unreadable").inc(unreadable)
