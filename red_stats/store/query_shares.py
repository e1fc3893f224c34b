"""Each client's share of the store: a few questions at once, a few more waiting, and so much of its time."""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Final, TypeVar

from red_common.problems import Problem
from red_common.rate_limits import RateLimits

TOGETHER: Final = 2
WAITING: Final = 16
RATE: Final = 0.25
SECONDS: Final = 5.0
LONG: Final = 0.25  # seconds

Result = TypeVar("Result")


@dataclass
class _Share:
    running: int = 0
    waiting: deque["asyncio.Future[None]"] = field(default_factory=deque)


class QueryShares:
    """Runs the work of clients in an executor, at most `together` of one client at once, first come first.

    Who goes away while its work waits leaves the queue. Work that runs keeps its place in the share to its
    end, whether anybody still waits for it or not: else the impatient would have more than their share.
    Its seconds are charged: `seconds` at once, and `rate` of every second. Those of work that takes long are
    counted by the clock, since the engine's own threads do it; else by the processor, since a busy machine
    is not the client's doing.
    """

    def __init__(
        self,
        executor: Executor,
        monotonic: Callable[[], float] = time.monotonic,
        processor: Callable[[], float] = time.thread_time,
        *,
        together: int = TOGETHER,
        waiting: int = WAITING,
        rate: float = RATE,
        seconds: float = SECONDS,
    ) -> None:
        self._executor, self._together, self._most_waiting = executor, together, waiting
        self._monotonic, self._processor = monotonic, processor
        self._shares: dict[str, _Share] = {}
        self._time, self._half = RateLimits("store", rate, seconds, monotonic), seconds / 2

    async def run(self, client_id: str, work: Callable[[], Result]) -> Result:
        """What `work` returns.

        Raises:
            Problem: 429 `rate_limited`, too many of the client's queries wait, or its time is used up.
        """
        wait = math.ceil(self._time.wait_seconds(client_id))
        if wait:
            detail = "This client's questions have taken its share of the store's time; ask again later."
            raise Problem("rate_limited", detail, retry_after=wait)
        await self._turn(client_id)
        loop = asyncio.get_running_loop()
        running = self._executor.submit(self._timed, work)

        def ended(done: Future[tuple[Result | Exception, float]]) -> None:
            seconds = 0.0 if done.cancelled() else done.result()[1]
            with contextlib.suppress(RuntimeError):  # the loop may have ended first
                loop.call_soon_threadsafe(self._leave, client_id, seconds)

        running.add_done_callback(ended)
        result, _ = await asyncio.wrap_future(running)
        if isinstance(result, Exception):
            raise result
        return result

    def until_half(self, client_id: str) -> float:
        """Seconds until half of the client's time is left; what goes on for long leaves it to other work."""
        return self._time.wait_seconds(client_id, self._half)

    def _timed(self, work: Callable[[], Result]) -> tuple[Result | Exception, float]:
        """What work returns or raises, and how many seconds are charged for it."""
        began, used = self._monotonic(), self._processor()
        try:
            found: Result | Exception = work()
        except Exception as error:
            found = error
        seconds = self._monotonic() - began
        return found, seconds if seconds > LONG else self._processor() - used

    async def _turn(self, client_id: str) -> None:
        share = self._shares.setdefault(client_id, _Share())
        if share.running < self._together:
            share.running += 1
            return
        if len(share.waiting) >= self._most_waiting:
            detail = f"{self._most_waiting} queries of this client wait already; ask fewer at once."
            raise Problem("rate_limited", detail, retry_after=1)
        turn = asyncio.get_running_loop().create_future()
        share.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with contextlib.suppress(ValueError):  # it may have been called and passed over just now
                    share.waiting.remove(turn)
            else:  # it had just come
                self._leave(client_id)
            raise

    def _leave(self, client_id: str, seconds: float = 0.0) -> None:
        self._time.charge(client_id, seconds)
        share = self._shares[client_id]
        while share.waiting:
            turn = share.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        share.running -= 1
        if not share.running:
            del self._shares[client_id]
