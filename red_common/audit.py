"""Who did what when to keys and as an operator, and who was refused: the records of `red.audit`.

What comes over HTTP is counted in memory first, so that a flood of wrong keys writes a bounded amount.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

import msgspec

from red_common.events import rfc3339

TOPIC: Final = "red.audit"
OTHERS: Final = "others"

#: How many lines of one kind of `who` are told apart between two takes. Addresses cost nothing, keys do.
ROOM: Final = {"address": 100, "key": 880, "red": 10}

Name = Literal[
    "key_created",
    "key_revoked",
    "key_signed",
    "key_widened",
    "secrets_rotated",
    "rebuild",
    "dead_letter_replayed",
    "client_erased",
    "images_erased",
    "read_as",
    "changed_as",
    "key_refused",
]


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value of a record on `red.audit`.

    `who` is `operator:<user>@<host>`, `up`, `red`, `key:<key_id>`, `address:<ip>` or `others`; `target` is
    what it was done to, `client_id` whose that is. It happened `count` times from `at` to `until` (RFC 3339).
    A record that is repeated has the same `id`. Nothing in it is secret.
    """

    id: str
    at: str
    until: str
    who: str
    act: Name
    target: str | None = None
    client_id: str | None = None
    reason: str | None = None
    count: int


class Act(NamedTuple):
    """What is counted: the fields of AuditRecord with the same names."""

    who: str
    act: Name
    target: str | None = None
    client_id: str | None = None
    reason: str | None = None

    def once(self, record_id: str, at: str) -> AuditRecord:
        """The record of an act that happened once."""
        return AuditRecord(id=record_id, at=at, until=at, count=1, **self._asdict())


class _Seen(NamedTuple):
    first: float
    last: float
    times: int


class Tally:
    """Counts equal acts; beyond ROOM, those of anybody else are summed up by act and reason as OTHERS."""

    def __init__(self) -> None:
        self._seen: dict[Act, _Seen] = {}
        self._lines: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._seen)

    def count(self, act: Act, now: float) -> None:
        """Count one act at `now` (Unix seconds)."""
        if act not in self._seen:
            kind = act.who.partition(":")[0]
            if self._lines[kind] >= ROOM.get(kind, 0):
                act = Act(OTHERS, act.act, reason=act.reason)
            else:
                self._lines[kind] += 1
        first, last, times = self._seen.get(act, _Seen(now, now, 0))
        self._seen[act] = _Seen(min(first, now), max(last, now), times + 1)

    def take(self, new_id: Callable[[], str]) -> list[AuditRecord]:
        """What was counted since the last take, oldest first; the tally is empty afterwards."""
        found = sorted(self._seen.items(), key=lambda item: item[1].first)
        self._seen, self._lines = {}, Counter()
        return [
            AuditRecord(
                id=new_id(), at=_time(seen.first), until=_time(seen.last), count=seen.times, **act._asdict()
            )
            for act, seen in found
        ]


def _time(seconds: float) -> str:
    return rfc3339(datetime.fromtimestamp(seconds, UTC))
