"""A dead letter: the original bytes, their position, and why they could not be read. Pure.

A letter always fits into its topic: what quotes the input is cut, and so are the bytes of a record that is
too large to be read at all, or whose letter the topic refuses.
"""

import base64
import hashlib
from typing import Any, Final

import msgspec

from red_common.events import InvalidEvent
from red_stats.domain.record_batches import Out
from red_stats.topics import DEAD_LETTERS

MAX_RECORD: Final = 1 << 20  # bytes of key and value; what has more is not decoded
KEPT: Final = 64 << 10  # bytes of a key and of a value that a cut letter keeps
MAX_REASON: Final = 500  # characters


class Letter(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The value of a record on `red.dead-letters`.

    A cut letter has the first KEPT bytes of key and value; `size` tells how many bytes both have in all,
    and `sha256` is that of the whole value, in hex.
    """

    topic: str
    partition: int
    offset: int
    reason: str
    key_base64: str | None
    value_base64: str | None
    size: int | None = None
    sha256: str | None = None

    @property
    def is_cut(self) -> bool:
        """Whether it has less than all bytes of its record."""
        return self.size is not None

    @property
    def key(self) -> bytes | None:
        """The record's key, or its beginning."""
        return _raw(self.key_base64)

    @property
    def value(self) -> bytes | None:
        """The record's value, or its beginning."""
        return _raw(self.value_base64)


def size_of(key: bytes | None, value: bytes | None) -> int:
    """The bytes of a record's key and value."""
    return len(key or b"") + len(value or b"")


def refuse_oversize(key: bytes | None, value: bytes | None) -> None:
    """Refuse a record that has more than MAX_RECORD bytes, before it is decoded.

    Raises:
        InvalidEvent: it has.
    """
    if (size := size_of(key, value)) > MAX_RECORD:
        raise InvalidEvent(f"the record has {size} bytes; what has more than {MAX_RECORD} is not read")


def dead_letter(topic: str, partition: int, record: Any, reason: str) -> Out:
    """The record on `red.dead-letters`: key and value in base64, null stays null, cut if it is too large."""
    letter = Letter(
        topic=str(topic),  # bare, without what is declared about it
        partition=partition,
        offset=record.offset,
        reason=reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}...",
        key_base64=None,
        value_base64=None,
    )
    is_cut = size_of(record.key, record.value) > MAX_RECORD
    return (_cut if is_cut else _whole)(letter, record.key, record.value)


def shortened(out: Out) -> Out:
    """The same record, cut if it is a dead letter and has more bytes than a cut one keeps."""
    topic, _, content = out
    if topic != DEAD_LETTERS or content is None:
        return out
    letter = msgspec.json.decode(content, type=Letter)
    return out if letter.is_cut else _cut(letter, letter.key, letter.value)


def _whole(letter: Letter, key: bytes | None, value: bytes | None) -> Out:
    told = msgspec.structs.replace(letter, key_base64=_base64(key), value_base64=_base64(value))
    return DEAD_LETTERS, key, msgspec.json.encode(told)


def _cut(letter: Letter, key: bytes | None, value: bytes | None) -> Out:
    told = msgspec.structs.replace(
        letter, size=size_of(key, value), sha256=hashlib.sha256(value or b"").hexdigest()
    )
    return _whole(told, None if key is None else key[:KEPT], None if value is None else value[:KEPT])


def _base64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()


def _raw(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)
