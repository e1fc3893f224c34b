"""An uploaded image, and how large it may be."""

from typing import Final, NamedTuple

MAX_IMAGE: Final = 20 << 20  # bytes


class Upload(NamedTuple):
    """One image as it was sent, at most MAX_IMAGE bytes; `name` is the client's file name, if it gave one."""

    name: str | None
    content: bytes
