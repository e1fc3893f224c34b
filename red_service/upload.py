"""One image as a client sent it."""

from typing import Final, NamedTuple

MAX_IMAGE: Final = 20 << 20  # bytes


class Upload(NamedTuple):
    """One image as it was sent; `name` is null or the client's own word."""

    name: str | None
    content: bytes
