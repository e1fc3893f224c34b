"""What RED requires of a caller: the scope `measure`, and no query parameter but `client`."""

from typing import Final

from aiohttp import web

from red_common.problems import Problem
from red_common.web import auth

PUBLIC: Final = ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs")
PUBLIC_FOLDER: Final = "/static/"


def is_public(path: str) -> bool:
    """Whether a path can be requested without an API key."""
    return path in PUBLIC or path.startswith(PUBLIC_FOLDER)


def client_of(request: web.Request) -> str:
    """The client whose images the request is about.

    Raises:
        Problem: 403 without the scope `measure`, or for `?client=` without `admin`; 400 for another
            parameter or a malformed `client`.
    """
    client_id = auth.client_of(request, "measure")
    for name in request.query:
        if name != "client":
            raise Problem(
                "unknown_parameter",
                f"There is no parameter {name[:100]!r}; the only one is client.",
                close=True,
            )
    return client_id
