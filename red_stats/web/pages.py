"""`/openapi.json`, `/docs` and `/`: for people who are new here, and the page they stay on."""

from pathlib import Path
from typing import Final

from aiohttp import web

from red_common.schemas import OPENAPI
from red_common.web.responses import file_handler, json_response

PAGES: Final = Path(__file__).with_name("static")
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data: blob:;"
    " connect-src 'self'{others}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
INLINE: Final = " 'unsafe-inline'"  # the script of /docs sets styles of elements
HEADERS: Final = {
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def documents(red: str) -> list[web.RouteDef]:
    """The routes of public files, which are read once and have a strict content security policy.

    `red` is the origin at which browsers reach RED: the page shows images from there, and sends them.
    """
    ui = OPENAPI / "ui"
    files = {
        "/openapi.json": OPENAPI / "red_stats.json",
        "/docs": ui / "docs.html",
        "/": PAGES / "index.html",
    }
    for folder, address in ((PAGES, "/static"), (PAGES / "vendor", "/static/vendor"), (ui, "/static")):
        found = [path for path in folder.iterdir() if path.suffix in (".js", ".css")]
        files |= {f"{address}/{path.name}": path for path in found}

    async def addresses(request: web.Request) -> web.Response:
        return json_response({"red": red}, headers=HEADERS)

    routes = [web.get(address, file_handler(path, _headers(path, red))) for address, path in files.items()]
    return [*routes, web.get("/static/addresses.json", addresses)]


def _headers(path: Path, red: str) -> dict[str, str]:
    is_page = path.name == "index.html"
    styles = INLINE if path.name == "docs.html" else ""
    return HEADERS | {
        "Content-Security-Policy": POLICY.format(styles=styles, others=f" {red}" if is_page else "")
    }
