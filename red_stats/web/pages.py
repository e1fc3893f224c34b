"""`/openapi.json`, `/docs` and `/`: for people who are new here."""

from pathlib import Path
from typing import Final

from aiohttp import web

from red_common.schemas import OPENAPI
from red_common.web.responses import file_handler

PAGES: Final = Path(__file__).with_name("static")
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data: blob:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
INLINE: Final = " 'unsafe-inline'"  # the script of /docs sets styles of elements
HEADERS: Final = {
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def documents() -> list[web.RouteDef]:
    """The routes of public files, which are read once and have a strict content security policy."""
    ui = OPENAPI / "ui"
    files = {
        "/openapi.json": OPENAPI / "red_stats.json",
        "/docs": ui / "docs.html",
        "/": PAGES / "index.html",
    }
    for folder in (PAGES, ui):
        files |= {f"/static/{path.name}": path for path in folder.iterdir() if path.suffix in (".js", ".css")}
    return [web.get(address, file_handler(path, _headers(path))) for address, path in files.items()]


def _headers(path: Path) -> dict[str, str]:
    policy = POLICY.format(styles=INLINE if path.name == "docs.html" else "")
    return HEADERS | {"Content-Security-Policy": policy}
