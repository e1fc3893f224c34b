"""`/openapi.json` and `/docs`: the API described for programs and for people, all served from here."""

from typing import Final

from aiohttp import web

from red_common.schemas import OPENAPI
from red_common.web.responses import FILE_TYPES, file_handler

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
}


def openapi_routes() -> list[web.RouteDef]:
    """Routes of `/openapi.json`, `/docs` and `/static/*`; public, read from the package once."""
    ui = OPENAPI / "ui"
    files = {"/openapi.json": OPENAPI / "red.json", "/docs": ui / "docs.html"}
    files |= {f"/static/{path.name}": path for path in ui.iterdir() if path.suffix in FILE_TYPES}
    return [web.get(address, file_handler(path, HEADERS)) for address, path in files.items()]
