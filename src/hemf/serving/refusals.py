"""What a request is refused with: one line, in JSON, under the status that says whose fault it is."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from hemf.core.errors import HemfError
from hemf.core.text import printable, shortened


class Refusal(BaseModel):
    """The body of every answer that is no success."""

    error: str = Field(description="what is wrong, where, and how to mend it, in one line")


class Refused(Exception):  # noqa: N818 - it names what happens to the request
    """A request that is not served.

    Args:
        status: of HTTP.
        line: what is wrong and how to mend it.
        headers: of the answer.
    """

    def __init__(self, status: int, line: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(line)
        self.status, self.line, self.headers = status, line, dict(headers or {})

    @property
    def response(self) -> JSONResponse:
        """The answer."""
        line = printable(shortened(" ".join(self.line.split())))
        return JSONResponse({"error": line}, self.status, self.headers)


FAILED = Refused(500, "the server failed; its log says where, and nothing of this request")
GONE = 499
"""What is counted for a client that went away before its request was whole; nobody reads the answer."""

REASONS = {
    400: "the request is not well-formed",
    401: "a token is needed, and was not given or is not the server's",
    404: "there is no such model, class or page",
    408: "the request did not come whole in time",
    413: "the request or one of its images is too large",
    415: "the content type is none that holds images",
    422: "an image cannot be read, or a parameter is none that is known",
    429: "too much is waiting; `Retry-After` says in how many seconds to come again",
    501: "the model is of a kind that cannot do this",
    503: "the answer took too long",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe for OpenAPI what a request may be refused with."""
    return {status: {"model": Refusal, "description": REASONS[status]} for status in statuses}


def answer_refusals(app: FastAPI) -> None:
    """Let an application answer in this form whatever goes wrong within its own code and FastAPI's."""

    @app.exception_handler(Refused)
    def refused(_: Request, error: Refused) -> JSONResponse:
        return error.response

    @app.exception_handler(HemfError)
    def bad_input(_: Request, error: HemfError) -> JSONResponse:
        return Refused(422, str(error)).response

    @app.exception_handler(ClientDisconnect)
    def gone(_: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=GONE)

    @app.exception_handler(Exception)
    def failed(_: Request, error: Exception) -> JSONResponse:  # the guard gets it too, and tells where
        return FAILED.response

    @app.exception_handler(HTTPException)
    def of_starlette(request: Request, error: HTTPException) -> JSONResponse:
        path = request.url.path
        lines = {404: f"there is no {path}; see /docs", 405: f"{path} takes no {request.method}; see /docs"}
        line = lines.get(error.status_code, str(error.detail))
        return Refused(error.status_code, line, error.headers).response

    @app.exception_handler(RequestValidationError)
    def not_valid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][1:])) or first["loc"][0]
        return Refused(422, f"{where}: {first['msg']}; see /docs").response
