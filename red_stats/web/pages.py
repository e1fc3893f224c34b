"""`/openapi.json`, `/docs`, and `/`: for people who have just arrived."""

from pathlib import Path

from aiohttp import web

from red_stats.web.problems import Handler

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas" / "openapi"
PAGES = Path(__file__).with_name("static")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data: blob:;"
    " connect-src 'self' http:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
INLINE = " 'unsafe-inline'"  # what draws /docs writes styles into its elements
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json"}


def documents() -> list[web.RouteDef]:
    """Files of ours, read once, public, with a strict content policy."""
    docs = SCHEMAS / "ui"
    files = {
        "/openapi.json": SCHEMAS / "red_stats.json",
        "/docs": docs / "docs.html",
        "/": PAGES / "index.html",
    }
    for folder in (PAGES, docs):
        files |= {f"/static/{path.name}": path for path in folder.iterdir() if path.suffix in (".js", ".css")}
    return [web.get(address, _page(path)) for address, path in files.items()]


def _page(path: Path) -> Handler:
    body = path.read_bytes()
    policy = POLICY.format(styles=INLINE if path.name == "docs.html" else "")
    headers = HEADERS | {"Content-Security-Policy": policy}

    async def get(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=TYPES[path.suffix], charset="utf-8", headers=headers)

    return get
