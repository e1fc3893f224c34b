"""Further headers that a client wants on its webhooks: which it may name, and how they are sealed. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final

import msgspec

from red_stats.domain.thresholds import NotAsExpected

MOST: Final = 10
MOST_BYTES: Final = 4096  # names and values together
MOST_SEALED: Final = 16 << 10  # characters: JSON escapes some, and base64 takes a third more
HIDDEN: Final = "***"  # shown instead of a value; given back, it leaves the value as it is
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_VALUE: Final = re.compile(r"([!-~]([ -~\t]*[!-~])?)?")
_RESERVED: Final = re.compile(
    r"host|content-.*|webhook-.*|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect",
    re.IGNORECASE,
)

Texts = Mapping[str, str]


class SealedHeaders(msgspec.Struct, frozen=True):
    """The names as the client wrote them, and names and values together, encrypted."""

    names: tuple[str, ...]
    encrypted: Annotated[str, msgspec.Meta(max_length=MOST_SEALED)]


def check_names(names: Sequence[str]) -> None:
    """Check the names of all headers of a subscription.

    Raises:
        NotAsExpected: there are too many, or one of them is none, reserved, or there twice.
    """
    if len(names) > MOST:
        raise NotAsExpected(f"headers has more than {MOST} names")
    for name in names:
        if not _NAME.fullmatch(name):
            raise NotAsExpected(f"{name[:100]!r} is no name of a header")
        if _RESERVED.fullmatch(name):
            raise NotAsExpected(f"the header {name} is reserved")
    if len({name.lower() for name in names}) != len(names):
        raise NotAsExpected("headers names one twice")


def check_values(headers: Texts) -> None:
    """Check the values of all headers of a subscription, and how large they are together.

    Raises:
        NotAsExpected: a value is none, or they are too large.
    """
    for name, value in headers.items():
        if not _VALUE.fullmatch(value):
            raise NotAsExpected(f"the value of the header {name} has characters that cannot be sent")
    if sum(len(name) + len(value) for name, value in headers.items()) > MOST_BYTES:
        raise NotAsExpected(f"headers has more than {MOST_BYTES} bytes")


def sealed(headers: Texts, seal: Callable[[str], str]) -> SealedHeaders | None:
    """Checked headers as they stand on topics; None: there are none."""
    if not headers:
        return None
    return SealedHeaders(tuple(headers), seal(msgspec.json.encode(dict(headers)).decode()))


def opened(headers: SealedHeaders | None, open_: Callable[[str], str]) -> dict[str, str]:
    """The headers in clear."""
    return msgspec.json.decode(open_(headers.encrypted), type=dict[str, str]) if headers is not None else {}


def purpose(subscription_id: str) -> str:
    """What headers are bound to instead of a subscription: a secret cannot stand in their place."""
    return f"{subscription_id}/headers"
