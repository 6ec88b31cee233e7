"""The page for people, and that of the interface; their parts are files beside this one, and no others."""

import hashlib
import html
import json
import re
from functools import cache
from importlib.resources import files

from fastapi import FastAPI, Request
from fastapi.responses import Response

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


@cache
def parts() -> dict[str, tuple[bytes, str, str]]:
    """Return what the pages are made of, by name: content, type, and a tag that changes with the content."""
    found = {}
    for file in files(__name__).iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in TYPES:
            data = file.read_bytes()
            if suffix == ".html":
                data = _worded(data.decode(), words()).encode()
            found[file.name] = (data, TYPES[suffix], f'"{hashlib.sha256(data).hexdigest()[:32]}"')
    return found


def words() -> dict[str, str]:
    """Return the pages' texts in English, by their names."""
    return json.loads(files(__name__).joinpath("en.json").read_bytes())


def _worded(page: str, texts: dict[str, str]) -> str:
    """Put texts where ``{{name}}`` stands."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: html.escape(texts[found[1]]), page)


def add(app: FastAPI) -> None:
    """Add the pages to the application."""

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return _part(request, "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return _part(request, "docs.html")

    for name in parts():

        @app.get(f"/static/{name}", include_in_schema=False)
        async def static(request: Request, name: str = name) -> Response:
            return _part(request, name)


def _part(request: Request, name: str) -> Response:
    data, kind, tag = parts()[name]
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=kind, headers=headers)
