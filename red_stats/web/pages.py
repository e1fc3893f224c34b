"""`/openapi.json`, `/docs`, and `/`: for people who have just arrived."""

from pathlib import Path

from aiohttp import web

from red_stats.web.problems import Handler

OPENAPI = Path(__file__).resolve().parents[2] / "schemas" / "openapi" / "red_stats.json"
PAGES = Path(__file__).with_name("static")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
    " connect-src 'self' http:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json"}


def documents() -> list[web.RouteDef]:
    """Files of ours, read once, public, with a strict content policy."""
    files = {"/openapi.json": OPENAPI, "/docs": PAGES / "docs.html", "/": PAGES / "index.html"}
    files |= {f"/static/{path.name}": path for path in PAGES.iterdir() if path.suffix in (".js", ".css")}
    return [web.get(address, _page(path)) for address, path in files.items()]


def _page(path: Path) -> Handler:
    body = path.read_bytes()

    async def get(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=TYPES[path.suffix], charset="utf-8", headers=HEADERS)

    return get
