"""Decides when the batches of one partition are inserted: at once, or together with later ones."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from red_common import failpoints
from red_stats.domain.record_batches import Ack, PartitionBatch

INTERVAL: Final = 5.0  # seconds between the inserts of a partition for which nobody calls `request_flush`
ENOUGH_ROWS: Final = 80_000  # are inserted at once; each insert costs about 10 ms, and a merge later
WANTED_SECONDS: Final = 5.0  # how long a requested offset is waited for
BACKLOG: Final = 1000  # with so many records still to come, an insert waits for them
PAUSE_ROWS: Final = 160_000  # while so many wait, fetching pauses until half of them are inserted

Write = Callable[[Sequence[PartitionBatch]], Awaitable[bool]]


class InsertBuffer:
    """Batches wait here for the next insert, and are acknowledged once `write` returns True.

    They are inserted at once if nothing was inserted within `interval` seconds and the log has hardly
    more, if there are many rows, or if somebody waits for one of them (`request_flush`). Otherwise they
    wait, since each insert makes a part that the engine has to merge.
    """

    def __init__(
        self,
        write: Write,
        *,
        pause: Callable[[], None],
        resume: Callable[[], None],
        interval: float = INTERVAL,
    ) -> None:
        self._write, self._pause, self._resume = write, pause, resume
        self._interval = interval
        self._waiting: deque[tuple[PartitionBatch, Ack]] = deque()
        self._rows = 0
        self._inserted_at = float("-inf")
        self._wanted = -1  # an offset that somebody waits for
        self._wanted_until = 0.0  # when it is forgotten, since it may never come
        self._wakeup = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def put(self, batch: PartitionBatch, ack: Ack) -> None:
        """Add a batch; fetching of the partition pauses while too many rows wait."""
        self._waiting.append((batch, ack))
        self._rows += batch.size
        if self._rows >= PAUSE_ROWS:
            self._pause()
        self._wakeup.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="insert")

    def request_flush(self, offset: int) -> None:
        """Insert soon, since somebody waits for this offset, which may not have arrived yet."""
        self._wanted = max(offset, self._wanted)
        self._wanted_until = asyncio.get_running_loop().time() + WANTED_SECONDS
        self._wakeup.set()

    def drop(self) -> None:
        """Drop what waits, since the partition was revoked: the next owner reads it again."""
        self._waiting.clear()
        self._rows = 0
        if self._task is not None:
            self._task.cancel()

    async def finish(self, seconds: float) -> None:
        """Insert what waits, for at most `seconds`; the rest is read again after the next start."""
        self._interval = 0
        self._wakeup.set()
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=seconds)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await self._wait_until_due()
            batches, acks = self._next_batches()
            if await self._write(batches):
                for ack in acks:
                    failpoints.hit("record.before-ack")
                    await ack()
            self._inserted_at = loop.time()
            self._rows -= sum(batch.size for batch in batches)
            if self._rows < PAUSE_ROWS // 2:
                self._resume()

    async def _wait_until_due(self) -> None:
        """Return when what waits is to be inserted."""
        since = asyncio.get_running_loop().time()
        while (seconds := self._seconds_left(since)) > 0:
            self._wakeup.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wakeup.wait()

    def _seconds_left(self, since: float) -> float:
        now, first = asyncio.get_running_loop().time(), self._waiting[0][0]
        if now > self._wanted_until:
            self._wanted = -1
        if self._rows >= ENOUGH_ROWS or self._wanted >= first.batches[0].start:
            return 0.0
        more_comes = self._waiting[-1][0].lag >= BACKLOG
        return (max(self._inserted_at, since) if more_comes else self._inserted_at) + self._interval - now

    def _next_batches(self) -> tuple[list[PartitionBatch], list[Ack]]:
        batches: list[PartitionBatch] = []
        acks: list[Ack] = []
        rows = 0
        while self._waiting and rows < ENOUGH_ROWS:
            batch, ack = self._waiting.popleft()
            rows += batch.size
            batches.append(batch)
            acks.append(ack)
        return batches, acks
