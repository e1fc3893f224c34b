"""What workers show each other instead of their caller's API key: valid for one address, and not for long.

A worker finds the others by what they have announced on a topic; a key that was passed on would be with
whoever could write there.
"""

from collections.abc import Callable
from typing import Final

from aiohttp import web

from red_common.api_keys import Caller
from red_common.secret_keys import SecretKeys

HEADER: Final = "X-Red-Worker"
SCOPE: Final = "workers"  # which no API key has
VALID_SECONDS: Final = 60.0  # the clocks of two machines may differ
_PURPOSE: Final = "workers"


class WorkerTokens:
    """Tokens `<seconds since 1970>/<client_id>/<signature>` under the secret key; `now` is in seconds."""

    def __init__(self, keys: SecretKeys, now: Callable[[], float]) -> None:
        self._keys, self._now = keys, now

    def new(self, client_id: str, target: str) -> str:
        """A token with which a worker may ask another one for `target` on behalf of a client."""
        about = f"{int(self._now())}/{client_id}"
        return f"{about}/{self._keys.sign(_PURPOSE, _message(about, target))}"

    def caller_of(self, request: web.Request) -> Caller | None:
        """The client on whose behalf another worker asks; None if the request has no valid token."""
        about, _, signature = request.headers.get(HEADER, "").rpartition("/")
        at, _, client_id = about.partition("/")
        if not self._keys.has_signed(_PURPOSE, _message(about, str(request.rel_url)), signature):
            return None
        if abs(self._now() - int(at)) > VALID_SECONDS:
            return None
        return Caller(client_id, "", frozenset((SCOPE, "statistics")))


def _message(about: str, target: str) -> bytes:
    return f"{about} {target}".encode(errors="replace")
