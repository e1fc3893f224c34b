"""A dead letter: the original bytes, their position, and why they could not be read. Pure."""

import base64
from typing import Any

import orjson


def dead_letter(topic: str, partition: int, record: Any, reason: str) -> bytes:
    """The value of a record on `red.dead-letters`, as JSON: key and value in base64, null stays null."""
    return orjson.dumps(
        {
            "topic": topic,
            "partition": partition,
            "offset": record.offset,
            "reason": reason,
            "key_base64": _base64(record.key),
            "value_base64": _base64(record.value),
        }
    )


def _base64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()
