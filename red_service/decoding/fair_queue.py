"""Images waiting for a decoder: clients take turns, and nobody waits longer than decoding takes.

The next image belongs to one of the clients with the fewest images in decoders. So a client that floods
RED fills only its own queue, and another client's image waits for a decoder and for nothing else.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

SHORT_WAIT: Final = 0.005  # seconds; no shorter wait is refused: a burst of small images is no overload
LEAST_COST: Final = 0.001  # seconds, of the smallest image
TOLERANCE: Final = 1.05  # of the decoding time, because costs are estimates
FLOOD: Final = 10.0  # refusals remembered that make a flood: its clients get almost no queue
FLOOD_WAIT: Final = 0.003  # in place of SHORT_WAIT
FLOOD_TOLERANCE: Final = 0.45  # in place of TOLERANCE
FORGOTTEN: Final = 5.0  # refusals per second
MOST_REMEMBERED: Final = 25.0  # refusals
WEIGHT: Final = 0.1  # of the newest image in the moving averages of costs
SLOWER: Final = 0.5  # of that weight, for an image slower than the unloaded average

Job = TypeVar("Job")


class _Waiting(NamedTuple):
    job: Any
    size: int


class ImageQueue(Generic[Job]):
    """A queue for each client, and how long their images are expected to take `workers` decoders.

    Costs are learned from `observe_cost`; `monotonic` is the clock.
    """

    def __init__(self, workers: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._monotonic = monotonic
        self._refused, self._counted_at = 0.0, monotonic()
        self._queues: dict[str, deque[_Waiting]] = {}
        self._turns: deque[str] = deque()
        self._some = asyncio.Event()
        self._served: Counter[str] = Counter()  # images in decoders
        self._seconds_a_byte = 20e-9
        self._seconds = 0.01  # per image
        self._unloaded = 0.01  # per image that has a processor to itself

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def put(self, client_id: str, job: Job, size: int) -> None:
        """Appends a job of `size` bytes to the client's queue; never refuses, see `would_wait`."""
        queue = self._queues.get(client_id)
        if queue is None:
            queue = self._queues[client_id] = deque()
            self._turns.append(client_id)
        queue.append(_Waiting(job, size))
        self._some.set()

    async def get(self) -> tuple[str, Job]:
        """Waits for the next job and returns its client with it; `done` must follow once it is decoded."""
        while not self._turns:
            self._some.clear()
            await self._some.wait()
        client_id = self._next()
        queue = self._queues[client_id]
        job: Job = queue.popleft().job
        if queue:
            self._turns.append(client_id)
        else:
            del self._queues[client_id]
        self._served[client_id] += 1
        return client_id, job

    def done(self, client_id: str) -> None:
        """Ends what `get` began: an image of that client has left its decoder."""
        self._served[client_id] -= 1
        if not self._served[client_id]:
            del self._served[client_id]

    def _next(self) -> str:
        """Removes and returns the client with the fewest images in decoders, the first in turn if tied."""
        best = 0
        for at, client_id in enumerate(self._turns):
            if self._served[client_id] < self._served[self._turns[best]]:
                best = at
            if not self._served[self._turns[best]]:  # found after at most as many steps as there are decoders
                break
        chosen = self._turns[best]
        del self._turns[best]
        return chosen

    def drain(self) -> list[Job]:
        """Empties every queue; returns the jobs that were waiting."""
        jobs = [waiting.job for queue in self._queues.values() for waiting in queue]
        self._queues.clear()
        self._turns.clear()
        return jobs

    def observe_cost(self, size: int, seconds: float) -> None:
        """Learns that decoding an image of `size` bytes took `seconds`."""
        self._seconds += WEIGHT * (seconds - self._seconds)
        slower = seconds > self._unloaded
        self._unloaded += WEIGHT * (SLOWER if slower else 1) * (seconds - self._unloaded)
        self._seconds_a_byte += WEIGHT * (seconds / max(size, 1) - self._seconds_a_byte)

    def expected_wait_seconds(self, client_id: str) -> float:
        """Seconds that an image of that client would be expected to wait for a decoder, if it came now."""
        own = self._queues.get(client_id, ())
        served = self._served[client_id]
        others = sum(one != client_id and self._served[one] <= served for one in self._queues)
        before = sum(self._cost(waiting.size) for waiting in own)
        between = others * (len(own) + 1) * self._seconds
        serving = self._served.total()
        begun = serving * self._seconds / 2  # on average they are half done
        free = serving + len(self) < self._workers
        return 0.0 if free else (before + between + begun) / self._workers

    def would_wait(self, client_id: str) -> bool:
        """Whether one more image of that client would wait longer than decoding takes, so should be refused.

        Asking has an effect: each True counts towards a flood, and FORGOTTEN of them per second are
        forgotten. In a flood the bound is lower for clients that already have images here.
        """
        now, wait = self._monotonic(), self.expected_wait_seconds(client_id)
        self._refused = max(0.0, self._refused - (now - self._counted_at) * FORGOTTEN)
        self._counted_at = now
        is_here = client_id in self._queues or client_id in self._served
        in_flood = is_here and self._refused >= FLOOD
        least, tolerance = (FLOOD_WAIT, FLOOD_TOLERANCE) if in_flood else (SHORT_WAIT, TOLERANCE)
        is_too_long = wait > max(least, tolerance * self._unloaded)
        if is_too_long:
            self._refused = min(self._refused + 1, MOST_REMEMBERED)
        return is_too_long

    def _cost(self, size: int) -> float:
        return max(LEAST_COST, size * self._seconds_a_byte)
