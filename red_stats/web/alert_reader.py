"""The alerts of a client for streams: each once, in the order of `red.alerts`, from any offset on.

All streams of a process read the end of the topic together (`Fanout`). Whoever begins in the past, or falls
behind, reads the log by itself up to the offset at which it joined the others (`AlertReader`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from red_common.events import InvalidEvent
from red_stats.domain.alerts import decode
from red_stats.domain.erasure import ErasedOf

WAITING: Final = 1 << 20  # bytes that wait for one stream, beyond which it reads them from the log
LINE_ENDS: Final = (b"\n", b"\r")


class AlertEvent(NamedTuple):
    """An alert as streams send it."""

    offset: int
    subscription_id: str
    message: bytes


#: (partition, client_id, start, end) -> events of the client in `[start, next)`, and `next`, at most `end`
ReadSome = Callable[[int, str, int, int], Awaitable[tuple[list[AlertEvent], int]]]


def event_of(record: Any, client_id: str, erased_of: ErasedOf) -> AlertEvent | None:
    """A record of a client on `red.alerts`; None if it is erased or cannot be read."""
    try:
        alert = decode(record.value)
        record.value.decode()
    except (InvalidEvent, UnicodeDecodeError):
        return None
    if erased_of(client_id).holds_position(alert.position):
        return None
    value: bytes = record.value
    if any(end in value for end in LINE_ENDS):  # that of another producer: in an event it would end the line
        value = msgspec.json.format(value, indent=-1)
    message = b"event: alert\nid: %d:%d\ndata: %b\n\n" % (record.partition, record.offset, value)
    return AlertEvent(record.offset, alert.subscription_id, message)


class Fanout:
    """Hands what is appended to `red.alerts` on to those who have joined.

    `positions` are the offsets from which on records will be applied, by partition; they may lag behind while
    some are. At most `waiting` bytes wait for one who has joined.
    """

    def __init__(self, positions: Mapping[int, int], erased_of: ErasedOf, waiting: int = WAITING) -> None:
        self._positions, self._erased_of, self._waiting = positions, erased_of, waiting
        self._behind_last: dict[int, int] = {}
        self._boxes: dict[bytes, dict[Mailbox, None]] = {}

    def apply(self, record: Any) -> None:
        """Takes the next record of a partition; what has been before is passed over."""
        if record.offset < self._behind_last.get(record.partition, 0):
            return
        self._behind_last[record.partition] = record.offset + 1
        boxes = [box for box in self._boxes.get(record.key, ()) if box.partition == record.partition]
        if boxes and (event := event_of(record, record.key.decode(), self._erased_of)) is not None:
            for box in boxes:
                box.put(event)

    def next_of(self, partition: int) -> int:
        """The offset from which on everything will be handed on to whoever joins now."""
        return max(self._positions[partition], self._behind_last.get(partition, 0))

    def join(self, client_id: str, partition: int) -> "Mailbox":
        """A box that gets every alert of the client from now on, until it leaves or is full."""
        box = Mailbox(partition, self.next_of(partition), self._waiting)
        self._boxes.setdefault(client_id.encode(), {})[box] = None
        return box

    def leave(self, client_id: str, box: "Mailbox") -> None:
        """The box gets no more."""
        boxes = self._boxes[client_id.encode()]
        del boxes[box]
        if not boxes:
            del self._boxes[client_id.encode()]


class Mailbox:
    """What has been raised since a stream joined at the offset `since`, and waits to be taken."""

    def __init__(self, partition: int, since: int, room: int) -> None:
        self.partition, self.since, self._room = partition, since, room
        self.is_lost = False
        self._events: list[AlertEvent] = []
        self._bytes = 0
        self._news = asyncio.Event()

    def put(self, event: AlertEvent) -> None:
        """One more; if too much waits, nothing does any more."""
        if self.is_lost:
            return
        self._bytes += len(event.message)
        if self._bytes > self._room:
            self.is_lost, self._events = True, []
        else:
            self._events.append(event)
        self._news.set()

    async def taken(self) -> list[AlertEvent]:
        """Everything that waits, once there is something; nothing if it is lost."""
        await self._news.wait()
        self._news.clear()
        events, self._events, self._bytes = self._events, [], 0
        return events


class AlertReader:
    """Alerts of one client from an offset on (None: from now on), in order, without hole or repeat."""

    def __init__(
        self, fanout: Fanout, read_some: ReadSome, client_id: str, partition: int, start: int | None
    ) -> None:
        self.fanout, self._read_some = fanout, read_some
        self._client_id, self._partition = client_id, partition
        self._box = fanout.join(client_id, partition)
        self._next = self._box.since if start is None else start

    @property
    def is_behind(self) -> bool:
        """Whether what comes next is read from the log."""
        return self._box.is_lost or self._next < self._box.since

    async def some(self) -> list[AlertEvent]:
        """What comes next; it waits until there is something, and may give nothing while it is behind.

        Raises:
            RangeGone: Kafka no longer has what comes next.
            KafkaError: Kafka cannot be reached.
        """
        if self._box.is_lost:
            self.fanout.leave(self._client_id, self._box)
            self._box = self.fanout.join(self._client_id, self._partition)
        if self._next < self._box.since:
            events, self._next = await self._read_some(
                self._partition, self._client_id, self._next, self._box.since
            )
            return events
        events = [event for event in await self._box.taken() if event.offset >= self._next]
        if events:
            self._next = events[-1].offset + 1
        return events

    def pass_over(self, end: int) -> None:
        """What lies before an offset does not come."""
        self._next = max(self._next, end)

    def close(self) -> None:
        """It gets no more."""
        self.fanout.leave(self._client_id, self._box)
