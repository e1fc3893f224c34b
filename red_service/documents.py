"""`/openapi.json` and `/docs`: the interface for programs and for people, without any network."""

from pathlib import Path
from typing import Final

from aiohttp import web

from red_service.access import Handler

FOLDER: Final = Path(__file__).resolve().parents[1] / "schemas" / "openapi"
TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
}
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
}


def documents() -> list[web.RouteDef]:
    """Files of ours, public."""
    files = {"/openapi.json": FOLDER / "red.json", "/docs": FOLDER / "ui" / "docs.html"}
    files |= {f"/static/{path.name}": path for path in (FOLDER / "ui").iterdir() if path.suffix in TYPES}
    return [web.get(address, _page(path)) for address, path in files.items()]


def _page(path: Path) -> Handler:
    body = path.read_bytes()

    async def get(request: web.Request) -> web.Response:
        kind = TYPES[path.suffix]
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=HEADERS)

    return get
