"""A ClickHouse table replayed from its topic into a new one that then takes its place.

Views read the old table meanwhile and nothing new is written to either: what comes waits in Kafka.
Rows that Kafka no longer has (red.alerts and red.deliveries are kept 30 days) are copied.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from red_common.kafka.connection import KafkaConnection, TopicPartition
from red_stats import topics
from red_stats.kafka.range_reader import beginning_of, read_in_steps
from red_stats.store import daily
from red_stats.store.clickhouse import Store
from red_stats.store.queries import Rebuilding, bytes_of
from red_stats.store.recorder import Recorder

MAX_ROWS = 20_000


class StoreReplay:
    """One table. `done` and `total` are offsets of its topic over all partitions, for a progress bar."""

    def __init__(self, recorder: Recorder, store: Store, *, connection: KafkaConnection, writer: Any) -> None:
        self._recorder, self._store, self._connection, self._writer = recorder, store, connection, writer
        self.table = recorder.table
        self._rebuilding = Rebuilding(self.table)
        self.done = self.total = 0
        self.rows = self.copied = 0

    async def run(self) -> None:
        """Return once the new table has replaced the old one; a crash before that leaves the old one.

        Raises:
            StoreError: the store cannot be used, or has no room for a second table.
            KafkaError: Kafka cannot be reached.
        """
        async with self._recorder.paused():
            ends = dict(self._recorder.next)
            starts = {n: await beginning_of(self._connection, self._tp(n)) for n in ends}
            self.total = sum(max(0, end - starts[n]) for n, end in ends.items())
            await self._command(self._rebuilding.drop())
            await self._in_writer(self._check_room)
            await self._command(self._rebuilding.create())
            for number, end in ends.items():
                await self._copy(number, starts[number])
                await self._replay(number, starts[number], end)
            if self.table == topics.MEASUREMENTS.stored_in:
                await self._command(daily.forget_all())  # made of the old table, and made anew of the new one
            await self._command(self._rebuilding.exchange())
            await self._command(self._rebuilding.drop())

    def _check_room(self) -> None:
        [[used]] = self._store.query(*bytes_of(self.table))
        self._store.check_room(int(used))

    async def _copy(self, number: int, before: int) -> None:
        counted = self._rebuilding.count_before(number, before)
        [[rows]] = await self._in_writer(lambda: self._store.query(*counted))
        self.copied += int(rows)
        await self._command(self._rebuilding.copy_before(number, before))

    async def _replay(self, number: int, start: int, end: int) -> None:
        sink = self._recorder.sink.beside(self._rebuilding.beside)
        first = await self._in_writer(lambda: sink.next_offset(number)) or 0
        async for records in read_in_steps(self._connection, self._tp(number), start, end, MAX_ROWS):
            rows = self._recorder.to_rows(number, records, first, records[-1].offset)
            await self._in_writer(lambda rows=rows: sink.write(rows))  # type: ignore[misc]
            first = records[-1].offset + 1
            self.rows += rows.size
            self.done += first - start
            start = first

    def _tp(self, number: int) -> TopicPartition:
        return TopicPartition(self._recorder.topic, number)

    async def _command(self, sql: str) -> None:
        await self._in_writer(lambda: self._store.command(sql))

    async def _in_writer(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)
