"""Image ids: UUID version 7, which sort by the time they were made."""

import secrets
import time
import uuid


def uuid7(milliseconds: int | None = None) -> str:
    """A new id: 48 bits of Unix milliseconds (now, unless given) and 74 random bits.

    Source: RFC 9562, section 5.7.
    """
    moment = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    high = moment << 16 | 0x7000 | secrets.randbits(12)
    low = 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=high << 64 | low))
