"""When batches of one partition are inserted: at once, or together with those that come meanwhile."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from red_common import failpoints
from red_stats.domain.record_batches import Ack, PartitionBatch

INTERVAL: Final = 5.0  # seconds between the inserts of a partition that nobody request_flushs
ENOUGH_ROWS: Final = (
    80_000  # for one insert at once; each costs about 10 ms, however few, and is merged later
)
WANTED_SECONDS: Final = 5.0
BACKLOG: Final = 1000  # records still to come: worth waiting for
PAUSE_ROWS: Final = 160_000  # waiting: no more is fetched until half of them are inserted

Write = Callable[[Sequence[PartitionBatch]], Awaitable[bool]]


class InsertBuffer:
    """Batches wait here for the next insert, and are acknowledged when `write` says that it stands.

    At once when nothing was inserted lately and the log has hardly more, when there are many rows, or
    when somebody waits for one of them (`request_flush`): each insert is one part, and the engine has to
    merge them.
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
        self._wanted = -1  # an offset that somebody waits for,
        self._wanted_until = 0.0  # and for how long, since it may never come
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def put(self, batch: PartitionBatch, ack: Ack) -> None:
        """A batch waits; too many rows pause the fetching of their partition."""
        self._waiting.append((batch, ack))
        self._rows += batch.size
        if self._rows >= PAUSE_ROWS:
            self._pause()
        self._news.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="insert")

    def request_flush(self, offset: int) -> None:
        """Somebody waits for that offset, which may still be on its way here."""
        self._wanted = max(offset, self._wanted)
        self._wanted_until = asyncio.get_running_loop().time() + WANTED_SECONDS
        self._news.set()

    def drop(self) -> None:
        """The partition is lost: what waits is the next owner's."""
        self._waiting.clear()
        self._rows = 0
        if self._task is not None:
            self._task.cancel()

    async def finish(self, seconds: float) -> None:
        """Insert what waits, for a short time; the rest is read again."""
        self._interval = 0
        self._news.set()
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=seconds)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await self._due()
            batches, acks = self._taken()
            if await self._write(batches):
                for ack in acks:
                    failpoints.hit("record.before-ack")
                    await ack()
            self._inserted_at = loop.time()
            self._rows -= sum(batch.size for batch in batches)
            if self._rows < PAUSE_ROWS // 2:
                self._resume()

    async def _due(self) -> None:
        """Returns when what waits is to be inserted."""
        since = asyncio.get_running_loop().time()
        while (seconds := self._seconds_left(since)) > 0:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()

    def _seconds_left(self, since: float) -> float:
        now, first = asyncio.get_running_loop().time(), self._waiting[0][0]
        if now > self._wanted_until:
            self._wanted = -1
        if self._rows >= ENOUGH_ROWS or self._wanted >= first.batches[0].start:
            return 0.0
        more_comes = self._waiting[-1][0].lag >= BACKLOG
        return (max(self._inserted_at, since) if more_comes else self._inserted_at) + self._interval - now

    def _taken(self) -> tuple[list[PartitionBatch], list[Ack]]:
        batches: list[PartitionBatch] = []
        acks: list[Ack] = []
        rows = 0
        while self._waiting and rows < ENOUGH_ROWS:
            batch, ack = self._waiting.popleft()
            rows += batch.size
            batches.append(batch)
            acks.append(ack)
        return batches, acks
