"""`red.alerts` as the streams of a process read it: its end together, the past a piece at a time."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Final

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_common.kafka.end_offsets import LogEnds
from red_common.kafka.follower import Follower
from red_stats import topics
from red_stats.domain.erasure import ErasedOf
from red_stats.kafka.range_reader import read_in_steps
from red_stats.web.alert_reader import AlertEvent, AlertReader, Fanout, event_of

START_SECONDS: Final = 10.0  # that a stream waits for Kafka before it begins
LINGER_SECONDS: Final = 60.0  # after the last stream, for which the end is followed on
READERS: Final = 8  # of the past, at once
PIECE_BYTES: Final = 1 << 20  # of one client's alerts
PIECE_SECONDS: Final = 1.0
AT_ONCE: Final = 500  # records between two turns of the loop


class AlertTail:
    """Readers of alerts, who share a follower; it runs while there are any, and for `linger` seconds more."""

    def __init__(
        self,
        connection: KafkaConnection,
        erased_of: ErasedOf,
        *,
        linger: float = LINGER_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection, self._erased_of = connection, erased_of
        self._linger, self._monotonic = linger, monotonic
        self._follower, self._fanout = self._new()
        self._ends = LogEnds(connection, isolation_level="read_committed")
        self._changing = asyncio.Lock()
        self._readers = asyncio.Semaphore(READERS)
        self._users = 0
        self._timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """The end of the topic is followed meanwhile.

        Raises:
            KafkaError, TimeoutError: Kafka cannot be reached.
        """
        self._users += 1
        try:
            if self._timer is not None:
                self._timer.cancel()
            async with asyncio.timeout(START_SECONDS), self._changing:
                if not self._follower.running:
                    self._follower, self._fanout = self._new()  # who has the old ones may miss something
                    await self._follower.start()
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._timer = asyncio.get_running_loop().call_later(self._linger, self._end_later)

    async def stop(self) -> None:
        """Follow no more."""
        if self._timer is not None:
            self._timer.cancel()
        await self._follower.stop()
        await self._ends.stop()

    async def end(self, partition: int) -> int:
        """The offset before which lies every alert that anybody can have seen.

        Raises:
            KafkaError, TimeoutError: Kafka cannot be reached.
        """
        async with asyncio.timeout(START_SECONDS):
            return await self._ends.end(topics.ALERTS, partition)

    @contextlib.contextmanager
    def reader(self, client_id: str, partition: int, start: int | None) -> Iterator[AlertReader]:
        """A reader of a client's alerts from an offset on (None: from now on), while the end is followed."""
        reader = AlertReader(self._fanout, self._read_some, client_id, partition, start)
        try:
            yield reader
        finally:
            reader.close()

    def feeds(self, reader: AlertReader) -> bool:
        """Whether the reader gets what is raised."""
        return self._follower.running and reader.fanout is self._fanout

    async def _read_some(
        self, partition: int, client_id: str, start: int, end: int
    ) -> tuple[list[AlertEvent], int]:
        """One piece of the past, so that nobody who reads slowly keeps others from reading."""
        key, tp = client_id.encode(), TopicPartition(topics.ALERTS, partition)
        found: list[AlertEvent] = []
        size = 0
        async with self._readers:
            until = self._monotonic() + PIECE_SECONDS
            async with aclosing(
                read_in_steps(self._connection, tp, start, end, AT_ONCE, whole=True)
            ) as steps:
                async for records in steps:
                    events = [event_of(one, client_id, self._erased_of) for one in records if one.key == key]
                    found += filter(None, events)
                    size += sum(len(event.message) for event in events if event is not None)
                    if size > PIECE_BYTES or self._monotonic() > until:
                        return found, int(records[-1].offset) + 1
        return found, end

    def _new(self) -> tuple[Follower, Fanout]:
        follower = Follower(
            self._connection, topics.ALERTS, lambda record: fanout.apply(record), from_end=True
        )
        fanout = Fanout(follower.positions, self._erased_of)
        return follower, fanout

    def _end_later(self) -> None:
        self._ending = asyncio.ensure_future(self._end_unless_used())

    async def _end_unless_used(self) -> None:
        async with self._changing:
            if not self._users:
                await self._follower.stop()
        if not self._users:
            await self._ends.stop()
