"""Each client's share of the threads that query the store: a few at once, a few more waiting."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final, TypeVar

from red_common.problems import Problem

TOGETHER: Final = 2
WAITING: Final = 16

Result = TypeVar("Result")


@dataclass
class _Share:
    running: int = 0
    waiting: deque["asyncio.Future[None]"] = field(default_factory=deque)


class QueryShares:
    """Runs the work of clients in an executor, at most `together` of one client at once, first come first.

    Who goes away while its work waits leaves the queue. Work that runs keeps its place in the share to its
    end, whether anybody still waits for it or not: else the impatient would have more than their share.
    """

    def __init__(self, executor: Executor, *, together: int = TOGETHER, waiting: int = WAITING) -> None:
        self._executor, self._together, self._most_waiting = executor, together, waiting
        self._shares: dict[str, _Share] = {}

    async def run(self, client_id: str, work: Callable[[], Result]) -> Result:
        """What `work` returns.

        Raises:
            Problem: 429 `rate_limited`, too many of the client's queries wait already.
        """
        await self._turn(client_id)
        loop = asyncio.get_running_loop()
        running = self._executor.submit(work)

        def ended(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may have ended first
                loop.call_soon_threadsafe(self._leave, client_id)

        running.add_done_callback(ended)
        return await asyncio.wrap_future(running)

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
                share.waiting.remove(turn)
            else:  # it had just come
                self._leave(client_id)
            raise

    def _leave(self, client_id: str) -> None:
        share = self._shares[client_id]
        while share.waiting:
            turn = share.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        share.running -= 1
        if not share.running:
            del self._shares[client_id]
