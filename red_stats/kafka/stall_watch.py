"""Watches the partitions of this process: which of them do not move although their logs do."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from red_common.kafka.connection import KafkaConnection, KafkaError, TopicPartition
from red_common.kafka.end_offsets import LogEnds
from red_common.kafka.shutdown import ended
from red_stats.domain.stalls import Place, Progress, Stall, Stalls

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 3.0
LOOK_SECONDS: Final = 10.0  # that looking for records may take

Nexts = Mapping[Place, int]  # where each place goes on
Failures = Mapping[tuple[str, int], str]  # by role and partition


class StallWatch:
    """Observes every few seconds while it is `watched`; what it knows is in `stalls`.

    `nexts()` are the places to watch, `failures()` the last failures of transactions that were not made
    good since. While Kafka is away nothing is observed, and nothing stands still.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        nexts: Callable[[], Nexts],
        failures: Callable[[], Failures],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._nexts, self._failures = nexts, failures
        self._monotonic = monotonic
        self._stalls = Stalls()
        self._known: set[tuple[str, str, int]] = set()

    def stalls(self) -> Sequence[Stall]:
        """The partitions that stand still now."""
        return self._stalls.now(self._monotonic(), self._failures())

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Watches for the duration of the block."""
        all_ends, readable_ends = (
            LogEnds(self._connection, isolation_level=level)
            for level in ("read_uncommitted", "read_committed")
        )
        task = asyncio.create_task(self._watch(all_ends, readable_ends), name="watch for stalls")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await all_ends.stop()
            await readable_ends.stop()

    async def _watch(self, all_ends: LogEnds, readable_ends: LogEnds) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            nexts = dict(self._nexts())
            partitions = {TopicPartition(place.topic, place.partition) for place in nexts}
            if not partitions:
                self._stalls.observe(self._monotonic(), {})
                continue
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                readable = await readable_ends.ends(partitions)
                await self._observe(nexts, readable, await all_ends.ends(partitions))
            self._tell()

    async def _observe(
        self, nexts: Nexts, readable: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> None:
        seen = {}
        for place, following in nexts.items():
            tp = TopicPartition(place.topic, place.partition)
            seen[place] = Progress(following, readable[tp], ends[tp])
        ranges = self._stalls.observe(self._monotonic(), seen)
        for role in {place.role for place in ranges}:  # two roles may read one partition
            places = {TopicPartition(p.topic, p.partition): p for p in ranges if p.role == role}
            firsts = await first_records(self._connection, {tp: ranges[p] for tp, p in places.items()})
            for tp, place in places.items():
                self._stalls.found(place, ranges[place][1], firsts[tp])

    def _tell(self) -> None:
        """Log what has begun to stand still, once."""
        stalls = {(one.role, one.topic, one.partition): one for one in self.stalls()}
        for key in stalls.keys() - self._known:
            one = stalls[key]
            log.warning("%s does not move on %s/%d: %s", *key, one.detail)
        self._known = set(stalls)


async def first_records(
    connection: KafkaConnection, ranges: Mapping[TopicPartition, tuple[int, int]]
) -> dict[TopicPartition, int | None]:
    """The offset of the first committed record in `[start, end)` of each partition; None: there is none.

    Raises:
        TimeoutError: Kafka did not give them within LOOK_SECONDS.
        KafkaError: Kafka cannot be reached.
    """
    found: dict[TopicPartition, int | None] = {}
    consumer = connection.consumer(
        isolation_level="read_committed", auto_offset_reset="earliest", fetch_max_wait_ms=100
    )
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await consumer.start()
            consumer.assign(list(ranges))
            for tp, (start, _) in ranges.items():
                consumer.seek(tp, start)
            while len(found) < len(ranges):
                for tp, records in (await consumer.getmany(timeout_ms=100)).items():
                    found.setdefault(tp, next((r.offset for r in records if r.offset < ranges[tp][1]), None))
                for tp in ranges.keys() - found.keys():
                    if await consumer.position(tp) >= ranges[tp][1]:
                        found[tp] = None
                consumer.pause(*found)
    finally:
        await ended(consumer.stop())
    return found
