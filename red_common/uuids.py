"""UUIDs as they are written. Pure.

The standard library also takes texts with spaces, signs, hyphens anywhere and digits of other scripts.
"""

import re
from typing import Final

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class InvalidUuid(ValueError):
    """Raised when a text is no UUID of 32 hex digits with hyphens."""


def canonical(text: str) -> str:
    """The UUID in lower case.

    Raises:
        InvalidUuid: the text is not one.
    """
    if len(text) != 36 or not is_canonical(text.lower()):
        raise InvalidUuid("not a UUID")
    return text.lower()


def is_canonical(text: str) -> bool:
    """Whether the text is a UUID in lower case."""
    return _UUID.fullmatch(text) is not None
