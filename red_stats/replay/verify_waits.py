"""Waiting until a role has passed noted offsets, as its marks tell."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from red_common.kafka.connection import KafkaConnection
from red_common.kafka.follower import Follower
from red_stats.domain.erasure import Erased
from red_stats.replay.verify_scope import CouldNotRun
from red_stats.store import queries
from red_stats.store.queries import Queries
from red_stats.tables.declarations import MARK_PREFIX
from red_stats.tables.partition_state import decode_mark

STALLED_SECONDS = 30.0
POLL_SECONDS = 0.25


class Waiting:
    """`say(text)` shows progress; a role that stands still for `stalled` seconds ends the run."""

    def __init__(
        self,
        connection: KafkaConnection,
        store: Queries,
        say: Callable[[str], None],
        stalled: float = STALLED_SECONDS,
    ) -> None:
        self._connection = connection
        self._store = store
        self._say = say
        self._stalled = stalled

    async def folded(self, role: str, changelog: str, source: str, wanted: Mapping[int, int]) -> None:
        """Until the marks of a source topic in a changelog have reached the wanted offsets.

        Raises:
            CouldNotRun: they do not.
        """
        marks = dict.fromkeys(wanted, -1)

        def apply(record: Any) -> None:
            if record.key == MARK_PREFIX + source.encode() and record.value is not None:
                marks[record.partition] = decode_mark(record.value).offset

        async def lag() -> int:
            return sum(max(0, offset - marks[number]) for number, offset in wanted.items())

        follower = Follower(self._connection, changelog, apply)
        await follower.start()
        try:
            await self._until_none(role, lag)
        finally:
            await follower.stop()

    async def recorded(self, table: str, wanted: Mapping[int, int]) -> None:
        """Until the store's ledger has reached the wanted offsets.

        Raises:
            CouldNotRun: it does not.
        """

        async def lag() -> int:
            rows = await asyncio.to_thread(self._store.query, *queries.marks(table))
            marks = {int(number): int(offset) for number, offset in rows}
            return sum(max(0, offset - marks.get(number, -1)) for number, offset in wanted.items())

        await self._until_none(f"record ({table})", lag)

    async def gone(self, erased: Mapping[str, Erased]) -> None:
        """Until the store has no rows of what has been erased.

        Raises:
            CouldNotRun: it keeps some.
        """

        async def left() -> int:
            tables = queries.TABLES_OF_CLIENTS
            asked = [question for table in tables for question in queries.erased_rows(table, erased)]
            found = [await asyncio.to_thread(self._store.query, *question) for question in asked]
            return sum(int(count) for rows in found for _, count in rows)

        await self._until_none("record (rows of erased clients)", left)

    async def _until_none(self, role: str, lag: Callable[[], Awaitable[int]]) -> None:
        best, waited = await lag(), 0.0
        while best:
            self._say(f"waiting for {role}: {best} to go")
            await asyncio.sleep(POLL_SECONDS)
            waited += POLL_SECONDS
            now = await lag()
            if now < best:
                best, waited = now, 0.0
            elif waited >= self._stalled:
                text = f"{role} is {now} behind and stands still: is a worker running?"
                raise CouldNotRun(text)
